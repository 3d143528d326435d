package crdt

import (
	"fmt"
	"testing"
)

// lostOnLoad is what a document that loads the state of d has deleted in
// addition: items of d with an origin in a gc block, and what depends on them.
// No editor makes such an item, since an item is in the sequence of its origins
// and collected along with them. A damaged update can give it a right origin in
// another sequence, which is collected at the end of the transaction; Yjs then
// keeps the item in the document, but makes a gc block of it when it loads the
// state (Yjs: Item.getMissing), and so do we.
func lostOnLoad(d *Doc) IDSet {
	var lost IDSet
	gone := func(u unitID) bool {
		return u.client != 0 && (d.item(d.blockAt(u)).isGC() || lost.Contains(d.publicID(u)))
	}
	for more := true; more; {
		more = false
		for _, cl := range d.clients[1:] {
			for e := range cl.blocks.all() {
				it := d.item(e.ref)
				if it.isGC() || lost.Contains(d.publicID(it.id())) {
					continue
				}
				below := it.origin.client == 0 && it.rightOrigin.client == 0 && d.branch(d.parentOf(it)).item != 0 &&
					gone(d.item(d.branch(d.parentOf(it)).item).id())
				if below || gone(it.origin) || gone(it.rightOrigin) {
					lost.Add(cl.id, Range{Clock(it.clock), Clock(it.end())})
					more = true
				}
			}
		}
	}
	return lost
}

// sameButLost is sameDocument for a document and one that loaded its state, when
// the first may have taken damaged updates.
func sameButLost(d, loaded *Doc) error {
	if sv := loaded.StateVector(); !d.StateVector().Equal(sv) {
		return fmt.Errorf("state vector %v, want %v", sv, d.StateVector())
	}
	lost, want, have := lostOnLoad(d), d.Deletes(), loaded.Deletes()
	want.Union(&lost)
	if !have.Equal(&want) {
		return fmt.Errorf("delete set %v, want %v, of which %v is lost", have, want, lost)
	}
	return nil
}

// A sound document loses nothing by being loaded, whatever was collected.
func TestNothingLostOnLoad(t *testing.T) {
	goldenStates(t, func(name string, d *Doc) {
		if lost := lostOnLoad(d); !lost.Empty() {
			t.Errorf("%s: %v", name, lost)
		}
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}
