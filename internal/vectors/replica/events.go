package replica

import (
	"ysync/crdt"
	"ysync/internal/vectors"
)

// watched is what observers have seen and nobody has asked for yet.
type watched struct {
	observing bool
	events    []vectors.Value
	subdocs   []vectors.Value
}

// Observe begins to note the events of a root and everything in it.
func (r *Replica) Observe(root, typ string) error {
	t, err := r.root(root, typ)
	if err != nil {
		return err
	}
	r.watched.observing = true
	t.ObserveDeep(func(events []*crdt.Event) {
		for _, e := range events {
			r.watched.events = append(r.watched.events, event(root, e))
		}
	})
	return nil
}

// Events are the events noted since the last call.
func (r *Replica) Events() vectors.Value {
	out := vectors.MakeList(r.watched.events...)
	r.watched.events = nil
	return out
}

// Subdocs are the events of subdocuments noted since the last call.
func (r *Replica) Subdocs() vectors.Value {
	out := vectors.MakeList(r.watched.subdocs...)
	r.watched.subdocs = nil
	return out
}

func (r *Replica) noteSubdocs(e *crdt.SubdocsEvent) {
	field := func(name string, subs []crdt.Value) vectors.Field {
		list := vectors.MakeList()
		for _, s := range subs {
			list.List = append(list.List, vectors.MakeString(s.Subdoc().GUID))
		}
		return vectors.Field{Key: name, Value: vectors.MakeList(vectors.SortBy(list.List)...)}
	}
	r.watched.subdocs = append(r.watched.subdocs,
		vectors.MakeObject(field("added", e.Added), field("removed", e.Removed), field("loaded", e.Loaded)))
}

var typeNames = map[crdt.TypeKind]string{
	crdt.KindText: "text", crdt.KindArray: "array", crdt.KindMap: "map", crdt.KindXMLText: "xmltext",
	crdt.KindXMLElement: "xmlelement", crdt.KindXMLFragment: "xmlfragment", crdt.KindXMLHook: "xmlhook",
}

func event(root string, e *crdt.Event) vectors.Value {
	kind, _ := e.Target().TypeKind()
	path := vectors.MakeList()
	for _, step := range e.Path() {
		path.List = append(path.List, FromValue(step))
	}
	out := vectors.MakeObject(
		vectors.Field{Key: "root", Value: vectors.MakeString(root)},
		vectors.Field{Key: "path", Value: path},
		vectors.Field{Key: "target", Value: vectors.MakeString(typeNames[kind])},
	)
	if kind == crdt.KindText || kind == crdt.KindXMLText {
		out.Fields = append(out.Fields, vectors.Field{Key: "delta", Value: fromDelta(e.Delta())})
	} else {
		out.Fields = append(out.Fields, vectors.Field{Key: "delta", Value: fromList(e.List())})
	}
	if keys := e.Keys(); len(keys) > 0 {
		all := vectors.MakeObject()
		for _, k := range keys {
			all.Fields = append(all.Fields, vectors.Field{Key: k.Key, Value: vectors.MakeObject(
				vectors.Field{Key: "action", Value: vectors.MakeString(k.Action.String())},
				vectors.Field{Key: "old", Value: fromOld(k.Old)},
			)})
		}
		out.Fields = append(out.Fields, vectors.Field{Key: "keys", Value: all})
	}
	return out
}

// fromOld dumps a value that was replaced; of a type that is only its kind, since
// all in it is deleted.
func fromOld(v crdt.Value) vectors.Value {
	if kind, ok := v.TypeKind(); ok {
		return vectors.MakeObject(vectors.Field{Key: "$y", Value: vectors.MakeString(typeNames[kind])})
	}
	return FromValue(v)
}

func fromList(ops []crdt.ListOp) vectors.Value {
	out := vectors.MakeList()
	for _, op := range ops {
		var f vectors.Field
		switch op.Kind {
		case crdt.DeltaInsert:
			f = vectors.Field{Key: "insert", Value: vectors.MakeList()}
			for _, v := range op.Insert {
				f.Value.List = append(f.Value.List, FromValue(v))
			}
		case crdt.DeltaRetain:
			f = vectors.Field{Key: "retain", Value: vectors.MakeNumber(float64(op.Len))}
		case crdt.DeltaDelete:
			f = vectors.Field{Key: "delete", Value: vectors.MakeNumber(float64(op.Len))}
		}
		out.List = append(out.List, vectors.MakeObject(f))
	}
	return out
}
