package crdt

import (
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
	return f.doc.appendXMLChildren(dst, f.b)
}

// String is the XML of the element, without escaping: its tag in lower case, attributes by name,
// children (Yjs: YXmlElement.toString).
func (e XMLElement) String() string { return string(e.AppendString(nil)) }

// AppendString appends what String returns.
func (e XMLElement) AppendString(dst []byte) []byte {
	if e.doc == nil {
		return dst
	}
	return e.doc.appendXMLElement(dst, e.b)
}

// String is the text with its attributes as nested elements, without escaping
// (Yjs: YXmlText.toString). Text.String gives the text alone.
func (t XMLText) String() string { return string(t.AppendString(nil)) }

// AppendString appends what String returns.
func (t XMLText) AppendString(dst []byte) []byte {
	if t.doc == nil {
		return dst
	}
	return t.doc.appendXMLText(dst, t.b)
}

func (d *Doc) appendXMLChildren(dst []byte, b branchRef) []byte {
	for v := range d.listValues(b) {
		dst = appendJSString(dst, v)
	}
	return dst
}

func (d *Doc) appendXMLElement(dst []byte, b branchRef) []byte {
	tag := strings.ToLower(XMLElement{XMLFragment{node{d, b}}}.Tag())
	dst = append(append(dst, '<'), tag...)
	var attrs []Field
	for k, v := range d.entries(b) {
		attrs = append(attrs, Field{k, v})
	}
	dst = appendXMLAttrs(dst, attrs)
	dst = append(dst, '>')
	dst = d.appendXMLChildren(dst, b)
	dst = append(append(dst, "</"...), tag...)
	return append(dst, '>')
}

func appendXMLAttrs(dst []byte, attrs []Field) []byte {
	slices.SortFunc(attrs, func(a, b Field) int { return compareUTF16(a.Key, b.Key) })
	for _, f := range attrs {
		dst = append(append(dst, ' '), f.Key...)
		dst = appendJSString(append(dst, `="`...), f.Value)
		dst = append(dst, '"')
	}
	return dst
}

func (d *Doc) appendXMLText(dst []byte, b branchRef) []byte {
	d.eachChunk(b, func(op DeltaOp) bool {
		nodes := slices.Clone(op.Attrs)
		slices.SortFunc(nodes, func(a, b Field) int { return compareUTF16(a.Key, b.Key) })
		for _, n := range nodes {
			dst = append(append(dst, '<'), n.Key...)
			var attrs []Field
			for k, v := range n.Value.properties() {
				attrs = append(attrs, Field{k, v})
			}
			dst = append(appendXMLAttrs(dst, attrs), '>')
		}
		dst = appendJSString(dst, op.Insert)
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
func appendJSString(dst []byte, v Value) []byte {
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
				dst = appendJSString(dst, e)
			}
		}
		return dst
	case ValueType:
		return appendTypeString(dst, v)
	}
	return append(dst, jsObjectString...)
}

func appendTypeString(dst []byte, v Value) []byte {
	if v.doc == nil {
		return append(dst, jsObjectString...)
	}
	d, b := v.doc, branchRef(v.num)
	switch d.branch(b).kind {
	case KindText:
		return d.appendText(dst, b)
	case KindXMLText:
		return d.appendXMLText(dst, b)
	case KindXMLElement:
		return d.appendXMLElement(dst, b)
	case KindXMLFragment:
		return d.appendXMLChildren(dst, b)
	}
	return append(dst, jsObjectString...)
}
