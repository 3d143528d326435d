package simtest

import (
	"fmt"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// client is somebody at a document, with a replica, as y-websocket and the
// clients that ask for acknowledgements behave. It is confined to its goroutine;
// others have it do something by order.
type client struct {
	w        *world
	number   int
	document string
	writer   bool
	echo     bool
	dice     *dice
	orders   chan func()

	id       crdt.ClientID
	gen      int // how often it began anew
	replica  *crdt.Doc
	presence *awareness.Awareness
	shown    int
	// blind: it took others for gone when its connection broke, and what it is
	// shown of them again under the same clock is no news to it (y-protocols), but
	// what they renew is.
	blind bool

	conn    *conn
	retryAt time.Time
	tries   int
	actAt   time.Time
	checkAt time.Time
	deafTo  time.Time // it reads nothing until then
	oddTo   time.Time // what it sends is lost, doubled and reordered until then
	heldUp  []byte    // an update that the next one overtakes
	calm    bool      // it makes no edits of its own accord
	final   func()    // called when all that it has made is acknowledged
	sat     bool      // it is away until it is called back
	late    bool      // it came when all had healed

	// What the server has been told on this connection.
	answered  bool // a SyncStep2 holds all there was
	wanting   bool // its own question was answered
	lossy     bool // something was lost that nobody can know of
	sentClock crdt.Clock
	asks      []ask
	asked     uint64

	// deletes are its own, in order; those before settled are known to be durable.
	deletes []deletion
	settled int
	acked   crdt.Clock
}

// deletion is a unit that it deleted. This connection has brought it before the
// request for an acknowledgement of number by, 0 if it has not.
type deletion struct {
	id crdt.ID
	by uint64
}

func (d deletion) covered(a ask) bool { return d.by > 0 && d.by <= a.number }

// ask is a request for an acknowledgement and what it stands for.
type ask struct {
	number  uint64
	clock   crdt.Clock
	deletes int
	at      time.Time
	done    func()
}

func (w *world) newClient(number int, document string) *client {
	c := &client{w: w, number: number, document: document, dice: w.dice(fmt.Sprint("client ", number)), orders: make(chan func(), 64)}
	c.writer = !c.dice.one(5)
	c.echo = c.dice.one(8)
	c.begin()
	now := time.Now()
	c.retryAt = now.Add(c.dice.between(time.Millisecond, 500*time.Millisecond))
	c.actAt = now.Add(c.dice.between(300*time.Millisecond, time.Second))
	c.checkAt = now.Add(c.dice.between(time.Second, awareness.CheckEvery))
	w.work.Go(c.live)
	return c
}

// begin makes it somebody new: a page that was loaded again.
func (c *client) begin() {
	c.gen++
	c.id = crdt.ClientID(c.number*1000 + c.gen)
	c.replica = crdt.New(crdt.Options{ClientID: c.id, NoFormatCleanup: true})
	c.presence, c.blind = awareness.New(uint64(c.id), time.Now()), false
	c.asks, c.deletes, c.settled, c.acked, c.heldUp = nil, nil, 0, 0, nil
	c.w.born(c)
}

// live is the client's goroutine.
func (c *client) live() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		c.due(now)
		next := c.actAt
		for _, t := range []time.Time{c.checkAt, c.deafTo} {
			if t.After(now) && t.Before(next) {
				next = t
			}
		}
		if c.conn == nil && !c.sat && c.retryAt.Before(next) {
			next = c.retryAt
		}
		timer.Reset(time.Until(next))
		var frames <-chan []byte
		var gone <-chan struct{}
		if c.conn != nil {
			gone = c.conn.ctx.Done()
			if !now.Before(c.deafTo) {
				frames = c.conn.arrived
			}
		}
		select {
		case <-timer.C:
		case frame := <-frames:
			c.receive(frame)
		case <-gone:
			c.lost()
		case f := <-c.orders:
			f()
		case <-c.w.ctx.Done():
			return
		}
	}
}

// do has the client do something, and waits until it did.
func (c *client) do(f func()) {
	done := make(chan struct{})
	c.orders <- func() { f(); close(done) }
	<-done
}

// due does what it is time for.
func (c *client) due(now time.Time) {
	if c.conn == nil && !c.sat && !now.Before(c.retryAt) {
		c.connect()
	}
	if !now.Before(c.checkAt) {
		c.checkAt = now.Add(awareness.CheckEvery)
		renewal, _ := c.presence.Check(now)
		if c.conn != nil && len(renewal.Updated) > 0 {
			c.sendPresence()
		}
	}
	if !now.Before(c.actAt) {
		c.actAt = now.Add(c.dice.between(200*time.Millisecond, 1200*time.Millisecond))
		if !c.calm {
			c.act()
		}
	}
}

// connect tries a node.
func (c *client) connect() {
	c.w.mu.Lock()
	n := c.w.nodes[c.dice.n(places)]
	c.w.mu.Unlock()
	if c.conn = c.w.dial(c, n); c.conn == nil {
		c.tries++
		c.retryAt = time.Now().Add(c.dice.between(50*time.Millisecond, 100*time.Millisecond<<min(c.tries, 4)))
		return
	}
	c.w.tracef("client %d connects with %s", c.number, n.boot)
	c.answered, c.wanting, c.lossy, c.sentClock = false, false, false, 0
	for i := c.settled; i < len(c.deletes); i++ {
		c.deletes[i].by = 0
	}
	c.asks = nil
	c.send(syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, c.replica.StateVector())))
	c.show()
}

// lost begins again after a while.
func (c *client) lost() {
	c.w.mu.Lock()
	code := c.conn.code
	c.w.mu.Unlock()
	c.conn, c.heldUp = nil, nil
	c.tries++
	c.retryAt = time.Now().Add(c.dice.between(50*time.Millisecond, 100*time.Millisecond<<min(c.tries, 4)))
	// y-websocket takes all others for gone when its connection breaks.
	var others []uint64
	for id := range c.presence.States() {
		if id != uint64(c.id) {
			others = append(others, id)
		}
	}
	c.presence.Remove(others, time.Now())
	c.blind = len(others) > 0
	switch {
	case code == hub.CodeReset:
		c.begin()
	case code >= 4400 && code < 4500:
		c.w.fault("I15", "client %d was sent away: %d", c.number, code)
	}
}

func (c *client) send(frame []byte) {
	if c.conn == nil {
		return
	}
	if c.w.tracing {
		d := syncproto.NewDecoder(frame)
		m, _ := d.Next()
		c.traceMessage("sends", m)
	}
	c.conn.up.send(c.conn.ctx, frame)
}

// traceMessage notes what goes in or out.
func (c *client) traceMessage(does string, m syncproto.Message) {
	if !c.w.tracing {
		return
	}
	what := fmt.Sprint(len(m.Payload), " bytes")
	switch m.Kind {
	case syncproto.KindSyncStep1:
		if sv, err := crdt.DecodeStateVector(m.Payload); err == nil {
			what = fmt.Sprint(clocks(sv))
		}
	case syncproto.KindSyncStep2, syncproto.KindUpdate:
		what = ""
		if held, err := crdt.ContentsOf(crdt.V1, m.Payload); err == nil {
			for client, r := range held.Blocks.All() {
				what += fmt.Sprint(" +", client, ":", r.From, "-", r.To)
			}
			for client, r := range held.Deletes.All() {
				what += fmt.Sprint(" -", client, ":", r.From, "-", r.To)
			}
		}
	case syncproto.KindAck:
		r := lib0.NewReader(m.Payload)
		what = fmt.Sprint(r.Uvarint())
	}
	c.w.tracef("client %d of %s %s %v %s", c.id, c.document, does, m.Kind, what)
}

// receive takes in a frame of the server.
func (c *client) receive(frame []byte) {
	d := syncproto.NewDecoder(frame)
	for m, ok := d.Next(); ok; m, ok = d.Next() {
		c.traceMessage("gets", m)
		switch m.Kind {
		case syncproto.KindSyncStep1:
			sv, err := crdt.DecodeStateVector(m.Payload)
			if err != nil {
				c.w.fault("I2", "client %d got a vector: %v", c.number, err)
				continue
			}
			c.answer(sv)
		case syncproto.KindSyncStep2, syncproto.KindUpdate:
			c.wanting = c.wanting || m.Kind == syncproto.KindSyncStep2
			c.tries = 0
			c.take(m.Payload)
		case syncproto.KindAwareness:
			change, err := c.presence.Apply(m.Payload, time.Now())
			if err != nil {
				c.w.fault("I12", "client %d got a presence: %v", c.number, err)
			}
			for _, id := range change.Removed {
				if id == uint64(c.id) {
					c.sendPresence()
				}
			}
		case syncproto.KindAck:
			r := lib0.NewReader(m.Payload)
			c.acknowledged(r.Uvarint())
		}
	}
	if err := d.Err(); err != nil {
		c.w.fault("I2", "client %d got a frame: %v", c.number, err)
	}
}

// take applies an update of the server.
func (c *client) take(update []byte) {
	if _, err := crdt.WalkStructs(crdt.V1, update, func(s *crdt.Struct) {
		if s.Kind == crdt.ContentSkip {
			c.w.fault("D6", "client %d got a Skip", c.number)
		}
	}); err != nil {
		c.w.fault("I2", "client %d got an update: %v", c.number, err)
		return
	}
	if c.echo {
		c.echoed(update)
	}
	if _, err := c.replica.Apply(nil, crdt.V1, update); err != nil {
		c.w.fault("I2", "client %d: %v", c.number, err)
	}
	if p := c.replica.Pending(); !p.Empty() {
		c.w.fault("I2", "client %d got what it cannot place: %+v", c.number, p)
	}
}

// answer tells the server what it lacks.
func (c *client) answer(sv crdt.StateVector) {
	c.heldUp = nil
	c.send(syncproto.AppendSyncStep2(nil, c.replica.AppendDiff(nil, crdt.V1, sv)))
	if !c.writer {
		return
	}
	c.answered, c.lossy, c.sentClock = true, false, c.clock()
	c.bring(c.settled)
	if c.final != nil {
		c.ask(c.final)
	}
}

// bring notes that this connection has brought the deletions from one on.
func (c *client) bring(from int) {
	for i := from; i < len(c.deletes); i++ {
		if c.deletes[i].by == 0 {
			c.deletes[i].by = c.asked + 1
		}
	}
}

// finish has it make a last edit and be calm, and calls done when all that it
// ever made is acknowledged.
func (c *client) finish(done func()) {
	c.calm, c.sat, c.oddTo, c.deafTo = true, false, time.Time{}, time.Time{}
	if !c.writer {
		done()
		return
	}
	c.final = func() {
		if c.lossy {
			// Deletions that were lost leave no gap: only a new connection tells.
			c.lossy = false
			if c.conn != nil {
				c.conn.cancel()
			}
			return
		}
		done()
	}
	c.typeOn()
	if c.conn != nil && c.answered {
		c.ask(c.final)
	}
}

func (c *client) clock() crdt.Clock { return c.replica.StateVector().Get(c.id) }

// ask asks for an acknowledgement of what this connection has brought.
func (c *client) ask(done func()) {
	c.asked++
	c.send(syncproto.AppendAck(nil, lib0.AppendUvarint(nil, c.asked)))
	c.asks = append(c.asks, ask{c.asked, c.sentClock, len(c.deletes), time.Now(), done})
}

// acknowledged judges an acknowledgement: all that it stands for is in the log
// now, and would be there if the log were replayed.
func (c *client) acknowledged(number uint64) {
	for len(c.asks) > 0 && c.asks[0].number <= number {
		a := c.asks[0]
		c.asks = c.asks[1:]
		if a.number == number {
			c.w.count("acks")
			c.settle(a)
			if a.done != nil {
				a.done()
			}
		}
	}
}

func (c *client) settle(a ask) {
	c.w.judgeAck(c, a)
	c.acked = max(c.acked, a.clock)
	for c.settled < a.deletes && c.deletes[c.settled].covered(a) {
		c.settled++
	}
}

// show makes its presence known, as something new.
func (c *client) show() {
	c.shown++
	if _, err := c.presence.SetLocalState(fmt.Appendf(nil, `{"n":%d}`, c.shown), time.Now()); err != nil {
		c.w.fault("I12", "client %d: %v", c.number, err)
	}
	c.sendPresence()
}

func (c *client) sendPresence() {
	u, err := c.presence.AppendUpdate(nil, uint64(c.id))
	if err != nil {
		c.w.fault("I12", "client %d: %v", c.number, err)
		return
	}
	c.send(syncproto.AppendAwareness(nil, u))
}
