package crdt

import (
	"math/bits"
	"unicode/utf8"
)

// This file holds short cuts for what people do most: typing on, and deleting step by step. The
// general way makes an item or cuts one, and the commit then merges it with its neighbour. A short
// cut moves the border between the two at once, and is taken only where the commit would merge.
// Whoever watches a transaction sees items, so a transaction that is tracked takes none.

// extendText appends s to the item left of the place, if that is the newest one of this replica and
// the new item would merge into it (Yjs: Item.mergeWith).
func (p *textPos) extendText(tx *Txn, b branchRef, s string, units int) bool {
	d := tx.doc
	if p.left == 0 || tx.tracked || d.arena.surrogates || len(s) != units && !utf8.ValidString(s) {
		return false
	}
	it := d.item(p.left)
	if it.kind != kindString || it.flags&(flagDeleted|flagKeep|flagRedone) != 0 || it.right != p.right {
		return false
	}
	cl := d.clients[it.client]
	if cl.id != d.self || it.end() != cl.state || uint64(cl.state)+uint64(units) > maxClock {
		return false
	}
	var right unitID
	if p.right != 0 {
		right = d.item(p.right).id()
	}
	if it.rightOrigin != right || len(d.arena.buf)+len(s) > maxArena-int(it.size) {
		return false
	}
	tx.touch(it.client)
	d.growText(it, s)
	it.length += uint32(units)
	cl.state += uint32(units)
	d.branch(b).length += uint32(units)
	d.types.itemGrew(d, p.left, units)
	p.index += units
	return true
}

// growText appends to the bytes of an item, in place if there is room.
func (d *Doc) growText(it *item, s string) {
	a := &d.arena
	size, total := it.size, it.size+uint32(len(s))
	switch room := it.capacity(); {
	case total <= room:
		copy(a.buf[it.off+size:], s)
	case int(it.off+room) == len(a.buf):
		a.buf = append(a.buf[:it.off+size], s...)
		it.flags &^= flagPadded
	default:
		a.dead += room
		padded := uint32(1) << bits.Len32(total-1)
		off := a.put(a.buf[it.off : it.off+size])
		a.buf = append(a.buf, s...)
		a.buf = append(a.buf, make([]byte, padded-total)...)
		it.off = off
		it.flags |= flagPadded
	}
	it.size = total
}

// deleteAtBorder deletes n units at index if they are the end or the start of an item and adjoin a
// collected item that was once one run with it. r is an item at or before index, with at units before
// it, as typeState.find gives them.
func (tx *Txn) deleteAtBorder(b branchRef, r itemRef, at, index, n int) bool {
	d := tx.doc
	if tx.tracked || d.keepDeleted || d.arena.surrogates {
		return false
	}
	if r, at = d.types.holding(d, b, r, at, index); r == 0 {
		return false
	}
	it := d.item(r)
	if it.kind != kindString || it.flags&(flagKeep|flagRedone) != 0 || int(it.length) <= n || it.size != it.length {
		return false
	}
	switch index - at {
	case int(it.length) - n:
		return tx.deleteEnd(b, r, index, uint32(n))
	case 0:
		return tx.deleteStart(b, r, index, uint32(n))
	}
	return false
}

// deleteEnd moves the last n units of text r to the collected item after it.
func (tx *Txn) deleteEnd(b branchRef, r itemRef, index int, n uint32) bool {
	d := tx.doc
	it := d.item(r)
	if it.right == 0 || !d.adjoins(r, it.right) {
		return false
	}
	gone := d.item(it.right)
	if gone.kind != kindDeleted || gone.flags&(flagKeep|flagRedone|flagMarked) != 0 || d.types.of(b).pointsUnmarked(it.right) {
		return false
	}
	cl := d.clients[it.client]
	p := cl.blocks.find(gone.clock)
	if next, ok := cl.blocks.next(p); ok && d.merges(it.right, cl.blocks.at(next).ref) {
		return false
	}
	d.arena.dead += it.capacity() - it.size + n
	it.flags &^= flagPadded
	it.size -= n
	it.length -= n
	gone.clock -= n
	gone.length += n
	gone.origin = it.lastID()
	cl.blocks.at(p).clock = gone.clock
	tx.deletedAtBorder(b, r, deleteRange{it.client, gone.clock, n}, index)
	return true
}

// deleteStart moves the first n units of text r to the collected item before it.
func (tx *Txn) deleteStart(b branchRef, r itemRef, index int, n uint32) bool {
	d := tx.doc
	it := d.item(r)
	if it.left == 0 || it.flags&flagMarked != 0 || d.types.of(b).pointsUnmarked(r) || !d.adjoins(it.left, r) {
		return false
	}
	gone := d.item(it.left)
	if gone.kind != kindDeleted || gone.flags&(flagKeep|flagRedone) != 0 {
		return false
	}
	cl := d.clients[it.client]
	p := cl.blocks.find(it.clock)
	if next, ok := cl.blocks.next(p); ok && d.merges(r, cl.blocks.at(next).ref) {
		return false
	}
	before, _ := cl.blocks.prev(p) // the collected item
	if before, ok := cl.blocks.prev(before); ok && d.merges(cl.blocks.at(before).ref, it.left) {
		return false
	}
	d.arena.dead += it.capacity() - it.size + n
	it.flags &^= flagPadded
	it.off += n
	it.size -= n
	deleted := deleteRange{it.client, it.clock, n}
	it.clock += n
	it.length -= n
	gone.length += n
	it.origin = gone.lastID()
	cl.blocks.at(p).clock = it.clock
	tx.deletedAtBorder(b, r, deleted, index)
	return true
}

func (tx *Txn) deletedAtBorder(b branchRef, r itemRef, del deleteRange, index int) {
	d := tx.doc
	d.branch(b).length -= del.length
	tx.deletes = append(tx.deletes, del)
	d.types.itemGrew(d, r, -int(del.length))
	d.types.shift(d, b, index, -int(del.length))
}

// adjoins tells whether right continues left, in its sequence and in its client's clocks.
func (d *Doc) adjoins(left, right itemRef) bool {
	l, r := d.item(left), d.item(right)
	return l.right == right && l.client == r.client && l.end() == r.clock &&
		r.origin == l.lastID() && r.rightOrigin == l.rightOrigin
}

// merges tells whether a commit that looks at two blocks would merge them. Blocks that could merge
// may stand side by side until some commit does.
func (d *Doc) merges(left, right itemRef) bool {
	l, r := d.item(left), d.item(right)
	return l.kind == r.kind && (l.flags^r.flags)&flagDeleted == 0 && d.adjoins(left, right)
}

// textTail is the last units code units of a text, found from its end; ok is false when they are more
// than a few or start within a surrogate pair. What was just typed at the end of a long text is
// encoded without reading all of it.
func textTail(b []byte, units uint32) (tail []byte, ok bool) {
	if units > 64 {
		return nil, false
	}
	at := len(b)
	for units > 0 && at > 0 {
		at--
		for at > 0 && b[at]&0xC0 == 0x80 {
			at--
		}
		units--
		if b[at] >= 0xF0 {
			if units == 0 {
				return nil, false
			}
			units--
		}
	}
	return b[at:], units == 0
}
