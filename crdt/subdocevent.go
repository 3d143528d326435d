package crdt

import (
	"fmt"
	"iter"
	"slices"
)

// SubdocsEvent says what one transaction did to references to other documents.
// Each is a Value that holds a Subdoc. It may be kept.
type SubdocsEvent struct {
	// Added are the references that were inserted, by a local or a remote change,
	// or made anew by ResetSubdoc.
	Added []Value
	// Removed are the references that were deleted, or replaced by ResetSubdoc.
	Removed []Value
	// Loaded are those among which the content is now wanted: inserted with
	// ShouldLoad, or asked for by LoadSubdoc.
	Loaded []Value
	// Origin is what Apply or Transact was given; Local says which of them it was.
	Origin any
	Local  bool
}

// subdocChanges are the references that a transaction changed, in order of
// appearance.
type subdocChanges struct {
	added   []itemRef
	removed []subdocRemoval
	loaded  []itemRef
	lost    []itemRef // added and then deleted
	reset   []itemRef
	was     []Value // wanted before they were reset
	event   *SubdocsEvent
}

// subdocsOf returns the changes of the transaction, to add to.
func (tx *Txn) subdocsOf() *subdocChanges {
	if tx.subdocs == nil {
		tx.subdocs = new(subdocChanges)
	}
	return tx.subdocs
}

// subdocRemoval is a reference that was deleted or reset.
type subdocRemoval struct {
	item itemRef
	// destroyed says that the other document is gone already.
	destroyed bool
	was       Value // when watched: the reference as it was
}

// LoadSubdoc says that this replica wants the content of the document that the
// value of a list or map refers to: Subdoc.ShouldLoad becomes true, and observers
// are told, unless it was already. It changes nothing that others see. It fails
// with ErrValue if v is no reference in the document of tx. (Yjs: Doc.load.)
func (v Value) LoadSubdoc(tx *Txn) {
	r, ok := v.subdocItem(tx)
	if !ok {
		return
	}
	d := tx.doc
	if it := d.item(r); !d.subdocOf(it).ShouldLoad {
		d.typed().setLoad(it.id(), true)
		s := tx.subdocsOf()
		s.loaded = append(s.loaded, r)
	}
}

// ResetSubdoc says that this replica dropped the content of the document that the
// value refers to: Subdoc.ShouldLoad becomes false, and observers are told of one
// reference removed and one added. It changes nothing that others see. It fails
// like LoadSubdoc. (Yjs: Doc.destroy of a subdocument.)
func (v Value) ResetSubdoc(tx *Txn) {
	r, ok := v.subdocItem(tx)
	if !ok {
		return
	}
	d := tx.doc
	it := d.item(r)
	s := tx.subdocsOf()
	was := d.subdocValue(it)
	if slices.Contains(s.loaded, r) || s.wanted(r, was) && slices.Contains(s.added, r) {
		s.was = append(s.was, was)
	}
	s.loaded = slices.DeleteFunc(s.loaded, func(l itemRef) bool { return l == r })
	s.removed = append(s.removed, subdocRemoval{r, true, was})
	s.reset = append(s.reset, r)
	d.typed().setLoad(it.id(), false)
	s.add(r)
}

// wanted tells whether the insertion of a reference asked for the content.
func (s *subdocChanges) wanted(r itemRef, v Value) bool {
	return v.ref.sub.ShouldLoad && !slices.Contains(s.reset, r)
}

// subdocItem is the item of a reference that is in the document of tx.
func (v Value) subdocItem(tx *Txn) (itemRef, bool) {
	if tx.err != nil {
		return 0, false
	}
	if v.kind == ValueSubdoc && v.doc == tx.doc {
		r := tx.doc.blockAt(unitID{clientRef(v.num >> 32), uint32(v.num)})
		if it := tx.doc.item(r); it.kind == kindDoc && !it.deleted() {
			return r, true
		}
	}
	tx.fail(fmt.Errorf("%w: no subdocument of the document", ErrValue))
	return 0, false
}

// subdocValue is a reference as a value of a list or map.
func (d *Doc) subdocValue(it *item) Value {
	return Value{
		kind: ValueSubdoc, doc: d, num: uint64(it.client)<<32 | uint64(it.clock),
		ref: &compound{sub: d.subdocOf(it)},
	}
}

// SubdocValues yields the references to other documents that are not deleted, as
// the lists and maps that hold them would give them. It looks at every block. The
// document must not change meanwhile. (Yjs: Doc.getSubdocs.)
func (d *Doc) SubdocValues() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for i := range d.clients {
			for e := range d.clients[i].blocks.all() {
				if it := d.item(e.ref); it.kind == kindDoc && !it.deleted() && !yield(d.subdocValue(it)) {
					return
				}
			}
		}
	}
}

// add notes that the reference of r was integrated.
func (s *subdocChanges) add(r itemRef) { s.added = append(s.added, r) }

// remove notes that the reference of r was deleted.
func (s *subdocChanges) remove(r itemRef) {
	if i := slices.Index(s.added, r); i >= 0 {
		s.added = slices.Delete(s.added, i, i+1)
		s.lost = append(s.lost, r)
		return
	}
	s.removed = append(s.removed, subdocRemoval{item: r})
}

// note writes down for the watchers what happened, while references that were
// deleted can still be read.
func (s *subdocChanges) note(tx *Txn) {
	d := tx.doc
	e := &SubdocsEvent{Origin: tx.Origin, Local: tx.local, Loaded: s.was}
	for _, r := range s.added {
		v := d.subdocValue(d.item(r))
		e.Added = append(e.Added, v)
		if s.wanted(r, v) {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for _, r := range s.lost {
		if v := d.subdocValue(d.item(r)); s.wanted(r, v) {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for _, r := range s.loaded {
		if v := d.subdocValue(d.item(r)); !slices.ContainsFunc(e.Loaded[len(s.was):], v.Equal) {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for i := range s.removed {
		gone := &s.removed[i]
		if gone.was.kind != ValueSubdoc {
			gone.was = d.subdocValue(d.item(gone.item))
		}
		e.Removed = append(e.Removed, gone.was)
	}
	if len(e.Added)+len(e.Removed)+len(e.Loaded) > 0 {
		s.event = e
	}
}

// forgetSubdocs reports each deleted reference once more, in a transaction of its
// own, whose origin is nil (Yjs: Doc.destroy).
func (d *Doc) forgetSubdocs(gone []subdocRemoval) {
	for _, g := range gone {
		if !g.destroyed {
			g.destroyed = true
			d.followUp(nil, func(tx *Txn) { tx.subdocs = &subdocChanges{removed: []subdocRemoval{g}} })
		}
	}
}
