package crdt

import "sort"

// ranges is a sorted list of disjoint clock ranges that do not touch.
type ranges []span

// span is the clocks from up to, not including, to.
type span struct{ from, to uint32 }

// search returns the index of the first range that ends at or after clock.
func (rs ranges) search(clock uint32) int {
	if n := len(rs); n == 0 || rs[n-1].to < clock {
		return n
	}
	return sort.Search(len(rs), func(i int) bool { return rs[i].to >= clock })
}

// add inserts a range, joining it with those it touches. It tells whether
// anything was added.
func (rs *ranges) add(from, to uint32) bool {
	if from >= to {
		return false
	}
	s := *rs
	i := s.search(from)
	if i == len(s) {
		*rs = append(s, span{from, to})
		return true
	}
	if s[i].from <= from && to <= s[i].to {
		return false
	}
	j := i // first range after the new one
	for j < len(s) && s[j].from <= to {
		j++
	}
	if i == j {
		s = append(s, span{})
		copy(s[i+1:], s[i:])
		s[i] = span{from, to}
		*rs = s
		return true
	}
	s[i] = span{min(from, s[i].from), max(to, s[j-1].to)}
	*rs = append(s[:i+1], s[j:]...)
	return true
}

// has tells whether a clock is in the set.
func (rs ranges) has(clock uint32) bool {
	i := sort.Search(len(rs), func(i int) bool { return rs[i].to > clock })
	return i < len(rs) && rs[i].from <= clock
}

// covers tells whether all clocks of a range, which is not empty, are in the set.
func (rs ranges) covers(r span) bool {
	i := rs.search(r.from + 1)
	return i < len(rs) && rs[i].from <= r.from && r.to <= rs[i].to
}
