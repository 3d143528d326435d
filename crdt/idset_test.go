package crdt

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// dumbSet is an IDSet that anyone can check.
type dumbSet map[ID]bool

func (s dumbSet) equal(t *testing.T, what string, set *IDSet) {
	t.Helper()
	n := 0
	for c, r := range set.All() {
		if r.From >= r.To {
			t.Fatalf("%s: empty range %v", what, r)
		}
		for k := r.From; k < r.To; k++ {
			if !s[ID{c, k}] {
				t.Fatalf("%s: %d:%d is in the set", what, c, k)
			}
			n++
		}
		if set.Contains(ID{c, r.To}) {
			t.Fatalf("%s: ranges of %d touch at %d", what, c, r.To)
		}
	}
	if n != len(s) {
		t.Fatalf("%s: %d IDs, want %d", what, n, len(s))
	}
	for id := range s {
		if !set.Contains(id) {
			t.Fatalf("%s: %v is missing", what, id)
		}
	}
}

func randomSet(r *rand.Rand, n int) (IDSet, dumbSet) {
	var s IDSet
	d := dumbSet{}
	for range n {
		c, from := ClientID(r.IntN(4)), Clock(r.IntN(60))
		to := from + Clock(r.IntN(8))
		s.Add(c, Range{from, to})
		for k := from; k < to; k++ {
			d[ID{c, k}] = true
		}
	}
	return s, d
}

func TestIDSetAgainstTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		a, da := randomSet(r, r.IntN(20))
		b, db := randomSet(r, r.IntN(20))
		da.equal(t, "added", &a)
		union, both := a.Clone(), dumbSet{}
		union.Union(&b)
		rest, without := a.Clone(), dumbSet{}
		rest.Subtract(&b)
		for id := range da {
			both[id] = true
			if !db[id] {
				without[id] = true
			}
		}
		for id := range db {
			both[id] = true
		}
		both.equal(t, "union", &union)
		without.equal(t, "difference", &rest)
		da.equal(t, "untouched", &a)
		for _, v := range []Version{V1, V2} {
			got, err := DecodeIDSet(v, AppendIDSet(nil, v, &union))
			if err != nil || !got.Equal(&union) {
				t.Fatalf("V%d: %v, %v after a round trip of %v", v, got, err, union)
			}
		}
	}
}

func TestRangesAgainstTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for range 2000 {
		var rs ranges
		var set IDSet
		for range r.IntN(40) {
			from := uint32(r.IntN(100))
			to := from + uint32(r.IntN(10))
			before := set.Clone()
			set.Add(1, Range{Clock(from), Clock(to)})
			if added := rs.add(from, to); added == set.Equal(&before) {
				t.Fatalf("add(%d, %d) = %v", from, to, added)
			}
		}
		i := 0
		for _, want := range set.All() {
			if i >= len(rs) || Clock(rs[i].from) != want.From || Clock(rs[i].to) != want.To {
				t.Fatalf("%v, want %v", rs, set)
			}
			i++
		}
		if i != len(rs) {
			t.Fatalf("%v, want %v", rs, set)
		}
		for k := range uint32(120) {
			if rs.has(k) != set.Contains(ID{1, Clock(k)}) {
				t.Fatalf("has(%d) of %v", k, rs)
			}
		}
	}
}

func TestGrowingRangesAgainstTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for round := range 200 {
		var g growingRanges
		var want ranges
		for range r.IntN(600) {
			from := uint32(r.IntN(3000))
			to := from + 1 + uint32(r.IntN(3))
			g.add(from, to)
			want.add(from, to)
			if r.IntN(100) == 0 && !slices.Equal(g.settled(), want) {
				t.Fatalf("round %d: %v, want %v", round, g.list, want)
			}
		}
		if !slices.Equal(g.settled(), want) {
			t.Fatalf("round %d: %v, want %v", round, g.list, want)
		}
	}
}

func TestStateVectorRoundTrip(t *testing.T) {
	sv := newStateVector([]clientClock{{3, 7}, {MaxClientID, 1}, {500, 1 << 40}})
	b := AppendStateVector(nil, sv)
	got, err := DecodeStateVector(b)
	if err != nil || !got.Equal(sv) {
		t.Fatalf("%v, %v", got, err)
	}
	if got.Get(500) != 1<<40 || got.Get(4) != 0 || got.Len() != 3 {
		t.Errorf("%v", got)
	}
	older := newStateVector([]clientClock{{3, 6}})
	if !sv.Contains(older) || older.Contains(sv) || !sv.Contains(StateVector{}) {
		t.Error("Contains")
	}
	for i := range b {
		if _, err := DecodeStateVector(b[:i]); err == nil {
			t.Errorf("%d of %d bytes were accepted", i, len(b))
		}
	}
}
