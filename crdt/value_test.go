package crdt

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ysync/internal/lib0"
)

// plainValues generates plain data, lone surrogates included only where a string may keep them.
func plainValues() *rapid.Generator[Value] {
	scalar := rapid.OneOf(
		rapid.Just(Undefined()),
		rapid.Just(Null()),
		rapid.Map(rapid.Bool(), Bool),
		rapid.Map(rapid.Float64(), Number),
		rapid.Map(rapid.IntRange(math.MinInt32-2, math.MaxInt32+2), Int),
		rapid.Map(rapid.Float32(), func(f float32) Value { return Number(float64(f)) }),
		rapid.SampledFrom([]Value{Number(math.NaN()), Number(math.Inf(-1)), Number(math.Copysign(0, -1)), Number(1e21)}),
		rapid.Map(rapid.Int64(), BigInt),
		rapid.Map(rapid.String(), String),
		rapid.Map(rapid.SliceOf(rapid.Byte()), Bytes),
	)
	return rapid.Custom(func(t *rapid.T) Value { return drawValue(t, scalar, 3) })
}

func drawValue(t *rapid.T, scalar *rapid.Generator[Value], depth int) Value {
	if depth == 0 {
		return scalar.Draw(t, "scalar")
	}
	switch rapid.IntRange(0, 5).Draw(t, "shape") {
	case 0:
		n := rapid.IntRange(0, 4).Draw(t, "n")
		var vals []Value
		for range n {
			vals = append(vals, drawValue(t, scalar, depth-1))
		}
		return List(vals...)
	case 1:
		n := rapid.IntRange(0, 20).Draw(t, "n")
		var fields []Field
		for range n {
			key := rapid.OneOf(rapid.StringMatching("[a-c0-9]{0,2}"), rapid.String()).Draw(t, "key")
			if key == "__proto__" {
				continue
			}
			fields = append(fields, Field{key, drawValue(t, scalar, depth-1)})
		}
		return Object(fields...)
	}
	return scalar.Draw(t, "scalar")
}

func TestAnyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := plainValues().Draw(t, "value")
		enc := appendAny(nil, v)
		r := lib0.NewReader(enc)
		back := readAny(&r)
		if r.Err() != nil || r.Len() != 0 {
			t.Fatalf("%x: %v, %d bytes left", enc, r.Err(), r.Len())
		}
		if !back.Equal(v) {
			t.Fatalf("got %s, want %s", back.AppendJSON(nil), v.AppendJSON(nil))
		}
		if again := appendAny(nil, back); !bytes.Equal(again, enc) {
			t.Fatalf("encoded again %x, want %x", again, enc)
		}
	})
}

func TestAnyRefusesDeepValues(t *testing.T) {
	for _, depth := range []int{maxValueDepth, maxValueDepth + 1, 1 << 20} {
		enc := append(bytes.Repeat([]byte{byte(lib0.TagArray), 1}, depth), byte(lib0.TagNull))
		r := lib0.NewReader(enc)
		readAny(&r)
		if ok := r.Err() == nil; ok != (depth <= maxValueDepth) {
			t.Errorf("depth %d: error %v", depth, r.Err())
		}
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if _, ok := parseJSON([]byte(text)); ok != (depth <= maxValueDepth) {
			t.Errorf("JSON of depth %d: accepted %v", depth, ok)
		}
	}
}

// lib0 assigns decoded properties one by one: integer-like keys come first, "__proto__" vanishes.
func TestAnyObjectOrder(t *testing.T) {
	enc := lib0.AppendAnyObject(nil, 6)
	for i, k := range []string{"b", "10", "__proto__", "a", "2", "b"} {
		enc = appendAny(lib0.AppendString(enc, k), Int(i))
	}
	r := lib0.NewReader(enc)
	v := readAny(&r)
	if got := string(v.AppendJSON(nil)); got != `{"2":4,"10":1,"b":5,"a":3}` {
		t.Errorf("got %s", got)
	}
}

func hasJSONForm(v Value) bool {
	return !v.holds(ValueBytes) && !v.holds(ValueUndefined) && !v.holds(ValueBigInt)
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := plainValues().Filter(hasJSONForm).Draw(t, "value")
		text := appendStringify(nil, v)
		back, ok := parseJSON(text)
		if !ok {
			t.Fatalf("%s: refused", text)
		}
		if again := appendStringify(nil, back); !bytes.Equal(again, text) {
			t.Fatalf("got %s, want %s", again, text)
		}
	})
}

func TestJSNumbers(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0"},
		{math.Copysign(0, -1), "0"},
		{1, "1"},
		{-1.5, "-1.5"},
		{1e21, "1e+21"},
		{123456789012345680000, "123456789012345680000"},
		{1e-6, "0.000001"},
		{1e-7, "1e-7"},
		{1.25e-10, "1.25e-10"},
		{5e-324, "5e-324"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
		{math.NaN(), "NaN"},
		{math.Inf(1), "Infinity"},
		{math.Inf(-1), "-Infinity"},
		{0.30000000000000004, "0.30000000000000004"},
	} {
		if got := string(appendJSNumber(nil, c.f)); got != c.want {
			t.Errorf("%g: got %s, want %s", c.f, got, c.want)
		}
	}
}

func TestParseJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` {"b":1,"a":[ ],"b":2} `, `{"b":2,"a":[]}`},
		{`"\ud83d\ude00\ud83d\n\/"`, "\"😀\\ud83d\\n/\""},
		{`-0`, `0`},
		{`1e400`, `null`},
		{`1.50e1`, `15`},
		{`{"1":1,"0":0}`, `{"0":0,"1":1}`},
		{`01`, ""},
		{`+1`, ""},
		{`1.`, ""},
		{`.5`, ""},
		{`1e`, ""},
		{`-`, ""},
		{`"\x"`, ""},
		{"\"\n\"", ""},
		{`"a`, ""},
		{`[1,]`, ""},
		{`{"a":1,}`, ""},
		{`{a:1}`, ""},
		{`nul`, ""},
		{`1 2`, ""},
		{``, ""},
		{`"\u12G4"`, ""},
		{`[1 2]`, ""},
		{`{"__proto__":1}`, `{"__proto__":1}`},
	} {
		enc, ok := appendJSONValue(nil, []byte(c.in))
		got := ""
		if ok {
			r := lib0.NewWTF8Reader(enc)
			got = string(stringifyAny(nil, &r))
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestObjectManyKeys(t *testing.T) {
	var fields []Field
	for i := range 1000 {
		fields = append(fields, Field{string(rune('a' + i%600)), Int(i)})
	}
	v := Object(fields...)
	if v.Len() != 600 || v.Field("a").Number() != 600 || v.Field(string(rune('a'+500))).Number() != 500 {
		t.Errorf("%d keys, a = %v", v.Len(), v.Field("a").Number())
	}
}

// Values of attributes are compared as Yjs does: objects by their members, nested ones by identity.
func TestSameFlat(t *testing.T) {
	nested := Object(Field{"a", List(Int(1))})
	for _, c := range []struct {
		a, b Value
		want bool
	}{
		{Int(1), Int(1), true},
		{Number(math.NaN()), Number(math.NaN()), false},
		{Int(0), Number(math.Copysign(0, -1)), true},
		{String("a"), String("a"), true},
		{Null(), Undefined(), false},
		{Null(), Object(), false},
		{Object(Field{"a", Int(1)}, Field{"b", Int(2)}), Object(Field{"b", Int(2)}, Field{"a", Int(1)}), true},
		{Object(Field{"a", Int(1)}), Object(Field{"a", Int(2)}), false},
		{List(Int(1)), Object(Field{"0", Int(1)}), true},
		{nested, nested, true},
		{nested, Object(Field{"a", List(Int(1))}), false},
	} {
		if got := c.a.sameFlat(c.b); got != c.want {
			t.Errorf("%s and %s: got %v", c.a.AppendJSON(nil), c.b.AppendJSON(nil), got)
		}
	}
}

func TestWTF8(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain ä😀", "plain ä😀"},
		{"\xff", "\uFFFD"},
		{"\xed\xa0\xbd\xed\xb8\x80", "😀"},
		{"a\xed\xa0\xbd", "a\xed\xa0\xbd"},
		{"\xed\xb8\x80\xed\xa0\xbd", "\xed\xb8\x80\xed\xa0\xbd"},
		{"\xed\xa0", "\uFFFD\uFFFD"},
	} {
		if got := toWTF8(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCompareUTF16(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		units := []uint16{'a', 'ä', 0xD7FF, 0xD83D, 0xDBFF, 0xDC00, 0xDE00, 0xDFFF, 0xE000, 0xFFFD, 0xFFFF}
		gen := rapid.SliceOf(rapid.SampledFrom(units))
		ua, ub := gen.Draw(t, "a"), gen.Draw(t, "b")
		a, b := lib0.FromUTF16(ua), lib0.FromUTF16(ub)
		want := slices.Compare(ua, ub)
		got := compareUTF16(a, b)
		if (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("%q and %q: got %d, want %d", a, b, got, want)
		}
	})
}
