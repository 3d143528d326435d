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
	tx.markChanged(b, ch.key)
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
		tx.deletes = append(tx.deletes, deleteRange{it.client, it.clock, it.length})
	case kindFormat:
		d.branches[d.parentOf(it)].flags |= branchHasFormat
	case kindType:
		b := d.branch(it.branch())
		b.item = r
		b.depth = d.branches[d.parentOf(it)].depth + 1
		d.maxDepth = max(d.maxDepth, int(b.depth))
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
	if d.siblings != nil {
		o = d.scanFrom(it, o)
	}
	left := it.left
	steps := 0
	thisClient := d.clients[it.client].id
	base := d.stampBase()
	conflicting := base // stamps from here on are of conflicting items
	for o != 0 && o != it.right {
		ot := d.item(o)
		d.stamp(o)
		steps++
		if it.origin == ot.origin {
			if d.clients[ot.client].id < thisClient {
				left = o
				conflicting = d.stampNext
			} else if it.rightOrigin == ot.rightOrigin {
				// Both want the same place; the lower client ID comes first.
				break
			}
			// Otherwise o may be followed by an item that decides.
		} else if ot.origin.client != 0 {
			s := d.stampOf(d.blockAt(ot.origin))
			if s < base {
				break
			}
			if s < conflicting {
				left = o
				conflicting = d.stampNext
			}
		} else {
			break
		}
		o = ot.right
	}
	if steps > longScan && d.siblings[it.siblingKey()] == nil {
		d.indexSiblings(it, first)
	}
	return left
}

// Stamps replace the two sets of Yjs's scan: each visited item gets the next
// number, so "visited in this scan" and "conflicting" are comparisons.

func (d *Doc) stampBase() uint32 {
	if d.stampNext >= 1<<31 {
		clear(d.stamps)
		d.stampNext = 0
	}
	if d.stampNext == 0 {
		d.stampNext = 1
	}
	return d.stampNext
}

func (d *Doc) stamp(r itemRef) {
	if int(r) >= len(d.stamps) {
		d.stamps = append(d.stamps, make([]uint32, int(d.slab.next)-len(d.stamps))...)
	}
	d.stamps[r] = d.stampNext
	d.stampNext++
}

func (d *Doc) stampOf(r itemRef) uint32 {
	if int(r) >= len(d.stamps) {
		return 0
	}
	return d.stamps[r]
}

// deleteItem marks an item deleted, with everything below it, in the order of
// Yjs (Item.delete and ContentType.delete): which client is deleted from first
// decides in which order undoing brings things back. The depth of types is
// bounded, but the walk keeps a stack of its own.
func (tx *Txn) deleteItem(r itemRef) {
	b := tx.deleteOne(r)
	if b == 0 {
		return
	}
	d := tx.doc
	stack := append(make([]deleteWalk, 0, 4), d.walkDeleted(b))
	for len(stack) > 0 {
		w := &stack[len(stack)-1]
		switch {
		case w.next != 0:
			r = w.next
			w.next = d.item(r).right
		case w.key != 0:
			r = d.chains[w.key].last
			w.key = d.chains[w.key].nextKey
		default:
			tx.unmarkChanged(w.branch)
			stack = stack[:len(stack)-1]
			continue
		}
		if r == 0 {
			continue
		}
		if b := tx.deleteChild(r); b != 0 {
			stack = append(stack, d.walkDeleted(b))
		}
	}
}

// deleteWalk is a type whose items are being deleted: first the sequence from
// next on, then the values of keys from key on.
type deleteWalk struct {
	branch branchRef
	next   itemRef
	key    chainRef
}

func (d *Doc) walkDeleted(b branchRef) deleteWalk {
	return deleteWalk{b, d.start(b), d.branches[b].firstKey}
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
	tx.deletes = append(tx.deletes, deleteRange{it.client, it.clock, it.length})
	tx.markChanged(ch.branch, ch.key)
	if ch.key == 0 && d.branches[ch.branch].flags&branchIndexed != 0 {
		d.types.itemDeleted(d, r)
	}
	if it.kind == kindDoc {
		tx.subdocsOf().remove(r)
	}
	return it.branch()
}

// deleteChild deletes an item of a deleted type; it returns the type it
// carries, if any.
func (tx *Txn) deleteChild(r itemRef) branchRef {
	it := tx.doc.item(r)
	if !it.deleted() {
		return tx.deleteOne(r)
	}
	if it.clock < tx.before(it.client) {
		// It was deleted in an earlier transaction and becomes a gc block in
		// this one, so it may now merge with its neighbours.
		tx.mergeLater(it.id())
	}
	return 0
}
