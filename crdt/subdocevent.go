package crdt

import (
	"fmt"
	"iter"
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
		d.types.setLoad(it.id(), true)
		tx.subdocsLoaded = append(tx.subdocsLoaded, r)
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
	tx.subdocsRemoved = append(tx.subdocsRemoved, subdocRemoval{r, true, d.subdocValue(it)})
	d.types.setLoad(it.id(), false)
	tx.subdocsAdded = append(tx.subdocsAdded, r)
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
			for _, e := range d.clients[i].blocks {
				if it := d.item(e.ref); it.kind == kindDoc && !it.deleted() && !yield(d.subdocValue(it)) {
					return
				}
			}
		}
	}
}

// removeSubdoc notes that the reference of r was deleted.
func (tx *Txn) removeSubdoc(r itemRef) {
	for i, have := range tx.subdocsAdded {
		if have == r {
			tx.subdocsAdded = append(tx.subdocsAdded[:i], tx.subdocsAdded[i+1:]...)
			tx.subdocsLost = append(tx.subdocsLost, r)
			return
		}
	}
	tx.subdocsRemoved = append(tx.subdocsRemoved, subdocRemoval{item: r})
}

// noteSubdocs writes down for the watchers what happened to references, while
// those that were deleted can still be read.
func (tx *Txn) noteSubdocs() {
	d := tx.doc
	if len(tx.subdocsAdded)+len(tx.subdocsRemoved)+len(tx.subdocsLoaded)+len(tx.subdocsLost) == 0 {
		return
	}
	e := &SubdocsEvent{Origin: tx.Origin, Local: tx.local}
	for _, r := range tx.subdocsAdded {
		v := d.subdocValue(d.item(r))
		e.Added = append(e.Added, v)
		if v.ref.sub.ShouldLoad {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for _, r := range tx.subdocsLost {
		if v := d.subdocValue(d.item(r)); v.ref.sub.ShouldLoad {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for _, r := range tx.subdocsLoaded {
		v := d.subdocValue(d.item(r))
		if !containsValue(e.Loaded, v) {
			e.Loaded = append(e.Loaded, v)
		}
	}
	for i := range tx.subdocsRemoved {
		gone := &tx.subdocsRemoved[i]
		if gone.was.kind != ValueSubdoc {
			gone.was = d.subdocValue(d.item(gone.item))
		}
		e.Removed = append(e.Removed, gone.was)
	}
	if len(e.Added)+len(e.Removed)+len(e.Loaded) > 0 {
		tx.subdocs = e
	}
}

func containsValue(vals []Value, v Value) bool {
	for _, have := range vals {
		if have.Equal(v) {
			return true
		}
	}
	return false
}

// forgetSubdocs reports each deleted reference once more, in a transaction of its
// own.
func (d *Doc) forgetSubdocs(gone []subdocRemoval) {
	for _, g := range gone {
		if !g.destroyed {
			g.destroyed = true
			d.followUp(nil, func(tx *Txn) { tx.subdocsRemoved = append(tx.subdocsRemoved, g) })
		}
	}
}
