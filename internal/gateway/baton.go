package gateway

import "sync/atomic"

// baton is a lock that costs one atomic operation while nobody else wants it. Who
// has to wait for it waits at a channel, as it may be held for as long as a peer
// takes to read.
type baton struct {
	wanted atomic.Int32 // who has it, and who waits for it
	passed chan struct{}
}

func newBaton() baton { return baton{passed: make(chan struct{}, 1)} }

func (b *baton) tryTake() bool { return b.wanted.CompareAndSwap(0, 1) }

func (b *baton) take() {
	if b.wanted.Add(1) > 1 {
		<-b.passed
	}
}

func (b *baton) give() {
	if b.wanted.Add(-1) > 0 {
		b.passed <- struct{}{}
	}
}
