package simtest

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// dice draw for one purpose of one run. Their methods may be called from any
// goroutine.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// dice returns dice that depend on the seed and the purpose alone.
func (w *world) dice(purpose string) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return &dice{rng: rand.New(rand.NewPCG(w.config.Seed, h.Sum64()))}
}

// n draws from 0 to n-1.
func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(n)
}

// one tells, in one of n cases, true.
func (d *dice) one(n int) bool { return d.n(n) == 0 }

// between draws a duration, in nanoseconds.
func (d *dice) between(least, most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return least + time.Duration(d.rng.Int64N(int64(most-least)+1))
}
