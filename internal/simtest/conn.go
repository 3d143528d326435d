package simtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/relay"
	"ysync/internal/session"
	"ysync/syncproto"
)

// conn is a connection of a client: between them what the gateway does, with
// the session and the seat that the gateway has.
type conn struct {
	w      *world
	node   *node
	client *client
	ctx    context.Context
	cancel context.CancelFunc
	up     *pipe
	down   *pipe
	// arrived are the frames at the client, in their order.
	arrived chan []byte
	// code is why the server ended it; 0 for a break. Read after ctx ended.
	code int

	// Owned by the reading goroutine.
	session session.Session
	seat    *relay.Seat
	turn    hub.Turn
	wake    chan struct{}
	out     chan []byte // frames of the session's own
}

var limits = session.Limits{}.WithDefaults()

// dial connects a client with a node; nil when nothing listens there.
func (w *world) dial(c *client, n *node) *conn {
	if !n.up() || n.leaving.Load() {
		return nil
	}
	w.mu.Lock()
	w.sessions++
	number := w.sessions
	w.mu.Unlock()
	k := &conn{w: w, node: n, client: c, arrived: make(chan []byte), wake: make(chan struct{}, 1), out: make(chan []byte, 16)}
	k.ctx, k.cancel = context.WithCancel(w.ctx)
	scope := auth.Write
	if !c.writer {
		scope = auth.Read
	}
	k.session = session.New(&limits, auth.Grant{Pattern: "*", Scope: scope}, time.Now())
	d := w.dice(fmt.Sprint("conn ", c.number, " ", number))
	latency := func() time.Duration { return d.between(200*time.Microsecond, 5*time.Millisecond) }
	frames := make(chan []byte)
	k.up = w.newPipe(k.ctx, 1024, latency, func(data []byte) {
		if !n.pass(k.ctx) {
			return
		}
		select {
		case frames <- data:
		case <-k.ctx.Done():
		}
	})
	k.down = w.newPipe(k.ctx, 8, latency, func(data []byte) {
		select {
		case k.arrived <- data:
		case <-k.ctx.Done():
		}
	})
	w.mu.Lock()
	n.conns[k] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(k.ctx, func() {
		w.mu.Lock()
		delete(n.conns, k)
		w.mu.Unlock()
	})
	context.AfterFunc(n.ctx, k.died)
	w.work.Go(func() { k.read(number, frames) })
	return k
}

// died ends a connection whose node died. A client of a machine that is gone
// notices by itself.
func (k *conn) died() {
	w := k.w
	w.mu.Lock()
	silent := w.silent[k.node.place]
	w.mu.Unlock()
	if silent && !rest(k.ctx, clientPatience) {
		return
	}
	k.cancel()
}

// clientPatience is after how long a client gives up a server that is silent.
const clientPatience = 4 * time.Second

// read takes in what the client sends, as the gateway's reader does.
func (k *conn) read(number uint64, frames <-chan []byte) {
	defer func() {
		if k.seat != nil {
			k.seat.Close()
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var step session.Step
		select {
		case frame := <-frames:
			step = k.session.Receive(frame, nil, time.Now())
		case <-tick.C:
			step = k.session.Tick(time.Now())
		case <-k.ctx.Done():
			return
		case <-k.node.ctx.Done():
			return
		}
		if step.Malformed != nil || step.Unknown > 0 {
			k.w.fault("I15", "a frame of client %d: %v", k.client.number, step.Malformed)
		}
		if step.Attach && !k.attach(number) {
			return
		}
		if step.Frame != nil {
			select {
			case k.out <- step.Frame:
			default:
			}
		}
		if step.Close != nil {
			k.end(step.Close.Code, step.Close.Reason)
			return
		}
		if !k.pass(step.Messages) {
			return
		}
	}
}

func (k *conn) attach(number uint64) bool {
	c := k.client
	seat, err := k.node.relay.Subscribe(c.document, hub.Peer{
		Session: number, Subject: fmt.Sprint("user ", c.number), CanWrite: c.writer, CanPresence: true, Echo: c.echo,
	}, k.ready)
	if err != nil {
		k.end(hub.CodeRestart, err.Error())
		return false
	}
	k.seat = seat
	k.w.work.Go(func() { k.write(seat) })
	k.ready()
	return true
}

func (k *conn) ready() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// pass hands messages to the seat.
func (k *conn) pass(messages []syncproto.Message) bool {
	if k.seat == nil {
		return true
	}
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	defer context.AfterFunc(k.node.ctx, cancel)()
	for _, m := range messages {
		if err := k.seat.SendInTurn(ctx, m, &k.turn); err != nil {
			k.over(err)
			return false
		}
	}
	if k.turn.Begin() {
		k.turn.Step()
	}
	return true
}

// over ends the connection for the reason that the seat ended for.
func (k *conn) over(err error) {
	if why := k.seat.End(); why != nil {
		err = why
	}
	var why *hub.EndError
	if errors.As(err, &why) {
		k.end(why.Code, why.Reason)
		return
	}
	k.end(hub.CodeRestart, err.Error())
}

// write sends what the seat has, as the gateway's writer does.
func (k *conn) write(seat *relay.Seat) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	defer context.AfterFunc(k.node.ctx, cancel)()
	for {
		select {
		case <-k.wake:
		case frame := <-k.out:
			if !k.node.pass(ctx) || !k.down.send(ctx, frame) {
				return
			}
			continue
		case <-ctx.Done():
			return
		}
		for frame, ok := seat.Next(); ok; frame, ok = seat.Next() {
			if !k.node.pass(ctx) || !k.down.send(ctx, frame) {
				return
			}
			seat.Progress(len(frame))
		}
		if err := seat.End(); err != nil {
			k.over(err)
			return
		}
	}
}

// end closes the connection from the server's side.
func (k *conn) end(code int, reason string) {
	k.w.mu.Lock()
	if k.code == 0 && k.ctx.Err() == nil {
		k.code = code
	}
	k.w.mu.Unlock()
	k.w.tracef("client %d is closed: %d %s", k.client.number, code, reason)
	k.cancel()
}
