package crdt

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ysync/internal/lib0"
)

// FuzzAny reads hostile values. What is read is written in the one form of Yjs, which reads back as
// the same value.
func FuzzAny(f *testing.F) {
	f.Add(appendAny(nil, Object(Field{"b", List(Int(1), BigInt(-1))}, Field{"2", Bytes([]byte{1})})))
	f.Add([]byte{byte(lib0.TagArray), 0xff, 0xff, 0xff, 0x7f})
	f.Add(bytes.Repeat([]byte{byte(lib0.TagArray), 1}, 200))
	f.Add(append(slices.Repeat(lib0.AppendAnyObject(nil, 1), 3), 118, 4, 1, 'b', 127, 1, '1', 126, 1, 'b', 120, 1, '0', 117, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := lib0.NewReader(b)
		v := readAny(&r)
		if r.Err() != nil {
			return
		}
		enc := appendAny(nil, v)
		r = lib0.NewReader(b)
		if direct := appendCanonical(nil, &r); !bytes.Equal(direct, enc) {
			t.Fatalf("copied as %x, by way of a value as %x", direct, enc)
		}
		r = lib0.NewReader(enc)
		if text, want := stringifyAny(nil, &r), appendStringify(nil, v); !bytes.Equal(text, want) {
			t.Fatalf("%s as text, by way of a value %s", text, want)
		}
		r = lib0.NewReader(enc)
		back := readAny(&r)
		if r.Err() != nil || r.Len() != 0 || !back.Equal(v) {
			t.Fatalf("%x reads back as %s: %v", enc, back.AppendJSON(nil), r.Err())
		}
		if !bytes.Equal(appendAny(nil, back), enc) {
			t.Fatalf("%x has two encodings", enc)
		}
	})
}

// parseJSON reads JSON text.
func parseJSON(src []byte) (Value, bool) {
	enc, ok := appendJSONValue(nil, src)
	if !ok {
		return Value{}, false
	}
	return valueOf(enc), true
}

// FuzzParseJSON compares the parser with encoding/json, which accepts the same texts.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e-7,null,true,"\ud83d\ude00\ud83d"],"1":{}}`, `[`, `"\u12`, `01`, ` 1 `, "\"\x80\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if !utf8.Valid(src) || strings.Count(string(src), "[")+strings.Count(string(src), "{") >= maxValueDepth {
			return
		}
		v, ok := parseJSON(src)
		if ok != json.Valid(src) || ok != validJSON(src) {
			t.Fatalf("%q: accepted %v", src, ok)
		}
		if !ok {
			return
		}
		text := appendStringify(nil, v)
		back, ok := parseJSON(text)
		if !ok || !bytes.Equal(appendStringify(nil, back), text) {
			t.Fatalf("%q became %q", src, text)
		}
	})
}
