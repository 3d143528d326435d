package hub

import "sync"

// Turn is the right, and the duty, to have one document stepped, which is in
// nobody else's hands as long: its zero value is nobody's turn. It is for one
// goroutine.
type Turn struct{ document *document }

// guest is a runner for turns that are taken by goroutines of others, one at a
// time. They are no runners of their own, so what they take on is small.
type guest struct {
	mu      sync.Mutex
	runner  runner
	stopped bool
}

// stop waits for the turn under way, and lets no other begin.
func (g *guest) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
}

// guestMembers is how many members a document may have that is stepped by a
// guest. With more, it pays to gather what several of them sent for one step.
const guestMembers = 4

// Begin tells whether the caller is to step the document, by Step. If not, it is
// nobody's turn, or a runner's: other documents wait for theirs.
func (t *Turn) Begin() bool {
	d := t.document
	if d == nil {
		return false
	}
	h := d.hub
	if d.core != nil && len(d.core.subs) <= guestMembers && h.guest.mu.TryLock() {
		if !h.guest.stopped && h.queue.empty() {
			return true
		}
		h.guest.mu.Unlock()
	}
	t.leave()
	return false
}

// Step steps the document once, after Begin.
func (t *Turn) Step() {
	d := t.document
	h := d.hub
	h.guest.runner.turn(d)
	h.guest.mu.Unlock()
	*t = Turn{}
	if d.rest() {
		h.queue.push(d)
	}
}

// leave passes the turn to a runner.
func (t *Turn) leave() {
	if d := t.document; d != nil {
		*t = Turn{}
		d.hub.queue.push(d)
	}
}
