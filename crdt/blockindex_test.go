package crdt

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBlockIndexAgainstTwin compares the index with a plain sorted slice.
func TestBlockIndexAgainstTwin(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var x blockIndex
		var want []blockEntry
		clock := uint32(0)
		grow := 1 + rng.IntN(4)
		for step := range 6000 {
			if step%1500 == 0 {
				grow = 1 + rng.IntN(4)
			}
			switch n := len(want); {
			case n < 2 || rng.IntN(5) < grow-1:
				e := blockEntry{clock, itemRef(step)}
				clock += 1 + uint32(rng.IntN(5))
				x.append(e)
				want = append(want, e)
			case rng.IntN(5) < grow:
				i := rng.IntN(n - 1)
				if want[i+1].clock == want[i].clock+1 {
					continue
				}
				e := blockEntry{want[i].clock + 1, itemRef(step)}
				x.insertAfter(x.find(want[i].clock), e)
				want = slices.Insert(want, i+1, e)
			default:
				i := 1 + rng.IntN(n-1)
				for range min(1+rng.IntN(40), n-i) {
					p := x.remove(x.find(want[i].clock))
					want = slices.Delete(want, i, i+1)
					if *x.at(p) != want[i-1] {
						t.Fatalf("seed %d, step %d: before the removed entry is %v, want %v", seed, step, *x.at(p), want[i-1])
					}
				}
			}
			for range 3 {
				i := rng.IntN(len(want))
				c := want[i].clock
				if i+1 < len(want) {
					c += uint32(rng.IntN(int(want[i+1].clock - c)))
				}
				p := x.find(c)
				if *x.at(p) != want[i] || x.lenFrom(p) != len(want)-i {
					t.Fatalf("seed %d, step %d: clock %d is at %v with %d to go, want %v and %d", seed, step, c, *x.at(p), x.lenFrom(p), want[i], len(want)-i)
				}
				if q, ok := x.next(p); ok != (i+1 < len(want)) || ok && *x.at(q) != want[i+1] {
					t.Fatalf("seed %d, step %d: next of entry %d is wrong", seed, step, i)
				}
				if q, ok := x.prev(p); ok != (i > 0) || ok && *x.at(q) != want[i-1] {
					t.Fatalf("seed %d, step %d: entry before %d is wrong", seed, step, i)
				}
			}
		}
		if err := x.check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got := slices.Collect(x.all()); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d entries, want %d", seed, len(got), len(want))
		}
	}
}
