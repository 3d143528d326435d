package gateway

import "sync"

// flusher writes to the connections that have something queued, by a few
// goroutines for all: an edit that goes to a thousand readers costs no thousand
// goroutines. None of them waits for a peer.
type flusher struct {
	limit int // goroutines

	mu sync.Mutex
	// Guarded by mu.
	queue   []*conn
	head    int // connections before it were taken
	running int
}

// add queues a connection, which its writer state says is not queued yet.
func (f *flusher) add(c *conn) {
	f.mu.Lock()
	f.queue = append(f.queue, c)
	start := f.running < f.limit
	if start {
		f.running++
	}
	f.mu.Unlock()
	if start {
		go f.run()
	}
}

func (f *flusher) run() {
	b := batches.Get().(*batch)
	for c := f.next(); c != nil; c = f.next() {
		b = c.writeNow(b)
	}
	batches.Put(b)
}

// next takes a connection; without one, the calling goroutine is to end.
func (f *flusher) next() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == len(f.queue) {
		f.running--
		if cap(f.queue) > 1024 {
			f.queue = nil
		}
		f.queue, f.head = f.queue[:0], 0
		return nil
	}
	c := f.queue[f.head]
	f.queue[f.head] = nil
	f.head++
	if f.head > 1024 && f.head > len(f.queue)/2 {
		n := copy(f.queue, f.queue[f.head:])
		clear(f.queue[n:])
		f.queue, f.head = f.queue[:n], 0
	}
	return c
}
