package replica

import (
	"encoding/json"
	"fmt"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// RelPos makes a relative position in a type below a root.
func (r *Replica) RelPos(name, typ string, path []vectors.Value, index, assoc int) (crdt.RelativePosition, error) {
	if _, err := r.root(name, typ); err != nil {
		return crdt.RelativePosition{}, err
	}
	t, err := r.Resolve(append([]vectors.Value{vectors.MakeString(name)}, path...))
	if err != nil {
		return crdt.RelativePosition{}, err
	}
	switch kind, _ := t.TypeKind(); kind {
	case crdt.KindText, crdt.KindXMLText:
		return t.Text().RelativePosition(index, assoc), nil
	case crdt.KindArray:
		return t.Array().RelativePosition(index, assoc), nil
	case crdt.KindXMLFragment, crdt.KindXMLElement:
		return t.XMLFragment().RelativePosition(index, assoc), nil
	}
	return crdt.RelativePosition{}, fmt.Errorf("replica: no positions in %s", t.JSON().AppendJSON(nil))
}

// RelPosJSON is a relative position as recorded: IDs are lists of client and clock.
func RelPosJSON(p crdt.RelativePosition) vectors.Value {
	var v vectors.Value
	if err := json.Unmarshal(p.AppendJSON(nil), &v); err != nil {
		return vectors.Value{}
	}
	for i, f := range v.Fields {
		if f.Key == "type" || f.Key == "item" {
			v.Fields[i].Value = vectors.MakeList(f.Value.Get("client"), f.Value.Get("clock"))
		}
	}
	return v
}

// AbsPos is where a relative position is now, as recorded: null, or an object in which the type is the
// name of a root or the ID that holds it.
func (r *Replica) AbsPos(p crdt.RelativePosition, followUndone *bool) vectors.Value {
	resolve := r.Doc.Resolve
	if followUndone != nil && !*followUndone {
		resolve = r.Doc.ResolveShared
	}
	at, ok := resolve(p)
	if !ok {
		return vectors.MakeNull()
	}
	return vectors.MakeObject(
		vectors.Field{Key: "index", Value: vectors.MakeNumber(float64(at.Index))},
		vectors.Field{Key: "assoc", Value: vectors.MakeNumber(float64(at.Assoc))},
		vectors.Field{Key: "type", Value: typeName(at.Type)},
	)
}

func typeName(t crdt.Value) vectors.Value {
	var start crdt.RelativePosition
	switch kind, _ := t.TypeKind(); kind {
	case crdt.KindText, crdt.KindXMLText:
		start = t.Text().RelativePosition(0, -1)
	case crdt.KindArray:
		start = t.Array().RelativePosition(0, -1)
	default:
		start = t.XMLFragment().RelativePosition(0, -1)
	}
	if name, ok := start.Root(); ok {
		return vectors.MakeString(name)
	}
	id, _ := start.Type()
	return vectors.MakeList(vectors.MakeNumber(float64(id.Client)), vectors.MakeNumber(float64(id.Clock)))
}

// AbsPosBytes is AbsPos of an encoded position.
func (r *Replica) AbsPosBytes(rp []byte) (vectors.Value, error) {
	p, err := crdt.DecodeRelativePosition(rp)
	if err != nil {
		return vectors.Value{}, err
	}
	return r.AbsPos(p, nil), nil
}
