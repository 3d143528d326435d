package vectors

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ysync/internal/lib0"
)

// Kind tells what a Value holds.
type Kind uint8

// The kinds of JSON.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	List
	Object
)

// Value is a JSON value that keeps the order of object keys, which decides
// about bytes where an object is written. What JSON lacks is tagged: see the
// README. The zero Value is no value at all.
type Value struct {
	Kind   Kind
	Bool   bool
	Num    float64
	Str    string
	List   []Value
	Fields []Field
}

// Field is one entry of an object.
type Field struct {
	Key   string
	Value Value
}

// Get returns an object's entry; its Kind is Absent if there is none.
func (v Value) Get(key string) Value {
	for _, f := range v.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return Value{}
}

// Has says whether an object has the key.
func (v Value) Has(key string) bool { return v.Get(key).Kind != Absent }

// Bytes decodes base64: a string, or {"$bin": string}.
func (v Value) Bytes() ([]byte, error) {
	if v.Kind == Object {
		v = v.Get("$bin")
	}
	if v.Kind != String {
		return nil, fmt.Errorf("%s is no base64", v)
	}
	return base64.StdEncoding.DecodeString(v.Str)
}

// Tag returns the key of a tagged value ("$undef", "$y", …) or "".
func (v Value) Tag() string {
	for _, f := range v.Fields {
		if strings.HasPrefix(f.Key, "$") {
			return f.Key
		}
	}
	return ""
}

// Text returns the string that v holds, plain or as UTF-16 units. A lone
// surrogate gets the three bytes that UTF-8 would give it.
func (v Value) Text() string {
	if units := v.Get("$utf16"); units.Kind == List {
		var us []uint16
		for _, u := range units.List {
			us = append(us, uint16(u.Num))
		}
		return lib0.FromUTF16(us)
	}
	return v.Str
}

// Float returns the number that v holds, plain or tagged.
func (v Value) Float() float64 {
	switch v.Get("$num").Str {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	case "-0":
		return math.Copysign(0, -1)
	}
	return v.Num
}

// The constructors below tag what they must, so that what they make can be
// compared with what was recorded.

// MakeNull returns null.
func MakeNull() Value { return Value{Kind: Null} }

// MakeUndefined returns undefined.
func MakeUndefined() Value { return MakeObject(Field{"$undef", Value{Kind: Bool, Bool: true}}) }

// MakeNumber returns a number.
func MakeNumber(f float64) Value {
	s := ""
	switch {
	case math.IsNaN(f):
		s = "NaN"
	case math.IsInf(f, 1):
		s = "Infinity"
	case math.IsInf(f, -1):
		s = "-Infinity"
	case f == 0 && math.Signbit(f):
		s = "-0"
	default:
		return Value{Kind: Number, Num: f}
	}
	return MakeObject(Field{"$num", Value{Kind: String, Str: s}})
}

// MakeBigInt returns a bigint.
func MakeBigInt(i int64) Value {
	return MakeObject(Field{"$bigint", Value{Kind: String, Str: strconv.FormatInt(i, 10)}})
}

// MakeString returns a string whose lone surrogates, if any, are spelt as Text
// spells them.
func MakeString(s string) Value {
	if utf8.ValidString(s) {
		return Value{Kind: String, Str: s}
	}
	var units []Value
	for _, u := range lib0.AppendUTF16(nil, s) {
		units = append(units, MakeNumber(float64(u)))
	}
	return MakeObject(Field{"$utf16", MakeList(units...)})
}

// MakeBytes returns a byte array.
func MakeBytes(b []byte) Value {
	return MakeObject(Field{"$bin", Value{Kind: String, Str: base64.StdEncoding.EncodeToString(b)}})
}

// MakeList returns a list.
func MakeList(vs ...Value) Value { return Value{Kind: List, List: vs} }

// MakeObject returns an object.
func MakeObject(fs ...Field) Value { return Value{Kind: Object, Fields: fs} }

// Diff returns "" if got equals want, else where and how they differ first.
// The order of keys does not matter.
func Diff(want, got Value) string { return diff("", want, got) }

func diff(at string, want, got Value) string {
	if want.Kind != got.Kind {
		return fmt.Sprintf("%s: want %s, got %s", at, want, got)
	}
	switch want.Kind {
	case Bool:
		if want.Bool != got.Bool {
			return fmt.Sprintf("%s: want %v, got %v", at, want.Bool, got.Bool)
		}
	case Number:
		if want.Num != got.Num {
			return fmt.Sprintf("%s: want %v, got %v", at, want.Num, got.Num)
		}
	case String:
		if want.Str != got.Str {
			return fmt.Sprintf("%s: want %q, got %q", at, want.Str, got.Str)
		}
	case List:
		for i := range min(len(want.List), len(got.List)) {
			if d := diff(at+"/"+strconv.Itoa(i), want.List[i], got.List[i]); d != "" {
				return d
			}
		}
		if len(want.List) != len(got.List) {
			return fmt.Sprintf("%s: want %d elements, got %d: %s, %s", at, len(want.List), len(got.List), want, got)
		}
	case Object:
		if len(want.Fields) != len(got.Fields) {
			return fmt.Sprintf("%s: want %s, got %s", at, want, got)
		}
		for _, f := range want.Fields {
			if d := diff(at+"/"+f.Key, f.Value, got.Get(f.Key)); d != "" {
				return d
			}
		}
	}
	return ""
}

// JSON returns v as JSON, with its order of keys.
func (v Value) JSON() []byte { return v.append(nil) }

// String returns v as JSON, cut short when long.
func (v Value) String() string {
	b := v.append(nil)
	if len(b) > 400 {
		b = append(b[:400], "…"...)
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

func (v Value) append(b []byte) []byte {
	switch v.Kind {
	case Absent:
		return append(b, "(nothing)"...)
	case Null:
		return append(b, "null"...)
	case Bool:
		return strconv.AppendBool(b, v.Bool)
	case Number:
		return strconv.AppendFloat(b, v.Num, 'g', -1, 64)
	case String:
		return appendQuoted(b, v.Str)
	case List:
		b = append(b, '[')
		for i, e := range v.List {
			if i > 0 {
				b = append(b, ',')
			}
			b = e.append(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, f := range v.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, f.Key), ':')
		b = f.Value.append(b)
	}
	return append(b, '}')
}

// appendQuoted writes a JSON string. Everything but quotes, backslashes and
// control characters stands for itself.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = fmt.Appendf(b, "\\u%04x", c)
		case c == 0xed && i+2 < len(s) && s[i+1] >= 0xa0: // a lone surrogate
			b = fmt.Appendf(b, "\\ud%03x", uint16(s[i+1]&0x3f)<<6|uint16(s[i+2]&0x3f))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// SortBy orders lists that are compared as sets.
func SortBy(list []Value) []Value {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Value) int { return bytes.Compare(a.canonical(), b.canonical()) })
	return out
}

func (v Value) canonical() []byte {
	if v.Kind == Object {
		v.Fields = slices.SortedFunc(slices.Values(v.Fields), func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	}
	return v.append(nil)
}
