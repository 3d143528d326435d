// Package calls counts the calls under way on a log, so that closing the log
// refuses new ones and waits for those that have begun.
package calls

import (
	"context"
	"sync"

	"ysync/persistence"
)

// Gate lets calls in until it is shut. All methods may be called from any
// goroutine.
type Gate struct {
	shut chan struct{} // closed with mu held, read without
	idle chan struct{} // closed when the gate is shut and nobody is inside

	mu     sync.Mutex
	inside int
}

// New returns an open gate.
func New() *Gate { return &Gate{shut: make(chan struct{}), idle: make(chan struct{})} }

// Begin registers a call; End must follow when it returns nil. Otherwise the
// error is the context's, or persistence.ErrClosed.
func (g *Gate) Begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isShut() {
		return persistence.ErrClosed
	}
	g.inside++
	return nil
}

// End ends a call.
func (g *Gate) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.isShut() {
		close(g.idle)
	}
}

// Alive reports why a sequence under way must end: persistence.ErrClosed after
// Shut, or the context's error; nil to go on.
func (g *Gate) Alive(ctx context.Context) error {
	if g.isShut() {
		return persistence.ErrClosed
	}
	return ctx.Err()
}

// Shut refuses new calls and waits for those under way. A second Shut returns
// persistence.ErrClosed at once.
func (g *Gate) Shut() error {
	g.mu.Lock()
	if g.isShut() {
		g.mu.Unlock()
		return persistence.ErrClosed
	}
	close(g.shut)
	if g.inside == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	<-g.idle
	return nil
}

// Shutting is closed as soon as Shut was called.
func (g *Gate) Shutting() <-chan struct{} { return g.shut }

func (g *Gate) isShut() bool {
	select {
	case <-g.shut:
		return true
	default:
		return false
	}
}
