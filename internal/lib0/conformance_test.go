package lib0_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
)

func TestConformanceLib0(t *testing.T) {
	cases, err := vectors.Read("lib0")
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	for _, c := range cases {
		for i, s := range c.Steps {
			checks++
			if err := runStep(s); err != nil {
				t.Errorf("%s, step %d (%s %s): %v", c.Name, i, s.Op, s.T, err)
			}
		}
	}
	t.Logf("lib0: %d cases, %d checks, left: none", len(cases), checks)
}

func runStep(s vectors.Step) error {
	switch s.Op {
	case "lib0enc":
		got, err := encode(s.T, s.V)
		if err != nil {
			return err
		}
		want, err := s.Expect.Get("b").Bytes()
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("want %x, got %x", want, got)
		}
		return nil
	case "lib0dec":
		return runDecode(s)
	}
	return fmt.Errorf("unknown command")
}

func runDecode(s vectors.Step) error {
	want := s.Expect.Get("v")
	n := len(want.List)
	if s.N != nil {
		n = *s.N
	}
	got, rest, err := decode(s.T, s.B, n)
	if errors.Is(err, lib0.ErrPastEnd) && !s.Throws {
		// lib0 takes what lies past the end for a zero; the reader yields that
		// zero, and says so.
		err = nil
	}
	if s.Throws {
		if err == nil {
			return fmt.Errorf("no error for %x, got %s", s.B, got)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%x: %w", s.B, err)
	}
	if d := vectors.Diff(want, got); d != "" {
		return errors.New(d)
	}
	if r := s.Expect.Get("rest"); r.Kind == vectors.Number && rest != int(r.Num) {
		return fmt.Errorf("want %v bytes left, got %d", r.Num, rest)
	}
	return nil
}

func encode(typ string, v vectors.Value) ([]byte, error) {
	switch typ {
	case "varUint":
		return lib0.AppendUvarint(nil, uint64(v.Num)), nil
	case "varInt":
		if f := v.Float(); f == 0 && math.Signbit(f) {
			return lib0.AppendNegativeZero(nil), nil
		}
		return lib0.AppendVarint(nil, int64(v.Num)), nil
	case "varString":
		return lib0.AppendString(nil, v.Text()), nil
	case "varUint8Array":
		b, err := v.Bytes()
		return lib0.AppendBytes(nil, b), err
	case "float32":
		return lib0.AppendFloat32(nil, float32(v.Float())), nil
	case "float64":
		return lib0.AppendFloat64(nil, v.Float()), nil
	case "bigInt64":
		i, err := strconv.ParseInt(v.Get("$bigint").Str, 10, 64)
		return lib0.AppendBigInt64(nil, i), err
	case "bigUint64":
		u, err := strconv.ParseUint(v.Get("$bigint").Str, 10, 64)
		return lib0.AppendBigUint64(nil, u), err
	case "uint8":
		return []byte{byte(v.Num)}, nil
	case "uint16":
		return lib0.AppendUint16(nil, uint16(v.Num)), nil
	case "uint32":
		return lib0.AppendUint32(nil, uint32(v.Num)), nil
	case "uint32be":
		return lib0.AppendBigUint32(nil, uint32(v.Num)), nil
	case "any":
		return appendAny(nil, v)
	}
	return encodeColumn(typ, v.List)
}

func encodeColumn(typ string, list []vectors.Value) ([]byte, error) {
	switch typ {
	case "rleUint8":
		var e lib0.RleEncoder
		for _, v := range list {
			e.Write(byte(v.Num))
		}
		return e.AppendTo(nil), nil
	case "uintOptRle":
		var e lib0.UintOptRleEncoder
		for _, v := range list {
			e.Write(uint64(v.Num))
		}
		return e.AppendTo(nil), nil
	case "incUintOptRle":
		var e lib0.IncUintOptRleEncoder
		for _, v := range list {
			e.Write(uint64(v.Num))
		}
		return e.AppendTo(nil), nil
	case "intDiffOptRle":
		var e lib0.IntDiffOptRleEncoder
		for _, v := range list {
			e.Write(int64(v.Num))
		}
		return e.AppendTo(nil), nil
	case "string":
		var e lib0.StringEncoder
		for _, v := range list {
			e.Write(v.Text())
		}
		return e.AppendTo(nil), nil
	}
	return nil, fmt.Errorf("unknown type")
}

func decode(typ string, b []byte, n int) (v vectors.Value, rest int, err error) {
	r := lib0.NewReader(b)
	switch typ {
	case "varUint":
		v = vectors.MakeNumber(r.UvarintNumber())
	case "varInt":
		if v = vectors.MakeNumber(r.VarintNumber()); errors.Is(r.Err(), lib0.ErrPastEnd) {
			return v, -1, r.Err()
		}
	case "varString":
		v = vectors.MakeString(r.String())
	case "varUint8Array":
		v = vectors.MakeBytes(r.Bytes())
	case "float32":
		v = vectors.MakeNumber(float64(r.Float32()))
	case "float64":
		v = vectors.MakeNumber(r.Float64())
	case "bigInt64":
		v = vectors.MakeBigInt(r.BigInt64())
	case "bigUint64":
		v = vectors.MakeObject(vectors.Field{Key: "$bigint", Value: vectors.MakeString(strconv.FormatUint(r.BigUint64(), 10))})
	case "uint8":
		v = vectors.MakeNumber(float64(r.Uint8()))
	case "uint16":
		v = vectors.MakeNumber(float64(r.Uint16()))
	case "uint32":
		v = vectors.MakeNumber(float64(r.Uint32()))
	case "uint32be":
		v = vectors.MakeNumber(float64(r.BigUint32()))
	case "any":
		v = readAny(&r, 5000)
	default:
		v, err = decodeColumn(typ, r, n)
		return v, 0, err
	}
	return v, r.Len(), r.Err()
}

func decodeColumn(typ string, r lib0.Reader, n int) (vectors.Value, error) {
	out := vectors.MakeList([]vectors.Value{}...)
	collect := func(next func() vectors.Value, err func() error) (vectors.Value, error) {
		out.List = []vectors.Value{}
		for range n {
			out.List = append(out.List, next())
		}
		return out, err()
	}
	switch typ {
	case "rleUint8":
		d := lib0.NewRleDecoder(r)
		return collect(func() vectors.Value { return vectors.MakeNumber(float64(d.Read())) }, d.Err)
	case "uintOptRle":
		d := lib0.NewUintOptRleDecoder(r)
		return collect(func() vectors.Value { return vectors.MakeNumber(float64(d.Read())) }, d.Err)
	case "incUintOptRle":
		d := lib0.NewIncUintOptRleDecoder(r)
		return collect(func() vectors.Value { return vectors.MakeNumber(float64(d.Read())) }, d.Err)
	case "intDiffOptRle":
		d := lib0.NewIntDiffOptRleDecoder(r)
		return collect(func() vectors.Value { return vectors.MakeNumber(float64(d.Read())) }, d.Err)
	case "string":
		d := lib0.NewStringDecoder(r)
		return collect(func() vectors.Value {
			s, _ := d.Read()
			return vectors.MakeString(string(s))
		}, d.Err)
	}
	return out, fmt.Errorf("unknown type")
}

func appendAny(dst []byte, v vectors.Value) ([]byte, error) {
	switch v.Tag() {
	case "$undef":
		return lib0.AppendTag(dst, lib0.TagUndefined), nil
	case "$num":
		return lib0.AppendAnyNumber(dst, v.Float()), nil
	case "$bigint":
		i, err := strconv.ParseInt(v.Get("$bigint").Str, 10, 64)
		return lib0.AppendAnyBigInt(dst, i), err
	case "$bin":
		b, err := v.Bytes()
		return lib0.AppendAnyBytes(dst, b), err
	case "$utf16":
		return lib0.AppendAnyString(dst, v.Text()), nil
	}
	switch v.Kind {
	case vectors.Null:
		return lib0.AppendTag(dst, lib0.TagNull), nil
	case vectors.Bool:
		if v.Bool {
			return lib0.AppendTag(dst, lib0.TagTrue), nil
		}
		return lib0.AppendTag(dst, lib0.TagFalse), nil
	case vectors.Number:
		return lib0.AppendAnyNumber(dst, v.Num), nil
	case vectors.String:
		return lib0.AppendAnyString(dst, v.Str), nil
	case vectors.List:
		dst = lib0.AppendAnyArray(dst, len(v.List))
		for _, e := range v.List {
			var err error
			if dst, err = appendAny(dst, e); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case vectors.Object:
		dst = lib0.AppendAnyObject(dst, len(v.Fields))
		for _, f := range v.Fields {
			var err error
			if dst, err = appendAny(lib0.AppendString(dst, f.Key), f.Value); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	return dst, fmt.Errorf("cannot encode %s", v)
}

// readAny builds what JavaScript would: a later value of a key replaces the
// earlier one, and assigning to __proto__ makes no property.
func readAny(r *lib0.Reader, depth int) vectors.Value {
	switch t := r.Tag(); t {
	case lib0.TagUndefined:
		return vectors.MakeUndefined()
	case lib0.TagNull:
		return vectors.MakeNull()
	case lib0.TagTrue:
		return vectors.Value{Kind: vectors.Bool, Bool: true}
	case lib0.TagFalse:
		return vectors.Value{Kind: vectors.Bool}
	case lib0.TagInteger, lib0.TagFloat32, lib0.TagFloat64:
		return vectors.MakeNumber(r.Number(t))
	case lib0.TagBigInt:
		return vectors.MakeBigInt(r.BigInt64())
	case lib0.TagString:
		return vectors.MakeString(r.String())
	case lib0.TagBytes:
		return vectors.MakeBytes(r.Bytes())
	case lib0.TagArray:
		if depth <= 0 {
			r.Fail(lib0.ErrDepth)
		}
		list := vectors.MakeList([]vectors.Value{}...)
		for range r.Count(lib0.MinArrayElement) {
			list.List = append(list.List, readAny(r, depth-1))
		}
		return list
	case lib0.TagObject:
		if depth <= 0 {
			r.Fail(lib0.ErrDepth)
		}
		obj := vectors.MakeObject()
		for range r.Count(lib0.MinObjectEntry) {
			key := r.String()
			v := readAny(r, depth-1)
			if key == "__proto__" {
				continue
			}
			at := slices.IndexFunc(obj.Fields, func(f vectors.Field) bool { return f.Key == key })
			if at < 0 {
				obj.Fields = append(obj.Fields, vectors.Field{Key: key, Value: v})
			} else {
				obj.Fields[at].Value = v
			}
		}
		return obj
	}
	return vectors.Value{}
}
