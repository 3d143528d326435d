package crdt

import (
	"errors"
	"fmt"
)

// ErrValue says that a value cannot be stored where it was to go.
var ErrValue = errors.New("crdt: value not allowed here")

// node is what the handles of all shared types have in common. A handle is a small value, compared
// with ==; the zero handle is of no type: it reads as empty, and edits through it fail.
type node struct {
	doc *Doc
	b   branchRef
}

// Doc is the document that the type is part of; nil for the zero handle.
func (n node) Doc() *Doc { return n.doc }

// Valid reports whether the handle is of a type that is not deleted.
func (n node) Valid() bool { return n.doc != nil && !n.doc.typeDeleted(n.b) }

// Value is the type as a Value, as a list or map that holds it would give it.
func (n node) Value() Value {
	if n.doc == nil {
		return Value{}
	}
	return n.doc.typeValue(n.b)
}

// Parent is the type that holds this one; undefined for a root.
func (n node) Parent() Value {
	if n.doc == nil {
		return Value{}
	}
	if r := n.doc.branch(n.b).item; r != 0 && !n.doc.item(r).isGC() {
		return n.doc.typeValue(n.doc.parentOf(n.doc.item(r)))
	}
	return Value{}
}

// typeDeleted reports whether the item that carries a type is deleted.
func (d *Doc) typeDeleted(b branchRef) bool {
	r := d.branch(b).item
	return r != 0 && d.item(r).deleted()
}

// edit reports whether an operation of tx on the type may go on.
func (n node) edit(tx *Txn) bool {
	switch {
	case tx.err != nil:
	case n.doc == nil:
		tx.fail(fmt.Errorf("%w: no type", ErrRange))
	case n.doc != tx.doc:
		tx.fail(fmt.Errorf("%w: the type belongs to another document", ErrRange))
	case n.doc.typeDeleted(n.b):
		tx.fail(fmt.Errorf("%w: the type was deleted", ErrCollected))
	default:
		return true
	}
	return false
}

func (n node) length() int {
	if n.doc == nil {
		return 0
	}
	return int(n.doc.branch(n.b).length)
}

// TypeKind is the kind of the shared type that v holds, in a document or about to be inserted; ok is
// false if v holds none.
func (v Value) TypeKind() (kind TypeKind, ok bool) {
	switch {
	case v.kind != ValueType:
		return KindUndefined, false
	case v.doc != nil:
		return v.doc.branch(branchRef(v.num)).kind, true
	default:
		return v.ref.prelim.kind, true
	}
}

// handle gives the node of an integrated type of one of the kinds.
func (v Value) handle(kinds ...TypeKind) node {
	if v.kind == ValueType && v.doc != nil {
		b := branchRef(v.num)
		for _, k := range kinds {
			if v.doc.branch(b).kind == k {
				return node{v.doc, b}
			}
		}
	}
	return node{}
}

// Text is the text v holds; the zero Text if it holds none. An XMLText is a Text as well.
func (v Value) Text() Text { return Text{v.handle(KindText, KindXMLText)} }

// Array is the array v holds; the zero Array if it holds none.
func (v Value) Array() Array { return Array{v.handle(KindArray)} }

// Map is the map v holds; the zero Map if it holds none. An XMLHook is a Map as well.
func (v Value) Map() Map { return Map{v.handle(KindMap, KindXMLHook)} }

// XMLFragment is the fragment v holds; the zero XMLFragment if it holds none. An XMLElement is an
// XMLFragment as well.
func (v Value) XMLFragment() XMLFragment {
	return XMLFragment{v.handle(KindXMLFragment, KindXMLElement)}
}

// XMLElement is the element v holds; the zero XMLElement if it holds none.
func (v Value) XMLElement() XMLElement {
	return XMLElement{XMLFragment{v.handle(KindXMLElement)}}
}

// XMLText is the XML text v holds; the zero XMLText if it holds none.
func (v Value) XMLText() XMLText { return XMLText{Text{v.handle(KindXMLText)}} }

// XMLHook is the hook v holds; the zero XMLHook if it holds none.
func (v Value) XMLHook() XMLHook { return XMLHook{Map{v.handle(KindXMLHook)}} }
