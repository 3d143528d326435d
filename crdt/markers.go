package crdt

import (
	"math"
	"slices"
)

// maxMarkers is how many positions a type remembers (Yjs: maxSearchMarker).
const maxMarkers = 80

// markers remember the positions of some items of a type, so that a search by position starts
// nearby. They give exactly what Yjs's ArraySearchMarker gives, because where a search starts decides
// next to which tombstones a new item is put, and so the bytes of the update. Yjs keeps a list and
// goes through all of it for each search and each edit. Here the markers are sorted, with a gap at
// the place of the last edit:
//
//  1. low holds the markers before the gap, ascending, high those after it, descending: the markers
//     next to the gap are the last ones of both.
//  2. A marker in low knows its index, one in high its distance from total. An edit at the gap
//     changes total alone.
//  3. The item of every marker is visible and has flagMarked, or it is in doubt.
type markers struct {
	low, high []marker
	total     int
	clock     uint64 // source of marker.stamp
	order     uint32 // source of marker.order
	// doubt holds items for reveal to look at before the next insertion. When there would be too many,
	// doubtAll stands for all items.
	doubt    []itemRef
	doubtAll bool
	scratch  []marker

	// index takes the place of long walks; nil until steps is over indexAfter.
	index *posIndex
	steps int
}

type marker struct {
	item  itemRef
	order uint32 // the place in Yjs's list
	at    int    // units before item; in high: markers.total less that
	stamp uint64 // when it was used last
}

// walked counts the steps of a walk.
func (m *markers) walked(steps int) {
	if steps > shortWalk {
		m.steps += steps
	}
}

func (m *markers) clear() {
	m.low, m.high, m.doubt, m.doubtAll = m.low[:0], m.high[:0], m.doubt[:0], false
}

const maxDoubt = 8

// question notes that the item of a marker may have been deleted or lack flagMarked.
func (m *markers) question(r itemRef) {
	if len(m.doubt) == maxDoubt {
		m.doubtAll = true
		return
	}
	if !slices.Contains(m.doubt, r) {
		m.doubt = append(m.doubt, r)
	}
}

// doubts tells whether item r is in doubt.
func (m *markers) doubts(r itemRef) bool { return m.doubtAll || slices.Contains(m.doubt, r) }

func (m *markers) last() itemRef {
	if len(m.high) > 0 {
		return m.high[0].item
	}
	if n := len(m.low); n > 0 {
		return m.low[n-1].item
	}
	return 0
}

// gap moves the gap so that low holds exactly the markers with an index of at most index.
func (m *markers) gap(index int) {
	for n := len(m.low); n > 0 && m.low[n-1].at > index; n-- {
		k := m.low[n-1]
		k.at = m.total - k.at
		m.low = m.low[:n-1]
		m.high = append(m.high, k)
	}
	for n := len(m.high); n > 0 && m.total-m.high[n-1].at <= index; n-- {
		k := m.high[n-1]
		k.at = m.total - k.at
		m.high = m.high[:n-1]
		m.low = append(m.low, k)
	}
}

// put inserts a marker at its place.
func (m *markers) put(k marker) {
	if n := len(m.high); n > 0 && k.at > m.total-m.high[n-1].at {
		k.at = m.total - k.at
		for n > 0 && m.high[n-1].at > k.at {
			n--
		}
		m.high = slices.Insert(m.high, n, k)
		return
	}
	n := len(m.low)
	for n > 0 && m.low[n-1].at > k.at {
		n--
	}
	m.low = slices.Insert(m.low, n, k)
}

// nearest takes out the marker closest to index, of several the last one of Yjs's list. The gap must
// be at index.
func (m *markers) nearest(index int) (best marker, ok bool) {
	from, i := &m.low, -1
	distance := 0
	for n := len(m.low) - 1; n >= 0; n-- {
		k := &m.low[n]
		if i >= 0 && index-k.at > distance {
			break
		}
		if i < 0 || k.order > m.low[i].order {
			i, distance, best = n, index-k.at, *k
		}
	}
	for n := len(m.high) - 1; n >= 0; n-- {
		k := m.high[n]
		k.at = m.total - k.at
		if i >= 0 && k.at-index > distance {
			break
		}
		if i < 0 || k.at-index < distance || k.order > best.order {
			from, i, distance, best = &m.high, n, k.at-index, k
		}
	}
	if i < 0 {
		return marker{}, false
	}
	*from = slices.Delete(*from, i, i+1)
	return best, true
}

// find returns an item at or before unit index, with the number of units before it. start is the
// first item of the sequence, length its length in units (Yjs: findMarker).
func (m *markers) find(d *Doc, start itemRef, index, length int) (r itemRef, at int) {
	m.gap(index)
	k, ok := m.nearest(index)
	if !ok {
		r, at = m.seek(d, start, 0, index, length)
		m.add(d, r, at)
		return r, at
	}
	m.clock++
	k.stamp = m.clock
	r, at = m.seek(d, k.item, k.at, index, length)
	if moved := abs(k.at - at); float64(moved) < float64(length)/maxMarkers {
		m.move(d, k, r, at)
		return r, at
	}
	m.put(k)
	m.add(d, r, at)
	return r, at
}

// seek goes from an item, with at units before it, to the one at or before index. It ends at an item
// that does not continue its left neighbour: that one could merge, which would invalidate a marker.
func (m *markers) seek(d *Doc, r itemRef, at, index, length int) (itemRef, int) {
	steps, limit := 0, m.limit()
	it := d.item(r)
	for it.right != 0 && at < index && steps < limit {
		n := it.visibleUnits()
		if n > 0 && index < at+n {
			break
		}
		at += n
		r = it.right
		it = d.item(r)
		steps++
	}
	for it.left != 0 && at > index && steps < limit {
		r = it.left
		it = d.item(r)
		at -= it.visibleUnits()
		steps++
	}
	for d.continues(it) && steps < limit {
		r = it.left
		it = d.item(r)
		at -= it.visibleUnits()
		steps++
	}
	if steps == limit {
		return m.jump(d, r, at, index, length)
	}
	m.walked(steps)
	return r, at
}

// limit is how many steps a walk may have before the index takes over.
func (m *markers) limit() int {
	if m.index == nil {
		return math.MaxInt
	}
	return shortWalk
}

// jump is the rest of seek by the index.
func (m *markers) jump(d *Doc, r itemRef, at, index, length int) (itemRef, int) {
	x, s := m.index, d.types
	switch {
	case at < index && index > length:
		r = x.last(d)
		at = length - d.item(r).visibleUnits()
	case at < index:
		r, at = x.holding(d, index-1)
		if it := d.item(r); at+it.visibleUnits() == index && it.right != 0 {
			r, at = it.right, index
		}
	case at > index:
		r, at = x.holding(d, index)
	}
	return x.runStart(s, d, r, at)
}

// move puts back a marker that was taken out, at another item (Yjs: overwriteMarker).
func (m *markers) move(d *Doc, k marker, r itemRef, at int) {
	old := k.item
	m.clock++
	k.item, k.at, k.stamp = r, at, m.clock
	m.flag(d, r)
	if old != r {
		d.item(old).flags &^= flagMarked
		if m.points(old) {
			m.question(old)
		}
	}
	m.put(k)
}

// points tells whether a marker is at the item.
func (m *markers) points(r itemRef) bool {
	at := func(k marker) bool { return k.item == r }
	return slices.ContainsFunc(m.low, at) || slices.ContainsFunc(m.high, at)
}

// pointsUnmarked is points for an item without flagMarked.
func (m *markers) pointsUnmarked(r itemRef) bool { return m.doubts(r) && m.points(r) }

func (m *markers) flag(d *Doc, r itemRef) {
	it := d.item(r)
	it.flags |= flagMarked
	if it.deleted() || !it.countable() {
		m.question(r)
	}
}

// add makes a marker, in place of the one unused for longest if there are enough
// (Yjs: markPosition).
func (m *markers) add(d *Doc, r itemRef, at int) {
	if len(m.low)+len(m.high) < maxMarkers {
		m.clock++
		m.order++
		m.flag(d, r)
		m.put(marker{item: r, order: m.order, at: at, stamp: m.clock})
		return
	}
	from, oldest := &m.low, -1
	for _, list := range []*[]marker{&m.low, &m.high} {
		for i := range *list {
			if oldest < 0 || (*list)[i].stamp < (*from)[oldest].stamp {
				from, oldest = list, i
			}
		}
	}
	k := (*from)[oldest]
	*from = slices.Delete(*from, oldest, oldest+1)
	m.move(d, k, r, at)
}

// shift says that n units are about to be inserted at index, or that -n units were deleted there
// (Yjs: updateMarkerChanges).
func (m *markers) shift(d *Doc, index, n int) {
	if n > 0 {
		if len(m.doubt) > 0 {
			m.reveal(d)
		}
		m.gap(index - 1)
		m.total += n
		return
	}
	m.gap(index)
	m.total += n
	// What was in the deleted range is now at its place.
	for len(m.high) > 0 {
		k := m.high[len(m.high)-1]
		if m.total-k.at > index {
			break
		}
		k.at = index
		m.high = m.high[:len(m.high)-1]
		m.low = append(m.low, k)
	}
}

// takeAll empties the markers and returns them with their indexes.
func (m *markers) takeAll() []marker {
	all := append(m.scratch[:0], m.low...)
	for _, k := range m.high {
		k.at = m.total - k.at
		all = append(all, k)
	}
	m.low, m.high, m.scratch = m.low[:0], m.high[:0], all
	return all
}

// reveal moves the markers of deleted items to the visible item before them, and drops those that
// have none or meet another marker there.
func (m *markers) reveal(d *Doc) {
	suspects := m.scratch[:0]
	take := func(list []marker, high bool) []marker {
		return slices.DeleteFunc(list, func(k marker) bool {
			if !m.doubts(k.item) || !d.hides(k.item) {
				return false
			}
			if high {
				k.at = m.total - k.at
			}
			suspects = append(suspects, k)
			return true
		})
	}
	m.low, m.high = take(m.low, false), take(m.high, true)
	m.scratch, m.doubt, m.doubtAll = suspects, m.doubt[:0], false
	if len(suspects) > 1 {
		slices.SortFunc(suspects, func(a, b marker) int { return int(b.order) - int(a.order) })
	}
	for _, k := range suspects {
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
					k.at -= int(it.length)
				}
			}
		}
		if r == 0 || d.item(r).flags&flagMarked != 0 {
			continue
		}
		k.item = r
		d.item(r).flags |= flagMarked
		m.put(k)
	}
}

// hides tells whether a marker at the item needs reveal.
func (d *Doc) hides(r itemRef) bool {
	it := d.item(r)
	return it.deleted() || !it.countable() || it.flags&flagMarked == 0
}

// merged moves markers from right, whose units left took over, to left (Yjs: Item.mergeWith).
func (m *markers) merged(d *Doc, left, right itemRef) {
	l, r := d.item(left), d.item(right)
	if r.flags&flagMarked == 0 && !m.pointsUnmarked(right) || !m.points(right) {
		return
	}
	m.question(left) // it may lack flagMarked
	back := 0
	if !l.deleted() && l.countable() {
		back = int(l.length - r.length)
	}
	for _, k := range m.takeAll() {
		if k.item == right {
			k.item = left
			k.at -= back
		}
		m.put(k)
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
