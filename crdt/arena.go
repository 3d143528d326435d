package crdt

const (
	slabShift = 9
	slabLen   = 1 << slabShift
	// slabFirst is how many items the first slab has room for; it grows to
	// slabLen, so that a tiny document stays tiny.
	slabFirst = 8
)

// slab allocates items. Only this file knows how.
type slab struct {
	// chunks hold slabLen items each; the last one grows up to that.
	chunks [][]item
	next   itemRef // number of the next fresh item; item 0 is never used
	free   itemRef // head of the free list, linked by item.right
	live   uint32
}

// at returns the item. The pointer is valid until the next allocation:
// never hold one across newItem, split or integrate.
func (s *slab) at(r itemRef) *item {
	return &s.chunks[r>>slabShift][r&(slabLen-1)]
}

// alloc returns a zeroed item.
func (s *slab) alloc() itemRef {
	s.live++
	if r := s.free; r != 0 {
		it := s.at(r)
		s.free = it.right
		*it = item{}
		return r
	}
	if s.next == 0 {
		s.next = 1
	}
	r := s.next
	s.next++
	c, at := int(r>>slabShift), int(r&(slabLen-1))
	switch {
	case c == len(s.chunks):
		n := slabLen
		if c == 0 {
			n = slabFirst
		}
		s.chunks = append(s.chunks, make([]item, n))
	case at == len(s.chunks[c]):
		grown := make([]item, min(2*at, slabLen))
		copy(grown, s.chunks[c])
		s.chunks[c] = grown
	}
	return r
}

// release puts an item on the free list. No link may lead to it any more.
func (s *slab) release(r itemRef) {
	s.live--
	it := s.at(r)
	*it = item{right: s.free, flags: flagFree}
	s.free = r
}

// reserve makes room for n items, for the first batch, of known size: one piece
// of memory, cut into chunks. It returns it, or nothing for a later batch.
func (s *slab) reserve(n int) []item {
	if len(s.chunks) > 0 || n == 0 {
		return nil
	}
	all := make([]item, n+1)
	room := all
	s.chunks = make([][]item, 0, n/slabLen+1)
	for ; len(room) > slabLen; room = room[slabLen:] {
		s.chunks = append(s.chunks, room[:slabLen:slabLen])
	}
	s.chunks = append(s.chunks, room)
	return all
}

// bytes is the memory of the slab.
func (s *slab) bytes() int {
	last := len(s.chunks) - 1
	if last < 0 {
		return 0
	}
	return (last*slabLen + len(s.chunks[last])) * itemBytes
}

const itemBytes = 52
