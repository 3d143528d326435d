package replica

import (
	"fmt"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// SnapshotParts decodes a snapshot.
func SnapshotParts(version int, s []byte) (sv map[string]uint64, ds map[string][][2]uint64, err error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(version), s)
	return svMap(snap.State), dsMap(&snap.Deletes), err
}

// RecodeSnapshot turns a snapshot of one version into one of another.
func RecodeSnapshot(version, to int, s []byte) ([]byte, error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(version), s)
	return crdt.AppendSnapshot(nil, crdt.Version(to), snap), err
}

// At makes a replica of what was known at an encoded snapshot.
func (r *Replica) At(version int, s []byte, o Options) (*Replica, error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(version), s)
	if err != nil {
		return nil, err
	}
	d, err := r.Doc.At(snap, crdt.Options{
		ClientID: crdt.ClientID(o.ClientID), KeepDeleted: o.KeepDeleted, NoFormatCleanup: o.NoFormatCleanup,
	})
	return &Replica{Doc: d, roots: r.roots}, err
}

// ContentAt is the content of a root at an encoded snapshot, as Yjs gives it: the elements of a list,
// the entries of a map or a delta. Types in it are as they are now.
func (r *Replica) ContentAt(version int, s []byte, name, typ string) (vectors.Value, error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(version), s)
	if err != nil {
		return vectors.Value{}, err
	}
	t, err := r.root(name, typ)
	if err != nil {
		return vectors.Value{}, err
	}
	switch kind, _ := t.TypeKind(); kind {
	case crdt.KindText, crdt.KindXMLText:
		return fromDelta(t.Text().DeltaAt(snap)), nil
	case crdt.KindMap, crdt.KindXMLHook:
		out := vectors.MakeObject()
		for key, e := range t.Map().AllAt(snap) {
			out.Fields = append(out.Fields, vectors.Field{Key: key, Value: FromValue(e)})
		}
		return out, nil
	case crdt.KindArray:
		out := vectors.MakeList()
		for e := range t.Array().ValuesAt(snap) {
			out.List = append(out.List, FromValue(e))
		}
		return out, nil
	case crdt.KindXMLFragment, crdt.KindXMLElement:
		out := vectors.MakeList()
		for e := range t.XMLFragment().ChildrenAt(snap) {
			out.List = append(out.List, FromValue(e))
		}
		return out, nil
	}
	return vectors.Value{}, fmt.Errorf("replica: no content of %q", name)
}

// JSONAt is a root as plain data at an encoded snapshot.
func (r *Replica) JSONAt(version int, s []byte, name string) (vectors.Value, error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(version), s)
	if err != nil {
		return vectors.Value{}, err
	}
	t, err := r.root(name, "")
	return FromValue(t.JSONAt(snap)), err
}

// DeltaBetween is a text at two encoded snapshots together.
func (r *Replica) DeltaBetween(version int, prev, next []byte, name string, mark func(crdt.Change, crdt.ID) crdt.Value) (vectors.Value, error) {
	before, err := crdt.DecodeSnapshot(crdt.Version(version), prev)
	if err != nil {
		return vectors.Value{}, err
	}
	after, err := crdt.DecodeSnapshot(crdt.Version(version), next)
	if err != nil {
		return vectors.Value{}, err
	}
	t, err := r.root(name, "")
	return fromDelta(t.Text().DeltaBetween(before, after, mark)), err
}

// MarkWithID marks a change with its type and ID, as the recorded peer did.
func MarkWithID(c crdt.Change, id crdt.ID) crdt.Value {
	return crdt.Object(
		crdt.Field{Key: "type", Value: crdt.String(c.String())},
		crdt.Field{Key: "id", Value: crdt.List(crdt.Number(float64(id.Client)), crdt.Number(float64(id.Clock)))},
	)
}
