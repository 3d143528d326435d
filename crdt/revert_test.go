package crdt

import (
	"bytes"
	"testing"
)

// stored is a moment of a document with its integrated state.
type stored struct {
	moment
	state []byte
}

func storedOf(d *Doc) stored { return stored{momentOf(d), d.AppendDiff(nil, V2, StateVector{})} }

// load rebuilds the document.
func (m *stored) load(t *testing.T, opts Options) *Doc {
	t.Helper()
	past := New(opts)
	if _, err := past.Apply(nil, V2, m.state); err != nil {
		t.Fatal(err)
	}
	return past
}

// alive are the units that are there and not deleted.
func (m *stored) alive() IDSet {
	var s IDSet
	for c, clock := range m.at.State.All() {
		s.Add(c, Range{0, clock})
	}
	s.Subtract(&m.at.Deletes)
	return s
}

// revert reverts a document and checks what must hold then. The roots are those of scribble.
func revert(t *testing.T, d *Doc, to stored) *Commit {
	t.Helper()
	before := storedOf(d)
	past := to.load(t, Options{})
	pastBefore := past.AppendState(nil, V2)
	c, err := d.Transact("revert", func(tx *Txn) { tx.Revert(past) })
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	now := storedOf(d)
	if now.dump != to.dump {
		t.Fatalf("reverted to\n%s\nit was\n%s\nbefore\n%s", now.dump, to.dump, before.dump)
	}
	if now.json != to.json {
		t.Fatalf("reverted to\n%s\nit was\n%s", now.json, to.json)
	}
	lived, had := to.alive(), before.alive()
	gone := lived.Clone()
	gone.Subtract(&had)
	lived.Subtract(&gone) // alive in both
	still := now.alive()
	lived.Subtract(&still)
	if !lived.Empty() {
		t.Fatalf("%v lived at both moments and is gone", lived)
	}
	if !bytes.Equal(past.AppendState(nil, V2), pastBefore) || past.Check() != nil {
		t.Fatal("the past was changed")
	}
	return c
}

// TestRevertRandomHistories reverts to random moments of random histories over all types.
func TestRevertRandomHistories(t *testing.T) {
	for seed := range uint64(24) {
		v := Version(1 + seed%2)
		s := newSwarm(t, "revert", seed, v, 3)
		for i := range s.docs {
			s.docs[i] = New(Options{
				ClientID: ClientID(1 + s.rng.IntN(100)*3 + i), KeepDeleted: s.rng.IntN(3) == 0, NoFormatCleanup: i == 0 || seed%4 == 0,
			})
			eyes{}.dumpDoc(s.docs[i]) // defines the roots
		}
		d := s.docs[0]
		moments := []stored{storedOf(d)}
		for range 150 {
			i := s.rng.IntN(len(s.docs))
			switch n := s.rng.IntN(20); {
			case n < 12:
				s.edit(i, func(tx *Txn) {
					for range 1 + s.rng.IntN(3) {
						s.scribble(s.docs[i], tx)
					}
				})
			case n < 17:
				for range s.rng.IntN(6) {
					s.deliver(i, s.rng.IntN(4) == 0)
				}
			case n < 19:
				moments = append(moments, storedOf(d))
			default:
				before := storedOf(d)
				s.send(0, revert(t, d, moments[s.rng.IntN(len(moments))]))
				if s.rng.IntN(2) == 0 {
					s.send(0, revert(t, d, before))
				}
			}
		}
		s.settle(eyes{}.dumpDoc)
		for _, m := range moments {
			before := storedOf(d)
			s.send(0, revert(t, d, m))
			s.settle(eyes{}.dumpDoc)
			if got := (eyes{}).dumpDoc(s.docs[1]); got != m.dump {
				t.Fatalf("another replica has\n%s\nit was\n%s", got, m.dump)
			}
			if s.rng.IntN(2) == 0 {
				s.send(0, revert(t, d, before))
			}
			if c := revert(t, d, storedOf(d)); !c.Empty() {
				t.Fatal("a revert to the present changed something")
			}
		}
	}
}
