package crdt

// typeState is what the shared types keep in a Doc beside the blocks. Its methods are called by the
// core as blocks change. Those that only look work on nil too.
type typeState struct {
	// marks are the position markers of types that were edited or read by position.
	marks    map[branchRef]*markers
	lastType branchRef // the type whose markers were asked for last
	lastMark *markers

	// group has, for the items of types with a posIndex, the number of their group.
	group []uint32

	// loads holds Subdoc.ShouldLoad of the references made here.
	loads map[unitID]bool
	// tokens leads from a format item to the one whose value object it shares; see Doc.formatToken.
	tokens map[unitID]uint64
}

// typed returns the state of the types, making it as needed.
func (d *Doc) typed() *typeState {
	if d.types == nil {
		d.types = new(typeState)
	}
	return d.types
}

func (s *typeState) setLoad(u unitID, load bool) {
	if s.loads == nil {
		s.loads = make(map[unitID]bool)
	}
	s.loads[u] = load
}

func (s *typeState) setToken(u unitID, token uint64) {
	if s.tokens == nil {
		s.tokens = make(map[unitID]uint64)
	}
	s.tokens[u] = token
}

// load is what setLoad was told of a unit.
func (s *typeState) load(u unitID) (load, ok bool) {
	if s != nil {
		load, ok = s.loads[u]
	}
	return load, ok
}

// token is what setToken was told of a unit.
func (s *typeState) token(u unitID) (token uint64, ok bool) {
	if s != nil {
		token, ok = s.tokens[u]
	}
	return token, ok
}

// tracks tells whether Txn.changed must be filled.
func (s *typeState) tracks() bool { return s != nil && len(s.marks) > 0 }

// observe runs at phase 2 of a commit for each changed type (Yjs: _callObserver). After a remote
// change it drops the markers of the type, and asks for the removal of redundant formats if it is a
// text with formats.
func (s *typeState) observe(d *Doc, tx *Txn, b branchRef) {
	if tx.local {
		return
	}
	br := d.branch(b)
	s.forget(d, b)
	if !d.noFormatCleanup && br.flags&branchHasFormat != 0 && (br.kind == KindText || br.kind == KindXMLText) {
		tx.formatCleanup = true
	}
}

// itemInserted says that r was linked into its chain. Markers are told of insertions by the
// operations that make them (typeState.shift).
func (s *typeState) itemInserted(d *Doc, r itemRef) {
	if m := s.of(d.parentOf(d.item(r))); m != nil && m.index != nil {
		m.index.inserted(s, d, r)
	}
}

// itemSplit says that right was cut off left. A marker stays at the left part, whose index is the same.
func (s *typeState) itemSplit(d *Doc, left, right itemRef) {
	if m := s.of(d.parentOf(d.item(left))); m != nil && m.index != nil {
		m.index.split(s, d, left, right)
	}
}

// itemMerged says that right is about to be forgotten: left, which is next to it, takes its units
// over and already has their length.
func (s *typeState) itemMerged(d *Doc, left, right itemRef) {
	if m := s.of(d.parentOf(d.item(left))); m != nil {
		m.merged(d, left, right)
		if m.index != nil {
			m.index.merged(s, d, left, right)
		}
	}
}

// itemDeleted says that r was marked deleted; its length is unchanged.
func (s *typeState) itemDeleted(d *Doc, r itemRef) {
	it := d.item(r)
	m := s.of(d.parentOf(it))
	if m == nil {
		return
	}
	if it.flags&flagMarked != 0 {
		m.question(r)
	}
	switch {
	case m.index == nil:
	case it.countable():
		m.index.grew(s, r, -int(it.length))
	case it.kind == kindFormat:
		m.index.formatDeleted(s, r)
	}
}

// itemGrew says that the border of a visible item moved by units.
func (s *typeState) itemGrew(d *Doc, r itemRef, units int) {
	if m := s.of(d.parentOf(d.item(r))); m != nil && m.index != nil {
		m.index.grew(s, r, units)
	}
}

// branchCollected says that all items of the type become gc blocks.
func (s *typeState) branchCollected(d *Doc, b branchRef) {
	if m := s.of(b); m != nil {
		m.clear()
		m.index = nil
	}
}

// of returns the markers of a type, nil if it has none.
func (s *typeState) of(b branchRef) *markers {
	if s == nil {
		return nil
	}
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
		m.clear()
	}
}

// last is the last item of a sequence; 0 if it is empty (Yjs: typeListPushGenerics).
func (s *typeState) last(d *Doc, b branchRef) itemRef {
	r := d.start(b)
	m := s.of(b)
	if r == 0 || m == nil || !d.branch(b).marked() {
		for r != 0 && d.item(r).right != 0 {
			r = d.item(r).right
		}
		return r
	}
	if near := m.last(); near != 0 {
		r = near
	}
	return s.end(d, b, r)
}

// find returns an item at or before unit index together with the number of units before that item;
// ok is false when the search must start at the beginning (Yjs: findMarker).
func (s *typeState) find(d *Doc, b branchRef, index int) (r itemRef, at int, ok bool) {
	br := d.branch(b)
	r = d.start(b)
	if index == 0 || r == 0 || !br.marked() {
		return 0, 0, false
	}
	m := s.need(d, b)
	r, at = m.find(d, r, index, int(br.length))
	return r, at, true
}

// need returns the markers of a type, made as needed, and with an index if walks
// have cost enough.
func (s *typeState) need(d *Doc, b branchRef) *markers {
	m := s.of(b)
	if m == nil {
		s, m = d.typed(), &markers{}
		if s.marks == nil {
			s.marks = make(map[branchRef]*markers)
		}
		s.marks[b] = m
		s.lastType, s.lastMark = b, m
		d.branch(b).flags |= branchIndexed
	}
	if m.index == nil && m.steps > indexAfter {
		m.index = s.newIndex(d, b)
		m.steps = 0
	}
	return m
}

// walked counts the steps of a walk to a position that took no marker.
func (s *typeState) walked(d *Doc, b branchRef, steps int) {
	if steps > shortWalk {
		s.need(d, b).walked(steps)
	}
}

// indexAfter is after how many steps of walks to positions a type gets a posIndex. Walks of at most
// shortWalk steps are not counted, and cost less than a search in the index.
const (
	indexAfter = 1 << 15
	shortWalk  = 32
)

// holding is the visible item that holds a unit, with the units before it; 0 when there is none. The
// walk to it starts at item r with at units, at most unit, before it.
func (s *typeState) holding(d *Doc, b branchRef, r itemRef, at, unit int) (itemRef, int) {
	if unit >= int(d.branch(b).length) {
		return 0, 0
	}
	m := s.of(b)
	limit := m.limit()
	for steps := 0; steps < limit; steps++ {
		it := d.item(r)
		n := it.visibleUnits()
		if unit < at+n {
			m.walked(steps)
			return r, at
		}
		at += n
		r = it.right
	}
	return m.index.holding(d, unit)
}

// end is the last item of the sequence. The walk to it starts at item r.
func (s *typeState) end(d *Doc, b branchRef, r itemRef) itemRef {
	m := s.of(b)
	if m.index != nil {
		return m.index.last(d)
	}
	steps := 0
	for d.item(r).right != 0 {
		r = d.item(r).right
		steps++
	}
	m.walked(steps)
	return r
}

// shift tells the markers of a type that n units are about to be inserted at index, or that -n
// units were deleted there (Yjs: updateMarkerChanges).
func (s *typeState) shift(d *Doc, b branchRef, index, n int) {
	if m := s.of(b); m != nil && d.branch(b).marked() {
		m.shift(d, index, n)
	}
}
