package snapshots

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ysync/crdt"
)

// TestFirstClaimHolds compares random claims with a table of units.
func TestFirstClaimHolds(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s claims
		table := make(map[crdt.ID]string)
		for range 1 + rng.IntN(3*settleAt/2) {
			client := crdt.ClientID(rng.IntN(2))
			from := crdt.Clock(rng.IntN(20_000))
			to := from + crdt.Clock(rng.IntN(30))
			who := fmt.Sprint(rng.IntN(4))
			s.add(client, crdt.Range{From: from, To: to}, who)
			for c := from; c < to; c++ {
				if _, ok := table[crdt.ID{Client: client, Clock: c}]; !ok {
					table[crdt.ID{Client: client, Clock: c}] = who
				}
			}
			if rng.IntN(500) == 0 {
				s.find(crdt.ID{Client: client})
			}
		}
		for client := range crdt.ClientID(2) {
			for at := crdt.Clock(0); at < 20_050; {
				who, ok, until := s.find(crdt.ID{Client: client, Clock: at})
				if until <= at {
					t.Fatalf("seed %d: the answer for %d goes up to %d", seed, at, until)
				}
				for ; at < min(until, 20_050); at++ {
					if want, has := table[crdt.ID{Client: client, Clock: at}]; want != who || has != ok {
						t.Fatalf("seed %d: unit %d of client %d is of %q (%v), want %q (%v)", seed, at, client, who, ok, want, has)
					}
				}
			}
		}
	}
}
