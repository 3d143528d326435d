// Package limit holds the token buckets that clients draw on. A bucket is one
// moment in time, the one at which all that was taken will have been paid for,
// so that a session can afford several, and taking from one costs a comparison
// and an addition: a limiter with a lock and a clock of its own costs thirty
// times as much, on every message. (This is the generic cell rate algorithm of
// ITU-T I.371, in its virtual scheduling form.)
package limit

import (
	"sync/atomic"
	"time"
)

// Rate is how much may be taken. The zero value bounds nothing. It is never
// changed once buckets use it.
type Rate struct {
	each  float64 // nanoseconds that one unit takes to come back
	burst int64   // nanoseconds' worth that may be taken at once
}

// Per returns the rate of n units a second, of which a burst may come at once.
// n ≤ 0 bounds nothing; a burst of less than one unit is one.
func Per(n, burst int) Rate {
	if n <= 0 {
		return Rate{}
	}
	each := float64(time.Second) / float64(n)
	return Rate{each, int64(each * float64(max(burst, 1)))}
}

// Bounded reports whether the rate bounds anything.
func (r Rate) Bounded() bool { return r.each > 0 }

// Burst is how far ahead of now a bucket may be, in nanoseconds.
func (r Rate) Burst() int64 { return r.burst }

// Bucket is confined to one goroutine at a time. Its zero value is full. All
// calls on one bucket count time, in nanoseconds, from the same moment.
type Bucket int64

// Take takes n units at now and returns how long to wait before the next. What
// is taken is taken, be it more than the bucket holds: the wait pays for it.
func (b *Bucket) Take(r Rate, n int, now int64) time.Duration {
	if r.each == 0 {
		return 0
	}
	paid := max(int64(*b), now) + int64(r.each*float64(n))
	*b = Bucket(paid)
	return time.Duration(max(0, paid-r.burst-now))
}

// Shared is a bucket for many goroutines.
type Shared struct{ paid atomic.Int64 }

// Take is that of Bucket.
func (s *Shared) Take(r Rate, n int, now int64) time.Duration {
	if r.each == 0 {
		return 0
	}
	for {
		before := s.paid.Load()
		after := Bucket(before)
		wait := after.Take(r, n, now)
		if s.paid.CompareAndSwap(before, int64(after)) {
			return wait
		}
	}
}
