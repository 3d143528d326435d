package replica

import (
	"ysync/crdt"
	"ysync/internal/vectors"
)

// DecodeUpdate lists the blocks of an update and what it deletes.
func DecodeUpdate(version int, u []byte) (structs vectors.Value, ds map[string][][2]uint64, err error) {
	structs = vectors.MakeList()
	deletes, err := crdt.WalkStructs(crdt.Version(version), u, func(s *crdt.Struct) {
		structs.List = append(structs.List, fromStruct(s))
	})
	return structs, dsMap(&deletes), err
}

func fromStruct(s *crdt.Struct) vectors.Value {
	out := vectors.MakeObject()
	set := func(key string, v vectors.Value) { out.Fields = append(out.Fields, vectors.Field{Key: key, Value: v}) }
	number := func(key string, n uint64) { set(key, vectors.MakeNumber(float64(n))) }
	unit := func(key string, has bool, id crdt.ID) {
		if has {
			set(key, vectors.MakeList(vectors.MakeNumber(float64(id.Client)), vectors.MakeNumber(float64(id.Clock))))
		}
	}
	number("client", uint64(s.ID.Client))
	number("clock", uint64(s.ID.Clock))
	number("len", s.Len)
	switch s.Kind {
	case crdt.ContentGC:
		set("t", vectors.MakeString("gc"))
		return out
	case crdt.ContentSkip:
		set("t", vectors.MakeString("skip"))
		return out
	}
	set("t", vectors.MakeString("item"))
	unit("origin", s.HasOrigin, s.Origin)
	unit("right", s.HasRightOrigin, s.RightOrigin)
	unit("parent", s.HasParent, s.Parent)
	if s.HasRoot {
		set("parent", vectors.MakeString(s.Root()))
	}
	if s.HasKey {
		set("sub", vectors.MakeString(s.Key()))
	}
	number("ref", uint64(s.Kind))
	if c := structContent(s); c.Kind != vectors.Absent {
		set("c", c)
	}
	return out
}

func structContent(s *crdt.Struct) vectors.Value {
	switch s.Kind {
	case crdt.ContentString:
		return vectors.MakeString(s.Text())
	case crdt.ContentAny, crdt.ContentJSON:
		out := vectors.MakeList()
		for v := range s.Values() {
			out.List = append(out.List, FromValue(v))
		}
		return out
	case crdt.ContentBinary, crdt.ContentEmbed, crdt.ContentDoc:
		return FromValue(onlyValue(s))
	case crdt.ContentFormat:
		return vectors.MakeObject(
			vectors.Field{Key: "key", Value: vectors.MakeString(s.Name())},
			vectors.Field{Key: "value", Value: FromValue(onlyValue(s))})
	case crdt.ContentType:
		out := vectors.MakeObject(vectors.Field{Key: "type", Value: vectors.MakeString(typeNames[s.Type])})
		if s.Name() != "" {
			out.Fields = append(out.Fields, vectors.Field{Key: "name", Value: vectors.MakeString(s.Name())})
		}
		return out
	}
	return vectors.Value{}
}

// onlyValue is the value of a block that holds one.
func onlyValue(s *crdt.Struct) (only crdt.Value) {
	for v := range s.Values() {
		only = v
	}
	return only
}
