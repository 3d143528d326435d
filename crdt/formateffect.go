package crdt

import "slices"

// formatEffect is what a run of formats does to the attributes that hold before
// it, the order of attributes included: it removes some and then sets some.
type formatEffect struct {
	drops []string
	sets  Attrs
}

// add adds the effect of one more format (Yjs: updateCurrentAttributes).
func (e *formatEffect) add(key string, v Value) {
	if v.kind != ValueNull {
		e.sets.set(key, v)
		return
	}
	e.sets.remove(key)
	if !slices.Contains(e.drops, key) {
		e.drops = append(e.drops, key)
	}
}

// apply changes attributes as the formats do one after the other.
func (e *formatEffect) apply(a *Attrs) {
	for _, key := range e.drops {
		a.remove(key)
	}
	for _, f := range e.sets {
		a.set(f.Key, f.Value)
	}
}

// effect is what the formats of a group do. It is worked out when it is asked
// for and kept until the group changes.
func (x *posIndex) effect(d *Doc, g uint32) *formatEffect {
	group := &x.groups[g]
	if group.formats != nil {
		return group.formats
	}
	e := &formatEffect{}
	r := group.first
	for range group.count {
		it := d.item(r)
		if it.kind == kindFormat && !it.deleted() {
			e.add(d.format(it))
		}
		r = it.right
	}
	group.formats = e
	return e
}

// effectOfSum is what the formats of sumOf groups do, as effect.
func (x *posIndex) effectOfSum(d *Doc, sum int) *formatEffect {
	if x.effects[sum] == nil {
		e := &formatEffect{}
		for place := sum * sumOf; place < min((sum+1)*sumOf, len(x.order)); place++ {
			one := x.effect(d, x.order[place])
			for _, key := range one.drops {
				e.add(key, Null())
			}
			for _, f := range one.sets {
				e.add(f.Key, f.Value)
			}
		}
		x.effects[sum] = e
	}
	return x.effects[sum]
}

// textAt is the place after unit index-1, and what Txn.textAt would find there,
// but for the cut in the middle of an item. index is positive.
func (x *posIndex) textAt(d *Doc, index int) (p textPos) {
	sum := 0
	for ; sum < len(x.sums) && p.index+x.sums[sum] < index; sum++ {
		p.index += x.sums[sum]
		x.effectOfSum(d, sum).apply(&p.attrs)
	}
	place := min(sum*sumOf, len(x.order))
	for ; place < len(x.order) && p.index+x.units[place] < index; place++ {
		p.index += x.units[place]
		x.effect(d, x.order[place]).apply(&p.attrs)
	}
	if place == len(x.order) {
		p.left = x.last(d)
		return p
	}
	for p.right = x.groups[x.order[place]].first; p.index < index; {
		p.forward(d)
	}
	return p
}
