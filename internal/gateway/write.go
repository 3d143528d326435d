package gateway

import (
	"errors"
	"net"
	"sync"
	"time"

	"ysync/internal/session"
	"ysync/syncproto"
)

// The states of conn.writer.
const (
	writerIdle = iota
	writerRunning
	// writerAgain: something was queued since the writer last looked.
	writerAgain
)

// wake sees to it that what is queued now will be written. It does not block
// and may be called from any goroutine, under any lock.
func (c *conn) wake() {
	for {
		switch c.writer.Load() {
		case writerIdle:
			if c.writer.CompareAndSwap(writerIdle, writerRunning) {
				c.server.flusher.add(c)
				return
			}
		case writerRunning:
			if c.writer.CompareAndSwap(writerRunning, writerAgain) {
				return
			}
		case writerAgain:
			return
		}
	}
}

// writeNow writes what is queued as far as the peer takes it without waiting.
// The rest is left to a goroutine of the connection's own, and so is b, which
// is why the caller goes on with the batch that is returned.
func (c *conn) writeNow(b *batch) *batch {
	for c.more(b) {
		b.attempt.frames = b.parts
		held, err := c.socket.tryFrames(&b.attempt)
		b.parts = b.attempt.frames
		switch {
		case err == nil:
			c.wrote(b, b.clock)
			if b.all && c.writer.CompareAndSwap(writerRunning, writerIdle) {
				return b // nothing came since b was gathered
			}
		case errors.Is(err, errWait):
			go c.write(b, held)
			return batches.Get().(*batch)
		default:
			c.writeFailed(err)
			return b
		}
	}
	return b
}

// write writes what is in b and all else that is queued, and waits for the
// peer as long as the session lets it.
func (c *conn) write(b *batch, held turn) {
	defer batches.Put(b)
	for c.flush(b, held) {
		held = turnFree
		if !c.more(b) {
			return
		}
	}
}

// more gathers what is queued. It returns false when there is nothing, and
// the connection then has no writer any more.
func (c *conn) more(b *batch) bool {
	for {
		c.writer.Store(writerRunning)
		if c.gather(b) {
			return true
		}
		if c.writer.CompareAndSwap(writerRunning, writerIdle) {
			return false
		}
	}
}

// batch collects frames for one write.
type batch struct {
	small  []byte      // headers, and payloads too small to be worth a vector
	parts  net.Buffers // what is written: small, and perhaps one large payload
	vector [2][]byte   // space for parts
	frames int
	bytes  int
	all    bool // it holds all that was queued
	// attempt is to write it without waiting; clock is when the flusher last looked
	// at the time, as a look costs as much as a tenth of the rest around a write.
	attempt attempt
	clock   time.Time
	// deflates: large messages are compressed, into packed.
	deflates bool
	packed   []byte
	// watch is told what is written; nil for nobody.
	watch *watch
	now   func() time.Time
}

var batches = sync.Pool{New: func() any { return &batch{small: make([]byte, 0, batchBytes)} }}

const (
	// batchBytes is how much is copied together before it is written.
	batchBytes = 8 << 10
	// copyBytes is the payload size up to which a copy is cheaper than a
	// vector of its own.
	copyBytes = 2 << 10
)

// gather fills b with what is queued, up to about batchBytes, and reports
// whether there is anything. It closes the connection if the subscription
// has ended.
func (c *conn) gather(b *batch) bool {
	b.small, b.parts, b.vector, b.frames, b.bytes = b.small[:0], nil, [2][]byte{}, 0, 0
	b.all, b.deflates = true, c.deflates
	if cap(b.packed) > batchBytes {
		b.packed = nil
	}
	b.watch, b.now = c.watch.Load(), c.server.now
	c.mu.Lock()
	if c.ending != nil {
		c.mu.Unlock()
		return false
	}
	sub := c.sub
	if c.pong != nil {
		b.small = append(appendHeader(b.small, framePong, len(c.pong)), c.pong...)
		c.pong = nil
	}
	if c.frame != nil {
		b.add(c.frame)
		c.frame = nil
	}
	c.mu.Unlock()
	if sub != nil {
		b.fill(sub)
		if err := sub.End(); err != nil {
			if b.frames == 0 {
				c.ended(sub, err)
				return false
			}
			// Its wake may have come before this look: look again after these.
			b.all = false
		}
	}
	if len(b.small) == 0 {
		return false
	}
	if len(b.parts) == 0 {
		b.vector[0] = b.small
		b.parts = b.vector[:1]
	}
	return true
}

// fill takes frames from sub until the batch is large enough.
func (b *batch) fill(sub Subscription) {
	for len(b.parts) == 0 && len(b.small)+maxHeader+copyBytes <= batchBytes {
		frame, ok := sub.Next()
		if !ok {
			return
		}
		b.add(frame)
	}
	b.all = false
}

// add puts a frame at the end. A large one goes without a copy, as the last.
func (b *batch) add(payload []byte) {
	if b.watch != nil {
		b.watch.sent(payload, b.now())
	}
	b.frames++
	b.bytes += len(payload)
	first := byte(frameBinary)
	if b.deflates {
		var done bool
		if b.packed, done = appendDeflated(b.packed[:0], payload); done {
			payload, first = b.packed, frameBinary|frameDeflated
		}
	}
	b.small = appendHeader(b.small, first, len(payload))
	if len(payload) <= copyBytes {
		b.small = append(b.small, payload...)
		return
	}
	b.vector = [2][]byte{b.small, payload}
	b.parts = b.vector[:]
}

// flush writes b, waiting for the peer, and reports whether the connection can
// take more.
func (c *conn) flush(b *batch, held turn) bool {
	c.mu.Lock()
	c.session.WriteStarted(c.server.now())
	c.mu.Unlock()
	var why *session.Close
	err := c.socket.writeFrames(b.parts, held, func(taken int) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sub != nil {
			c.sub.Progress(taken)
		}
		if c.ending != nil {
			return false
		}
		why = c.session.Progress(taken, c.server.now())
		return why == nil
	})
	switch {
	case err == nil:
		c.wrote(b, c.server.now())
		return true
	case why != nil:
		c.abort(why)
	default:
		c.writeFailed(err)
	}
	return false
}

// wrote notes that the transport took all of b.
func (c *conn) wrote(b *batch, now time.Time) {
	c.mu.Lock()
	c.session.WriteEnded(now)
	c.mu.Unlock()
	m := c.server.metrics
	m.FramesOut.Add(float64(b.frames))
	m.BytesOut.Add(float64(b.bytes))
	if !c.greeted && b.frames > 0 {
		c.greeted = true
		m.HandshakeSeconds.Observe(now.Sub(c.session.Opened()).Seconds())
	}
}

// writeFailed is the end of writing. The connection keeps its writer, so that
// no other one begins.
func (c *conn) writeFailed(err error) {
	if !errors.Is(err, errClosing) {
		// The transport failed. The reader names the reason.
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	}
}

// deny tells the client that it may not have the document. It is the first
// frame of a connection, so it does not have to wait for room.
func (c *conn) deny(reason string) {
	denied := syncproto.AppendPermissionDenied(nil, reason)
	frame := append(appendHeader(nil, frameBinary, len(denied)), denied...)
	_ = c.socket.writeFrames(net.Buffers{frame}, turnFree, func(int) bool { return false })
}
