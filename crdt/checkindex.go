package crdt

import (
	"fmt"
	"reflect"
)

// check verifies the position indexes. Markers are not looked at: they are where they
// are in Yjs, which after some steps of undoing is not where it should be.
func (s *typeState) check(d *Doc) error {
	if s == nil {
		return nil
	}
	for b, m := range s.marks {
		if d.branch(b).flags&branchIndexed == 0 {
			return fmt.Errorf("type %d is not told to keep its positions", b)
		}
		if m.index == nil {
			continue
		}
		if err := m.index.check(s, d, b); err != nil {
			return fmt.Errorf("position index of type %d: %w", b, err)
		}
	}
	return nil
}

// check compares the index with the sequence.
func (x *posIndex) check(s *typeState, d *Doc, b branchRef) error {
	place, inGroup, units, breaks := 0, 0, 0, 0
	var formats formatEffect
	end := func() error {
		if place >= len(x.order) {
			return fmt.Errorf("%d groups, more are needed", len(x.order))
		}
		g := &x.groups[x.order[place]]
		if g.count != inGroup || x.units[place] != units || g.breaks != breaks || g.place != place {
			return fmt.Errorf("group %d is %+v with %d units, want %d items, %d units, %d breaks", place, *g, x.units[place], inGroup, units, breaks)
		}
		if g.formats != nil && !reflect.DeepEqual(*g.formats, formats) {
			return fmt.Errorf("formats of group %d do %+v, want %+v", place, *g.formats, formats)
		}
		formats = formatEffect{}
		place, inGroup, units, breaks = place+1, 0, 0, 0
		return nil
	}
	for r := d.start(b); r != 0; r = d.item(r).right {
		if place < len(x.order) && s.group[r] != x.order[place] {
			if err := end(); err != nil {
				return err
			}
		}
		if inGroup == 0 && (place >= len(x.order) || x.groups[x.order[place]].first != r) {
			return fmt.Errorf("group %d does not start with item %d", place, r)
		}
		it := d.item(r)
		inGroup++
		units += it.visibleUnits()
		if it.kind == kindFormat && !it.deleted() {
			formats.add(d.format(it))
		}
		if !d.continues(it) {
			breaks++
		}
	}
	if inGroup > 0 {
		if err := end(); err != nil {
			return err
		}
	}
	for i, sum := range x.sums {
		for _, n := range x.units[i*sumOf : min((i+1)*sumOf, len(x.units))] {
			sum -= n
		}
		if sum != 0 {
			return fmt.Errorf("sum %d is wrong by %d", i, sum)
		}
		if kept := x.effects[i]; kept != nil {
			x.effects[i] = nil
			if now := x.effectOfSum(d, i); !reflect.DeepEqual(kept, now) {
				return fmt.Errorf("formats of sum %d do %+v, want %+v", i, kept, now)
			}
		}
	}
	if place != len(x.order) {
		return fmt.Errorf("%d groups, want %d", len(x.order), place)
	}
	return nil
}
