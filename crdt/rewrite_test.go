package crdt

import (
	"bytes"
	"errors"
	"testing"
)

// TestRewriteRandomHistories rewrites documents of random histories over all types.
func TestRewriteRandomHistories(t *testing.T) {
	for seed := range uint64(24) {
		v := Version(1 + seed%2)
		s := newSwarm(t, "rewrite", seed, v, 3)
		for range 150 {
			i := s.rng.IntN(len(s.docs))
			if s.rng.IntN(2) == 0 {
				s.deliver(i, false)
				continue
			}
			s.edit(i, func(tx *Txn) { s.scribble(s.docs[i], tx) })
		}
		d := s.docs[0]
		before := storedOf(d)
		fresh, err := d.Rewrite(Options{KeepDeleted: seed%3 == 0})
		if err != nil {
			t.Fatal(err)
		}
		if now := storedOf(d); now.dump != before.dump || !bytes.Equal(now.state, before.state) {
			t.Fatal("the document changed")
		}
		loaded := New(Options{})
		if _, err := loaded.Apply(nil, v, fresh.AppendState(nil, v)); err != nil {
			t.Fatal(err)
		}
		for _, doc := range []*Doc{fresh, loaded} {
			if err := doc.Check(); err != nil {
				t.Fatal(err)
			}
			if err := sameLive(doc, d); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			if got := (eyes{}).dumpDoc(doc); got != before.dump {
				t.Fatalf("%s: rewritten to\n%s\nit was\n%s", s.name, got, before.dump)
			}
			sv, deletes := doc.StateVector(), doc.Deletes()
			if sv.Len() != 1 || d.StateVector().Get(fresh.ClientID()) != 0 || !deletes.Empty() {
				t.Fatalf("%s: clients %v, deleted %v", s.name, sv, deletes)
			}
		}
		if got := inOrder(fresh.JSON(nil)); got != before.json {
			t.Fatalf("%s: rewritten to\n%s\nit was\n%s", s.name, got, before.json)
		}
	}
}

func TestRewriteOptions(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	text := d.Text("empty")
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "x")
		text.Delete(tx, 0, 1)
		d.Map("m").Set(tx, "k", NewMap(Field{"k", NewMap()}))
	})
	if _, err := d.Rewrite(Options{ClientID: 1}); !errors.Is(err, ErrRange) {
		t.Errorf("the same client: %v", err)
	}
	fresh, err := d.Rewrite(Options{ClientID: 9, Limits: Limits{TypeDepth: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(fresh.AppendJSON(nil, nil)), `{"empty":"","m":{"k":{"k":{}}}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if fresh.ClientID() != 9 || fresh.limits.TypeDepth != 1 {
		t.Errorf("client %d, limits %+v", fresh.ClientID(), fresh.limits)
	}
	empty, err := New(Options{}).Rewrite(Options{})
	CheckAtEnd(t, empty)
	if err != nil || empty.StateVector().Len() != 0 {
		t.Errorf("an empty document: %v, %v", empty.StateVector(), err)
	}
}
