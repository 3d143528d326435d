package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

type phase uint8

const (
	// loading: commands gather; no core yet.
	loading phase = iota
	// live: a runner steps the core whenever the inbox is not empty.
	live
	// gone: no longer in the registry, nothing will happen any more. The
	// document's log entries and snapshots are settled before, so whoever
	// opens it next may load it at once.
	gone
)

// messageBytes is what a message costs in an inbox beside its payload.
const messageBytes = 64

// document is the driver's side of one document.
type document struct {
	// Static after construction.
	hub  *Hub
	name string

	// Owned by the runner of the moment. The loader sets it before the
	// document goes live.
	core   *core
	traced traced
	slowAt time.Time // next look for readers that take nothing

	// long: its turns take long; see runQueue. Set by the runner of the moment.
	long atomic.Bool

	// written: while it was not there yet, somebody has written to it.
	written atomic.Bool

	// unsegmented is core.stored.unsegmented after the newest step, in
	// milliseconds since 1970; 0 for none.
	unsegmented atomic.Int64

	mu sync.Mutex
	// Guarded by mu.
	phase      phase
	inbox      []command
	inboxBytes int
	queued     bool          // in the run queue, or being run
	queuedAt   time.Time     // since when
	job        chan struct{} // closed when the newest job has ended; nil before the first
	space      chan struct{} // closed when the inbox was emptied or a session ended; nil when nobody waits

	sizes sizes
	heat  heat
	// sessions is len(core.subs) after the newest step.
	sessions atomic.Int64

	// Guarded by hub.timers.mu.
	due   time.Time
	place int // in the heap, from 1; 0 when not in it

	// Guarded by hub.commit.mu.
	log docLog
}

// post puts a command into the inbox whatever is in it already.
func (d *document) post(c command) {
	d.mu.Lock()
	ok := d.push(c)
	d.mu.Unlock()
	if ok {
		d.hub.queue.push(d)
	}
}

// push adds to the inbox and tells whether the document must be queued. mu is
// held.
func (d *document) push(c command) bool {
	if d.phase == gone {
		return false
	}
	d.inbox = append(d.inbox, c)
	if d.phase == loading && c.writes() {
		d.written.Store(true)
	}
	return d.schedule()
}

func (d *document) schedule() bool {
	if d.phase != live || d.queued {
		return false
	}
	d.queued, d.queuedAt = true, d.hub.opt.Now()
	return true
}

// send posts a client's message when there is room for it. If the document then
// has to be stepped, t gets its turn.
func (d *document) send(ctx context.Context, s *Subscription, c command, t *Turn) error {
	n := len(c.payload) + messageBytes
	limits := &d.hub.limits
	for {
		d.mu.Lock()
		if d.phase == gone || s.out.end() != nil {
			d.mu.Unlock()
			return ErrEnded
		}
		if (d.inboxBytes == 0 || d.inboxBytes+n <= limits.InboxBytes) &&
			(s.queued == 0 || s.queued+n <= limits.SessionInboxBytes) {
			d.inboxBytes += n
			s.queued += n
			ok := d.push(c)
			d.mu.Unlock()
			if ok {
				t.document = d
			}
			return nil
		}
		if d.space == nil {
			d.space = make(chan struct{})
		}
		space := d.space
		d.mu.Unlock()
		d.hub.opt.Metrics.InboxWaitsTotal.Inc()
		t.leave()
		if err := waitFor(ctx, space); err != nil {
			return err
		}
	}
}

// wakeSenders makes everyone who waits for room look again.
func (d *document) wakeSenders() {
	d.mu.Lock()
	d.releaseSenders()
	d.mu.Unlock()
}

func (d *document) releaseSenders() {
	if d.space != nil {
		close(d.space)
		d.space = nil
	}
}

// take moves up to len(dst) commands out of the inbox and tells of how many bytes
// they are and since when they have been waiting.
func (d *document) take(dst []command) (n, bytes int, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = copy(dst, d.inbox)
	for i := range n {
		if c := &d.inbox[i]; c.kind == cmdMessage {
			cost := len(c.payload) + messageBytes
			bytes += cost
			d.inboxBytes -= cost
			c.sub.queued -= cost
		}
	}
	left := copy(d.inbox, d.inbox[n:])
	clear(d.inbox[left:])
	d.inbox = d.inbox[:left]
	if left == 0 && cap(d.inbox) > 64 {
		d.inbox = nil
	}
	d.releaseSenders()
	return n, bytes, d.queuedAt
}

// rest ends a turn and tells whether the document must be queued again.
func (d *document) rest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queued = false
	return len(d.inbox) > 0 && d.schedule()
}
