package hub

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// gate lets a bounded number of documents through at a time. Of those that wait
// the ones go first that somebody has written to: after the death of an owner
// thousands come at once, most of which are only read.
type gate struct {
	count prometheus.Gauge // of those that wait

	mu sync.Mutex
	// Guarded by mu.
	free    int
	waiting []waiting // in order of coming
}

type waiting struct {
	document *document
	turn     chan struct{} // closed when it is its turn
}

// maxLook bounds how far a gate looks for one that is written to.
const maxLook = 4096

// enter waits for a place, which leave gives back, or for the context's end.
func (g *gate) enter(ctx context.Context, d *document) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	w := waiting{d, make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.count.Inc()
	g.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.IndexFunc(g.waiting, func(o waiting) bool { return o.turn == w.turn })
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.count.Dec()
	}
	g.mu.Unlock()
	if i < 0 {
		g.leave() // it was its turn meanwhile
	}
	return ctx.Err()
}

// leave gives a place to the next.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.free++
		return
	}
	next := 0
	for i := range g.waiting[:min(len(g.waiting), maxLook)] {
		if g.waiting[i].document.written.Load() {
			next = i
			break
		}
	}
	close(g.waiting[next].turn)
	g.count.Dec()
	g.waiting = slices.Delete(g.waiting, next, next+1)
}

// Waiting is how many documents wait until others are loaded.
func (h *Hub) Waiting() int { return h.opens.queue() + h.loads.queue() }

// queue is how many wait.
func (g *gate) queue() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
