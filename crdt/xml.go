package crdt

import (
	"fmt"
	"iter"
)

// XMLFragment is a shared list of XML nodes: elements, texts, hooks and fragments
// (Yjs: YXmlFragment). Positions count nodes.
type XMLFragment struct{ node }

// XMLElement is a shared XML element: a fragment with a tag and attributes (Yjs: YXmlElement). The
// values of attributes may be of any kind.
type XMLElement struct{ XMLFragment }

// XMLText is shared text within XML (Yjs: YXmlText).
type XMLText struct{ Text }

// XMLHook is a shared map with a name that stands among XML nodes (Yjs: YXmlHook).
type XMLHook struct{ Map }

// XMLFragment returns the root fragment of this name, making it as needed.
func (d *Doc) XMLFragment(name string) XMLFragment {
	return XMLFragment{node{d, d.root(toWTF8(name), KindXMLFragment)}}
}

// XMLElement returns the root of this name as an element, making it as needed. Its tag is "UNDEFINED".
func (d *Doc) XMLElement(name string) XMLElement {
	return XMLElement{XMLFragment{node{d, d.root(toWTF8(name), KindXMLElement)}}}
}

// XMLText returns the root of this name as XML text, making it as needed.
func (d *Doc) XMLText(name string) XMLText {
	return XMLText{Text{node{d, d.root(toWTF8(name), KindXMLText)}}}
}

// Len is the number of child nodes.
func (f XMLFragment) Len() int { return f.length() }

// At is child i; undefined when there is none.
func (f XMLFragment) At(i int) Value { return f.at(i) }

// Children yields the child nodes in order. The fragment must not change meanwhile.
func (f XMLFragment) Children() iter.Seq[Value] { return f.values() }

// Slice gives the children from start up to end; negative positions count from the end.
func (f XMLFragment) Slice(start, end int) []Value { return f.slice(start, end) }

// FirstChild is the first child node; undefined when there is none.
func (f XMLFragment) FirstChild() Value {
	for v := range f.values() {
		return v
	}
	return Value{}
}

// Insert inserts nodes before child at, which may be the length; beyond that it fails with ErrRange.
func (f XMLFragment) Insert(tx *Txn, at int, nodes ...Value) {
	if f.edit(tx) {
		tx.insertList(f.b, at, nodes)
	}
}

// InsertAfter inserts nodes behind the child ref, or at the start if ref is Null. It fails with
// ErrRange if ref is no child.
func (f XMLFragment) InsertAfter(tx *Txn, ref Value, nodes ...Value) {
	if !f.edit(tx) {
		return
	}
	var left itemRef
	if ref.kind != ValueNull {
		if ref.kind != ValueType || ref.doc != f.doc || ref.handleAny().Parent() != f.Value() {
			tx.fail(fmt.Errorf("%w: no child to insert after", ErrRange))
			return
		}
		left = f.doc.branch(branchRef(ref.num)).item
	}
	if err := f.doc.checkList(f.b, nodes); err != nil {
		tx.fail(err)
		return
	}
	tx.insertAfter(f.b, left, nodes)
}

// handleAny gives the node of an integrated type of any kind.
func (v Value) handleAny() node {
	if v.kind == ValueType && v.doc != nil {
		return node{v.doc, branchRef(v.num)}
	}
	return node{}
}

// Push appends nodes.
func (f XMLFragment) Push(tx *Txn, nodes ...Value) { f.Insert(tx, f.length(), nodes...) }

// Delete deletes n children from child at on. If there are fewer, it deletes those and fails with
// ErrRange, as in Yjs.
func (f XMLFragment) Delete(tx *Txn, at, n int) {
	if f.edit(tx) {
		tx.deleteList(f.b, at, n)
	}
}

// Descendants yields all nodes below the fragment, parents before their children
// (Yjs: YXmlTreeWalker). The tree must not change meanwhile.
func (f XMLFragment) Descendants() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if f.doc != nil {
			f.doc.walkXML(f.b, yield)
		}
	}
}

func (d *Doc) walkXML(b branchRef, yield func(Value) bool) {
	next := []itemRef{d.start(b)} // per level, the item to visit next
	for len(next) > 0 {
		top := &next[len(next)-1]
		r := *top
		if r == 0 {
			next = next[:len(next)-1]
			continue
		}
		it := d.item(r)
		*top = it.right
		if it.deleted() || it.kind != kindType {
			continue
		}
		if !yield(d.typeValue(it.branch())) {
			return
		}
		switch d.branch(it.branch()).kind {
		case KindXMLElement, KindXMLFragment:
			next = append(next, d.start(it.branch()))
		}
	}
}

// Tag is the element's name.
func (e XMLElement) Tag() string {
	if e.doc == nil {
		return ""
	}
	if e.doc.branch(e.b).item == 0 {
		return "UNDEFINED"
	}
	return e.doc.key(e.doc.branch(e.b).name)
}

// SetAttr sets an attribute.
func (e XMLElement) SetAttr(tx *Txn, key string, v Value) { e.set(tx, key, v) }

// RemoveAttr removes an attribute.
func (e XMLElement) RemoveAttr(tx *Txn, key string) { e.unset(tx, key) }

// Attr is an attribute; undefined when there is none.
func (e XMLElement) Attr(key string) Value { return e.get(key) }

// HasAttr reports whether there is such an attribute.
func (e XMLElement) HasAttr(key string) bool { return e.has(key) }

// Attrs yields the attributes in the order in which they were first set.
func (e XMLElement) Attrs() iter.Seq2[string, Value] { return e.all() }

// NextSibling is the node after this one; undefined when there is none.
func (e XMLElement) NextSibling() Value { return e.sibling(true) }

// PrevSibling is the node before this one; undefined when there is none.
func (e XMLElement) PrevSibling() Value { return e.sibling(false) }

// NextSibling is the node after this one; undefined when there is none.
func (t XMLText) NextSibling() Value { return t.sibling(true) }

// PrevSibling is the node before this one; undefined when there is none.
func (t XMLText) PrevSibling() Value { return t.sibling(false) }

// sibling is the nearest child of the parent beside this one that is not deleted, undefined if it is
// no type (Yjs: nextSibling, prevSibling).
func (n node) sibling(after bool) Value {
	if n.doc == nil {
		return Value{}
	}
	d := n.doc
	r := d.branch(n.b).item
	for r != 0 {
		if it := d.item(r); after {
			r = it.right
		} else {
			r = it.left
		}
		if r != 0 && !d.item(r).deleted() {
			break
		}
	}
	if r != 0 && d.item(r).kind == kindType {
		return d.typeValue(d.item(r).branch())
	}
	return Value{}
}

// Name is the hook's name.
func (h XMLHook) Name() string {
	if h.doc == nil {
		return ""
	}
	return h.doc.key(h.doc.branch(h.b).name)
}
