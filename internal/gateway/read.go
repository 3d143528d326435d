package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/session"
	"ysync/syncproto"
)

// read takes frames until the connection ends. It is the reader goroutine.
func (c *conn) read() {
	for {
		if !c.await() {
			return
		}
		// No deadline: the sweeper closes what must not wait any longer.
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			c.gone(err)
			return
		}
		if kind != websocket.MessageBinary {
			c.end(session.Closef(session.CloseUnsupportedData, "text frames are not understood"))
			_, err = io.Copy(io.Discard, r)
		} else {
			err = c.receive(r)
		}
		if err != nil {
			c.gone(err)
			return
		}
	}
}

// receive reads one message of the transport, has it judged and hands on what
// comes of it. An error means that the transport failed.
func (c *conn) receive(r io.Reader) error {
	frame, reserved, err := c.collect(r)
	if err == nil && c.socket.dry.Load() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.server.large.Release(reserved)
		var why *session.Close
		if errors.As(err, &why) {
			c.end(why)
			_, err = io.Copy(io.Discard, r)
		}
		return err
	}
	defer c.server.large.Release(reserved)
	m := c.server.metrics
	m.FramesIn.Inc()
	m.BytesIn.Add(float64(len(frame)))

	var space [4]syncproto.Message
	c.mu.Lock()
	step := c.session.Receive(frame, space[:0], c.server.now())
	c.mu.Unlock()
	if step.Malformed != nil {
		m.MalformedTotal.Inc()
		c.server.log.Warn("malformed frame set aside", c.fields(
			zap.Error(step.Malformed), zap.Int("bytes", len(frame)),
			zap.Binary("head", frame[:min(len(frame), quarantineHead)]))...)
	}
	if step.Unknown > 0 {
		m.LimitedTotal.WithLabelValues("unknown").Add(float64(step.Unknown))
	}
	if step.Refused > 0 {
		m.LimitedTotal.WithLabelValues("scope").Add(float64(step.Refused))
	}
	c.do(step)
	c.send(step.Messages)
	return nil
}

// quarantineHead is how much of a malformed frame is kept in the log line.
const quarantineHead = 64

// send hands messages to the document's owner. It waits while the document
// has too much to do, which is what slows a client down that sends too fast.
func (c *conn) send(messages []syncproto.Message) {
	if len(messages) == 0 {
		return
	}
	sub := c.subscription()
	if sub == nil {
		return
	}
	for _, message := range messages {
		if err := sub.Send(c.server.ctx, message); err != nil {
			c.ended(sub, err)
			return
		}
	}
}

// ended closes the connection for the reason that the subscription ended for.
func (c *conn) ended(sub *hub.Subscription, err error) {
	if why := sub.End(); why != nil {
		err = why
	}
	if errors.Is(err, context.Canceled) {
		c.end(closeRestart)
		return
	}
	var end *hub.EndError
	if errors.As(err, &end) {
		c.end(session.Closef(end.Code, "%s", end.Reason))
		return
	}
	c.server.log.Error("subscription", c.fields(zap.Error(err))...)
	c.end(session.Closef(session.CloseInternal, "internal error"))
}

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

// collect reads a whole message into memory of its own. Pooled buffers take
// it up to mediumBuffer, so that an idle connection holds none. What reserved
// says was taken from the budget for large messages, also on error. The error
// is a *session.Close if the message is what is at fault.
func (c *conn) collect(r io.Reader) (frame []byte, reserved int64, err error) {
	small := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(small)
	n, err := readFull(r, *small)
	if err != nil || n < len(*small) {
		return append([]byte(nil), (*small)[:n]...), 0, err
	}
	medium := mediumBuffers.Get().(*[]byte)
	defer mediumBuffers.Put(medium)
	copy(*medium, *small)
	more, err := readFull(r, (*medium)[n:])
	n += more
	if err != nil || n < len(*medium) {
		return append([]byte(nil), (*medium)[:n]...), 0, err
	}
	return c.collectLong(r, *medium)
}

// collectLong goes on after the bytes in head.
func (c *conn) collectLong(r io.Reader, head []byte) (frame []byte, reserved int64, err error) {
	limit := c.server.options.Session.MessageBytes
	buf := append(make([]byte, 0, 2*len(head)), head...)
	defer func() {
		if reserved > 0 {
			c.mu.Lock()
			c.session.LargeEnded()
			c.mu.Unlock()
		}
	}()
	for {
		if len(buf) > limit {
			c.server.metrics.LimitedTotal.WithLabelValues("message_bytes").Inc()
			return nil, reserved, session.Closef(session.CloseTooBig, "message over %d bytes", limit)
		}
		if len(buf) >= largeBytes && reserved == 0 {
			// All of what the message may grow to at once: two messages that
			// each hold a part and wait for more would wait for ever.
			if err := c.reserve(int64(limit)); err != nil {
				return nil, 0, err
			}
			reserved = int64(limit)
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), limit+1)), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if reserved > 0 {
			c.mu.Lock()
			c.session.LargeRead(n)
			c.mu.Unlock()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, reserved, err
		}
	}
	if reserved > 0 {
		c.server.large.Release(reserved - int64(len(buf)))
		reserved = int64(len(buf))
	}
	if spare := cap(buf) - len(buf); spare > len(buf)/4 {
		buf = append(make([]byte, 0, len(buf)), buf...)
	}
	return buf, reserved, nil
}

// reserve takes n bytes of the budget for large messages, waiting a while.
func (c *conn) reserve(n int64) error {
	if !c.server.large.TryAcquire(n) {
		c.server.metrics.LimitedTotal.WithLabelValues("large_budget").Inc()
		ctx, cancel := context.WithTimeout(c.server.ctx, largeWait)
		defer cancel()
		if err := c.server.large.Acquire(ctx, n); err != nil {
			return session.Closef(session.CloseTryLater, "too many large messages at a time")
		}
	}
	c.mu.Lock()
	c.session.LargeStarted(c.server.now())
	c.mu.Unlock()
	return nil
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
