package crdt

import "iter"

// Entries yields the keys and values of an object, or of a shared type: the entries
// of a map, the attributes of an XML element or of a text. The type must not
// change meanwhile. A type that Yjs 14 made may have elements and entries alike,
// whatever kind the wire gives for it.
func (v Value) Entries() iter.Seq2[string, Value] {
	if v.kind == ValueType {
		return v.handleAny().all()
	}
	return v.Fields()
}
