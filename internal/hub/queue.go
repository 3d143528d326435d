package hub

import "sync"

// runQueue is a fair queue of documents that have work: first come, first
// served, and a document that still has work after its turn goes to the end.
type runQueue struct {
	mu    sync.Mutex
	work  sync.Cond
	docs  []*document // a ring
	first int
	n     int
	done  bool
}

func (q *runQueue) init() { q.work.L = &q.mu }

func (q *runQueue) push(d *document) {
	q.mu.Lock()
	if q.n == len(q.docs) {
		grown := make([]*document, max(16, 2*q.n))
		k := copy(grown, q.docs[q.first:])
		copy(grown[k:], q.docs[:q.first])
		q.docs, q.first = grown, 0
	}
	i := q.first + q.n
	if i >= len(q.docs) {
		i -= len(q.docs)
	}
	q.docs[i] = d
	q.n++
	q.mu.Unlock()
	q.work.Signal()
}

// pop waits for a document; nil when the queue is closed.
func (q *runQueue) pop() *document {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n == 0 && !q.done {
		q.work.Wait()
	}
	if q.done {
		return nil
	}
	d := q.docs[q.first]
	q.docs[q.first] = nil
	q.first++
	if q.first == len(q.docs) {
		q.first = 0
	}
	q.n--
	return d
}

// empty tells whether no document waits.
func (q *runQueue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n == 0
}

func (q *runQueue) close() {
	q.mu.Lock()
	q.done = true
	q.mu.Unlock()
	q.work.Broadcast()
}
