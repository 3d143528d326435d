package crdt

import "bytes"

// segment is a run of units of one item of past, in the sequence that is to be brought back.
type segment struct {
	item  itemRef // of past
	units uint32
	data  []byte // of a run that is lost; text and values only those of its units
	// stays says that the units are in the document's sequence, not deleted and with the same content.
	stays bool
	// at is the first unit in the document's sequence and place the item there; none if at.client is 0.
	at    unitID
	place uint32
}

// firstUnits is how many units of a lost segment are its first character.
func (s *segment) firstUnits(past *Doc) uint32 {
	if past.item(s.item).kind == kindString && s.data[0] >= 0xf0 {
		return 2
	}
	return 1
}

// align compares the sequences of two types: rv.segments becomes what is to be in that of b, in
// order, and tells what of it is there. Items never move, so what is in both sequences is in the same
// order in both; what is not, in a forged history, counts as lost.
func (rv *reverting) align(b, pb branchRef) {
	d, past := rv.tx.doc, rv.past
	rv.segments, rv.text = rv.segments[:0], textCursor{}
	rv.lastPlace, rv.lastClock = 0, 0
	place := uint32(0)
	for r := d.start(b); r != 0; r = d.item(r).right {
		place++
		rv.places[r] = place
	}
	seq := d.branch(b).seq
	for r := past.start(pb); r != 0; {
		it := past.item(r)
		switch {
		case it.deleted():
		case it.kind == kindString:
			rv.alignText(seq, r, it)
		default:
			rv.alignUnits(seq, r, it)
		}
		r = it.right
	}
}

// alignUnits aligns an item that can be cut between any two units.
func (rv *reverting) alignUnits(seq chainRef, pr itemRef, it *item) {
	data := rv.past.data(it)
	for unit := uint32(0); unit < it.length; {
		r, n := rv.find(it, unit)
		s := segment{item: pr, units: n, data: data}
		if it.kind == kindAny || it.kind == kindJSON {
			data = skipValues(data, n)
			s.data = s.data[:len(s.data)-len(data)]
		}
		s.stays = r != 0 && rv.same(r, it, unit, s.data)
		rv.addSegment(seq, s, it, unit, r)
		unit += n
	}
}

// alignText aligns text. A pair of surrogates that was cut here since, which made two U+FFFD of it, or
// of which one half was deleted, is lost as a whole. Else only a forged history has another text.
func (rv *reverting) alignText(seq chainRef, pr itemRef, it *item) {
	d, data := rv.tx.doc, rv.past.data(it)
	for unit := uint32(0); unit < it.length; {
		r, n := rv.find(it, unit)
		alike := r != 0 && rv.alike(r, it)
		size, how := int(n), cutClean
		if it.size != it.length {
			size, how = cutText(data, n)
		}
		whole := how != cutPair
		if alike && whole {
			have, ok := rv.text.seek(d, r, it.clock+unit-d.item(r).clock)
			whole = ok && bytes.HasPrefix(have, data[:size])
		}
		if !alike && how == cutPair {
			n, size, whole = n+1, size+4, true
		}
		if whole {
			rv.addSegment(seq, segment{item: pr, units: n, data: data[:size], stays: alike}, it, unit, r)
			unit, data = unit+n, data[size:]
			continue
		}
		for end := unit + n; unit < end; {
			s := segment{item: pr, units: 1, data: data[:unitBytes(data)]}
			if len(s.data) == 4 {
				s.units = 2
			}
			if alike && unit+s.units <= end {
				have, ok := rv.text.seek(d, r, it.clock+unit-d.item(r).clock)
				s.stays = ok && bytes.HasPrefix(have, s.data)
			}
			rv.addSegment(seq, s, it, unit, r)
			unit, data = unit+s.units, data[len(s.data):]
		}
	}
}

// addSegment adds a segment, from a unit of an item on, that starts in block r of the document. It
// stays or has a place only if it comes behind the ones before it in the document, too.
func (rv *reverting) addSegment(seq chainRef, s segment, it *item, unit uint32, r itemRef) {
	d := rv.tx.doc
	placed := false
	if r != 0 && seq != 0 && d.item(r).chain == seq {
		s.at, s.place = rv.unitIn(it, unit), rv.places[r]
		placed = s.place > rv.lastPlace || s.place == rv.lastPlace && s.at.clock >= rv.lastClock
	}
	if placed {
		rv.lastPlace, rv.lastClock = s.place, s.at.clock+s.units
	} else {
		s.stays, s.at = false, unitID{}
	}
	if n := len(rv.segments); n > 0 {
		switch before := &rv.segments[n-1]; {
		case before.stays != s.stays:
		case s.stays && before.place == s.place && before.at.clock+before.units == s.at.clock:
			before.units += s.units
			return
		case !s.stays && before.item == s.item && it.kind != kindType:
			before.units += s.units
			before.data = before.data[:len(before.data)+len(s.data)]
			return
		}
	}
	rv.segments = append(rv.segments, s)
}

// textCursor finds places in the text of an item of the document, mostly from front to end.
type textCursor struct {
	item itemRef
	unit uint32
	at   int // in bytes
}

// seek is the text of an item from a unit on; ok is false if that is the second half of a pair.
func (c *textCursor) seek(d *Doc, r itemRef, unit uint32) (rest []byte, ok bool) {
	data := d.data(d.item(r))
	if len(data) == int(d.item(r).length) {
		return data[unit:], true
	}
	if r != c.item || unit < c.unit {
		*c = textCursor{item: r}
	}
	at, how := cutText(data[c.at:], unit-c.unit)
	if how == cutPair {
		return nil, false
	}
	c.unit, c.at = unit, c.at+at
	return data[c.at:], true
}
