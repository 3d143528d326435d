package crdt

import (
	"iter"
	"slices"
	"strings"
)

// String is the XML of the children, without escaping, as Yjs writes it (Yjs: YXmlFragment.toString).
func (f XMLFragment) String() string { return string(f.AppendString(nil)) }

// AppendString appends what String returns.
func (f XMLFragment) AppendString(dst []byte) []byte {
	if f.doc == nil {
		return dst
	}
	return appendXMLChildren(dst, f.doc, f.b)
}

// String is the XML of the element, without escaping: its tag in lower case, attributes by name,
// children (Yjs: YXmlElement.toString).
func (e XMLElement) String() string { return string(e.AppendString(nil)) }

// AppendString appends what String returns.
func (e XMLElement) AppendString(dst []byte) []byte {
	if e.doc == nil {
		return dst
	}
	return appendXMLElement(dst, e.doc, e.b)
}

// String is the text with its attributes as nested elements, without escaping
// (Yjs: YXmlText.toString). Text.String gives the text alone.
func (t XMLText) String() string { return string(t.AppendString(nil)) }

// AppendString appends what String returns.
func (t XMLText) AppendString(dst []byte) []byte {
	if t.doc == nil {
		return dst
	}
	return appendXMLText(dst, t.doc, t.b)
}

// reader reads the types of a document: as they are (*Doc), or as they were at a snapshot (*past).
type reader interface {
	document() *Doc
	listValues(b branchRef) iter.Seq[Value]
	entries(b branchRef) iter.Seq2[string, Value]
	eachChunk(b branchRef, yield func(DeltaOp) bool)
	appendText(dst []byte, b branchRef) []byte
	// known and knownKey tell whether an item, or a value under a key, was there, deleted or not.
	known(it *item) bool
	knownKey(c chainRef) bool
}

func (d *Doc) document() *Doc         { return d }
func (d *Doc) known(*item) bool       { return true }
func (d *Doc) knownKey(chainRef) bool { return true }

func appendXMLChildren(dst []byte, from reader, b branchRef) []byte {
	for v := range from.listValues(b) {
		dst = appendJSString(dst, from, v)
	}
	return dst
}

func appendXMLElement(dst []byte, from reader, b branchRef) []byte {
	tag := strings.ToLower(XMLElement{XMLFragment{node{from.document(), b}}}.Tag())
	dst = append(append(dst, '<'), tag...)
	var attrs []Field
	for k, v := range from.entries(b) {
		attrs = append(attrs, Field{k, v})
	}
	dst = appendXMLAttrs(dst, from, attrs)
	dst = append(dst, '>')
	dst = appendXMLChildren(dst, from, b)
	dst = append(append(dst, "</"...), tag...)
	return append(dst, '>')
}

func appendXMLAttrs(dst []byte, from reader, attrs []Field) []byte {
	slices.SortFunc(attrs, func(a, b Field) int { return compareUTF16(a.Key, b.Key) })
	for _, f := range attrs {
		dst = append(append(dst, ' '), f.Key...)
		dst = appendJSString(append(dst, `="`...), from, f.Value)
		dst = append(dst, '"')
	}
	return dst
}

func appendXMLText(dst []byte, from reader, b branchRef) []byte {
	from.eachChunk(b, func(op DeltaOp) bool {
		nodes := slices.Clone(op.Attrs)
		slices.SortFunc(nodes, func(a, b Field) int { return compareUTF16(a.Key, b.Key) })
		for _, n := range nodes {
			dst = append(append(dst, '<'), n.Key...)
			var attrs []Field
			for k, v := range n.Value.properties() {
				attrs = append(attrs, Field{k, v})
			}
			dst = append(appendXMLAttrs(dst, from, attrs), '>')
		}
		dst = appendJSString(dst, from, op.Insert)
		for i := len(nodes) - 1; i >= 0; i-- {
			dst = append(append(dst, "</"...), nodes[i].Key...)
			dst = append(dst, '>')
		}
		return true
	})
	return dst
}

const jsObjectString = "[object Object]"

// appendJSString appends what JavaScript's conversion of a value to a string gives; for shared types
// that is their toString.
func appendJSString(dst []byte, from reader, v Value) []byte {
	switch v.kind {
	case ValueUndefined:
		return append(dst, "undefined"...)
	case ValueString:
		return append(dst, v.str...)
	case ValueNumber:
		return appendJSNumber(dst, v.Number())
	case ValueNull, ValueBool, ValueBigInt:
		return appendStringify(dst, v)
	case ValueBytes:
		for i := range len(v.str) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSNumber(dst, float64(v.str[i]))
		}
		return dst
	case ValueList:
		for i, e := range v.ref.vals {
			if i > 0 {
				dst = append(dst, ',')
			}
			if e.kind != ValueUndefined && e.kind != ValueNull {
				dst = appendJSString(dst, from, e)
			}
		}
		return dst
	case ValueType:
		return appendTypeString(dst, from, v)
	}
	return append(dst, jsObjectString...)
}

func appendTypeString(dst []byte, from reader, v Value) []byte {
	if v.doc == nil {
		return append(dst, jsObjectString...)
	}
	b := branchRef(v.num)
	switch v.doc.branch(b).kind {
	case KindText:
		return from.appendText(dst, b)
	case KindXMLText:
		return appendXMLText(dst, from, b)
	case KindXMLElement:
		return appendXMLElement(dst, from, b)
	case KindXMLFragment:
		return appendXMLChildren(dst, from, b)
	}
	return append(dst, jsObjectString...)
}
