package crdt

import (
	"ysync/internal/invariant"
	"ysync/internal/lib0"
)

// This file inserts deleted items again and leads from an item to what became of it (Yjs: Item.js,
// the functions followRedone, keepItem and redoItem).

// followRedone is the block that holds a known unit now, after it was deleted and redone any number of
// times, and the unit's offset in that block (Yjs: followRedone).
func (d *Doc) followRedone(u unitID) (itemRef, uint32) {
	for {
		r := d.blockAt(u)
		it := d.item(r)
		diff := u.clock - it.clock
		next, ok := d.redoneID(r)
		if !ok {
			return r, diff
		}
		u = unitID{next.client, next.clock + diff}
	}
}

// redoneID is the first unit of the item that redid r; ok is false if none did.
func (d *Doc) redoneID(r itemRef) (u unitID, ok bool) {
	if d.item(r).flags&flagRedone == 0 {
		return unitID{}, false
	}
	id := d.redone[r]
	return unitID{d.findClient(id.Client), uint32(id.Clock)}, true
}

// redoneBy is the block that starts where the one that redid r started, cut to start there; 0 if none
// did.
func (tx *Txn) redoneBy(r itemRef) itemRef {
	u, ok := tx.doc.redoneID(r)
	if !ok {
		return 0
	}
	return tx.cleanStart(u)
}

// keepItem sets or clears the keep flag of an item and of the items above it, up to the first that has
// it so already (Yjs: keepItem).
func (d *Doc) keepItem(r itemRef, keep bool) {
	for r != 0 {
		it := d.item(r)
		if it.keep() == keep {
			return
		}
		it.flags ^= flagKeep
		r = d.parentItem(r)
	}
}

// parentItem is the item that carries the type r lives in; 0 in a root.
func (d *Doc) parentItem(r itemRef) itemRef {
	return d.branches[d.parentOf(d.item(r))].item
}

// redoing is what one stack item deleted, on its way back.
type redoing struct {
	u     *UndoManager
	tx    *Txn
	stack *StackItem
	items []itemRef // in the order in which they come back
	isIn  map[itemRef]bool
	last  map[itemRef]lastRedone // by the item that carries the type
	// steps is how many siblings checkBetween has looked at.
	steps int
}

// redo inserts a copy of a deleted item, and of the deleted types above it as far as they come back
// too. It returns the copy, or that of an earlier time; 0 if there is no place for one
// (Yjs: redoItem).
func (s *redoing) redo(r itemRef) itemRef {
	d := s.tx.doc
	if made := s.tx.redoneBy(r); made != 0 {
		return made
	}
	path := []itemRef{r}
	for {
		p := d.parentItem(r)
		if p == 0 || !d.item(p).deleted() || d.item(p).flags&flagRedone != 0 {
			break
		}
		if !s.isIn[p] {
			return 0
		}
		path = append(path, p)
		r = p
	}
	made := itemRef(0)
	for i := len(path) - 1; i >= 0; i-- {
		if made = s.redoOne(path[i]); made == 0 {
			return 0
		}
	}
	return made
}

// redoOne inserts a copy of one item. The type above it lives or was redone.
func (s *redoing) redoOne(r itemRef) itemRef {
	tx, d := s.tx, s.tx.doc
	ch := d.chain(d.item(r).chain)
	b, key := ch.branch, ch.key
	parent := d.branches[b].item
	if parent != 0 && d.item(parent).deleted() {
		for next := tx.redoneBy(parent); next != 0; next = tx.redoneBy(parent) {
			parent = next
		}
		if b = d.item(parent).branch(); b == 0 {
			return 0
		}
	}
	var left, right itemRef
	if key == 0 {
		left, right = s.between(r, parent)
	} else {
		var ok bool
		if left, ok = s.after(r, parent, b, key); !ok {
			return 0
		}
	}
	return tx.insertCopy(r, b, key, left, right)
}

// between finds the neighbours of the copy of r, an item of a sequence, in the type that parent
// carries: the nearest items left of r, and from r on to the right, that are there or have a copy
// there.
func (s *redoing) between(r, parent itemRef) (left, right itemRef) {
	tx, d := s.tx, s.tx.doc
	if d.parentItem(r) == parent {
		return d.item(r).left, r
	}
	last := s.last[parent]
	if !last.noLeft || d.item(r).right != last.item {
		for l := d.item(r).left; l != 0; l = d.item(l).left {
			if left = tx.redoneBelow(l, parent); left != 0 {
				break
			}
		}
	}
	at := r
	if last.item != 0 && d.item(r).left == last.item && d.item(last.item).flags&flagCopy == 0 {
		at = last.rightAt
	}
	for ; at != 0; at = d.item(at).right {
		if right = tx.redoneBelow(at, parent); right != 0 {
			break
		}
	}
	s.last[parent] = lastRedone{r, left == 0, at}
	if invariant.Enabled && s.steps < checkedSteps {
		s.checkBetween(r, parent, left, right)
	}
	return left, right
}

// checkedSteps bounds the work of checkBetween for one stack item, which goes with the square of its
// size.
const checkedSteps = 1 << 20

// checkBetween finds the neighbours as Yjs does, by walking left and right until one is there, and
// asserts that they are the same.
func (s *redoing) checkBetween(r, parent, left, right itemRef) {
	d := s.tx.doc
	same := func(at itemRef, step func(*item) itemRef, found itemRef) bool {
		for ; at != 0; at = step(d.item(at)) {
			s.steps++
			if u, ok := d.redoneThere(d.item(at).id(), parent); ok {
				return found != 0 && d.item(found).id() == u
			}
		}
		return found == 0
	}
	invariant.Assert(same(d.item(r).left, func(it *item) itemRef { return it.left }, left), "another item is left of a copy")
	invariant.Assert(same(r, func(it *item) itemRef { return it.right }, right), "another item is right of a copy")
}

// redoneThere is redoneBelow without a cut: the unit where the copy starts.
func (d *Doc) redoneThere(u unitID, parent itemRef) (unitID, bool) {
	for {
		r := d.blockAt(u)
		it := d.item(r)
		if it.isGC() {
			return u, false
		}
		if d.parentItem(r) == parent {
			return u, true
		}
		next, ok := d.redoneID(r)
		if !ok {
			return u, false
		}
		u = unitID{next.client, next.clock + u.clock - it.clock}
	}
}

// lastRedone is the item that was last copied into a type, whether nothing left of it was there by
// then, and which item right of it was the nearest there, 0 for none. Nothing left of its left
// neighbour is there either, and nothing between its right neighbour and rightAt, so that the items of
// a type come back one after the other without looking at all others each time. Only if the item is
// itself a copy of one further right, then that one is there too from now on.
type lastRedone struct {
	item    itemRef
	noLeft  bool
	rightAt itemRef
}

// redoneBelow follows r from copy to copy until one is in the type that parent carries; 0 if none is.
func (tx *Txn) redoneBelow(r, parent itemRef) itemRef {
	d := tx.doc
	for r != 0 && !d.item(r).isGC() {
		if d.parentItem(r) == parent {
			return r
		}
		r = tx.redoneBy(r)
	}
	return 0
}

// after finds the item behind which the copy of r, a value of a key, becomes the value of the key of
// b. ok is false if a change of somebody else stands in the way.
func (s *redoing) after(r, parent itemRef, b branchRef, key keyRef) (left itemRef, ok bool) {
	tx, d := s.tx, s.tx.doc
	if d.item(r).right == 0 || s.u.opts.OverwriteRemote {
		left = d.keyItem(b, key)
	} else {
		left = r
		for next := d.item(left).right; next != 0 && s.passable(next); next = d.item(left).right {
			left = next
			for next := tx.redoneBy(left); next != 0; next = tx.redoneBy(left) {
				left = next
			}
		}
		if it := d.item(left); it.right != 0 || it.isGC() {
			return 0, false
		}
	}
	// An origin in another type would lead other replicas to that type.
	if left != 0 && d.parentItem(left) != parent {
		left = d.keyItem(b, key)
	}
	return left, true
}

// passable tells whether the value of a key may be replaced by an older one: it was replaced itself
// by undoing, goes away by what is undone now, or waits on a stack to come back.
func (s *redoing) passable(r itemRef) bool {
	it := s.tx.doc.item(r)
	u := it.id()
	return it.flags&flagRedone != 0 || s.stack.insertions.has(u) || s.u.remembers(u)
}

// insertCopy inserts an item with the content of r, which a replica may not collect. The copy of a
// type is empty.
func (tx *Txn) insertCopy(r itemRef, b branchRef, key keyRef, left, right itemRef) itemRef {
	d := tx.doc
	if tx.err != nil {
		return 0
	}
	it := d.item(r)
	ct := content{kind: it.kind, length: it.length, data: d.data(it)}
	token := uint64(0)
	switch it.kind {
	case kindType:
		br := d.branch(it.branch())
		ct.branch = d.newBranch(br.kind, br.name)
	case kindFormat:
		if _, v := splitNamed(ct.data); v[0] == byte(lib0.TagObject) || v[0] == byte(lib0.TagArray) {
			token = d.formatToken(it.id())
		}
	}
	id := ID{d.self, Clock(d.state(d.self))}
	made := tx.insertItem(b, key, left, right, ct)
	if made == 0 {
		return 0
	}
	d.setRedone(r, id)
	if key == 0 && d.item(made).chain == d.item(r).chain {
		d.item(made).flags |= flagCopy
	}
	d.keepItem(made, true)
	if token != 0 {
		d.typed().setToken(d.item(made).id(), token)
	}
	return made
}
