package crdt

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Blocks that wait, one update after the other, are what a merge of the updates
// has, byte for byte: which of two overlapping blocks stays whole, what is cut
// off the other one, and the holes between them.
func TestWaitingBlocksAreMergedUpdates(t *testing.T) {
	cuts := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		d := serverDoc()
		var merged []byte
		for range 2 + r.IntN(5) {
			u := waitingUpdate(r)
			if _, err := d.Apply(nil, V1, u); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if merged == nil {
				merged = u
				continue
			}
			var err error
			if merged, err = Merge(V1, merged, u); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got := d.pending.update(V1); !bytes.Equal(got, merged) {
				t.Fatalf("seed %d: waiting\n%x, merged\n%x", seed, got, merged)
			}
		}
		for _, list := range d.pending.clients {
			for i, w := range list {
				if b := w.item; i > 0 && b != nil && b.hasOrigin && b.origin == (ID{b.client, Clock(b.clock - 1)}) {
					cuts++
				}
			}
		}
		if err := d.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if cuts == 0 {
		t.Error("no blocks overlapped")
	}
}

// waitingUpdate draws an update of a few clients whose first units are missing.
// Replicas make gc blocks in a row: those below a type, if some were deleted in a
// transaction before.
func waitingUpdate(r *rand.Rand) []byte {
	u := newUpdateWriter()
	for c := ClientID(3); c > 0; c-- {
		clock := 1 + r.Uint64N(7)
		for range r.IntN(6) {
			n := 1 + r.Uint64N(5)
			b := textBlock(c, clock, "abcdefghijklmnopqrstuvwxyzABCDEF"[clock:clock+n])
			switch {
			case r.IntN(3) == 0:
				b = rawBlock{client: c, clock: clock, length: n, kind: kindGC}
			case r.IntN(4) == 0:
				b = rawBlock{client: c, clock: clock, length: n, kind: kindDeleted, hasRoot: true, root: []byte("t")}
			}
			u.w.write(&b)
			clock += n
		}
	}
	return u.done()
}
