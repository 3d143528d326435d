package crdt

import (
	"iter"
	"strings"
)

// Query is the first element below the fragment with this tag, in whatever case;
// the zero XMLElement if there is none (Yjs: YXmlFragment.querySelector, which takes
// tags only).
func (f XMLFragment) Query(tag string) XMLElement {
	for e := range f.QueryAll(tag) {
		return e
	}
	return XMLElement{}
}

// QueryAll yields the elements below the fragment with this tag, in whatever case,
// parents before their children. The tree must not change meanwhile.
// (Yjs: YXmlFragment.querySelectorAll.)
func (f XMLFragment) QueryAll(tag string) iter.Seq[XMLElement] {
	tag = strings.ToUpper(toWTF8(tag))
	return func(yield func(XMLElement) bool) {
		for v := range f.Descendants() {
			if kind, _ := v.TypeKind(); kind != KindXMLElement {
				continue
			}
			if e := v.XMLElement(); strings.ToUpper(e.Tag()) == tag && !yield(e) {
				return
			}
		}
	}
}

// Unshift inserts nodes at the start.
func (f XMLFragment) Unshift(tx *Txn, nodes ...Value) { f.Insert(tx, 0, nodes...) }

// Unshift inserts values at the start.
func (a Array) Unshift(tx *Txn, vals ...Value) { a.Insert(tx, 0, vals...) }

// NextSibling is the node after this one; undefined when there is none.
func (h XMLHook) NextSibling() Value { return h.sibling(true) }

// PrevSibling is the node before this one; undefined when there is none.
func (h XMLHook) PrevSibling() Value { return h.sibling(false) }

// Values yields the values in the order of All.
func (m Map) Values() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for _, v := range m.All() {
			if !yield(v) {
				return
			}
		}
	}
}
