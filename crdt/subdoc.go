package crdt

import "ysync/internal/lib0"

// Subdoc is a reference from a document to another one (Yjs: ContentDoc). It names the other
// document and says how to treat it; the content of the other document lives elsewhere.
type Subdoc struct {
	// GUID names the document.
	GUID string
	// KeepDeleted is Yjs's gc: false.
	KeepDeleted bool
	// AutoLoad asks every peer to load the document at once.
	AutoLoad bool
	// ShouldLoad says that this replica wants the document's content. It is never on the wire: it is
	// as given for a reference made here, and AutoLoad for a reference received.
	ShouldLoad bool
	// Meta is data of the application; null and undefined are not stored.
	Meta Value
}

// NewSubdoc is a reference to insert.
func NewSubdoc(s Subdoc) Value {
	s.GUID = toWTF8(s.GUID)
	return Value{kind: ValueSubdoc, ref: &compound{sub: &s}}
}

// Subdoc is the reference v holds; the zero Subdoc if it holds none.
func (v Value) Subdoc() Subdoc {
	if v.kind != ValueSubdoc {
		return Subdoc{}
	}
	return *v.ref.sub
}

// options are what goes with the GUID on the wire.
func (s *Subdoc) options() Value {
	var b objectBuilder
	if s.KeepDeleted {
		b.set("gc", Bool(false))
	}
	if s.AutoLoad {
		b.set("autoLoad", Bool(true))
	}
	if s.Meta.kind != ValueNull && s.Meta.kind != ValueUndefined {
		b.set("meta", s.Meta)
	}
	return b.value()
}

// subdocFromOptions reads received options as Yjs does: what it does not know is dropped
// (ContentDoc.js createDocFromOpts and the constructor of ContentDoc).
func subdocFromOptions(guid string, opts Value) Subdoc {
	s := Subdoc{GUID: guid, Meta: opts.Field("meta"), AutoLoad: opts.Field("autoLoad").truthy()}
	if gc := opts.Field("gc"); gc.kind != ValueUndefined {
		s.KeepDeleted = !gc.truthy()
	}
	s.ShouldLoad = s.AutoLoad || opts.Field("shouldLoad").truthy()
	return s
}

// truthy is JavaScript's conversion to boolean.
func (v Value) truthy() bool {
	switch v.kind {
	case ValueUndefined, ValueNull:
		return false
	case ValueBool, ValueBigInt:
		return v.num != 0
	case ValueNumber:
		f := v.Number()
		return f == f && f != 0
	case ValueString:
		return v.str != ""
	}
	return true
}

// subdocOf is the reference that an item holds.
func (d *Doc) subdocOf(it *item) *Subdoc {
	guid, opts := d.formatParts(it)
	r := lib0.NewWTF8Reader(opts)
	s := subdocFromOptions(string(guid), readAny(&r))
	if load, ok := d.types.load(it.id()); ok {
		s.ShouldLoad = load
	}
	return &s
}

// Subdocs are the references to other documents that are not deleted. It looks at every block.
func (d *Doc) Subdocs() []Subdoc {
	var all []Subdoc
	for v := range d.SubdocValues() {
		all = append(all, *v.ref.sub)
	}
	return all
}
