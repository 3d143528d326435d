package crdt

import (
	"math/rand/v2"
	"testing"
)

// A table finds exactly what is in it, also where hashes collide and after removals.
func TestRefTable(t *testing.T) {
	for _, spread := range []uint64{1, 7, 1 << 40} {
		r := rand.New(rand.NewPCG(spread, 3))
		hash := func(n uint32) uint64 { return uint64(n) % spread * 31 }
		var table refTable
		have := map[uint32]bool{}
		for range 4000 {
			n := 1 + uint32(r.IntN(300))
			if have[n] && r.IntN(2) == 0 {
				table.remove(n, hash)
				delete(have, n)
			} else if !have[n] {
				table.add(n, hash)
				have[n] = true
			}
			n = 1 + uint32(r.IntN(300))
			if !table.built() {
				continue
			}
			if got := table.find(hash(n), func(m uint32) bool { return m == n }); (got == n) != have[n] || got != n && got != 0 {
				t.Fatalf("%d is in: %v, found %d", n, have[n], got)
			}
		}
		if table.used != len(have) {
			t.Errorf("%d used, want %d", table.used, len(have))
		}
	}
}
