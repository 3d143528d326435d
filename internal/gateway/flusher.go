package gateway

import (
	"sync"
	"time"
)

// flusher writes to the connections that have something queued, by a few
// goroutines for all: an edit that goes to a thousand readers costs no thousand
// goroutines. None of them waits for a peer.
type flusher struct {
	limit int // goroutines

	mu sync.Mutex
	// Guarded by mu.
	queue    []*conn
	head     int // connections before it were taken
	running  int
	yielders []*yielder // of goroutines that have ended, at most limit
}

// yieldAfter is after how many connections a flushing goroutine lets the network be
// read. An edit that comes in while a thousand readers are being written to is
// so applied between two writes, and goes out together with what the readers
// that follow are about to get, without any wait for it.
const yieldAfter = 16

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

// reserve makes the caller one of the flusher's goroutines if it needs another
// one; runHere must follow. What is added meanwhile may wait for it.
func (f *flusher) reserve() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running >= f.limit {
		return false
	}
	f.running++
	return true
}

// runHere writes to a few connections and leaves the others to a goroutine.
func (f *flusher) runHere() {
	if f.some() {
		go f.run()
	}
}

// run writes until nothing is queued. Before it begins with many connections it lets
// the network be read once, so that the first of them get what has come in meanwhile.
func (f *flusher) run() {
	if f.queued() > yieldAfter {
		f.yield()
	}
	for f.some() {
		f.yield()
	}
}

func (f *flusher) queued() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) - f.head
}

// some writes to up to yieldAfter connections. When it returns false none was
// left, and the caller is not one of the flusher's goroutines any more.
func (f *flusher) some() bool {
	b := batches.Get().(*batch)
	defer func() { batches.Put(b) }()
	var now time.Time
	for range yieldAfter {
		c := f.next()
		if c == nil {
			return false
		}
		if now.IsZero() {
			now = c.server.now()
		}
		b.clock = now
		b = c.writeNow(b)
	}
	return true
}

func (f *flusher) yield() {
	f.mu.Lock()
	var y *yielder
	if n := len(f.yielders); n > 0 {
		y, f.yielders = f.yielders[n-1], f.yielders[:n-1]
	}
	f.mu.Unlock()
	if y == nil {
		y = newYielder()
	}
	y.yield()
	if y != nil {
		f.mu.Lock()
		f.yielders = append(f.yielders, y)
		f.mu.Unlock()
	}
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
