package crdt

import (
	"cmp"
	"iter"
	"slices"
)

// This file removes formats that have no effect, by the rules of Yjs, which decide what a replica
// deletes and thus the bytes it sends.

// cleanGap deletes redundant formats between two pieces of content. start is the first item of the
// gap and curr the place up to which currAttrs is to be kept right; startAttrs hold before start.
// (Yjs: cleanupFormattingGap.)
func (tx *Txn) cleanGap(start, curr itemRef, startAttrs Attrs, currAttrs *Attrs) {
	d := tx.doc
	if d.branch(d.parentOf(d.item(start))).flags&branchHasFormat == 0 {
		return
	}
	end := start
	// last holds for each key the format that decides at the end of the gap.
	var last []gapFormat
	for end != 0 {
		it := d.item(end)
		if it.countable() && !it.deleted() {
			break
		}
		if !it.deleted() && it.kind == kindFormat {
			key, _ := d.format(it)
			last = setGapFormat(last, key, end)
		}
		end = it.right
	}
	if len(last) == 0 {
		return
	}
	reached := false
	for r := start; r != end; r = d.item(r).right {
		if r == curr {
			reached = true
		}
		it := d.item(r)
		if it.deleted() || it.kind != kindFormat {
			continue
		}
		key, v := d.format(it)
		startValue := startAttrs.orNull(key)
		if !decidesGap(last, key, r) || startValue.same(v) {
			tx.deleteItem(r)
			if !reached && currAttrs.orNull(key).same(v) && !startValue.same(v) {
				currAttrs.apply(key, startValue)
			}
		} else if !reached {
			currAttrs.apply(key, v)
		}
	}
}

type gapFormat struct {
	key  string
	item itemRef
}

func setGapFormat(fs []gapFormat, key string, r itemRef) []gapFormat {
	for i := range fs {
		if fs[i].key == key {
			fs[i].item = r
			return fs
		}
	}
	return append(fs, gapFormat{key, r})
}

func decidesGap(fs []gapFormat, key string, r itemRef) bool {
	for i := range fs {
		if fs[i].key == key {
			return fs[i].item == r
		}
	}
	return false
}

// cleanContextlessGap keeps only the last format of each key in the gap around a deleted item. It
// needs no knowledge of the attributes there (Yjs: cleanupContextlessFormattingGap).
func (tx *Txn) cleanContextlessGap(r itemRef) {
	d := tx.doc
	for {
		next := d.item(r).right
		if next == 0 {
			break
		}
		if it := d.item(next); !it.deleted() && it.countable() {
			break
		}
		r = next
	}
	var seen []gapFormat
	for r != 0 {
		it := d.item(r)
		if !it.deleted() && it.countable() {
			return
		}
		if !it.deleted() && it.kind == kindFormat {
			key, _ := d.format(it)
			known := len(seen)
			if seen = setGapFormat(seen, key, r); len(seen) == known {
				tx.deleteItem(r)
			}
		}
		r = it.left
	}
}

// cleanText removes redundant formats from a whole text (Yjs: cleanupYTextFormatting).
func (tx *Txn) cleanText(b branchRef) {
	d := tx.doc
	start := d.start(b)
	var startAttrs, attrs Attrs
	for end := start; end != 0; end = d.item(end).right {
		it := d.item(end)
		if it.deleted() {
			continue
		}
		if it.kind == kindFormat {
			attrs.apply(d.format(it))
			continue
		}
		tx.cleanGap(start, end, startAttrs, &attrs)
		startAttrs = append(startAttrs[:0], attrs...)
		start = end
	}
}

// cleanFormats removes what tx made redundant, in a transaction of its own: whole texts that got or
// lost a format, else only the gaps around deleted content (Yjs: cleanupYTextAfterTransaction).
// The items that it cuts at the borders of tx's changes are for tx to merge again.
func (s *typeState) cleanFormats(d *Doc, tx *Txn) {
	var whole []branchRef
	isWhole := make(map[branchRef]bool)
	add := func(b branchRef) {
		if b != 0 && !isWhole[b] {
			isWhole[b] = true
			whole = append(whole, b)
		}
	}
	for _, t := range tx.touched {
		x := &d.clients[t.client].blocks
		for e := range x.from(x.find(t.before)) {
			if it := d.item(e.ref); it.clock >= t.before && it.kind == kindFormat && !it.deleted() {
				add(d.parentOf(it))
			}
		}
	}
	d.followUp(nil, func(next *Txn) {
		for del := range tx.deletesInOrder() {
			tx.eachDeleted(del, func(r itemRef) {
				it := d.item(r)
				if it.isGC() {
					return
				}
				b := d.parentOf(it)
				if d.branch(b).flags&branchHasFormat == 0 || isWhole[b] {
					return
				}
				if it.kind == kindFormat {
					add(b)
				} else {
					next.cleanContextlessGap(r)
				}
			})
		}
		for _, b := range whole {
			next.cleanText(b)
		}
	})
}

// eachDeleted visits the blocks of a deleted range, cut at its borders (Yjs: iterateStructs).
func (tx *Txn) eachDeleted(del deleteRange, visit func(itemRef)) {
	d := tx.doc
	end := del.clock + del.length
	for clock := del.clock; clock < end; {
		r := tx.cleanStart(unitID{del.client, clock})
		if d.item(r).end() > end {
			tx.cleanEnd(unitID{del.client, end - 1})
		}
		visit(r)
		clock = d.item(r).end()
	}
}

// noteDeleteOrder remembers the order in which a remote transaction first deleted something of each
// client. The order decides what cleanFormats removes: once it meets a deleted format, it leaves the
// other gaps of that text to cleanText.
func (tx *Txn) noteDeleteOrder() {
	if !tx.tracked {
		return
	}
	seen := make(map[clientRef]bool)
	for _, del := range tx.deletes {
		if !seen[del.client] {
			seen[del.client] = true
			tx.deleteOrder = append(tx.deleteOrder, del.client)
		}
	}
}

// deletesInOrder yields the deleted ranges client by client, as Yjs visits its delete set.
func (tx *Txn) deletesInOrder() iter.Seq[deleteRange] {
	if len(tx.deleteOrder) < 2 {
		return slices.Values(tx.deletes)
	}
	return func(yield func(deleteRange) bool) {
		for _, c := range tx.deleteOrder {
			from, _ := slices.BinarySearchFunc(tx.deletes, c, func(del deleteRange, c clientRef) int {
				return cmp.Compare(del.client, c)
			})
			for ; from < len(tx.deletes) && tx.deletes[from].client == c; from++ {
				if !yield(tx.deletes[from]) {
					return
				}
			}
		}
	}
}
