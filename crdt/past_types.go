package crdt

import (
	"fmt"
	"iter"
)

// This file is the part of the views at a snapshot that concerns types other than text. A nested type
// comes as a handle, whose own methods that take a snapshot tell what it was then, even if it is
// deleted now.

// ValuesAt yields the elements at a snapshot in order. The array must not change meanwhile.
// (Yjs: typeListToArraySnapshot, which shows all of a block that the snapshot knows the start of,
// unless something has cut it there.)
func (a Array) ValuesAt(s Snapshot) iter.Seq[Value] { return a.valuesAt(s) }

// ChildrenAt yields the child nodes at a snapshot in order. The fragment must not change meanwhile.
func (f XMLFragment) ChildrenAt(s Snapshot) iter.Seq[Value] { return f.valuesAt(s) }

// ValueAt is the value of a key at a snapshot; false if it had none (Yjs: typeMapGetSnapshot). It goes
// back from the newest value of the key.
func (m Map) ValueAt(s Snapshot, key string) (Value, bool) { return m.valueAt(s, key) }

// AllAt yields keys and values at a snapshot in the order in which the keys were first used
// (Yjs: typeMapGetAllSnapshot). The map must not change meanwhile.
func (m Map) AllAt(s Snapshot) iter.Seq2[string, Value] { return m.allAt(s) }

// AttrAt is an attribute at a snapshot; false if there was none.
func (e XMLElement) AttrAt(s Snapshot, key string) (Value, bool) { return e.valueAt(s, key) }

// AttrsAt yields the attributes at a snapshot in the order in which they were first set
// (Yjs: YXmlElement.getAttributes with a snapshot).
func (e XMLElement) AttrsAt(s Snapshot) iter.Seq2[string, Value] { return e.allAt(s) }

// AttrAt is an attribute of the text as a whole at a snapshot; false if there was none.
func (t Text) AttrAt(s Snapshot, key string) (Value, bool) { return t.valueAt(s, key) }

// AttrsAt yields the attributes of the text as a whole at a snapshot.
func (t Text) AttrsAt(s Snapshot) iter.Seq2[string, Value] { return t.allAt(s) }

// StringAt is the XML at a snapshot; see XMLFragment.String.
func (f XMLFragment) StringAt(s Snapshot) string { return f.Value().JSONAt(s).Str() }

// StringAt is the XML at a snapshot; see XMLText.String.
func (t XMLText) StringAt(s Snapshot) string { return t.Value().JSONAt(s).Str() }

func (n node) valuesAt(s Snapshot) iter.Seq[Value] {
	if n.doc == nil {
		return func(func(Value) bool) {}
	}
	return n.doc.past(s).listValues(n.b)
}

func (n node) valueAt(s Snapshot, key string) (Value, bool) {
	if n.doc == nil {
		return Value{}, false
	}
	return n.doc.past(s).keyValue(n.b, toWTF8(key))
}

func (n node) allAt(s Snapshot) iter.Seq2[string, Value] {
	if n.doc == nil {
		return func(func(string, Value) bool) {}
	}
	return n.doc.past(s).entries(n.b)
}

// JSONAt is v as it was at a snapshot, with every shared type in it as a plain value; see JSON.
func (v Value) JSONAt(s Snapshot) Value {
	if v.kind != ValueType || v.doc == nil {
		return v
	}
	return valueJSON(v.doc.past(s), v)
}

// JSONAt is the document at a snapshot as a plain object; see JSON. A root without anything, deleted
// or not, at that moment counts as never used.
func (d *Doc) JSONAt(s Snapshot, kinds map[string]TypeKind) Value { return rootsJSON(d.past(s), kinds) }

// At makes a document of its own of what was known at a snapshot (Yjs: createDocFromSnapshot); opts
// are those of the new one. Only a document that keeps what is deleted can, another fails with
// ErrCollected; and one that does not know all of s fails with ErrRange. Roots keep their kinds. It
// takes the time of writing and reading what was known; a view of one type is cheaper: see the
// methods that take a snapshot. The document stays as it is.
func (d *Doc) At(s Snapshot, opts Options) (*Doc, error) {
	if !d.keepDeleted {
		return nil, fmt.Errorf("%w: the document does not keep what is deleted", ErrCollected)
	}
	for c, clock := range s.State.All() {
		if known := d.state(c); clock > Clock(known) {
			return nil, fmt.Errorf("%w: the snapshot has client %d up to clock %d, the document up to %d", ErrRange, c, clock, known)
		}
	}
	e := newEncoder(V2, nil)
	blocks := d.writeUpTo(e, s.State)
	writeIDSet(e, &s.Deletes)
	past := New(opts)
	// What this document holds was judged when it came in.
	limits := past.limits
	wide := *limits
	wide.BlocksPerUpdate = max(blocks, 1)
	wide.TypeDepth = max(limits.TypeDepth, int(d.maxDepth))
	past.limits = &wide
	if _, err := past.Apply(nil, V2, e.finish()); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	past.limits = limits
	var order []branchRef
	for b := range d.roots() {
		br := d.branch(b)
		k, known := past.lookupKey(d.key(br.name))
		if r := past.findRoot(k); known && r != 0 {
			past.branch(r).kind = br.kind
			order = append(order, r)
		} else if br.kind != KindUndefined {
			order = append(order, past.root(d.key(br.name), br.kind))
		}
	}
	past.firstRoot, past.lastRoot = 0, 0
	for _, b := range order {
		past.linkRoot(b)
	}
	return past, nil
}

// writeUpTo writes the blocks of each client up to a state, which must be known, and returns how many.
func (d *Doc) writeUpTo(e updateEncoder, sv StateVector) (blocks int) {
	e.uvarint(uint64(sv.Len()))
	for id, clock := range sv.All() {
		cl := d.clients[d.findClient(id)]
		last := cl.blocks.find(uint32(clock) - 1)
		n := cl.blocks.len() - cl.blocks.lenFrom(last) + 1
		blocks += n
		e.uvarint(uint64(n))
		e.client(id)
		e.uvarint(0)
		for b := range cl.blocks.all() {
			it := d.item(b.ref)
			if it.clock >= uint32(clock) {
				break
			}
			d.writePart(e, it, 0, min(it.length, uint32(clock)-it.clock))
		}
	}
	return blocks
}
