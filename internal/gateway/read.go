package gateway

import (
	"context"
	"errors"
	"io"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/session"
	"ysync/internal/tracing"
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
			err = c.discard(r)
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
	frame, held, err := c.collect(r)
	// Until the message was handed on.
	defer c.server.budget.release(&held)
	if err == nil && c.socket.dry.Load() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.server.budget.release(&held)
		var why *session.Close
		if errors.As(err, &why) {
			c.end(why)
			err = c.discard(r)
		}
		return err
	}
	c.message(frame)
	c.paid = 0
	c.run()
	return nil
}

// message has a message judged and hands on what comes of it. The document's
// turn, if it begins with it, is left in c.turn.
func (c *conn) message(frame []byte) {
	m := c.server.metrics
	m.FramesIn.Inc()
	m.BytesIn.Add(float64(len(frame)))

	var space [4]syncproto.Message
	now := c.server.now()
	c.mu.Lock()
	step := c.session.Receive(frame, space[:0], now)
	wait, over := c.session.Spend(len(frame), c.paid, c.server.load.session(), now)
	c.mu.Unlock()
	c.watch.Load().received(frame, &step, now)
	if step.Malformed != nil {
		m.MalformedTotal.Inc()
		c.server.log.Warn("malformed frame set aside", c.fields(
			zap.Error(step.Malformed), zap.Int("bytes", len(frame)),
			zap.Binary("head", frame[:min(len(frame), malformedHead)]))...)
	}
	if step.Unknown > 0 {
		m.LimitedTotal.WithLabelValues(metrics.LimitUnknown).Add(float64(step.Unknown))
	}
	if step.Refused > 0 {
		m.LimitedTotal.WithLabelValues(metrics.LimitScope).Add(float64(step.Refused))
	}
	c.do(step)
	if step.Token != "" {
		c.run() // the document does not wait for the token to be judged
		c.present(step.Token)
	}
	c.send(step.Messages, len(frame))
	if wait > 0 || c.shares() {
		c.pay(len(frame), now, wait, over)
	}
}

// run steps the document if its turn has begun, and writes what is due after it: an
// edit of a small document comes from one socket and goes to the others without
// another goroutine, unless others wait.
func (c *conn) run() {
	if !c.turn.Begin() {
		return
	}
	f := &c.server.flusher
	slot := f.reserve()
	c.turn.Step()
	if slot {
		f.runHere()
	}
}

// malformedHead is how much of a malformed frame is in the log line: its kind. What
// follows may be a token, or the content of a document.
const malformedHead = 2

// send hands messages to the document's owner. It waits while the document
// has too much to do, which is what slows a client down that sends too fast.
func (c *conn) send(messages []syncproto.Message, bytes int) {
	if len(messages) == 0 {
		return
	}
	sub := c.subscription()
	if sub == nil {
		return
	}
	ctx := c.server.ctx
	if span := c.server.options.Tracer.Sampled(tracing.Message); span != nil {
		span.Text("document", c.document).Int("session", int(c.id)).Int("bytes", bytes)
		defer span.End()
		ctx = tracing.With(ctx, span)
	}
	for _, message := range messages {
		if err := sub.SendInTurn(ctx, message, &c.turn); err != nil {
			c.ended(sub, err)
			return
		}
	}
}

// ended closes the connection for the reason that the subscription ended for.
func (c *conn) ended(sub Subscription, err error) {
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
