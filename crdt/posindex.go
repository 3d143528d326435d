package crdt

import "slices"

// posIndex finds positions in a long sequence without walking it. It cuts the sequence into groups
// of neighbouring items and knows the visible units of each group. A type has one only after walks
// to positions have cost much; typing and short documents do without.
//
//  1. The items of a group are neighbours; groups follow each other as their items do.
//  2. typeState.group has the number of the group of each item.
type posIndex struct {
	groups []posGroup // by number
	free   []uint32   // numbers not in use
	order  []uint32   // numbers in sequence order
	units  []int      // visible units, by place in order
	sums   []int      // of each sumOf units
	// effects are what the formats of as many groups do; nil where not known.
	effects []*formatEffect
}

type posGroup struct {
	first itemRef
	count int // items
	place int // in posIndex.order
	// breaks counts the items that do not continue the clocks of the item left of them.
	breaks int
	// formats is what the formats in the group do; nil when not known. They
	// count only in a text that has formats.
	formats *formatEffect
}

// maxGroup is how many items a group may have.
const maxGroup = 64

// sumOf is over how many groups a search steps at first.
const sumOf = 32

// continues tells whether an item's clocks follow those of the item left of it.
func (d *Doc) continues(it *item) bool {
	if it.left == 0 {
		return false
	}
	left := d.item(it.left)
	return left.client == it.client && left.clock+left.length == it.clock
}

// visibleUnits is what an item adds to the length of its type.
func (it *item) visibleUnits() int {
	if it.deleted() || !it.countable() {
		return 0
	}
	return int(it.length)
}

func (s *typeState) setGroup(r itemRef, g uint32) {
	if int(r) >= len(s.group) {
		s.group = append(s.group, make([]uint32, int(r)+1+len(s.group)/2-len(s.group))...)
	}
	s.group[r] = g
}

// newIndex indexes the sequence of a type.
func (s *typeState) newIndex(d *Doc, b branchRef) *posIndex {
	x := &posIndex{groups: make([]posGroup, 1)}
	for r := d.start(b); r != 0; r = d.item(r).right {
		n := len(x.order)
		if n == 0 || x.groups[x.order[n-1]].count == maxGroup/2 {
			x.addGroup(n, r)
		}
		x.take(s, d, x.order[len(x.order)-1], r)
	}
	return x
}

// addGroup puts an empty group at a place.
func (x *posIndex) addGroup(place int, first itemRef) uint32 {
	var g uint32
	if n := len(x.free); n > 0 {
		g = x.free[n-1]
		x.free = x.free[:n-1]
	} else {
		g = uint32(len(x.groups))
		x.groups = append(x.groups, posGroup{})
	}
	x.groups[g] = posGroup{first: first}
	x.order = slices.Insert(x.order, place, g)
	x.units = slices.Insert(x.units, place, 0)
	x.renumber(place)
	return g
}

// renumber corrects what depends on the places of groups, from a place on.
func (x *posIndex) renumber(from int) {
	for i := from; i < len(x.order); i++ {
		x.groups[x.order[i]].place = i
	}
	x.sums = x.sums[:min(len(x.sums), from/sumOf)]
	for i := len(x.sums) * sumOf; i < len(x.units); i += sumOf {
		sum := 0
		for _, n := range x.units[i:min(i+sumOf, len(x.units))] {
			sum += n
		}
		x.sums = append(x.sums, sum)
	}
	kept := min(len(x.effects), from/sumOf)
	x.effects = append(x.effects[:kept], make([]*formatEffect, len(x.sums)-kept)...)
}

// count adds visible units at a place.
func (x *posIndex) count(place, n int) {
	x.units[place] += n
	x.sums[place/sumOf] += n
}

// take counts an item in.
func (x *posIndex) take(s *typeState, d *Doc, g uint32, r itemRef) {
	it := d.item(r)
	group := &x.groups[g]
	group.count++
	if !d.continues(it) {
		group.breaks++
	}
	x.count(group.place, it.visibleUnits())
	if it.kind == kindFormat {
		x.formatsChanged(g)
	}
	s.setGroup(r, g)
}

// inserted notes that r was linked into the sequence.
func (x *posIndex) inserted(s *typeState, d *Doc, r itemRef) {
	it := d.item(r)
	var g uint32
	switch {
	case it.left != 0:
		g = s.group[it.left]
	case it.right != 0:
		g = s.group[it.right]
		x.groups[g].first = r
	default:
		g = x.addGroup(0, r)
	}
	x.take(s, d, g, r)
	if it.right != 0 {
		x.relinked(s, d, it, d.item(it.right))
	}
	x.divide(s, d, g)
}

// relinked corrects the breaks for the item right of a new one, which was the neighbour of the item
// left of it before.
func (x *posIndex) relinked(s *typeState, d *Doc, it, right *item) {
	before := false
	if it.left != 0 {
		left := d.item(it.left)
		before = left.client == right.client && left.clock+left.length == right.clock
	}
	if now := d.continues(right); now != before {
		group := &x.groups[s.group[it.right]]
		if now {
			group.breaks--
		} else {
			group.breaks++
		}
	}
}

// split notes that right was cut off left.
func (x *posIndex) split(s *typeState, d *Doc, left, right itemRef) {
	g := s.group[left]
	s.setGroup(right, g)
	x.groups[g].count++
	x.divide(s, d, g)
}

// merged notes that left took over the units of right, which is about to go.
func (x *posIndex) merged(s *typeState, d *Doc, left, right itemRef) {
	g, h := s.group[left], s.group[right]
	group := &x.groups[h]
	if g != h {
		n := d.item(right).visibleUnits()
		x.count(group.place, -n)
		x.count(x.groups[g].place, n)
	}
	group.count--
	if group.first == right {
		group.first = d.item(right).right
	}
	if group.count == 0 {
		x.order = slices.Delete(x.order, group.place, group.place+1)
		x.units = slices.Delete(x.units, group.place, group.place+1)
		x.free = append(x.free, h)
		x.renumber(group.place)
	}
}

// formatDeleted notes that a format was deleted.
func (x *posIndex) formatDeleted(s *typeState, r itemRef) { x.formatsChanged(s.group[r]) }

func (x *posIndex) formatsChanged(g uint32) {
	group := &x.groups[g]
	group.formats = nil
	x.effects[group.place/sumOf] = nil
}

// grew notes that the visible units of an item changed.
func (x *posIndex) grew(s *typeState, r itemRef, by int) {
	x.count(x.groups[s.group[r]].place, by)
}

// divide cuts a group in two if it is too long.
func (x *posIndex) divide(s *typeState, d *Doc, g uint32) {
	if x.groups[g].count <= maxGroup {
		return
	}
	keep := maxGroup / 2
	r := x.groups[g].first
	for range keep {
		r = d.item(r).right
	}
	n := x.groups[g].count - keep
	h := x.addGroup(x.groups[g].place+1, r)
	for range n {
		x.take(s, d, h, r)
		r = d.item(r).right
	}
	group := &x.groups[g]
	group.count = keep
	group.breaks -= x.groups[h].breaks
	x.formatsChanged(g)
	x.count(group.place, -x.units[x.groups[h].place])
}

// holding is the item that holds a unit, which must exist, with the units before it.
func (x *posIndex) holding(d *Doc, unit int) (r itemRef, at int) {
	sum := 0
	for at+x.sums[sum] <= unit {
		at += x.sums[sum]
		sum++
	}
	place := sum * sumOf
	for at+x.units[place] <= unit {
		at += x.units[place]
		place++
	}
	if end := at + x.units[place]; unit-at > end-unit && place+1 < len(x.order) {
		r = x.groups[x.order[place+1]].first
		for end > unit {
			r = d.item(r).left
			end -= d.item(r).visibleUnits()
		}
		return r, end
	}
	r = x.groups[x.order[place]].first
	for {
		it := d.item(r)
		n := it.visibleUnits()
		if unit < at+n {
			return r, at
		}
		at += n
		r = it.right
	}
}

// before counts the visible units before an item.
func (x *posIndex) before(s *typeState, d *Doc, r itemRef) int {
	group := &x.groups[s.group[r]]
	at := 0
	for _, n := range x.units[:group.place] {
		at += n
	}
	for it := group.first; it != r; it = d.item(it).right {
		at += d.item(it).visibleUnits()
	}
	return at
}

// runStart goes left from an item, with at units before it, as long as clocks continue.
func (x *posIndex) runStart(s *typeState, d *Doc, r itemRef, at int) (itemRef, int) {
	group := &x.groups[s.group[r]]
	for {
		it := d.item(r)
		if !d.continues(it) {
			return r, at
		}
		if r == group.first {
			group = &x.groups[x.order[group.place-1]]
			if group.breaks == 0 {
				at -= x.units[group.place]
				r = group.first
				continue
			}
		}
		r = it.left
		at -= d.item(r).visibleUnits()
	}
}

// last is the last item of the sequence; 0 if it is empty.
func (x *posIndex) last(d *Doc) itemRef {
	if len(x.order) == 0 {
		return 0
	}
	r := x.groups[x.order[len(x.order)-1]].first
	for d.item(r).right != 0 {
		r = d.item(r).right
	}
	return r
}
