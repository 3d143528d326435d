package crdt

// integrate links a new item into its chain and makes its effects: lengths,
// the value of its key, changed types, deletions (Yjs: Item.integrate). The
// item has its ID, origins, chain, content, and in left and right the blocks
// that hold its origins, both cut to start and end there.
func (tx *Txn) integrate(r itemRef) {
	d := tx.doc
	it := d.item(r)
	ch := d.chain(it.chain)
	tx.touch(it.client)
	if it.left == 0 {
		if it.right == 0 || d.item(it.right).left != 0 {
			if ch.first != 0 {
				it.left = d.resolve(it, ch.first)
			}
		}
	} else if o := d.item(it.left).right; o != it.right && o != 0 {
		it.left = d.resolve(it, o)
	}

	if it.left != 0 {
		left := d.item(it.left)
		it.right = left.right
		left.right = r
	} else {
		it.right = ch.first
		ch.first = r
	}
	if it.right != 0 {
		d.item(it.right).left = r
	} else if ch.key != 0 {
		ch.last = r
		if it.left != 0 {
			tx.deleteItem(it.left) // the value until now
		}
	}

	b := ch.branch
	parent := d.branch(b)
	if it.kind == kindDeleted {
		it.flags |= flagDeleted
	}
	if ch.key == 0 && it.countable() {
		parent.length += it.length
	}
	d.appendBlock(r)
	tx.integrateContent(r, it)
	if parent.flags&branchIndexed != 0 && ch.key == 0 {
		d.types.itemInserted(d, r)
	}
	tx.markChanged(ch)
	if ch.key != 0 && it.right != 0 || parent.item != 0 && d.item(parent.item).deleted() {
		tx.deleteItem(r)
	}
}

// integrateContent makes the effects of the content
// (Yjs: AbstractContent.integrate).
func (tx *Txn) integrateContent(r itemRef, it *item) {
	d := tx.doc
	switch it.kind {
	case kindDeleted:
		tx.noteDeleted(it)
	case kindFormat:
		d.branches[d.parentOf(it)].flags |= branchHasFormat
	case kindType:
		b := d.branch(it.branch())
		b.item = r
		b.depth = d.branches[d.parentOf(it)].depth + 1
		d.maxDepth = max(d.maxDepth, b.depth)
	case kindDoc:
		tx.subdocsOf().add(r)
	}
}

// resolve finds the left neighbour of a new item that conflicts with others:
// between its origin and its right origin stand items made concurrently. o is
// the first of them.
//
//	***{origin}bbbb{this}{c,b}{c,b}{o}***
//
// c are conflicting items, b are items between the origin and o; each c is a b.
func (d *Doc) resolve(it *item, o itemRef) itemRef {
	first := o
	if d.conflicts == nil {
		d.conflicts = new(conflicts)
	}
	cs := d.conflicts
	if cs.siblings != nil {
		o = d.scanFrom(it, o)
	}
	left := it.left
	steps := 0
	thisClient := d.clients[it.client].id
	base := cs.stampBase()
	conflicting := base // stamps from here on are of conflicting items
	for o != 0 && o != it.right {
		ot := d.item(o)
		cs.stamp(o, d.slab.next)
		steps++
		if it.origin == ot.origin {
			if d.clients[ot.client].id < thisClient {
				left = o
				conflicting = cs.stampNext
			} else if it.rightOrigin == ot.rightOrigin {
				// Both want the same place; the lower client ID comes first.
				break
			}
			// Otherwise o may be followed by an item that decides.
		} else if ot.origin.client != 0 {
			s := cs.stampOf(d.blockAt(ot.origin))
			if s < base {
				break
			}
			if s < conflicting {
				left = o
				conflicting = cs.stampNext
			}
		} else {
			break
		}
		o = ot.right
	}
	if steps > longScan && cs.siblings[it.siblingKey()] == nil {
		d.indexSiblings(it, first)
	}
	return left
}

// Stamps replace the two sets of Yjs's scan: each visited item gets the next
// number, so "visited in this scan" and "conflicting" are comparisons.

// conflicts is what resolve needs.
type conflicts struct {
	stamps    []uint32 // by item
	stampNext uint32
	siblings  map[siblingKey]*siblings
}

func (cs *conflicts) stampBase() uint32 {
	if cs.stampNext >= 1<<31 {
		clear(cs.stamps)
		cs.stampNext = 0
	}
	if cs.stampNext == 0 {
		cs.stampNext = 1
	}
	return cs.stampNext
}

// stamp stamps an item; end is the number after the last item.
func (cs *conflicts) stamp(r, end itemRef) {
	if int(r) >= len(cs.stamps) {
		cs.stamps = append(cs.stamps, make([]uint32, int(end)-len(cs.stamps))...)
	}
	cs.stamps[r] = cs.stampNext
	cs.stampNext++
}

func (cs *conflicts) stampOf(r itemRef) uint32 {
	if int(r) >= len(cs.stamps) {
		return 0
	}
	return cs.stamps[r]
}

// deleting is a type on the way through what is below a deleted item.
type deleting struct {
	b    branchRef
	r    itemRef  // the next of its sequence
	c    chainRef // once that is done, its next key
	keys bool
}

// deleteItem marks an item deleted, with everything below it
// (Yjs: Item.delete and ContentType.delete). The depth of types is bounded, but
// the walk keeps a stack of its own. It goes down before it goes on: what was
// deleted before is tried to be merged in the order in which it was met, and
// that order shows in the blocks.
func (tx *Txn) deleteItem(r itemRef) {
	b := tx.deleteOne(r)
	if b == 0 {
		return
	}
	d := tx.doc
	stack := []deleting{{b: b, r: d.start(b)}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		r := top.next(d)
		if r == 0 {
			tx.unmarkChanged(top.b)
			stack = stack[:len(stack)-1]
			continue
		}
		if it := d.item(r); it.deleted() {
			if it.clock < tx.before(it.client) {
				// It was deleted in an earlier transaction and becomes a gc
				// block in this one, so it may now merge with its neighbours.
				tx.mergeLater(it.id())
			}
		} else if b := tx.deleteOne(r); b != 0 {
			stack = append(stack, deleting{b: b, r: d.start(b)})
		}
	}
}

// next is the next item of the sequence, then the last one of each key; 0 at
// the end.
func (w *deleting) next(d *Doc) itemRef {
	if r := w.r; r != 0 {
		w.r = d.item(r).right
		return r
	}
	if !w.keys {
		w.keys, w.c = true, d.branches[w.b].firstKey
	}
	for w.c != 0 {
		ch := &d.chains[w.c]
		w.c = ch.nextKey
		if ch.last != 0 {
			return ch.last
		}
	}
	return 0
}

// deleteOne marks one item deleted; it returns the type it carries, if any.
func (tx *Txn) deleteOne(r itemRef) branchRef {
	d := tx.doc
	it := d.item(r)
	if it.deleted() || it.isGC() {
		return 0
	}
	ch := d.chain(it.chain)
	if ch.key == 0 && it.countable() {
		d.branches[ch.branch].length -= it.length
	}
	it.flags |= flagDeleted
	tx.condemned = true
	tx.noteDeleted(it)
	tx.markChanged(ch)
	if ch.key == 0 && d.branches[ch.branch].flags&branchIndexed != 0 {
		d.types.itemDeleted(d, r)
	}
	if it.kind == kindDoc {
		tx.subdocsOf().remove(r)
	}
	return it.branch()
}
