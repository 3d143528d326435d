package awareness

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var jsonSamples = []string{
	`{}`, `[]`, `null`, ` null `, `true`, `false`, `0`, `-0`, `-`, `01`, `1.`, `.5`, `1e`, `1e+`, `1E-9`, `-1.25e+3`,
	`""`, `"a`, `"\u12"`, `"\u12aF"`, `"\x"`, `"\`, "\"\x01\"", "\"\x7f\"", "\"\xff\"", `"😀"`,
	`{"a":1}`, `{"a":1,}`, `{"a" : [ 1 , {"b":null} ] }`, `{a:1}`, `{"a"}`, `{"a":}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`,
	`[[[]]]`, `[`, `]`, `{`, `}`, `nul`, `nulll`, `{}{}`, "\ufeff{}", "\v1", ``, ` `, "\x00",
}

func TestCheckJSONAgreesWithTheStandardLibrary(t *testing.T) {
	for _, s := range jsonSamples {
		want := json.Valid([]byte(s)) && utf8.ValidString(s)
		if err := checkJSON([]byte(s)); (err == nil) != want {
			t.Errorf("%q: %v, valid is %v", s, err, want)
		}
	}
}

func TestCheckJSONBoundsTheDepth(t *testing.T) {
	at := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	if err := checkJSON([]byte(at)); err != nil {
		t.Fatalf("%d levels: %v", MaxDepth, err)
	}
	for _, over := range []string{"[" + at + "]", `{"a":` + at + "}", strings.Repeat(`{"a":`, 1_000_000)} {
		if err := checkJSON([]byte(over)); !errors.Is(err, ErrDepth) {
			t.Fatalf("deeper: %v", err)
		}
	}
}

func TestCheckJSONAllocatesNothing(t *testing.T) {
	state := []byte(`{"user":{"name":"Zoë","color":"#30bced"},"cursor":[1.5,null,{"a":"\u00e9"}]}`)
	if n := testing.AllocsPerRun(100, func() {
		if checkJSON(state) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestEqualJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2,{}]}`, `{ "b":[2.0,{}], "a":1e0 }`, true},
		{`"é"`, `"\u00e9"`, true},
		{`0`, `-0`, true},
		{`1e999`, `2e999`, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":null}`, `{"b":null}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[]`, `{}`, false},
		{`1`, `"1"`, false},
		{`null`, `false`, false},
	} {
		if got := equalJSON([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

func TestFalsyStates(t *testing.T) {
	for _, s := range []string{`null`, ` false`, `""`, `0`, `-0`, `0.00`, `-0.0e7`, `0E1`} {
		if !isFalsy([]byte(s)) {
			t.Errorf("%s is true", s)
		}
	}
	for _, s := range []string{`{}`, `[]`, `"0"`, `1`, `-1`, `0.01`, `10`, `true`, ``} {
		if isFalsy([]byte(s)) {
			t.Errorf("%s is false", s)
		}
	}
}

func TestSetFieldKeepsTheOrderOfJavaScript(t *testing.T) {
	for _, c := range []struct{ state, key, value, want string }{
		{`{}`, "a", `1`, `{"a":1}`},
		{`{"b":2,"a":1}`, "b", `3`, `{"b":3,"a":1}`},
		{`{"b":2}`, "10", `0`, `{"10":0,"b":2}`},
		{`{"10":1,"b":2}`, "9", `0`, `{"9":0,"10":1,"b":2}`},
		{`{"a":1}`, "4294967295", `0`, `{"a":1,"4294967295":0}`},
		{`{"a":1}`, "01", `0`, `{"a":1,"01":0}`},
		{`{"a":{"x": [1, 2]}}`, "q\"\\\n\x01é<", `"v"`, `{"a":{"x": [1, 2]},"q\"\\\n\u0001é<":"v"}`},
		{`{"\u0061":1,"a":2}`, "b", `3`, `{"a":2,"b":3}`},
	} {
		got, err := SetField([]byte(c.state), c.key, []byte(c.value))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %q: %s, %v; want %s", c.state, c.key, got, err, c.want)
		}
	}
	for _, bad := range []struct{ state, value string }{{`[]`, `1`}, {`5`, `1`}, {`{`, `1`}, {`{}`, `{`}, {``, `1`}} {
		if got, err := SetField([]byte(bad.state), "k", []byte(bad.value)); err == nil {
			t.Errorf("%q with %q: %s", bad.state, bad.value, got)
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, s := range jsonSamples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := checkJSON(b)
		if errors.Is(err, ErrDepth) {
			return
		}
		if want := json.Valid(b) && utf8.Valid(b); (err == nil) != want {
			t.Fatalf("%q: %v, valid is %v", b, err, want)
		}
		if err != nil {
			return
		}
		if !equalJSON(b, append([]byte(" "), b...)) {
			t.Fatalf("%q differs from itself", b)
		}
		out, err := SetField(b, "k", b)
		if err != nil {
			return
		}
		var before, after map[string]any
		if json.Unmarshal(b, &before) != nil || json.Unmarshal(out, &after) != nil {
			return // numbers out of range
		}
		var v any
		_ = json.Unmarshal(b, &v)
		before["k"] = v
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q", b, out)
		}
	})
}
