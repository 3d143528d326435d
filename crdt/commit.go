package crdt

import (
	"slices"

	"ysync/internal/invariant"
)

// Transact runs fn in a transaction of local changes. There is no roll-back:
// the first operation that fails is returned as the error, those after it do
// nothing and those before it stay. origin is handed to observers. Within a
// transaction of the same Doc, fn joins that one. (Yjs: transact.)
func (d *Doc) Transact(origin any, fn func(*Txn)) (*Commit, error) {
	if tx := d.tx; tx != nil {
		fn(tx)
		return &tx.commit, tx.err
	}
	tx := d.begin(origin)
	tx.local = true
	tx.tracked = d.watch.tracks()
	fn(tx)
	d.tx = nil
	d.finish(tx)
	return &tx.commit, tx.err
}

// begin opens a transaction.
func (d *Doc) begin(origin any) *Txn {
	if d.watch != nil && d.watch.current != nil {
		d.watch.current.freeze()
	}
	d.epoch++
	w := d.work
	if w == nil {
		w = new(work)
		d.work = w
	}
	tx := w.spare
	if tx == nil || len(w.cleanups) > 0 {
		tx = new(Txn)
		if len(w.cleanups) == 0 {
			w.spare = tx
		}
	}
	*tx = Txn{
		Origin: origin, doc: d, epoch: d.epoch,
		touched: reuse(tx.touched), deletes: reuse(tx.deletes), mergeIDs: reuse(tx.mergeIDs),
		called:  reuse(tx.called),
		changed: reuse(tx.changed), changedOrder: reuse(tx.changedOrder),
		firstBranch: branchRef(len(d.branches)),
	}
	tx.commit.tx = tx
	tx.tracked = !d.noFormatCleanup || d.types.tracks() || d.watch.tracks()
	d.tx = tx
	w.cleanups = append(w.cleanups, tx)
	return tx
}

// reuse empties a slice and keeps its memory, if that is little.
func reuse[T any](s []T) []T {
	if cap(s) > 256 {
		return nil
	}
	return s[:0]
}

// followUp runs fn in a transaction that a commit phase of another one asks
// for; its own commit follows and is reached by Commit.Next.
func (d *Doc) followUp(origin any, fn func(*Txn)) {
	tx := d.begin(origin)
	tx.local = true
	tx.tracked = d.watch.tracks()
	fn(tx)
	d.tx = nil
}

// finish runs the commits of tx and of the transactions that follow from it, in
// order. A transaction made by an observer waits in line.
func (d *Doc) finish(tx *Txn) {
	w := d.work
	if w.cleanups[0] != tx {
		return
	}
	for i := 0; i < len(w.cleanups); i++ {
		t := w.cleanups[i]
		t.cleanup()
		if d.watch != nil {
			d.watch.committed(t)
		}
		if i+1 < len(w.cleanups) {
			t.commit.next = &w.cleanups[i+1].commit
			t.commit.freeze()
		}
	}
	clear(w.cleanups)
	w.cleanups = w.cleanups[:0]
	if a := &d.arena; a.dead > compactAt && int(a.dead) > len(a.buf)/2 {
		d.compact()
	}
}

// compactAt is how many dead bytes the arena holds before it is compacted.
const compactAt = 4096

// cleanup runs the phases of a commit (Yjs: cleanupTransactions):
//
//  1. sort and merge the deletes of the transaction
//  2. call observers
//  3. remove redundant formats, in a transaction of its own
//  4. collect deleted content
//  5. merge neighbours: around deletes, at the end of each client that grew,
//     around cuts
//  6. change the client ID if another replica turned out to use it
func (tx *Txn) cleanup() {
	d := tx.doc
	for i := range tx.touched {
		tx.touched[i].after = d.clients[tx.touched[i].client].state
	}
	if !tx.tidy {
		tx.settleDeletes()
	}
	if tx.tracked || d.watch != nil {
		tx.callObservers()
		if tx.formatCleanup {
			d.types.cleanFormats(d, tx)
		}
	}
	if !tx.tidy {
		if !d.keepDeleted {
			tx.collect()
		}
		tx.mergeDeleted()
		tx.mergeGrown()
		tx.mergeCuts()
	}
	if !tx.local {
		if c := d.findClient(d.self); c != 0 && d.clients[c].state != tx.before(c) {
			d.self = newClientID()
		}
	}
}

// settleDeletes sorts and merges the deletes (Yjs: sortAndMergeDeleteSet) and
// adds them to the delete set of the document.
func (tx *Txn) settleDeletes() {
	ds := tx.deletes
	if len(ds) > 1 {
		tx.noteDeleteOrder()
		slices.SortFunc(ds, func(a, b deleteRange) int {
			if a.client != b.client {
				return int(int64(a.client) - int64(b.client))
			}
			return int(int64(a.clock) - int64(b.clock))
		})
		j := 0
		for _, r := range ds[1:] {
			if l := &ds[j]; l.client == r.client && l.clock+l.length >= r.clock {
				l.length = max(l.length, r.clock+r.length-l.clock)
			} else {
				j++
				ds[j] = r
			}
		}
		tx.deletes = ds[:j+1]
	}
	for _, r := range tx.deletes {
		tx.doc.clients[r.client].deleted.add(r.clock, r.clock+r.length)
	}
}

// mergeDeleted merges around the deleted ranges, from right to left
// (Yjs: tryMergeDeleteSet).
func (tx *Txn) mergeDeleted() {
	d := tx.doc
	for i := len(tx.deletes) - 1; i >= 0; i-- {
		r := tx.deletes[i]
		x := &d.clients[r.client].blocks
		p := x.find(r.clock + r.length - 1)
		if next, ok := x.next(p); ok {
			p = next
		}
		d.mergeDownTo(x, p, r.clock)
	}
}

// mergeGrown merges the new blocks of each client with their left neighbours.
func (tx *Txn) mergeGrown() {
	d := tx.doc
	for _, t := range tx.touched {
		x := &d.clients[t.client].blocks
		d.mergeDownTo(x, x.last(), x.at(x.find(t.before)).clock)
	}
}

// mergeDownTo merges the blocks from a place down to a clock with their left
// neighbours.
func (d *Doc) mergeDownTo(x *blockIndex, p blockPos, clock uint32) {
	for more := true; more && x.at(p).clock >= clock; {
		p, _ = d.mergeLeft(x, p)
		p, more = x.prev(p)
	}
}

// mergeCuts undoes the splits that were only needed within the transaction.
func (tx *Txn) mergeCuts() {
	d := tx.doc
	for i := len(tx.mergeIDs) - 1; i >= 0; i-- {
		u := tx.mergeIDs[i]
		x := &d.clients[u.client].blocks
		p := x.find(u.clock)
		if next, ok := x.next(p); ok {
			kept, n := d.mergeLeft(x, next)
			if n > 1 {
				continue
			}
			if n == 1 {
				p = kept
			}
		}
		d.mergeLeft(x, p)
	}
}

// mergeLeft merges the block at a place into its left neighbours as far as
// possible. It returns where the last one of them is that took another over,
// and how many blocks are gone (Yjs: tryToMergeWithLefts).
func (d *Doc) mergeLeft(x *blockIndex, p blockPos) (kept blockPos, n int) {
	for {
		left, ok := x.prev(p)
		if !ok || !d.merge(x.at(left).ref, x.at(p).ref) {
			return p, n
		}
		p = x.remove(p)
		n++
	}
}

// merge appends right to left, its neighbour in the index of their client, if
// they are one run, and frees right (Yjs: GC.mergeWith, Item.mergeWith).
func (d *Doc) merge(lr, rr itemRef) bool {
	left, right := d.item(lr), d.item(rr)
	if left.kind != right.kind {
		return false
	}
	if left.isGC() {
		left.length += right.length
		d.slab.release(rr)
		return true
	}
	if left.right != rr || !left.kind.mergeable() ||
		right.origin != left.lastID() ||
		left.rightOrigin != right.rightOrigin ||
		(left.flags^right.flags)&flagDeleted != 0 ||
		(left.flags|right.flags)&flagRedone != 0 {
		return false
	}
	invariant.Assert(left.chain == right.chain, "merge across chains")
	d.mergeContent(left, right)
	left.flags |= right.flags & (flagKeep | flagCopy)
	left.right = right.right
	left.length += right.length
	ch := d.chain(left.chain)
	if left.right != 0 {
		d.item(left.right).left = lr
	}
	if ch.last == rr {
		ch.last = lr
	}
	if d.branches[ch.branch].flags&branchIndexed != 0 && ch.key == 0 {
		d.types.itemMerged(d, lr, rr)
	}
	d.slab.release(rr)
	return true
}
