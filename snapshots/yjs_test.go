package snapshots_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ysync/internal/testyjs"
	"ysync/persistence"
	"ysync/snapshots"
)

// yjsMoments are asked for, of the session of 259,778 edits.
const yjsMoments = 1000

// TestMomentsAreThoseOfYjs replays the B4 trace with a clock and asks for random
// moments by time and by position. A real Yjs that is given the same updates
// must have had the same content at each of them, byte for byte, and known the
// same edits.
func TestMomentsAreThoseOfYjs(t *testing.T) {
	updates := testyjs.Session(t, "b4")
	rng := rand.New(rand.NewPCG(1, 4))
	positions := make([]uint64, yjsMoments)
	for i := range positions {
		positions[i] = 1 + rng.Uint64N(uint64(len(updates)))
	}
	slices.Sort(positions)
	next, ok := testyjs.Moments(t, "b4", positions)
	if !ok {
		return
	}

	r := record(t, nil)
	r.life(rng, updates, 100)
	r.segment()
	var worst time.Duration
	byTime := 0
	for _, at := range positions {
		want, p := next(), persistence.Position(at)
		m := snapshots.AtPosition(p)
		if r.lastAt(r.times[p-1]) == p {
			m = snapshots.AtTime(r.times[p-1])
			byTime++
		}
		began := time.Now()
		doc, point, err := r.keeper.At(t.Context(), "d", m, snapshots.AtOptions{})
		worst = max(worst, time.Since(began))
		if err != nil || point.Position != p || point.Short != nil {
			t.Fatalf("At(%v) is %+v: %v", m, point, err)
		}
		if got := testyjs.Of(at, doc); got != want {
			t.Fatalf("At(%v): Yjs had %+v, restored is %+v", m, want, got)
		}
	}
	if byTime < yjsMoments/2 {
		t.Errorf("%d moments were asked for by time", byTime)
	}
	t.Logf("%d moments of %d entries are what Yjs had, %d of them by time; the longest took %v", yjsMoments, r.head(), byTime, worst)
}
