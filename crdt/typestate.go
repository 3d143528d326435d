package crdt

import "math"

// typeState is what the shared types keep in a Doc beside the blocks. Its methods are called by the
// core as blocks change.
type typeState struct {
	// marks are the position markers of types that were edited or read by position.
	marks    map[branchRef]*markers
	lastType branchRef // the type whose markers were asked for last
	lastMark *markers
	// moved are types with markers that a remote transaction changed.
	moved []branchRef

	// loads holds Subdoc.ShouldLoad of the references made here.
	loads map[unitID]bool
	// tokens leads from a format item to the one whose value object it shares; see Doc.formatToken.
	tokens map[unitID]uint64
}

func (s *typeState) setLoad(u unitID, load bool) {
	if s.loads == nil {
		s.loads = make(map[unitID]bool)
	}
	s.loads[u] = load
}

// tracks tells whether Txn.changed must be filled.
func (s *typeState) tracks(*Doc) bool { return len(s.marks) > 0 }

// observe runs at phase 2 of a commit (Yjs: the calls to _callObserver). After a remote change it
// drops the markers of changed types, and asks for the removal of redundant formats if a text with
// formats changed.
func (s *typeState) observe(d *Doc, tx *Txn) {
	if tx.local {
		return
	}
	for _, b := range tx.changedOrder {
		br := d.branch(b)
		if br.item != 0 && d.item(br.item).deleted() {
			continue
		}
		s.forget(d, b)
		if !d.opts.NoFormatCleanup && br.flags&branchHasFormat != 0 && (br.kind == KindText || br.kind == KindXMLText) {
			tx.formatCleanup = true
		}
	}
}

// itemInserted says that r was linked into its chain. Markers are told of insertions by the
// operations that make them (markers.shift).
func (s *typeState) itemInserted(*Doc, itemRef) {}

// itemSplit says that right was cut off left: a marker stays at the left part, whose index is the same.
func (s *typeState) itemSplit(*Doc, itemRef, itemRef) {}

// itemMerged says that right is about to be forgotten: left, which is next to it, takes its units
// over and already has their length (Yjs: Item.mergeWith).
func (s *typeState) itemMerged(d *Doc, left, right itemRef) {
	m := s.of(d.parentOf(d.item(left)))
	if m == nil {
		return
	}
	l, r := d.item(left), d.item(right)
	visible := !l.deleted() && l.countable()
	for i := range m.list {
		if m.list[i].item != right {
			continue
		}
		m.list[i].item = left
		m.hidden = true // left may lack flagMarked
		if visible {
			m.list[i].index -= int(l.length - r.length)
		}
	}
}

// itemDeleted says that r was marked deleted; its length is unchanged.
func (s *typeState) itemDeleted(d *Doc, r itemRef) {
	it := d.item(r)
	if it.flags&flagMarked != 0 {
		if m := s.of(d.parentOf(it)); m != nil {
			m.hidden = true
		}
	}
}

// branchCollected says that all items of the type become gc blocks.
func (s *typeState) branchCollected(d *Doc, b branchRef) { s.forget(d, b) }

// maxMarkers is how many positions a type remembers (Yjs: maxSearchMarker).
const maxMarkers = 80

// markers remember the positions of some items of a type, so that a search by position starts
// nearby. They follow Yjs's ArraySearchMarker to the letter, because where a search starts decides
// next to which tombstones a new item is put, and so the bytes of the update.
type markers struct {
	list  []marker
	clock uint64 // source of marker.stamp
	// hidden says that the next insertion must run reveal: since the last one a marker
	// may have come to a deleted item, or its item may have lost flagMarked.
	hidden bool
}

type marker struct {
	item  itemRef
	index int    // units before item
	stamp uint64 // when it was used last
}

// of returns the markers of a type, nil if it has none.
func (s *typeState) of(b branchRef) *markers {
	if b == s.lastType {
		return s.lastMark
	}
	m := s.marks[b]
	if m != nil {
		s.lastType, s.lastMark = b, m
	}
	return m
}

// marked tells whether positions in the type may be remembered (Yjs: _searchMarker is not null).
func (br *branch) marked() bool {
	return br.flags&branchHasFormat == 0 && (br.kind == KindText || br.kind == KindXMLText || br.kind == KindArray)
}

// forget drops the markers of a type. The items keep flagMarked, as they do in Yjs.
func (s *typeState) forget(d *Doc, b branchRef) {
	if m := s.of(b); m != nil {
		m.list = m.list[:0]
		m.hidden = false
	}
}

// last is the item of the marker with the highest index, from which the end of the sequence is not
// far; 0 if there is none.
func (s *typeState) last(d *Doc, b branchRef) itemRef {
	m := s.of(b)
	if m == nil || !d.branch(b).marked() {
		return 0
	}
	var r itemRef
	index := 0
	for i := range m.list {
		if m.list[i].index > index {
			r, index = m.list[i].item, m.list[i].index
		}
	}
	return r
}

// find returns an item at or before unit index together with the number of units before that item;
// ok is false when the search must start at the beginning (Yjs: findMarker).
func (s *typeState) find(d *Doc, b branchRef, index int) (r itemRef, at int, ok bool) {
	br := d.branch(b)
	r = d.start(b)
	if index == 0 || r == 0 || !br.marked() {
		return 0, 0, false
	}
	m := s.of(b)
	if m == nil {
		m = &markers{}
		if s.marks == nil {
			s.marks = make(map[branchRef]*markers)
		}
		s.marks[b] = m
		s.lastType, s.lastMark = b, m
		br.flags |= branchIndexed
	}
	near := m.nearest(index)
	if near >= 0 {
		r, at = m.list[near].item, m.list[near].index
		m.clock++
		m.list[near].stamp = m.clock
	}
	r, at = d.seek(r, at, index)
	if near >= 0 && float64(abs(m.list[near].index-at)) < float64(br.length)/maxMarkers {
		m.move(d, near, r, at)
	} else {
		m.add(d, r, at)
	}
	return r, at, true
}

// nearest is the marker closest to index, the last one of several; -1 if there is none.
func (m *markers) nearest(index int) int {
	best, distance := -1, math.MaxInt
	for i := range m.list {
		if n := abs(index - m.list[i].index); n <= distance {
			best, distance = i, n
		}
	}
	return best
}

// seek walks from an item, with at units before it, to the one at or before index. It ends at an
// item that cannot merge into its left neighbour, which would invalidate a marker.
func (d *Doc) seek(r itemRef, at, index int) (itemRef, int) {
	it := d.item(r)
	for it.right != 0 && at < index {
		if !it.deleted() && it.countable() {
			if index < at+int(it.length) {
				break
			}
			at += int(it.length)
		}
		r = it.right
		it = d.item(r)
	}
	for it.left != 0 && at > index {
		r = it.left
		it = d.item(r)
		if !it.deleted() && it.countable() {
			at -= int(it.length)
		}
	}
	for it.left != 0 {
		left := d.item(it.left)
		if left.client != it.client || left.clock+left.length != it.clock {
			break
		}
		r, it = it.left, left
		if !it.deleted() && it.countable() {
			at -= int(it.length)
		}
	}
	return r, at
}

// move points marker i elsewhere (Yjs: overwriteMarker).
func (m *markers) move(d *Doc, i int, r itemRef, at int) {
	old := m.list[i].item
	m.clock++
	m.list[i] = marker{r, at, m.clock}
	m.flag(d, r)
	if old == r {
		return
	}
	d.item(old).flags &^= flagMarked
	for j := range m.list {
		if m.list[j].item == old {
			m.hidden = true // that marker's item now lacks flagMarked
		}
	}
}

func (m *markers) flag(d *Doc, r itemRef) {
	it := d.item(r)
	it.flags |= flagMarked
	if it.deleted() || !it.countable() {
		m.hidden = true
	}
}

// add makes a marker, in place of the one unused for longest if there are enough
// (Yjs: markPosition).
func (m *markers) add(d *Doc, r itemRef, at int) {
	if len(m.list) < maxMarkers {
		m.clock++
		m.flag(d, r)
		m.list = append(m.list, marker{r, at, m.clock})
		return
	}
	oldest := 0
	for i := range m.list {
		if m.list[i].stamp < m.list[oldest].stamp {
			oldest = i
		}
	}
	m.move(d, oldest, r, at)
}

// shift tells the markers of a type that n units are about to be inserted at index, or that -n
// units were deleted there (Yjs: updateMarkerChanges).
func (s *typeState) shift(d *Doc, b branchRef, index, n int) {
	m := s.of(b)
	if m == nil || !d.branch(b).marked() {
		return
	}
	if n > 0 && m.hidden {
		m.reveal(d)
	}
	for i := range m.list {
		k := &m.list[i]
		if index < k.index || n > 0 && index == k.index {
			k.index = max(index, k.index+n)
		}
	}
}

// reveal moves the markers of deleted items to the visible item before them, and drops those that
// have none or meet another marker there.
func (m *markers) reveal(d *Doc) {
	m.hidden = false
	for i := len(m.list) - 1; i >= 0; i-- {
		k := &m.list[i]
		r := k.item
		d.item(r).flags &^= flagMarked
		for r != 0 {
			it := d.item(r)
			if !it.deleted() && it.countable() {
				break
			}
			r = it.left
			if r != 0 {
				if it = d.item(r); !it.deleted() && it.countable() {
					k.index -= int(it.length)
				}
			}
		}
		if r == 0 || d.item(r).flags&flagMarked != 0 {
			m.list = append(m.list[:i], m.list[i+1:]...)
			continue
		}
		k.item = r
		d.item(r).flags |= flagMarked
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
