package hub

import "sync"

// runQueue is a fair queue of documents that have work: first come, first
// served, and a document that still has work after its turn goes to the end.
// Documents whose turns are long wait in a line of their own: between two of those
// turns, all others that wait are served, so that one of these waits for one long turn
// and not for as many as there are.
type runQueue struct {
	mu   sync.Mutex
	work sync.Cond
	// Guarded by mu.
	short, long ring
	passed      int // short turns since the last long one
	done        bool
}

// maxPassed is how many short turns there may be between two long ones, which bounds
// what a long one waits for.
const maxPassed = 64

// ring holds documents in order.
type ring struct {
	docs  []*document
	first int
	n     int
}

func (r *ring) push(d *document) {
	if r.n == len(r.docs) {
		grown := make([]*document, max(16, 2*r.n))
		k := copy(grown, r.docs[r.first:])
		copy(grown[k:], r.docs[:r.first])
		r.docs, r.first = grown, 0
	}
	i := r.first + r.n
	if i >= len(r.docs) {
		i -= len(r.docs)
	}
	r.docs[i] = d
	r.n++
}

func (r *ring) pop() *document {
	d := r.docs[r.first]
	r.docs[r.first] = nil
	r.first++
	if r.first == len(r.docs) {
		r.first = 0
	}
	r.n--
	return d
}

func (q *runQueue) init() { q.work.L = &q.mu }

func (q *runQueue) push(d *document) {
	q.mu.Lock()
	if d.long.Load() {
		q.long.push(d)
	} else {
		q.short.push(d)
	}
	q.mu.Unlock()
	q.work.Signal()
}

// pop waits for a document; nil when the queue is closed.
func (q *runQueue) pop() *document {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.short.n+q.long.n == 0 && !q.done {
		q.work.Wait()
	}
	switch {
	case q.done:
		return nil
	case q.long.n == 0 || q.short.n > 0 && q.passed < maxPassed:
		q.passed++
		return q.short.pop()
	default:
		q.passed = 0
		return q.long.pop()
	}
}

// empty tells whether no document waits.
func (q *runQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.short.n+q.long.n == 0
}

func (q *runQueue) close() {
	q.mu.Lock()
	q.done = true
	q.mu.Unlock()
	q.work.Broadcast()
}
