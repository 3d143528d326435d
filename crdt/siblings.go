package crdt

import (
	"sort"
)

// siblings are the items of a chain with the same two origins: what many
// clients inserted at the same place. They stand in ascending order of their
// client IDs, with their descendants between them, so a new one may begin its
// scan at the last sibling of a lower client: nothing before that one would have
// ended the scan. Without this, n clients at one place cost n² steps, as they
// do in Yjs.
type siblings struct {
	groups [][]sibling // each sorted, not empty, of at most siblingGroup
}

type sibling struct {
	id ClientID
	unitID
}

// siblingKey names a place.
type siblingKey struct {
	chain               chainRef
	origin, rightOrigin unitID
}

const (
	siblingGroup = 256
	// longScan is how many steps a scan takes before the siblings are indexed.
	longScan = 64
	// maxSiblings is how many places are indexed at a time.
	maxSiblings = 16
)

func (it *item) siblingKey() siblingKey {
	return siblingKey{it.chain, it.origin, it.rightOrigin}
}

// place returns the group and the index in it at which a client belongs: after
// all lower ones.
func (s *siblings) place(id ClientID) (group, at int) {
	group = max(0, sort.Search(len(s.groups), func(i int) bool { return s.groups[i][0].id >= id })-1)
	g := s.groups[group]
	return group, sort.Search(len(g), func(i int) bool { return g[i].id >= id })
}

func (s *siblings) add(e sibling) {
	if len(s.groups) == 0 {
		s.groups = [][]sibling{{e}}
		return
	}
	i, at := s.place(e.id)
	g := append(s.groups[i], sibling{})
	copy(g[at+1:], g[at:])
	g[at] = e
	s.groups[i] = g
	if len(g) < siblingGroup {
		return
	}
	half := len(g) / 2
	s.groups[i] = g[:half:half]
	s.groups = append(s.groups, nil)
	copy(s.groups[i+2:], s.groups[i+1:])
	s.groups[i+1] = append([]sibling(nil), g[half:]...)
}

// scanFrom is where the scan for the place of a new item may begin: first, or
// a sibling after it.
func (d *Doc) scanFrom(it *item, first itemRef) itemRef {
	s := d.conflicts.siblings[it.siblingKey()]
	if s == nil {
		return first
	}
	id := d.clients[it.client].id
	i, at := s.place(id)
	start := first
	if at > 0 {
		e := s.groups[i][at-1]
		r := d.blockAt(e.unitID)
		if o := d.item(r); o.clock != e.clock || o.siblingKey() != it.siblingKey() {
			delete(d.conflicts.siblings, it.siblingKey())
			return first
		}
		start = r
	}
	s.add(sibling{id, it.id()})
	return start
}

// indexSiblings indexes the siblings of a new item, which stand from first on.
func (d *Doc) indexSiblings(it *item, first itemRef) {
	if len(d.conflicts.siblings) >= maxSiblings {
		clear(d.conflicts.siblings)
	}
	if d.conflicts.siblings == nil {
		d.conflicts.siblings = make(map[siblingKey]*siblings)
	}
	key := it.siblingKey()
	s := &siblings{}
	for o := first; o != 0 && o != it.right; {
		ot := d.item(o)
		if ot.siblingKey() == key {
			s.add(sibling{d.clients[ot.client].id, ot.id()})
		}
		o = ot.right
	}
	s.add(sibling{d.clients[it.client].id, it.id()})
	d.conflicts.siblings[key] = s
}
