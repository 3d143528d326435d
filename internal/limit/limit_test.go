package limit

import (
	"sync"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	r := Per(10, 5)
	var b Bucket
	const start = int64(time.Hour)
	for i := range 5 {
		if wait := b.Take(r, 1, start); wait != 0 {
			t.Fatalf("unit %d of the burst waits %v", i, wait)
		}
	}
	if wait := b.Take(r, 1, start); wait != 100*time.Millisecond {
		t.Errorf("the unit after the burst waits %v, want 100 ms", wait)
	}
	if wait := b.Take(r, 20, start); wait != 2100*time.Millisecond {
		t.Errorf("twenty more wait %v, want 2.1 s", wait)
	}
	// Paid back in full, and no more than the burst is saved.
	later := start + int64(time.Minute)
	if wait := b.Take(r, 5, later); wait != 0 {
		t.Errorf("a burst after a pause waits %v", wait)
	}
	if wait := b.Take(r, 1, later); wait != 100*time.Millisecond {
		t.Errorf("after the second burst the wait is %v, want 100 ms", wait)
	}
}

func TestUnbounded(t *testing.T) {
	var b Bucket
	if wait := b.Take(Per(0, 0), 1<<40, 1); wait != 0 || Per(-1, 1).Bounded() || !Per(1, 0).Bounded() {
		t.Errorf("no rate waits %v", wait)
	}
}

// What many take together is what one would have.
func TestShared(t *testing.T) {
	r := Per(1000, 100)
	var s Shared
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				s.Take(r, 1, 1)
			}
		})
	}
	group.Wait()
	if wait, want := s.Take(r, 1, 1), 7901*time.Millisecond; wait != want {
		t.Errorf("after 8000 units the wait is %v, want %v", wait, want)
	}
}

func BenchmarkTake(b *testing.B) {
	r := Per(1_000_000_000, 1000)
	var bucket Bucket
	b.ReportAllocs()
	for i := range b.N {
		bucket.Take(r, 1, int64(i))
	}
}
