package gateway

import (
	"errors"
	"net"
	"sync"
	"time"

	"ysync/internal/hub"
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
				go c.write()
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

// write is the writer goroutine: it ends when nothing is queued.
func (c *conn) write() {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	for {
		c.writer.Store(writerRunning)
		for c.gather(b) {
			if !c.flush(b) {
				return
			}
		}
		if c.writer.CompareAndSwap(writerRunning, writerIdle) {
			return
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
	b.small, b.parts, b.frames, b.bytes = b.small[:0], nil, 0, 0
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
		if b.frames == 0 {
			if err := sub.End(); err != nil {
				c.ended(sub, err)
				return false
			}
		}
	}
	return len(b.small) > 0
}

// fill takes frames from sub until the batch is large enough.
func (b *batch) fill(sub *hub.Subscription) {
	for len(b.parts) == 0 && len(b.small)+maxHeader+copyBytes <= batchBytes {
		frame, ok := sub.Next()
		if !ok {
			return
		}
		b.add(frame)
	}
}

// add puts a frame at the end. A large one goes without a copy, as the last.
func (b *batch) add(payload []byte) {
	b.frames++
	b.bytes += len(payload)
	b.small = appendHeader(b.small, frameBinary, len(payload))
	if len(payload) <= copyBytes {
		b.small = append(b.small, payload...)
		return
	}
	b.vector = [2][]byte{b.small, payload}
	b.parts = b.vector[:]
}

// flush writes b and reports whether the connection can take more.
func (c *conn) flush(b *batch) bool {
	if b.parts == nil {
		b.vector[0] = b.small
		b.parts = b.vector[:1]
	}
	c.mu.Lock()
	c.session.WriteStarted(c.server.now())
	c.mu.Unlock()
	var why *session.Close
	err := c.socket.writeFrames(b.parts, func(taken int) bool {
		c.mu.Lock()
		why = c.session.Progress(taken, c.server.now())
		sub := c.sub
		c.mu.Unlock()
		if sub != nil {
			sub.Progress(taken)
		}
		return why == nil
	})
	b.parts, b.vector = nil, [2][]byte{}
	c.mu.Lock()
	c.session.WriteEnded(c.server.now())
	c.mu.Unlock()
	switch {
	case err == nil:
		m := c.server.metrics
		m.FramesOut.Add(float64(b.frames))
		m.BytesOut.Add(float64(b.bytes))
		if !c.greeted && b.frames > 0 {
			c.greeted = true
			m.HandshakeSeconds.Observe(c.server.now().Sub(c.opened).Seconds())
		}
		return true
	case why != nil:
		c.abort(why)
	case !errors.Is(err, errClosing):
		// The transport failed. The reader names the reason.
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	}
	return false
}

// deny tells the client that it may not have the document. It is the first
// frame of a connection, so it does not have to wait for room.
func (c *conn) deny(reason string) {
	denied := syncproto.AppendPermissionDenied(nil, reason)
	frame := append(appendHeader(nil, frameBinary, len(denied)), denied...)
	_ = c.socket.writeFrames(net.Buffers{frame}, func(int) bool { return false })
}
