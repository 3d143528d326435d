package hub

import (
	"context"
	"sync"
	"time"
)

// class says how an outbox treats a frame.
type class uint8

const (
	// classUpdate counts against the bound; beyond it the reader lags.
	classUpdate class = iota
	// classPresence likewise, with a lower bound.
	classPresence
	// classStream is a list of frames that are sent one by one; it is shared
	// and not counted, and its end is reported.
	classStream
	// classControl is never dropped: acknowledgements, keepalives, requests.
	// What asks for it waits while too much of it is queued.
	classControl
	// classAudience and classVector are for groups only.
	classAudience
	classVector
)

// maxControlBytes is how much of classControl may be queued before the session
// that asks for it has to wait.
const maxControlBytes = 64 << 10

// itemsKept is how many items an empty outbox keeps room for: thousands of idle
// readers have one each.
const itemsKept = 4

// itemBytes is what a queued frame costs beside its bytes.
const itemBytes = 48

type item struct {
	frame []byte   // nil for a stream
	rest  [][]byte // of a stream
	class class
}

// outbox is what waits to be written to one client. The core puts frames in,
// the session takes them out.
type outbox struct {
	mu    sync.Mutex
	items []item
	head  int // items before it were taken

	bytes   int // of classUpdate and classPresence
	control int // of classControl
	// notify: the core wants to know when the outbox is empty.
	notify bool
	// moved: something was taken since the last look of stuck.
	moved    bool
	ended    *EndError
	admitted chan struct{} // closed when control falls; nil when nobody waits

	// Owned by the runner: since when nothing was taken.
	still time.Time
}

// push puts a frame, or the frames of a stream, in. It tells whether the outbox was empty, and
// whether it is now full: from then on the reader lags, and the core hears of
// it when the outbox is empty.
func (o *outbox) push(it item, limits *Limits) (wake, full bool) {
	o.mu.Lock()
	wake, full = o.put(it, limits)
	o.mu.Unlock()
	return wake, full
}

// put is push. mu is held.
func (o *outbox) put(it item, limits *Limits) (wake, full bool) {
	if o.ended != nil {
		return false, false
	}
	wake = o.head == len(o.items)
	if wake {
		o.items, o.head = o.items[:0], 0
	} else if o.head > 32 && o.head*2 > len(o.items) {
		n := copy(o.items, o.items[o.head:])
		clear(o.items[n:])
		o.items, o.head = o.items[:n], 0
	}
	o.items = append(o.items, it)
	switch it.class {
	case classUpdate:
		o.bytes += len(it.frame) + itemBytes
		full = o.bytes > limits.OutboxBytes
	case classPresence:
		o.bytes += len(it.frame) + itemBytes
		full = o.bytes > limits.PresenceBytes
	case classControl:
		o.control += len(it.frame) + itemBytes
	case classStream:
		o.notify = true
	}
	if full {
		o.notify = true
	}
	return wake, full
}

// next takes the next frame. drained tells that the core waits to hear that
// this was the last one.
func (o *outbox) next() (frame []byte, cl class, drained, ok bool) {
	o.mu.Lock()
	frame, cl, drained, ok = o.take()
	o.mu.Unlock()
	return frame, cl, drained, ok
}

// take is next. mu is held.
func (o *outbox) take() (frame []byte, cl class, drained, ok bool) {
	if o.head == len(o.items) {
		return nil, 0, false, false
	}
	o.moved = true
	it := &o.items[o.head]
	cl = it.class
	if it.class == classStream {
		frame, it.rest = it.rest[0], it.rest[1:]
		if len(it.rest) > 0 {
			return frame, cl, false, true
		}
	} else {
		frame = it.frame
		switch n := len(frame) + itemBytes; it.class {
		case classControl:
			o.control -= n
			if o.admitted != nil && o.control < maxControlBytes/2 {
				close(o.admitted)
				o.admitted = nil
			}
		default:
			o.bytes -= n
		}
	}
	*it = item{}
	o.head++
	if o.head == len(o.items) {
		if cap(o.items) > itemsKept {
			o.items = nil
		} else {
			o.items = o.items[:0]
		}
		o.head = 0
		drained = o.notify && o.ended == nil
		o.notify = false
	}
	return frame, cl, drained, true
}

// waits tells how many items wait, and whether a stream is next.
func (o *outbox) waits() (waiting int, streaming bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.head == len(o.items) {
		return 0, false
	}
	return len(o.items) - o.head, o.items[o.head].class == classStream
}

// admit waits until what the client asked for has room. It does not keep a turn
// waiting.
func (o *outbox) admit(ctx context.Context, t *Turn) error {
	for {
		o.mu.Lock()
		if o.ended != nil {
			o.mu.Unlock()
			return ErrEnded
		}
		if o.control < maxControlBytes {
			o.mu.Unlock()
			return nil
		}
		if o.admitted == nil {
			o.admitted = make(chan struct{})
		}
		ch := o.admitted
		o.mu.Unlock()
		t.leave()
		if err := waitFor(ctx, ch); err != nil {
			return err
		}
	}
}

// close ends the outbox once and tells whether this call did.
func (o *outbox) close(why *EndError) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil {
		return false
	}
	o.ended = why
	if o.admitted != nil {
		close(o.admitted)
		o.admitted = nil
	}
	if why == endClosed || why == endSlow {
		o.items, o.head, o.bytes, o.control = nil, 0, 0, 0
	}
	return true
}

func (o *outbox) end() *EndError {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

func (o *outbox) progress() {
	o.mu.Lock()
	o.moved = true
	o.mu.Unlock()
}

// stuck tells whether frames have been waiting for `limit` without any being
// taken. Only the document's runner calls it.
func (o *outbox) stuck(now time.Time, limit time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil || o.head == len(o.items) {
		o.moved, o.still = false, time.Time{}
		return false
	}
	if o.moved || o.still.IsZero() {
		o.moved, o.still = false, now
		return false
	}
	return now.Sub(o.still) >= limit
}
