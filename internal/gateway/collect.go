package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"ysync/internal/metrics"
	"ysync/internal/session"
)

const (
	smallBuffer  = 4 << 10
	mediumBuffer = 64 << 10
	// largeWait is how long a message waits for room in the budget.
	largeWait = 30 * time.Second
)

var (
	smallBuffers  = bufferPool(smallBuffer)
	mediumBuffers = bufferPool(mediumBuffer)
)

func bufferPool(size int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := make([]byte, size)
		return &b
	}}
}

// budget bounds the memory of all messages that are being received, in tiers
// by how far a message has come. A message that comes to a tier takes all that
// it may grow to there at once, and tiers do not share: so there is always one
// that does not wait, and no two messages wait for each other.
type budget struct{ tiers [3]tier }

type tier struct {
	above int   // a message of more bytes than this needs the tier
	take  int64 // bytes that one message takes
	free  *semaphore.Weighted
	total int64
}

// held is the number of tiers that a message has.
type held int

func newBudget(large int64, messageBytes int) budget {
	of := func(above int, take, total int64) tier {
		total = max(total, take)
		return tier{above, take, semaphore.NewWeighted(total), total}
	}
	return budget{[...]tier{
		of(smallBuffer, mediumBuffer, large/4),
		of(mediumBuffer, largeBytes, large/4),
		of(largeBytes, int64(messageBytes), large),
	}}
}

func (b *budget) release(h *held) {
	for ; *h > 0; *h-- {
		t := &b.tiers[*h-1]
		t.free.Release(t.take)
	}
}

// needs reports whether a message of n bytes, and more to come, needs another
// tier than the h that it has.
func (b *budget) needs(h held, n int) bool {
	return int(h) < len(b.tiers) && n >= b.tiers[h].above
}

// reserve takes the next tier, waiting a while if need be.
func (c *conn) reserve(h *held) error {
	t := &c.server.budget.tiers[*h]
	if !t.free.TryAcquire(t.take) {
		c.server.metrics.LimitedTotal.WithLabelValues(metrics.LimitLargeBudget).Inc()
		c.unhurried() // it is not the client that is slow now
		ctx, cancel := context.WithTimeout(c.server.ctx, largeWait)
		defer cancel()
		if err := t.free.Acquire(ctx, t.take); err != nil {
			return session.Closef(session.CloseTryLater, "too many large messages at a time")
		}
	}
	*h++
	c.hurried()
	return nil
}

// hurried starts the session's clock for a large message.
func (c *conn) hurried() {
	c.mu.Lock()
	c.session.LargeStarted(c.server.now())
	c.mu.Unlock()
}

// unhurried stops the session's clock for a large message.
func (c *conn) unhurried() {
	c.mu.Lock()
	c.session.LargeEnded()
	c.mu.Unlock()
}

// collect reads a whole message into memory of its own. Pooled buffers take it
// up to mediumBuffer, so that an idle connection holds none. What held says was
// taken from the budget, also on error. The error is a *session.Close if the
// message is what is at fault.
func (c *conn) collect(r io.Reader) (frame []byte, h held, err error) {
	if c.deflates {
		// Inflating takes 44 KiB from the first byte on, however little comes out.
		if err := c.reserve(&h); err != nil {
			return nil, h, err
		}
		defer c.unhurried()
	}
	small := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(small)
	n, err := readFull(r, *small)
	if err != nil || n < len(*small) {
		return append([]byte(nil), (*small)[:n]...), h, err
	}
	if h == 0 {
		if err := c.reserve(&h); err != nil {
			return nil, h, err
		}
		defer c.unhurried()
	}
	medium := mediumBuffers.Get().(*[]byte)
	defer mediumBuffers.Put(medium)
	copy(*medium, *small)
	more, err := readFull(r, (*medium)[n:])
	c.came(more)
	n += more
	if err != nil || n < len(*medium) {
		return append([]byte(nil), (*medium)[:n]...), h, err
	}
	frame, err = c.collectLong(r, *medium, &h)
	return frame, h, err
}

// collectLong goes on after the bytes in head.
func (c *conn) collectLong(r io.Reader, head []byte, h *held) ([]byte, error) {
	limit := c.server.options.Session.MessageBytes
	var buf []byte
	for {
		n := max(len(buf), len(head))
		if n > limit {
			c.server.metrics.LimitedTotal.WithLabelValues(metrics.LimitMessageBytes).Inc()
			return nil, session.Closef(session.CloseTooBig, "message over %d bytes", limit)
		}
		for c.server.budget.needs(*h, n) {
			if err := c.reserve(h); err != nil {
				return nil, err
			}
		}
		switch {
		case buf == nil:
			buf = append(make([]byte, 0, 2*len(head)), head...)
		case len(buf) == cap(buf):
			buf = append(make([]byte, 0, min(2*cap(buf), limit+1)), buf...)
		}
		more, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+more]
		c.came(more)
		c.payPart(more)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if spare := cap(buf) - len(buf); spare > len(buf)/4 {
		buf = append(make([]byte, 0, len(buf)), buf...)
	}
	return buf, nil
}

// came tells the session how a large message comes along.
func (c *conn) came(n int) {
	c.mu.Lock()
	c.session.LargeRead(n)
	c.mu.Unlock()
}

// readFull reads until buf is full or the message ends, which is no error.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) {
		more, err := r.Read(buf[n:])
		n += more
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
