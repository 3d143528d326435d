package crashtest

import (
	"context"
	"sync"
)

// gate keeps the writers away while the server is down or audited.
type gate struct {
	mu   sync.Mutex
	addr string
	// open is closed while the gate is open; down is closed when it shuts.
	open, down chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{}), down: make(chan struct{})} }

// lift lets the writers in, to the server at addr.
func (g *gate) lift(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addr = addr
	g.down = make(chan struct{})
	close(g.open)
}

// shut keeps writers out from now on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.down)
	g.open = make(chan struct{})
}

// enter waits until the gate is open. down closes when it shuts again.
func (g *gate) enter(ctx context.Context) (addr string, down <-chan struct{}, err error) {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
		g.mu.Lock()
		addr, down = g.addr, g.down
		still := open == g.open
		g.mu.Unlock()
		if still {
			return addr, down, nil
		}
	}
}
