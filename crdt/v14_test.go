package crdt_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"ysync/crdt"
)

// v14Sample is a document that a release candidate of Yjs 14 made.
type v14Sample struct {
	Name    string
	Error   string
	Updates []struct{ V1, V2 []byte }
	StateV1 []byte `json:"state_v1"`
	StateV2 []byte `json:"state_v2"`
	JSON    map[string]v14Type
}

// v14Type is a type of Yjs 14, which may have children and attributes alike.
type v14Type struct {
	Name     string
	Children []any
	Attrs    map[string]any
}

// Updates of Yjs 14 go through a document, and through the functions on bytes
// alone, without a change to a byte.
func TestYjs14(t *testing.T) {
	raw, err := os.ReadFile("testdata/v14.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples []v14Sample
	if err := json.Unmarshal(raw, &samples); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, s := range samples {
		if s.Error != "" {
			if len(s.Updates) > 0 {
				t.Errorf("%s: both an error and updates", s.Name)
			}
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			for _, v := range []crdt.Version{crdt.V1, crdt.V2} {
				s.run(t, v)
			}
		})
		compared++
	}
	if compared != 6 {
		t.Errorf("%d samples with updates, want 6", compared)
	}
}

func (s *v14Sample) run(t *testing.T, v crdt.Version) {
	d := crdt.New(crdt.Options{NoFormatCleanup: true})
	var all [][]byte
	for i, pair := range s.Updates {
		u, other := pair.V1, pair.V2
		if v == crdt.V2 {
			u, other = other, u
		}
		c, err := d.Apply(nil, v, u)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the commit of an update", u, c.AppendUpdate(nil, v))
		same(t, "the commit in the other format", other, c.AppendUpdate(nil, 3-v))
		converted, err := crdt.Convert(v, 3-v, u)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "an update converted", other, converted)
		structs := 0
		if _, err := crdt.WalkStructs(v, u, func(*crdt.Struct) { structs++ }); err != nil || structs == 0 {
			t.Errorf("update %d lists %d blocks: %v", i, structs, err)
		}
		all = append(all, u)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	same(t, "state V1", s.StateV1, d.AppendState(nil, crdt.V1))
	same(t, "state V2", s.StateV2, d.AppendState(nil, crdt.V2))
	merged, err := crdt.Merge(v, all...)
	if err != nil {
		t.Fatal(err)
	}
	again := crdt.New(crdt.Options{NoFormatCleanup: true})
	if _, err := again.Apply(nil, v, merged); err != nil {
		t.Fatal(err)
	}
	same(t, "state after a merge", s.StateV1, again.AppendState(nil, crdt.V1))
	for name, want := range s.JSON {
		compareV14(t, name, want, d.XMLElement(name).Value())
	}
}

// compareV14 reads a type of any kind by its children and attributes.
func compareV14(t *testing.T, at string, want v14Type, got crdt.Value) {
	t.Helper()
	if want.Name != "" && got.XMLElement().Tag() != want.Name {
		t.Errorf("%s: name %q, want %q", at, got.XMLElement().Tag(), want.Name)
	}
	var children []crdt.Value
	text := ""
	for c := range got.XMLFragment().Children() {
		if c.Kind() == crdt.ValueString {
			text += c.Str()
			continue
		}
		children = append(children, c)
	}
	wantText := ""
	var rest []any
	for _, c := range want.Children {
		if s, ok := c.(string); ok {
			wantText += s
		} else {
			rest = append(rest, c)
		}
	}
	if text != wantText || len(children) != len(rest) {
		t.Fatalf("%s: text %q and %d other children, want %q and %d", at, text, len(children), wantText, len(rest))
	}
	for i, c := range children {
		compareV14Value(t, at+" child", rest[i], c)
	}
	for k, w := range want.Attrs {
		compareV14Value(t, at+"."+k, w, attrOf(got, k))
	}
}

// attrOf reads an attribute of a type that may be no element here.
func attrOf(v crdt.Value, key string) crdt.Value {
	for k, a := range v.Entries() {
		if k == key {
			return a
		}
	}
	return crdt.Undefined()
}

func compareV14Value(t *testing.T, at string, want any, got crdt.Value) {
	t.Helper()
	if got.Kind() == crdt.ValueType {
		enc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var w v14Type
		if err := json.Unmarshal(enc, &w); err != nil {
			t.Fatal(err)
		}
		compareV14(t, at, w, got)
		return
	}
	enc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if g := got.AppendJSON(nil); !bytes.Equal(enc, g) {
		t.Errorf("%s: %s, want %s", at, g, enc)
	}
}

func same(t *testing.T, what string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		t.Errorf("%s:\nwant %x\ngot  %x", what, want, got)
	}
}
