package crdt

import (
	"cmp"
	"slices"
	"sort"
	"unsafe"

	"ysync/internal/fault"
)

// ranges is a sorted list of disjoint clock ranges that do not touch.
type ranges []span

// span is the clocks from up to, not including, to.
type span struct{ from, to uint32 }

// packedRanges are ranges in sixteen bytes instead of the twenty-four of a slice: most
// clients of a set have a single range. There are fewer than 2^32, for they hold clocks.
type packedRanges struct {
	first *span
	n     uint32
	room  uint32
}

func pack(rs ranges) packedRanges {
	return packedRanges{unsafe.SliceData(rs), uint32(len(rs)), uint32(min(cap(rs), 1<<32-1))}
}

func (p packedRanges) list() ranges { return unsafe.Slice(p.first, p.room)[:p.n] }

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

// union adds all of other.
func (rs *ranges) union(other ranges) {
	if len(other) > 2 {
		if fault.Active(fault.DropDelete) {
			other = other[:len(other)-1]
		}
		*rs = joined(*rs, other)
		return
	}
	for _, r := range other {
		rs.add(r.from, r.to)
	}
}

// joined are two lists in order as one, without overlaps.
func joined(a, b ranges) ranges {
	out := make(ranges, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var next span
		if len(b) == 0 || len(a) > 0 && a[0].from <= b[0].from {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		if n := len(out); n > 0 && out[n-1].to >= next.from {
			out[n-1].to = max(out[n-1].to, next.to)
		} else {
			out = append(out, next)
		}
	}
	return out
}

// without is what of the ranges is not in others.
func (rs ranges) without(others ranges) ranges {
	var out ranges
	j := 0
	for _, r := range rs {
		for j < len(others) && others[j].to <= r.from {
			j++
		}
		for k := j; k < len(others) && others[k].from < r.to; k++ {
			if r.from < others[k].from {
				out = append(out, span{r.from, others[k].from})
			}
			r.from = min(others[k].to, r.to)
		}
		if r.from < r.to {
			out = append(out, r)
		}
	}
	return out
}

// normalise sorts ranges in any order and joins those that overlap or touch. There
// must be one.
func (rs *ranges) normalise() {
	s := *rs
	sortRanges(s)
	out := s[:1]
	for _, r := range s[1:] {
		if last := &out[len(out)-1]; r.from <= last.to {
			last.to = max(last.to, r.to)
		} else {
			out = append(out, r)
		}
	}
	*rs = out
}

func sortRanges(rs ranges) {
	slices.SortFunc(rs, func(a, b span) int { return cmp.Compare(a.from, b.from) })
}

// growingRanges are ranges that get many additions between two readings. What
// comes out of order waits, so that an addition does not move all that follow.
type growingRanges struct {
	// list are ranges in order, then waiting ones, disjoint only as far as the
	// additions were.
	list    ranges
	waiting int
}

// add adds a range that is not empty.
func (g *growingRanges) add(from, to uint32) {
	n := len(g.list)
	if g.waiting > 0 {
		switch last := &g.list[n-1]; {
		case last.to == from:
			last.to = to
			return
		case last.from == to:
			last.from = from
			return
		}
		if g.waiting >= 64+(n-g.waiting)/4 {
			g.settled()
		}
	} else if n == 0 || g.list[n-1].to < from {
		g.list = append(g.list, span{from, to})
		return
	} else if g.list[n-1].to == from {
		g.list[n-1].to = to
		return
	}
	g.list = append(g.list, span{from, to})
	g.waiting++
}

// settled are the ranges.
func (g *growingRanges) settled() ranges {
	if g.waiting == 0 {
		return g.list
	}
	s := g.list[:len(g.list)-g.waiting]
	w := g.list[len(s):]
	sortRanges(w)
	out := joined(s, w)
	g.list, g.waiting = out, 0
	return out
}

// clip gives back memory that is not used.
func (g *growingRanges) clip() { g.list = fit(g.settled()) }
