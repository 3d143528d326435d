package replica

import (
	"fmt"
	"strconv"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// toValue makes what a recorded value describes.
func toValue(v vectors.Value) (crdt.Value, error) {
	switch v.Tag() {
	case "$undef":
		return crdt.Undefined(), nil
	case "$bigint":
		i, err := strconv.ParseInt(v.Get("$bigint").Str, 10, 64)
		return crdt.BigInt(i), err
	case "$bin":
		b, err := v.Bytes()
		return crdt.Bytes(b), err
	case "$num":
		return crdt.Number(v.Float()), nil
	case "$utf16":
		return crdt.String(v.Text()), nil
	case "$doc":
		return toSubdoc(v.Get("$doc"))
	case "$y":
		return toType(v)
	}
	switch v.Kind {
	case vectors.Null:
		return crdt.Null(), nil
	case vectors.Bool:
		return crdt.Bool(v.Bool), nil
	case vectors.Number:
		return crdt.Number(v.Num), nil
	case vectors.String:
		return crdt.String(v.Str), nil
	case vectors.List:
		vals, err := toValues(v.List)
		return crdt.List(vals...), err
	case vectors.Object:
		fields, err := toFields(v)
		return crdt.Object(fields...), err
	}
	return crdt.Undefined(), fmt.Errorf("replica: no value: %s", v)
}

func toValues(list []vectors.Value) ([]crdt.Value, error) {
	var out []crdt.Value
	for _, e := range list {
		v, err := toValue(e)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func toFields(v vectors.Value) ([]crdt.Field, error) {
	out := []crdt.Field{}
	for _, f := range v.Fields {
		e, err := toValue(f.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, crdt.Field{Key: f.Key, Value: e})
	}
	return out, nil
}

func toSubdoc(v vectors.Value) (crdt.Value, error) {
	s := crdt.Subdoc{GUID: v.Get("guid").Str, AutoLoad: v.Get("autoLoad").Bool, ShouldLoad: true}
	if gc := v.Get("gc"); gc.Kind == vectors.Bool {
		s.KeepDeleted = !gc.Bool
	}
	if load := v.Get("shouldLoad"); load.Kind == vectors.Bool {
		s.ShouldLoad = load.Bool
	}
	if meta := v.Get("meta"); meta.Kind != vectors.Absent {
		m, err := toValue(meta)
		if err != nil {
			return crdt.Undefined(), err
		}
		s.Meta = m
	}
	return crdt.NewSubdoc(s), nil
}

// toType makes a shared type to insert.
func toType(v vectors.Value) (crdt.Value, error) {
	children, err := toValues(v.Get("c").List)
	if err != nil {
		return crdt.Undefined(), err
	}
	attrs, err := toFields(v.Get("attrs"))
	if err != nil {
		return crdt.Undefined(), err
	}
	switch v.Get("$y").Str {
	case "text", "xmltext":
		return toText(v, attrs)
	case "array":
		vals, err := toValues(v.Get("v").List)
		return crdt.NewArray(vals...), err
	case "map":
		fields, err := toFields(v.Get("v"))
		return crdt.NewMap(fields...), err
	case "xmlfragment":
		return crdt.NewXMLFragment(children...), nil
	case "xmlelement":
		return crdt.NewXMLElement(v.Get("tag").Str, attrs, children...), nil
	case "xmlhook":
		fields, err := toFields(v.Get("v"))
		return crdt.NewXMLHook(v.Get("tag").Str, fields...), err
	}
	return crdt.Undefined(), fmt.Errorf("replica: no such type: %s", v)
}

func toText(v vectors.Value, attrs []crdt.Field) (crdt.Value, error) {
	var d crdt.Delta
	if s := v.Get("s"); s.Kind != vectors.Absent && s.Text() != "" {
		d = crdt.Delta{crdt.InsertText(s.Text())}
	}
	if list := v.Get("d"); list.Kind == vectors.List {
		var err error
		if d, err = toDelta(list); err != nil {
			return crdt.Undefined(), err
		}
	}
	if v.Get("$y").Str == "xmltext" {
		return crdt.NewXMLText(d, attrs...), nil
	}
	return crdt.NewTextDelta(d, attrs...), nil
}

func toDelta(list vectors.Value) (crdt.Delta, error) {
	var d crdt.Delta
	for _, op := range list.List {
		attrs, err := toFields(op.Get("attributes"))
		if err != nil {
			return nil, err
		}
		switch {
		case op.Has("retain"):
			d = append(d, crdt.Retain(int(op.Get("retain").Num), attrs...))
		case op.Has("delete"):
			d = append(d, crdt.Remove(int(op.Get("delete").Num)))
		default:
			v, err := toValue(op.Get("insert"))
			if err != nil {
				return nil, err
			}
			d = append(d, crdt.InsertValue(v, attrs...))
		}
	}
	return d, nil
}

// FromValue writes a value as it was recorded; shared types become dumps.
func FromValue(v crdt.Value) vectors.Value {
	switch v.Kind() {
	case crdt.ValueUndefined:
		return vectors.MakeUndefined()
	case crdt.ValueNull:
		return vectors.MakeNull()
	case crdt.ValueBool:
		return vectors.Value{Kind: vectors.Bool, Bool: v.Bool()}
	case crdt.ValueNumber:
		return vectors.MakeNumber(v.Number())
	case crdt.ValueBigInt:
		return vectors.MakeBigInt(v.BigInt())
	case crdt.ValueString:
		return vectors.MakeString(v.Str())
	case crdt.ValueBytes:
		return vectors.MakeBytes(v.Bytes())
	case crdt.ValueList:
		out := vectors.MakeList()
		for e := range v.Elements() {
			out.List = append(out.List, FromValue(e))
		}
		return out
	case crdt.ValueObject:
		out := vectors.MakeObject()
		for key, e := range v.Fields() {
			out.Fields = append(out.Fields, vectors.Field{Key: key, Value: FromValue(e)})
		}
		return out
	}
	return fromOther(v)
}
