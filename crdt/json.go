package crdt

import (
	"encoding/base64"
	"math"
	"strconv"
)

// JSON is the text as a plain value: its string (Yjs: YText.toJSON).
func (t Text) JSON() Value { return t.json() }

// JSON is the array as a plain value (Yjs: YArray.toJSON).
func (a Array) JSON() Value { return a.json() }

// JSON is the map as a plain value (Yjs: YMap.toJSON).
func (m Map) JSON() Value { return m.json() }

// JSON is the fragment as a plain value: its XML (Yjs: YXmlFragment.toJSON).
func (f XMLFragment) JSON() Value { return Value{kind: ValueString, str: f.String()} }

// JSON is the element as a plain value: its XML.
func (e XMLElement) JSON() Value { return Value{kind: ValueString, str: e.String()} }

// JSON is the text as a plain value: its XML (Yjs: YXmlText.toJSON).
func (t XMLText) JSON() Value { return Value{kind: ValueString, str: t.String()} }

func (n node) json() Value {
	if n.doc == nil {
		return Value{}
	}
	return typeJSON(n.doc, n.b, n.doc.branch(n.b).kind)
}

// JSON is v with every shared type in it as a plain value (Yjs: toJSON of each type). The nesting of
// types is bounded by Limits.TypeDepth.
func (v Value) JSON() Value {
	if v.kind != ValueType || v.doc == nil {
		return v
	}
	return valueJSON(v.doc, v)
}

func valueJSON(from reader, v Value) Value {
	if v.kind != ValueType || v.doc == nil {
		return v
	}
	b := branchRef(v.num)
	return typeJSON(from, b, v.doc.branch(b).kind)
}

// typeJSON reads a type as one of a kind, which for a root may be another than its own.
func typeJSON(from reader, b branchRef, kind TypeKind) Value {
	switch kind {
	case KindArray:
		vals := make([]Value, 0, from.document().branch(b).length)
		for v := range from.listValues(b) {
			vals = append(vals, valueJSON(from, v))
		}
		return Value{kind: ValueList, ref: &compound{vals: vals}}
	case KindMap, KindXMLHook:
		var o objectBuilder
		for k, v := range from.entries(b) {
			o.set(k, valueJSON(from, v))
		}
		return o.value()
	case KindText:
		return Value{kind: ValueString, str: string(from.appendText(nil, b))}
	case KindXMLText:
		return Value{kind: ValueString, str: string(appendXMLText(nil, from, b))}
	case KindXMLElement:
		return Value{kind: ValueString, str: string(appendXMLElement(nil, from, b))}
	case KindXMLFragment:
		return Value{kind: ValueString, str: string(appendXMLChildren(nil, from, b))}
	}
	return Value{}
}

// AppendJSON appends v as JSON text, shared types as JSON gives them. What JSON has no form for:
// bytes are a string of standard base64, a bigint is its digits, NaN and the infinities are null,
// undefined is null in a list and left out of an object, a lone surrogate is escaped, a subdocument
// is an object with its guid.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case ValueBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, []byte(v.str))
		return append(dst, '"')
	case ValueNumber:
		if f := v.Number(); f == math.Trunc(f) && math.Abs(f) < 1e15 {
			return strconv.AppendInt(dst, int64(f), 10)
		}
	case ValueList, ValueObject:
		return v.ref.appendJSON(dst, v.kind, func(dst []byte, e Value) []byte { return e.AppendJSON(dst) })
	case ValueSubdoc:
		return Object(Field{"guid", Value{kind: ValueString, str: v.ref.sub.GUID}}).AppendJSON(dst)
	case ValueType:
		return v.JSON().AppendJSON(dst)
	}
	return appendStringify(dst, v)
}
