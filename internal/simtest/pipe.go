package simtest

import (
	"context"
	"time"
)

// pipe carries messages one way, in order, each after a time.
type pipe struct {
	queue   chan posted
	latency func() time.Duration
}

type posted struct {
	data []byte
	at   time.Time
}

// newPipe starts a pipe that lives until ctx ends. deliver may wait; what comes
// behind waits with it.
func (w *world) newPipe(ctx context.Context, room int, latency func() time.Duration, deliver func([]byte)) *pipe {
	p := &pipe{queue: make(chan posted, room), latency: latency}
	w.work.Go(func() {
		for {
			select {
			case m := <-p.queue:
				if !rest(ctx, time.Until(m.at)) {
					return
				}
				deliver(m.data)
			case <-ctx.Done():
				return
			}
		}
	})
	return p
}

// send puts a message in, and waits while there is no room. It returns false
// when ctx has ended.
func (p *pipe) send(ctx context.Context, data []byte) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case p.queue <- posted{data, time.Now().Add(p.latency())}:
		return true
	case <-ctx.Done():
		return false
	}
}

// rest waits. It returns false when ctx ended first.
func rest(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// state is a condition that goroutines wait for, such as "is not paused".
type state struct {
	on     bool
	change chan struct{}
}

func newState(on bool) state { return state{on, make(chan struct{})} }

// set changes it. The world's lock is held.
func (s *state) set(on bool) {
	if s.on == on {
		return
	}
	s.on = on
	close(s.change)
	s.change = make(chan struct{})
}

// until waits until a state is as wanted. It returns false when ctx ended first.
func (w *world) until(ctx context.Context, s *state, on bool) bool {
	for {
		w.mu.Lock()
		is, change := s.on, s.change
		w.mu.Unlock()
		if is == on {
			return ctx.Err() == nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}
