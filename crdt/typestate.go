package crdt

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
// over and already has their length.
func (s *typeState) itemMerged(d *Doc, left, right itemRef) {
	if m := s.of(d.parentOf(d.item(left))); m != nil {
		m.merged(d, left, right)
	}
}

// itemDeleted says that r was marked deleted; its length is unchanged.
func (s *typeState) itemDeleted(d *Doc, r itemRef) {
	it := d.item(r)
	if it.flags&flagMarked != 0 {
		if m := s.of(d.parentOf(it)); m != nil {
			m.question(r)
		}
	}
}

// branchCollected says that all items of the type become gc blocks.
func (s *typeState) branchCollected(d *Doc, b branchRef) { s.forget(d, b) }

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
		m.clear()
	}
}

// last is an item not far from the end of the sequence; 0 if none is known.
func (s *typeState) last(d *Doc, b branchRef) itemRef {
	if m := s.of(b); m != nil && d.branch(b).marked() {
		return m.last()
	}
	return 0
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
	r, at = m.find(d, r, index, int(br.length))
	return r, at, true
}

// shift tells the markers of a type that n units are about to be inserted at index, or that -n
// units were deleted there (Yjs: updateMarkerChanges).
func (s *typeState) shift(d *Doc, b branchRef, index, n int) {
	if m := s.of(b); m != nil && d.branch(b).marked() {
		m.shift(d, index, n)
	}
}
