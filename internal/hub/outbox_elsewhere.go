package hub

import "context"

// Outbox is the queue towards a client whose document is at another node. It has
// the bounds of a Subscription's. Its methods may be called from any goroutine.
type Outbox struct{ o outbox }

// Push puts a frame in. wake tells that it was empty; full that the reader lags
// from now on: its owner is to be told, and until the owner says from when on it
// hears nothing, frames still go in. lost tells that far too much is in it
// already and the frame is not.
func (o *Outbox) Push(kind CastKind, frame []byte, l *Limits) (wake, full, lost bool) {
	it := item{frame: frame}
	switch kind {
	case CastPresence:
		it.class = classPresence
	case CastControl:
		it.class = classControl
	case CastChunk:
		it = item{rest: [][]byte{frame}, class: classStream}
	default:
	}
	if it.class == classUpdate || it.class == classPresence {
		o.o.mu.Lock()
		lost = o.o.bytes > lostOutboxes*l.OutboxBytes
		o.o.mu.Unlock()
		if lost {
			return false, false, true
		}
	}
	wake, full = o.o.push(it, l)
	return wake, full, false
}

// lostOutboxes is how many times its bound an outbox may hold before the owner
// of the document has heard that it is full.
const lostOutboxes = 4

// Next takes the next frame. drained tells that it was the last one, after a
// chunk, after Push said full, or after Watch.
func (o *Outbox) Next() (frame []byte, drained, ok bool) {
	frame, _, drained, ok = o.o.next()
	return frame, drained, ok
}

// Watch makes Next tell when the outbox is empty, and tells whether it is.
func (o *Outbox) Watch() (empty bool) {
	o.o.mu.Lock()
	defer o.o.mu.Unlock()
	o.o.notify = o.o.head != len(o.o.items)
	return !o.o.notify
}

// Admit waits until what the client asked for has room. It returns ErrEnded
// after Close.
func (o *Outbox) Admit(ctx context.Context) error {
	var t Turn
	return o.o.admit(ctx, &t)
}

// End ends the outbox; what is in it still comes out.
func (o *Outbox) End(why *EndError) { o.o.close(why) }

// Close ends the outbox and drops what is in it. It tells whether it had not
// ended before.
func (o *Outbox) Close() bool { return o.o.close(endClosed) }

// Why returns why it has ended, nil while it has not.
func (o *Outbox) Why() *EndError { return o.o.end() }
