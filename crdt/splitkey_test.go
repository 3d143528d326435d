package crdt

import "testing"

// The index of a text counts its sequence only: a cut in the old values of one of
// its attributes is none of its business.
func TestCutOfOldAttributesLeavesIndexAlone(t *testing.T) {
	d := New(Options{ClientID: 1, KeepDeleted: true})
	text := d.Text("t")
	set := func(n int) {
		transact(t, d, func(tx *Txn) { text.SetAttr(tx, "k", Int(n)) })
	}
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "abc") })
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 1, "x")
		d.types.of(text.b).steps = indexAfter + 1
		text.Insert(tx, 3, "y")
	})
	if m := d.types.of(text.b); m.index == nil {
		t.Fatal("no index")
	}
	transact(t, d, func(tx *Txn) { // so that what follows has numbers that the index has not
		for range 100 {
			d.Array("a").Push(tx, Bytes(nil))
		}
	})
	first := d.state(1)
	for i := range 100 {
		set(i)
	}
	transact(t, d, func(tx *Txn) { text.RemoveAttr(tx, "k") }) // all values become one item
	was := d.slab.live
	transact(t, d, func(tx *Txn) {
		tx.cleanStart(unitID{1, first + 50})
		if d.slab.live == was {
			t.Fatal("nothing was cut")
		}
		if err := d.types.check(d); err != nil {
			t.Error(err)
		}
	})
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}
