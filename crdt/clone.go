package crdt

// Clone is a copy of the type with all in it, to insert elsewhere; see Value.Clone.
func (n node) Clone() Value { return n.Value().Clone() }

// Clone is a copy of v that can be inserted: of a shared type in a document a new
// type with the same content, with copies of the types in it. As in Yjs, the
// attributes of a text as a whole are not copied, those of its ranges are. Any
// other value is its own copy. (Yjs: AbstractType.clone.)
func (v Value) Clone() Value {
	if v.kind != ValueType || v.doc == nil {
		return v
	}
	d, b := v.doc, branchRef(v.num)
	br := d.branch(b)
	p := &prelim{kind: br.kind}
	switch br.kind {
	case KindText, KindXMLText:
		d.eachChunk(b, func(op DeltaOp) bool {
			op.Insert = op.Insert.Clone()
			p.delta = append(p.delta, op)
			return true
		})
	case KindMap, KindXMLHook:
		p.entries = d.cloneEntries(b)
	case KindXMLElement:
		p.children = d.cloneList(b)
		// Yjs takes the attributes from an object, which puts integers first.
		for k, e := range Object(d.cloneEntries(b)...).Fields() {
			p.entries = append(p.entries, Field{k, e})
		}
	default:
		p.children = d.cloneList(b)
	}
	switch br.kind {
	case KindXMLElement:
		p.name = v.XMLElement().Tag()
	case KindXMLHook:
		p.name = v.XMLHook().Name()
	case KindUndefined:
		p.kind = KindArray
	}
	return newPrelim(p)
}

func (d *Doc) cloneList(b branchRef) (out []Value) {
	for v := range d.listValues(b) {
		out = append(out, v.Clone())
	}
	return out
}

func (d *Doc) cloneEntries(b branchRef) (out []Field) {
	for k, v := range d.entries(b) {
		out = append(out, Field{k, v.Clone()})
	}
	return out
}
