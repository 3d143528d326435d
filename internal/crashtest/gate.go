package crashtest

import (
	"context"
	"sync"
)

// gate keeps the writers away while the server is down or audited.
type gate struct {
	mu   sync.Mutex
	dial dialer
	// open is closed while the gate is open; down is closed when it shuts.
	open, down chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{}), down: make(chan struct{})} }

// lift lets the writers in.
func (g *gate) lift(dial dialer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dial = dial
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
func (g *gate) enter(ctx context.Context) (dial dialer, down <-chan struct{}, err error) {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		g.mu.Lock()
		dial, down = g.dial, g.down
		still := open == g.open
		g.mu.Unlock()
		if still {
			return dial, down, nil
		}
	}
}
