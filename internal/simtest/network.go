package simtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"ysync/internal/cluster"
	"ysync/internal/relay"
)

var (
	errBroken = errors.New("the connection broke")
	errDead   = errors.New("the process is dead")
)

// network is what is between the nodes.
type network struct {
	w *world
	// Guarded by world.mu.
	open   [places][places]state // messages pass
	slow   [places][places]time.Duration
	lines  map[*line]struct{}
	dialed int // lines so far
}

// line is a stream between two nodes.
type line struct {
	from, to *node
	// left is after how many messages it breaks; 0 for never.
	left   atomic.Int64
	number int // of all lines
	ctx    context.Context
	cancel context.CancelFunc
}

func newNetwork(w *world) *network {
	n := &network{w: w, lines: map[*line]struct{}{}}
	for i := range n.open {
		for j := range n.open[i] {
			n.open[i][j] = newState(true)
		}
	}
	return n
}

// end is one end of a line. It is of no use after ctx has ended.
type end struct {
	line *line
	self *node
	ctx  context.Context
	out  *pipe
	in   chan []byte
}

// Send implements relay.Stream.
func (e *end) Send(data []byte) error {
	if !e.self.pass(e.ctx) || !e.out.send(e.ctx, data) {
		return errBroken
	}
	return nil
}

// Receive implements relay.Stream.
func (e *end) Receive() ([]byte, error) {
	select {
	case data := <-e.in:
		return data, nil
	case <-e.ctx.Done():
		return nil, errBroken
	}
}

var _ relay.Stream = (*end)(nil)

// lineRoom is how many messages may be under way on a line in one direction.
const lineRoom = 64

// connect makes a stream from a node to whoever is at another's address.
func (net *network) connect(ctx context.Context, from *node, to cluster.Node) (relay.Stream, error) {
	w := net.w
	place := int(to.Relay[len(to.Relay)-1] - '0')
	if !from.pass(ctx) || !rest(ctx, from.trip()) || !w.until(ctx, &net.open[from.place][place], true) {
		return nil, errBroken
	}
	w.mu.Lock()
	target := w.nodes[place]
	silent := w.silent[place]
	w.mu.Unlock()
	if silent {
		// The machine is gone: nobody says that nothing listens.
		<-ctx.Done()
		return nil, errBroken
	}
	if target == nil || !target.listens.Load() {
		return nil, fmt.Errorf("dial %s: %w", to.Relay, syscall.ECONNREFUSED)
	}
	l := &line{from: from, to: target}
	l.ctx, l.cancel = context.WithCancel(w.ctx)
	near := net.end(l, ctx, from)
	far := net.end(l, target.ctx, target)
	name := fmt.Sprintf("line %s %s %d", from.boot, target.boot, from.lines.Add(1))
	near.out = net.direction(l, from, target, far.in, w.dice(name+">"))
	far.out = net.direction(l, target, from, near.in, w.dice(name+"<"))
	w.mu.Lock()
	net.dialed++
	l.number = net.dialed
	net.lines[l] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(l.ctx, func() {
		w.mu.Lock()
		delete(net.lines, l)
		w.mu.Unlock()
	})
	w.work.Go(func() {
		_ = target.relay.Accept(far)
		net.ended(l, target)
	})
	return near, nil
}

// end makes an end of a line that lasts until ctx ends, or the line.
func (net *network) end(l *line, ctx context.Context, self *node) *end {
	e := &end{line: l, self: self, in: make(chan []byte)}
	var cancel context.CancelFunc
	e.ctx, cancel = context.WithCancel(ctx)
	context.AfterFunc(l.ctx, cancel)
	context.AfterFunc(e.ctx, func() { net.ended(l, self) })
	return e
}

// ended is called when one end of a line is closed, or has died: the other end
// hears of it, unless the machine is gone.
func (net *network) ended(l *line, by *node) {
	w := net.w
	w.mu.Lock()
	silent := w.silent[by.place]
	w.mu.Unlock()
	if by.ctx.Err() != nil && silent {
		rest(l.ctx, halfOpen)
	}
	l.cancel()
}

// halfOpen is after how long the system under the other end of a line gives up a
// machine that is gone.
const halfOpen = 20 * time.Second

func (net *network) direction(l *line, from, to *node, in chan<- []byte, d *dice) *pipe {
	w := net.w
	latency := func() time.Duration {
		w.mu.Lock()
		extra := net.slow[from.place][to.place]
		w.mu.Unlock()
		return d.between(100*time.Microsecond, 2*time.Millisecond) + extra
	}
	return w.newPipe(l.ctx, lineRoom, latency, func(data []byte) {
		if from.ctx.Err() != nil || !w.until(l.ctx, &net.open[from.place][to.place], true) || !to.pass(l.ctx) {
			return
		}
		select {
		case in <- data:
			if l.left.Load() > 0 && l.left.Add(-1) == 0 {
				l.cancel()
			}
		case <-l.ctx.Done():
		}
	})
}

// cut stops what goes from one place to another, or lets it pass again.
func (net *network) cut(from, to int, stopped bool) {
	net.w.mu.Lock()
	defer net.w.mu.Unlock()
	net.open[from][to].set(!stopped)
}

// between are the lines between two places.
func (net *network) between(a, b int) (lines []*line) {
	net.w.mu.Lock()
	defer net.w.mu.Unlock()
	for l := range net.lines {
		if l.from.place == a && l.to.place == b || l.from.place == b && l.to.place == a {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b *line) int { return cmp.Compare(a.number, b.number) })
	return lines
}

// reset breaks all lines between two places, with what is under way.
func (net *network) reset(a, b int) (broken int) {
	lines := net.between(a, b)
	for _, l := range lines {
		l.cancel()
	}
	return len(lines)
}

// lag makes what goes from one place to another take longer.
func (net *network) lag(from, to int, extra time.Duration) {
	net.w.mu.Lock()
	defer net.w.mu.Unlock()
	net.slow[from][to] = extra
}

// gate is what a process passes before anything goes in or out of it: it waits
// while the process is stopped, and nothing passes when it is dead.
type gate struct {
	w       *world
	ctx     context.Context
	cancel  context.CancelFunc
	running state // guarded by world.mu
}

// pass waits until the process runs. It returns false when it is dead, or ctx
// has ended.
func (g *gate) pass(ctx context.Context) bool {
	for {
		g.w.mu.Lock()
		is, change := g.running.on, g.running.change
		g.w.mu.Unlock()
		if g.ctx.Err() != nil || ctx.Err() != nil {
			return false
		}
		if is {
			return true
		}
		select {
		case <-change:
		case <-g.ctx.Done():
		case <-ctx.Done():
		}
	}
}
