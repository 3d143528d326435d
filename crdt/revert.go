package crdt

import (
	"bytes"
	"fmt"
	"slices"
)

// Revert makes the document what it was at an earlier moment. past is the document as it was then: a
// Doc of its own, rebuilt from what was stored, of which all that was visible is still there. It may
// collect and is only read. What waits for a dependency, here or there, plays no part.
//
// The changes are ordinary edits. What is there at both moments stays as it is, with its IDs, so that
// positions and comments that refer to it hold; what is newer is deleted; what was lost is inserted
// again next to where it was deleted, under new IDs; types that live at both moments change within.
// Roots unknown to past are emptied. The types then have the same content in the same order, formats
// included. Edits made elsewhere meanwhile merge with it like with any other edit, and to undo it is to
// revert to the moment before it. A document that is like past is not changed.
//
// What past knows and this document does not is inserted like what was lost, so that past may be of
// another history altogether. But if that history arrives later, it is there twice.
//
// It fails with ErrLimit before it changes anything if types would nest too deep or the document would
// be too large for this package. It takes time in proportion to the blocks of both documents.
func (tx *Txn) Revert(past *Doc) {
	d := tx.doc
	if tx.err != nil || past == d {
		return
	}
	rv := reverting{tx: tx, past: past, places: make([]uint32, d.slab.next+1)}
	rv.meetClients()
	if err := rv.checkLimits(); err != nil {
		tx.fail(err)
		return
	}
	rv.pairRoots()
	for i := 0; i < len(rv.todo) && tx.err == nil; i++ {
		p := rv.todo[i]
		rv.align(p.b, p.past)
		rv.rewrite(p.b)
		rv.revertKeys(p.b, p.past)
		d.types.forget(d, p.b)
	}
}

// reverting is a Revert on its way, type by type.
type reverting struct {
	tx      *Txn
	past    *Doc
	clients []knownClient // by the numbers that past has for them
	todo    []revertPair

	// The sequence at hand:
	segments []segment
	// places are the places of its items in it, by itemRef. Items made since are not among them: a
	// sequence is cut only after it was aligned.
	places []uint32
	// lastPlace and lastClock are the place of the last segment that has one, and the clock after it.
	lastPlace, lastClock uint32
	text                 textCursor
	left, next           itemRef // how far it is rewritten
	buf                  []byte
}

// knownClient is a client of past in the document: its number, 0 if the document does not know it, and
// its state before the revert.
type knownClient struct {
	client clientRef
	state  uint32
}

// revertPair is a type of the document that is to become like one of past; 0 there stands for an
// empty one.
type revertPair struct{ b, past branchRef }

func (rv *reverting) meetClients() {
	d := rv.tx.doc
	rv.clients = make([]knownClient, len(rv.past.clients))
	for i := 1; i < len(rv.past.clients); i++ {
		c := d.findClient(rv.past.clients[i].id)
		rv.clients[i] = knownClient{c, d.clients[c].state}
	}
}

// checkLimits refuses what could fail half way.
func (rv *reverting) checkLimits() error {
	d, past := rv.tx.doc, rv.past
	var units uint64 // not deleted
	for _, c := range past.clients {
		for e := range c.blocks.all() {
			if it := past.item(e.ref); !it.deleted() {
				units += uint64(it.length)
			}
		}
	}
	if uint64(d.state(d.self))+units > maxClock || len(d.arena.buf)+len(past.arena.buf) > maxArena {
		return fmt.Errorf("%w: the document is too large to revert", ErrLimit)
	}
	if int(past.maxDepth) <= d.limits.TypeDepth {
		return nil
	}
	for i := range past.branches {
		br := &past.branches[i]
		if br.item == 0 || int(br.depth) <= d.limits.TypeDepth || past.item(br.item).deleted() {
			continue
		}
		it := past.item(br.item)
		if r, _ := rv.find(it, 0); r == 0 || d.item(r).deleted() {
			return fmt.Errorf("%w: types nested %d deep", ErrLimit, br.depth)
		}
	}
	return nil
}

func (rv *reverting) pairRoots() {
	d, past := rv.tx.doc, rv.past
	for b := range d.roots() {
		k, _ := past.lookupKey(d.key(d.branch(b).name))
		rv.todo = append(rv.todo, revertPair{b, past.findRoot(k)})
	}
	for pb := range past.roots() {
		name := past.key(past.branch(pb).name)
		if k, known := d.lookupKey(name); known && d.findRoot(k) != 0 || !past.hasContent(pb) {
			continue
		}
		rv.todo = append(rv.todo, revertPair{d.root(name, KindUndefined), pb})
	}
}

// hasContent tells whether anything in a type is not deleted.
func (d *Doc) hasContent(b branchRef) bool {
	for r := d.start(b); r != 0; r = d.item(r).right {
		if !d.item(r).deleted() {
			return true
		}
	}
	for range d.keyItems(b) {
		return true
	}
	return false
}

// find is the block of the document that holds a unit of an item of past, 0 if none does, and how many
// units from there on it holds, or it does not.
func (rv *reverting) find(it *item, unit uint32) (itemRef, uint32) {
	d, known, clock := rv.tx.doc, rv.clients[it.client], it.clock+unit
	if known.client == 0 || clock >= known.state {
		return 0, it.length - unit
	}
	r := d.blockAt(unitID{known.client, clock})
	return r, min(d.item(r).end(), it.end()) - clock
}

// unitIn is the ID that a unit of past has in the document, whose client is known.
func (rv *reverting) unitIn(it *item, unit uint32) unitID {
	return unitID{rv.clients[it.client].client, it.clock + unit}
}

// alike tells whether a block of the document is not deleted and of the kind of an item of past, of
// which it holds units. Only in forged histories it is of another.
func (rv *reverting) alike(r itemRef, it *item) bool {
	have := rv.tx.doc.item(r)
	return !have.deleted() && have.kind == it.kind
}

// same tells whether a block of the document has the content, whose bytes are given, of an item of
// past from a unit on, which is no text. In most histories it has if it is alike.
func (rv *reverting) same(r itemRef, it *item, unit uint32, data []byte) bool {
	d, past := rv.tx.doc, rv.past
	if !rv.alike(r, it) {
		return false
	}
	have := d.item(r)
	switch it.kind {
	case kindType:
		a, b := d.branch(have.branch()), past.branch(it.branch())
		return a.kind == b.kind && d.key(a.name) == past.key(b.name)
	case kindAny, kindJSON:
		return bytes.HasPrefix(d.valuesFrom(have, it.clock+unit-have.clock), data)
	}
	return bytes.Equal(d.data(have), data)
}

// contentOf is the content of units of an item of past, whose bytes are given, for an item of the
// document. A type is empty at first and waits in todo.
func (rv *reverting) contentOf(it *item, units uint32, data []byte) content {
	ct := content{kind: it.kind, length: units, data: data}
	if it.kind == kindType {
		pb := it.branch()
		br := rv.past.branch(pb)
		ct.branch = rv.tx.newBranch(br.kind, rv.past.key(br.name))
		rv.todo = append(rv.todo, revertPair{ct.branch, pb})
	}
	return ct
}

// revertKeys gives the keys of a type the values they had.
func (rv *reverting) revertKeys(b, pb branchRef) {
	tx, d, past := rv.tx, rv.tx.doc, rv.past
	for c := d.branch(b).firstKey; c != 0; c = d.chain(c).nextKey {
		ch := d.chain(c)
		if ch.last != 0 && !d.item(ch.last).deleted() && past.liveKey(pb, d.key(ch.key)) == 0 {
			tx.deleteItem(ch.last)
		}
	}
	for key, it := range past.keyItems(pb) {
		if tx.err != nil {
			return
		}
		k := d.intern(key)
		now := d.keyItem(b, k)
		last := it.length - 1
		data := past.data(it)
		switch it.kind {
		case kindAny, kindJSON:
			data = skipValues(data, last)
		case kindString:
			data = textFrom(data, last)
		}
		if r, _ := rv.find(it, last); r != 0 && r == now && d.item(r).lastID() == rv.unitIn(it, last) && rv.same(r, it, last, data) {
			if it.kind == kindType {
				rv.todo = append(rv.todo, revertPair{d.item(r).branch(), it.branch()})
			}
			continue
		}
		tx.insertItem(b, k, now, 0, rv.contentOf(it, 1, data))
	}
}

// rewrite makes the sequence of b what the segments say.
func (rv *reverting) rewrite(b branchRef) {
	rv.left, rv.next = 0, rv.tx.doc.start(b)
	for todo := rv.segments; len(todo) > 0 && rv.tx.err == nil; {
		if todo[0].stays {
			rv.keep(&todo[0])
			todo = todo[1:]
			continue
		}
		n := slices.IndexFunc(todo, func(s segment) bool { return s.stays })
		if n < 0 {
			n = len(todo)
		}
		rv.insert(b, todo[:n])
		todo = todo[n:]
	}
	for rv.next != 0 {
		rv.drop()
	}
}

// drop steps over the next item, which is not wanted.
func (rv *reverting) drop() {
	d := rv.tx.doc
	if !d.item(rv.next).deleted() {
		rv.tx.deleteItem(rv.next)
	}
	rv.left, rv.next = rv.next, d.item(rv.next).right
}

// goTo drops everything before a unit, which is in the sequence further on. A deleted item is not cut
// before the unit.
func (rv *reverting) goTo(u unitID) {
	d := rv.tx.doc
	for !d.item(rv.next).holds(u) {
		rv.drop()
	}
	if it := d.item(rv.next); it.clock < u.clock && !it.deleted() {
		rv.tx.split(rv.next, u.clock-it.clock)
		rv.drop()
	}
}

func (it *item) holds(u unitID) bool {
	return it.client == u.client && it.clock <= u.clock && u.clock < it.end()
}

// keep steps over a segment that stays.
func (rv *reverting) keep(s *segment) {
	d := rv.tx.doc
	rv.goTo(s.at)
	if s.units < d.item(rv.next).length {
		rv.tx.split(rv.next, s.units)
	}
	it := d.item(rv.next)
	if it.kind == kindType {
		rv.todo = append(rv.todo, revertPair{it.branch(), rv.past.item(s.item).branch()})
	}
	rv.left, rv.next = rv.next, it.right
}

// insert inserts segments that were lost, which follow one another. They go right behind the first
// character of the first one, whose units are deleted, or before it if it is all: so what others insert
// before or behind the lost content, knowing that it was deleted or not, mostly comes out before or
// behind it. (Two who insert at the very same place are ordered by their IDs.)
func (rv *reverting) insert(b branchRef, lost []segment) {
	tx, d := rv.tx, rv.tx.doc
	if at := lost[0].at; at.client != 0 {
		rv.goTo(at)
		first := lost[0].firstUnits(rv.past)
		if len(lost) == 1 && lost[0].units == first {
			first = 0
		}
		if it, end := d.item(rv.next), at.clock+first; it.clock < end {
			if end < it.end() {
				tx.split(rv.next, end-it.clock)
			}
			rv.drop()
		}
	}
	for len(lost) > 0 && tx.err == nil {
		it := rv.past.item(lost[0].item)
		units, data := lost[0].units, lost[0].data
		lost = lost[1:]
		if it.kind == kindString || it.kind == kindAny || it.kind == kindJSON {
			rv.buf = append(rv.buf[:0], data...)
			for len(lost) > 0 && rv.past.item(lost[0].item).kind == it.kind {
				if it.kind == kindString {
					rv.buf = appendJoined(rv.buf, lost[0].data)
				} else {
					rv.buf = append(rv.buf, lost[0].data...)
				}
				units += lost[0].units
				lost = lost[1:]
			}
			data = rv.buf
		}
		if r := tx.insertItem(b, 0, rv.left, rv.next, rv.contentOf(it, units, data)); r != 0 {
			rv.left = r
		}
	}
}
