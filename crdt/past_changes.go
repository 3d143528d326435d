package crdt

import "iter"

// ListChange is a run of elements of a list with what became of them between two moments.
type ListChange struct {
	Change Change
	// Run says which units they are; its length is that of Values.
	Run Run
	// Values are the elements. A type reads as it is now; its own changes are told by its methods.
	Values []Value
}

// EntryChange is a key of a map, or an attribute, whose value is not the same at two moments.
type EntryChange struct {
	Key    string
	Action KeyAction
	// Before and After are the values, undefined where Action says that there is none.
	Before, After Value
	// Author is the unit that set After, or for KeyDelete the one that had set Before: who deleted it
	// is whoever sent the update that does.
	Author ID
}

// Changes yields the elements of two snapshots together, in order. The array must not change meanwhile.
func (a Array) Changes(prev, next Snapshot) iter.Seq[ListChange] { return a.listChanges(prev, next) }

// Changes yields the children of two snapshots together, in order. The fragment must not change
// meanwhile.
func (f XMLFragment) Changes(prev, next Snapshot) iter.Seq[ListChange] {
	return f.listChanges(prev, next)
}

// Changes yields the keys whose values were set or deleted between two snapshots, in the order in
// which they were first used. The map must not change meanwhile.
func (m Map) Changes(prev, next Snapshot) iter.Seq[EntryChange] { return m.entryChanges(prev, next) }

// AttrChanges yields the attributes that were set or removed between two snapshots.
func (e XMLElement) AttrChanges(prev, next Snapshot) iter.Seq[EntryChange] {
	return e.entryChanges(prev, next)
}

// AttrChanges yields the attributes of the text as a whole that were set or removed between two
// snapshots.
func (t Text) AttrChanges(prev, next Snapshot) iter.Seq[EntryChange] {
	return t.entryChanges(prev, next)
}

func (n node) listChanges(prev, next Snapshot) iter.Seq[ListChange] {
	return func(yield func(ListChange) bool) {
		if n.doc == nil {
			return
		}
		d := n.doc
		var c ListChange
		goOn := true
		flush := func() bool {
			if len(c.Values) > 0 && goOn {
				goOn = yield(c)
			}
			return goOn
		}
		d.eachPiece(n.b, d.past(prev), d.past(next), func(pc piece) bool {
			if !pc.it.countable() {
				return true
			}
			id := d.publicID(pc.id)
			if c.Change != pc.change() || !c.Run.follows(id) {
				if !flush() {
					return false
				}
				c = ListChange{Change: pc.change(), Run: Run{id.Client, Range{id.Clock, id.Clock}}}
			}
			c.Run.Clocks.To += Clock(pc.len)
			return d.valuesOf(pc.it, pc.len, pc.data, func(v Value) bool {
				c.Values = append(c.Values, v)
				return true
			})
		})
		flush()
	}
}

func (n node) entryChanges(prev, next Snapshot) iter.Seq[EntryChange] {
	return func(yield func(EntryChange) bool) {
		if n.doc == nil {
			return
		}
		d := n.doc
		before, after := d.past(prev), d.past(next)
		for ch := d.branch(n.b).firstKey; ch != 0; ch = d.chain(ch).nextKey {
			old, oldUnit := before.keyUnit(ch)
			now, nowUnit := after.keyUnit(ch)
			if old == now && oldUnit == nowUnit {
				continue
			}
			c := EntryChange{Key: d.key(d.chain(ch).key), Action: KeyUpdate}
			if old != 0 {
				c.Before, c.Author = d.valueAt(d.item(old), oldUnit), d.authorOf(old, oldUnit)
			} else {
				c.Action = KeyAdd
			}
			if now != 0 {
				c.After, c.Author = d.valueAt(d.item(now), nowUnit), d.authorOf(now, nowUnit)
			} else {
				c.Action = KeyDelete
			}
			if !yield(c) {
				return
			}
		}
	}
}

// authorOf is the ID of a unit of an item.
func (d *Doc) authorOf(r itemRef, unit uint32) ID {
	u := d.item(r).id()
	u.clock += unit
	return d.publicID(u)
}
