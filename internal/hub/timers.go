package hub

import (
	"container/heap"
	"sync"
	"time"
)

// timers wake documents at times that their cores ask for: one goroutine and
// one timer for all of them.
type timers struct {
	hub *Hub

	mu   sync.Mutex
	heap dueHeap
	poke chan struct{} // of capacity 1: an earlier time came in
}

func (t *timers) init(h *Hub) {
	t.hub = h
	t.poke = make(chan struct{}, 1)
}

// set makes sure that d is woken at `at` or earlier.
func (t *timers) set(d *document, at time.Time) {
	t.mu.Lock()
	switch {
	case d.place == 0:
		d.due = at
		heap.Push(&t.heap, d)
	case at.Before(d.due):
		d.due = at
		heap.Fix(&t.heap, d.place-1)
	default:
		t.mu.Unlock()
		return
	}
	first := d.place == 1
	t.mu.Unlock()
	if first {
		select {
		case t.poke <- struct{}{}:
		default:
		}
	}
}

func (t *timers) drop(d *document) {
	t.mu.Lock()
	if d.place != 0 {
		heap.Remove(&t.heap, d.place-1)
	}
	t.mu.Unlock()
}

func (t *timers) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var measured time.Time
	for {
		if now := t.hub.opt.Now(); now.Sub(measured) >= measureEvery {
			measured = now
			t.hub.measure(now)
		}
		timer.Reset(min(t.fire(), measureEvery))
		select {
		case <-timer.C:
		case <-t.poke:
		case <-t.hub.ctx.Done():
			return
		}
	}
}

// measureEvery is how often figures over all documents are taken.
const measureEvery = 10 * time.Second

// measure takes figures over all documents.
func (h *Hub) measure(now time.Time) {
	oldest := now.UnixMilli()
	var large, worn float64
	h.each(func(d *document) {
		d.look(now)
		if at := d.unsegmented.Load(); at != 0 {
			oldest = min(oldest, at)
		}
		isLarge, isWorn := d.sizes.past(&h.limits)
		if isLarge {
			large++
		}
		if isWorn {
			worn++
		}
	})
	h.opt.Metrics.LargeDocuments.Set(large)
	h.opt.Metrics.WornDocuments.Set(worn)
	h.opt.Metrics.UnsegmentedSeconds.Set(float64(now.UnixMilli()-oldest) / 1000)
}

// noteUnsegmented keeps since when the document has entries that no segment
// holds.
func (d *document) noteUnsegmented(since time.Time) {
	ms := int64(0)
	if !since.IsZero() {
		ms = since.UnixMilli()
	}
	if d.unsegmented.Load() != ms {
		d.unsegmented.Store(ms)
	}
}

// fire wakes the documents that are due and returns how long to sleep.
func (t *timers) fire() time.Duration {
	now := t.hub.opt.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.heap) > 0 {
		d := t.heap[0]
		if wait := d.due.Sub(now); wait > 0 {
			return wait
		}
		heap.Pop(&t.heap)
		// A document's lock is never held while this one is taken.
		d.post(command{kind: cmdTick})
	}
	return time.Hour
}

// dueHeap orders documents by due; it keeps their place.
type dueHeap []*document

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	d := x.(*document)
	*h = append(*h, d)
	d.place = len(*h)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	d.place = 0
	return d
}
