package differential

import (
	"maps"
	"math"
	"slices"

	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/internal/vectors/replica"
)

// sum is a hash of 53 bits, the largest that a JavaScript number holds. The
// peer computes the same one (peer.mjs).
type sum struct{ a, b uint32 }

func (h *sum) unit(u uint32) {
	h.a = (h.a ^ u) * 0x01000193
	h.b = h.b*31 + u
}

func (h *sum) bytes(b []byte) {
	h.unit(uint32(len(b)))
	x, y := h.a, h.b
	for _, c := range b {
		x = (x ^ uint32(c)) * 0x01000193
		y = y*31 + uint32(c)
	}
	h.a, h.b = x, y
}

// text hashes the UTF-16 units of WTF-8.
func (h *sum) text(s string) {
	for len(s) > 0 {
		switch c := s[0]; {
		case c < 0x80:
			h.unit(uint32(c))
			s = s[1:]
		case c < 0xe0:
			h.unit(uint32(c&0x1f)<<6 | uint32(s[1]&0x3f))
			s = s[2:]
		case c < 0xf0:
			h.unit(uint32(c&0xf)<<12 | uint32(s[1]&0x3f)<<6 | uint32(s[2]&0x3f))
			s = s[3:]
		default:
			r := uint32(c&7)<<18 | uint32(s[1]&0x3f)<<12 | uint32(s[2]&0x3f)<<6 | uint32(s[3]&0x3f) - 0x10000
			h.unit(0xd800 + r>>10)
			h.unit(0xdc00 + r&0x3ff)
			s = s[4:]
		}
	}
	h.unit(0x10000)
}

func (h *sum) boolean(b bool) {
	if b {
		h.unit(1)
	} else {
		h.unit(0)
	}
}

func (h *sum) number(f float64) {
	bits := math.Float64bits(f)
	if f != f {
		bits = 0x7ff8 << 48
	}
	h.unit(uint32(bits >> 32))
	h.unit(uint32(bits))
}

func (h *sum) value() uint64 { return uint64(h.a)<<21 | uint64(h.b>>11) }

// emitted hashes what a step emitted.
func (h *sum) emitted(es []replica.Emitted) {
	h.unit(uint32(len(es)))
	for _, e := range es {
		h.boolean(e.Local)
		h.bytes(e.V1)
		h.bytes(e.V2)
	}
}

// state hashes all that a document stores and waits for.
func (h *sum) state(d *crdt.Doc) {
	h.bytes(d.AppendState(nil, crdt.V1))
	h.bytes(d.AppendState(nil, crdt.V2))
	h.bytes(crdt.AppendStateVector(nil, d.StateVector()))
	p := d.Pending()
	h.unit(uint32(p.Missing.Len()))
	missing := maps.Collect(p.Missing.All())
	for _, c := range slices.Sorted(maps.Keys(missing)) {
		h.number(float64(c))
		// The clock that Yjs notes, which is one lower, can be -1.
		h.number(float64(missing[c]) - 1)
	}
	h.boolean(p.Deletes > 0)
}

// content hashes a value as applications see it, keys in order.
func (h *sum) content(v crdt.Value) {
	h.unit(0x20000 + uint32(v.Kind()))
	switch v.Kind() {
	case crdt.ValueBool:
		h.boolean(v.Bool())
	case crdt.ValueNumber:
		h.number(v.Number())
	case crdt.ValueBigInt:
		h.unit(uint32(v.BigInt() >> 32))
		h.unit(uint32(v.BigInt()))
	case crdt.ValueString:
		h.text(v.Str())
	case crdt.ValueBytes:
		h.bytes(v.Bytes())
	case crdt.ValueList:
		h.unit(uint32(v.Len()))
		for e := range v.Elements() {
			h.content(e)
		}
	case crdt.ValueObject:
		h.fields(v.Fields())
	case crdt.ValueType:
		h.shared(v)
	case crdt.ValueSubdoc:
		s := v.Subdoc()
		h.text(s.GUID)
		h.boolean(s.KeepDeleted)
		h.boolean(s.AutoLoad)
		h.boolean(s.ShouldLoad)
		if s.Meta.IsUndefined() || s.Meta.IsNull() {
			h.unit(0)
		} else {
			h.content(s.Meta)
		}
	}
}

func (h *sum) fields(all func(yield func(string, crdt.Value) bool)) {
	var fs []crdt.Field
	for key, v := range all {
		fs = append(fs, crdt.Field{Key: key, Value: v})
	}
	// JavaScript compares code units.
	slices.SortFunc(fs, func(a, b crdt.Field) int {
		return slices.Compare(lib0.AppendUTF16(nil, a.Key), lib0.AppendUTF16(nil, b.Key))
	})
	h.unit(uint32(len(fs)))
	for _, f := range fs {
		h.text(f.Key)
		h.content(f.Value)
	}
}

func (h *sum) shared(v crdt.Value) {
	kind, _ := v.TypeKind()
	h.unit(uint32(kind))
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		t := v.Text()
		h.unit(uint32(t.Len()))
		for op := range t.Chunks() {
			h.content(op.Insert)
			h.fields(crdt.Object(op.Attrs...).Fields())
		}
		h.fields(t.Attrs())
		if kind == crdt.KindXMLText {
			h.text(v.XMLText().String())
		} else {
			h.text(t.String())
		}
	case crdt.KindArray:
		h.unit(uint32(v.Array().Len()))
		for e := range v.Array().Values() {
			h.content(e)
		}
	case crdt.KindMap:
		h.fields(v.Map().All())
	case crdt.KindXMLHook:
		h.text(v.XMLHook().Name())
		h.fields(v.Map().All())
	case crdt.KindXMLElement:
		h.text(v.XMLElement().Tag())
		h.fields(v.XMLElement().Attrs())
		h.children(v.XMLFragment())
	default:
		h.children(v.XMLFragment())
	}
}

func (h *sum) children(f crdt.XMLFragment) {
	h.unit(uint32(f.Len()))
	for e := range f.Children() {
		h.content(e)
	}
}
