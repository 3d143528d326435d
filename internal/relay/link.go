package relay

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"ysync/internal/lib0"
)

var (
	errBroken  = errors.New("relay: the peer broke the protocol")
	errSilent  = errors.New("relay: the peer is silent")
	errClosing = errors.New("relay: the link is closed")
)

// receiver takes in the frames of one channel. Its methods are called from the
// link's reading goroutine and must not block.
type receiver interface {
	receive(f frame, bytes int)
	// broken: the link is gone, and the channel with it.
	broken()
}

// link is one stream to another node. Either end may open channels on it, one
// for each document that its sessions are at and the other end has.
type link struct {
	// Static.
	relay  *Relay
	boot   string // of the other node
	number uint64 // among the links of this process
	stream Stream
	side   uint64 // the lowest bit of channels that this end opens
	cancel func()

	mu sync.Mutex
	// Guarded by mu.
	work     sync.Cond // what is due, or gone
	channels map[uint64]*channel
	opened   uint64
	due      []*channel // a queue; each channel is in it once
	pings    int
	heard    time.Time // when something came in last
	err      error     // why it is gone
	done     chan struct{}
}

// channel is one document on a link.
type channel struct {
	// Static.
	link *link
	id   uint64
	to   receiver
	// next makes frames when there is credit, beside those in queue; nil for
	// none. It is called from the link's writing goroutine.
	next func() (frame, bool)

	// Guarded by link.mu.
	queue  []frame // those of kinds without flow control go first
	urgent []frame
	queued int // bytes in queue
	credit int // bytes that may be sent; below 0 after a large frame
	isDue  bool
	gone   bool
	room   chan struct{} // closed when queued falls; nil when nobody waits

	// Owned by the writer: the rest of the frame under way.
	rest []byte
	head []byte

	// Owned by the reader: what has come of a frame.
	parts []byte
	// came counts what came in and was not yet returned as credit. Guarded by
	// link.mu.
	came int
	held int // of what came in, what was not dealt with yet
}

const (
	// window is how many bytes may be under way on a channel in one direction.
	window = 1 << 20
	// queueBytes is how much may wait in a channel's queue before who sends has
	// to wait.
	queueBytes = 256 << 10
	// frameCost is what a frame costs beside its body.
	frameCost = 32
)

func newLink(r *Relay, boot string, s Stream, side uint64, cancel func()) *link {
	l := &link{
		relay: r, boot: boot, number: r.links.Add(1), stream: s, side: side, cancel: cancel,
		channels: map[uint64]*channel{}, heard: r.opt.Now(), done: make(chan struct{}),
	}
	l.work.L = &l.mu
	return l
}

// open makes a channel of this end's.
func (l *link) open(to receiver) (*channel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.opened++
	c := &channel{link: l, id: l.opened<<1 | l.side, to: to, credit: window}
	l.channels[c.id] = c
	return c, nil
}

// send queues a frame, whatever is queued already.
func (c *channel) send(f frame) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone {
		return
	}
	c.queue = append(c.queue, f)
	c.queued += len(f.body) + frameCost
	l.isDue(c)
}

// hurry queues a frame that needs no credit and overtakes others.
func (c *channel) hurry(f frame) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.gone {
		c.urgent = append(c.urgent, f)
		l.isDue(c)
	}
}

// full returns a channel that is closed when there is room in the queue, nil if
// there is now.
func (c *channel) full() <-chan struct{} {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.gone || c.queued < queueBytes {
		return nil
	}
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// poke tells that next has something.
func (c *channel) poke() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if !c.gone {
		c.link.isDue(c)
	}
}

// took returns credit for what was received and has been dealt with.
func (c *channel) took(bytes int) {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	c.came += bytes
	c.held -= bytes
	if c.came < window/4 || c.gone {
		return
	}
	c.urgent = append(c.urgent, frame{kind: frameCredit, a: uint64(c.came)})
	c.came = 0
	l.isDue(c)
}

// abandon ends the channel, for this end that opened it, without sending what is
// queued.
func (c *channel) abandon() {
	c.link.mu.Lock()
	c.queue, c.queued = nil, 0
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	c.link.mu.Unlock()
	c.hurry(frame{kind: frameClose})
}

// isDue makes the writer look at c. mu is held.
func (l *link) isDue(c *channel) {
	if !c.isDue {
		c.isDue = true
		l.due = append(l.due, c)
		l.work.Signal()
	}
}

// write sends what is due until the link is gone. Channels have their turns one
// after the other, each with a record.
func (l *link) write() {
	var buf []byte
	for {
		l.mu.Lock()
		for len(l.due) == 0 && l.pings == 0 && l.err == nil {
			l.work.Wait()
		}
		if l.err != nil {
			l.mu.Unlock()
			return
		}
		for ; l.pings > 0; l.pings-- {
			buf = appendRecord(buf, 0, 1, (&frame{kind: framePing}).appendHead(nil))
		}
		l.mu.Unlock()
		for len(buf) < packetBytes {
			c := l.nextDue()
			if c == nil {
				break
			}
			before := len(buf)
			buf = c.record(buf)
			l.relay.opt.Metrics.RelayBytesOut.Add(float64(len(buf) - before))
		}
		if len(buf) == 0 {
			continue
		}
		if err := l.stream.Send(buf); err != nil {
			l.fail(err)
			return
		}
		buf = make([]byte, 0, max(512, min(2*len(buf), packetBytes)))
	}
}

func (l *link) nextDue() *channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.due) == 0 {
		return nil
	}
	c := l.due[0]
	l.due = l.due[1:]
	c.isDue = false
	return c
}

// record appends what is next of a channel, if anything may be sent.
func (c *channel) record(dst []byte) []byte {
	if c.rest == nil && len(c.head) == 0 {
		f, ok := c.take()
		if !ok {
			return dst
		}
		c.head, c.rest = f.appendHead(c.head[:0]), f.body
	}
	dst = c.cut(dst)
	// There may be more; if not, its next turn costs little.
	c.link.mu.Lock()
	c.link.isDue(c)
	c.link.mu.Unlock()
	return dst
}

// cut appends a record of the frame under way.
func (c *channel) cut(dst []byte) []byte {
	n := min(len(c.rest), recordBytes-min(len(c.head), recordBytes))
	last := uint64(0)
	if n == len(c.rest) {
		last = 1
	}
	dst = lib0.AppendUvarint(dst, c.id<<1|last)
	dst = lib0.AppendUvarint(dst, uint64(len(c.head)+n))
	dst = append(dst, c.head...)
	dst = append(dst, c.rest[:n]...)
	c.head = c.head[:0]
	if c.rest = c.rest[n:]; last == 1 {
		c.rest = nil
	}
	return dst
}

// take takes the next frame to send: one that needs no credit, or one that
// there is credit for.
func (c *channel) take() (frame, bool) {
	l := c.link
	l.mu.Lock()
	if len(c.urgent) > 0 {
		f := c.urgent[0]
		c.urgent = c.urgent[1:]
		c.sent(f)
		l.mu.Unlock()
		return f, true
	}
	if c.credit <= 0 {
		l.mu.Unlock()
		return frame{}, false
	}
	if len(c.queue) > 0 {
		f := c.queue[0]
		c.queue[0] = frame{}
		c.queue = c.queue[1:]
		c.credit -= f.cost()
		c.sent(f)
		c.queued -= len(f.body) + frameCost
		if c.room != nil && c.queued < queueBytes/2 {
			close(c.room)
			c.room = nil
		}
		l.mu.Unlock()
		return f, true
	}
	next := c.next
	l.mu.Unlock()
	if next == nil {
		return frame{}, false
	}
	f, ok := next()
	if ok {
		l.mu.Lock()
		c.credit -= f.cost()
		l.mu.Unlock()
	}
	return f, ok
}

// cost is what a frame takes of the credit; both ends count alike.
func (f *frame) cost() int {
	switch f.kind {
	case frameCredit, frameClose, frameOpened, frameRefused, framePing:
		return 0
	default:
		return len(f.body) + 8*len(f.list) + frameCost
	}
}

// sent notes that a frame is on its way. Who opened a channel ends it. link.mu
// is held.
func (c *channel) sent(f frame) {
	if f.kind == frameClose {
		c.gone = true
		delete(c.link.channels, c.id)
	}
}

// read takes in what comes until the link is gone.
func (l *link) read() {
	for {
		data, err := l.stream.Receive()
		if err != nil {
			l.fail(err)
			return
		}
		l.mu.Lock()
		l.heard = l.relay.opt.Now()
		l.mu.Unlock()
		l.relay.opt.Metrics.RelayBytesIn.Add(float64(len(data)))
		if err := l.packet(data); err != nil {
			l.fail(err)
			return
		}
	}
}

// packet takes in records.
func (l *link) packet(data []byte) error {
	r := lib0.NewReader(data)
	for whole := r.Len(); r.Len() > 0; {
		tag := r.Uvarint()
		part := r.Bytes()
		if len(part) < whole/2 {
			// What is kept of it must not keep the rest.
			part = bytes.Clone(part)
		}
		if r.Err() != nil {
			return errBroken
		}
		if err := l.record(tag>>1, lastRecord(tag&1 == 1), part); err != nil {
			return err
		}
	}
	return nil
}

// maxChannels bounds the documents of one link.
const maxChannels = 1 << 20

// record takes in a record.
func (l *link) record(id uint64, last lastRecord, part []byte) error {
	l.mu.Lock()
	c := l.channels[id]
	if c == nil && id > 1 && id&1 != l.side && len(l.channels) < maxChannels && len(part) > 0 && frameKind(part[0]) == frameOpen {
		c = &channel{link: l, id: id, credit: window}
		h := newHost(c)
		c.to, c.next = h, h.next
		l.channels[id] = c
	}
	l.mu.Unlock()
	if c == nil {
		// A ping, or something that crossed the end of its channel.
		return nil
	}
	data := part
	if len(c.parts) > 0 || !bool(last) {
		if len(c.parts)+len(part) > maxFrame {
			return errBroken
		}
		c.parts = append(c.parts, part...)
		if !last {
			return nil
		}
		data, c.parts = c.parts, nil
	}
	f, err := decodeFrame(data)
	if err != nil {
		return err
	}
	switch f.kind {
	case frameCredit:
		return l.credited(c, f.a)
	case frameClose:
		l.mu.Lock()
		c.gone = true
		delete(l.channels, c.id)
		l.mu.Unlock()
	}
	n := f.cost()
	l.mu.Lock()
	c.held += n
	over := c.held > window+maxFrame
	l.mu.Unlock()
	if over {
		return errBroken
	}
	c.to.receive(f, n)
	return nil
}

// lastRecord tells whether a record is the last one of a frame.
type lastRecord bool

// credited takes in credit. Nobody gives more than was taken.
func (l *link) credited(c *channel, bytes uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes > maxFrame+window || c.credit+int(bytes) > window {
		return errBroken
	}
	c.credit += int(bytes)
	l.isDue(c)
	return nil
}

// tick pings, and gives up a peer that is silent.
func (l *link) tick(now time.Time) {
	l.mu.Lock()
	silent := now.Sub(l.heard) > l.relay.opt.Silence
	l.pings = 1
	l.work.Signal()
	l.mu.Unlock()
	if silent {
		l.fail(errSilent)
	}
}

// fail ends the link, once.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	channels := l.channels
	l.channels = map[uint64]*channel{}
	for _, c := range channels {
		c.gone = true
		if c.room != nil {
			close(c.room)
			c.room = nil
		}
	}
	l.work.Broadcast()
	l.mu.Unlock()
	l.relay.forget(l, err)
	l.cancel()
	for _, c := range channels {
		c.to.broken()
	}
	close(l.done)
}
