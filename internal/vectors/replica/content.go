package replica

import (
	"fmt"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// root returns a root type; typ "" stands for the type given to New.
func (r *Replica) root(name, typ string) (crdt.Value, error) {
	if typ == "" {
		typ = r.roots[name]
	}
	switch typ {
	case "text":
		return r.Doc.Text(name).Value(), nil
	case "array":
		return r.Doc.Array(name).Value(), nil
	case "map":
		return r.Doc.Map(name).Value(), nil
	case "xml":
		return r.Doc.XMLFragment(name).Value(), nil
	case "xmltext":
		return r.Doc.XMLText(name).Value(), nil
	case "xmlelement":
		return r.Doc.XMLElement(name).Value(), nil
	}
	return crdt.Undefined(), fmt.Errorf("replica: root %q of unknown type %q", name, typ)
}

// Content returns a root in one of the forms that Yjs offers: json (toJSON),
// deep (a dump in which shared types can be told from data), delta or string.
// typ "" stands for the type given to New.
func (r *Replica) Content(form, name, typ string) (vectors.Value, error) {
	t, err := r.root(name, typ)
	if err != nil {
		return vectors.Value{}, err
	}
	switch form {
	case "json":
		return FromValue(t.JSON()), nil
	case "deep":
		return deep(t), nil
	case "delta":
		return fromDelta(t.Text().Delta()), nil
	case "string":
		return vectors.MakeString(toString(t)), nil
	}
	return vectors.Value{}, fmt.Errorf("replica: no form %q", form)
}

// toString is Yjs's toString of a type.
func toString(t crdt.Value) string {
	switch kind, _ := t.TypeKind(); kind {
	case crdt.KindXMLText:
		return t.XMLText().String()
	case crdt.KindXMLElement:
		return t.XMLElement().String()
	case crdt.KindXMLFragment:
		return t.XMLFragment().String()
	case crdt.KindText:
		return t.Text().String()
	}
	return ""
}

// deep dumps a type with all types in it.
func deep(v crdt.Value) vectors.Value {
	kind, _ := v.TypeKind()
	tag := func(name string, rest ...vectors.Field) vectors.Value {
		return vectors.MakeObject(append([]vectors.Field{{Key: "$y", Value: vectors.MakeString(name)}}, rest...)...)
	}
	switch kind {
	case crdt.KindText:
		return tag("text", deepText(v.Text())...)
	case crdt.KindXMLText:
		return tag("xmltext", deepText(v.Text())...)
	case crdt.KindArray:
		list := vectors.MakeList()
		for e := range v.Array().Values() {
			list.List = append(list.List, FromValue(e))
		}
		return tag("array", vectors.Field{Key: "v", Value: list})
	case crdt.KindMap:
		return tag("map", vectors.Field{Key: "v", Value: deepMap(v.Map())})
	case crdt.KindXMLHook:
		return tag("xmlhook", vectors.Field{Key: "tag", Value: vectors.MakeString(v.XMLHook().Name())},
			vectors.Field{Key: "v", Value: deepMap(v.Map())})
	case crdt.KindXMLFragment:
		return tag("xmlfragment", deepChildren(v.XMLFragment()))
	case crdt.KindXMLElement:
		attrs := vectors.MakeObject()
		for key, e := range v.XMLElement().Attrs() {
			attrs.Fields = append(attrs.Fields, vectors.Field{Key: key, Value: FromValue(e)})
		}
		return tag("xmlelement", vectors.Field{Key: "tag", Value: vectors.MakeString(v.XMLElement().Tag())},
			vectors.Field{Key: "attrs", Value: attrs}, deepChildren(v.XMLFragment()))
	}
	return vectors.Value{}
}

func deepText(t crdt.Text) []vectors.Field {
	out := []vectors.Field{{Key: "d", Value: fromDelta(t.Delta())}}
	attrs := vectors.MakeObject()
	for key, e := range t.Attrs() {
		attrs.Fields = append(attrs.Fields, vectors.Field{Key: key, Value: FromValue(e)})
	}
	if len(attrs.Fields) > 0 {
		out = append(out, vectors.Field{Key: "attrs", Value: attrs})
	}
	return out
}

func deepMap(m crdt.Map) vectors.Value {
	out := vectors.MakeObject()
	for key, e := range m.All() {
		out.Fields = append(out.Fields, vectors.Field{Key: key, Value: FromValue(e)})
	}
	return out
}

func deepChildren(f crdt.XMLFragment) vectors.Field {
	list := vectors.MakeList()
	for e := range f.Children() {
		list.List = append(list.List, FromValue(e))
	}
	return vectors.Field{Key: "c", Value: list}
}

func fromDelta(d crdt.Delta) vectors.Value {
	out := vectors.MakeList()
	for _, op := range d {
		var f vectors.Field
		switch op.Kind {
		case crdt.DeltaInsert:
			f = vectors.Field{Key: "insert", Value: FromValue(op.Insert)}
		case crdt.DeltaRetain:
			f = vectors.Field{Key: "retain", Value: vectors.MakeNumber(float64(op.Len))}
		case crdt.DeltaDelete:
			f = vectors.Field{Key: "delete", Value: vectors.MakeNumber(float64(op.Len))}
		}
		v := vectors.MakeObject(f)
		if len(op.Attrs) > 0 {
			attrs := vectors.MakeObject()
			for _, f := range op.Attrs {
				attrs.Fields = append(attrs.Fields, vectors.Field{Key: f.Key, Value: FromValue(f.Value)})
			}
			v.Fields = append(v.Fields, vectors.Field{Key: "attributes", Value: attrs})
		}
		out.List = append(out.List, v)
	}
	return out
}

// fromOther dumps what is not plain data.
func fromOther(v crdt.Value) vectors.Value {
	if v.Kind() == crdt.ValueType {
		return deep(v)
	}
	s := v.Subdoc()
	doc := vectors.MakeObject(
		vectors.Field{Key: "guid", Value: vectors.MakeString(s.GUID)},
		vectors.Field{Key: "gc", Value: boolean(!s.KeepDeleted)},
		vectors.Field{Key: "autoLoad", Value: boolean(s.AutoLoad)},
		vectors.Field{Key: "shouldLoad", Value: boolean(s.ShouldLoad)},
	)
	if !s.Meta.IsUndefined() && !s.Meta.IsNull() {
		doc.Fields = append(doc.Fields, vectors.Field{Key: "meta", Value: FromValue(s.Meta)})
	}
	return vectors.MakeObject(vectors.Field{Key: "$doc", Value: doc})
}

func boolean(b bool) vectors.Value { return vectors.Value{Kind: vectors.Bool, Bool: b} }
