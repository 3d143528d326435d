package vectors_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ysync/internal/vectors"
)

func TestFilesAreReadWhole(t *testing.T) {
	for family, want := range map[string]int{
		"lib0": 43, "edit": 79, "single": 80, "fuzz": 150, "gc": 54, "updates": 25, "snapshot": 15, "relpos": 18,
		"undo": 34, "editors": 50, "malformed": 56, "parity": 28,
	} {
		cases, err := vectors.Read(family)
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) != want {
			t.Errorf("%s: %d cases, want %d", family, len(cases), want)
		}
		for _, c := range cases {
			if c.Name == "" || c.Family != family || len(c.Updates)+len(c.Steps)+len(c.Variants) == 0 {
				t.Errorf("%s: case %q is empty", family, c.Name)
			}
		}
	}
}

func TestValueKeepsKeyOrderAndComparesWithoutIt(t *testing.T) {
	var a, b vectors.Value
	for v, s := range map[*vectors.Value]string{
		&a: `{"z":[1,-0.5e2,"a\"\u00e9😀",null],"a":{"$num":"-0"},"t":true}`,
		&b: `{"t":true,"a":{"$num":"-0"},"z":[1,-50,"a\"é😀",null]}`,
	} {
		if err := json.Unmarshal([]byte(s), v); err != nil {
			t.Fatal(err)
		}
	}
	if a.Fields[0].Key != "z" || b.Fields[0].Key != "t" {
		t.Fatalf("order lost: %s, %s", a, b)
	}
	if d := vectors.Diff(a, b); d != "" {
		t.Fatal(d)
	}
	b.Fields[2].Value.List[1].Num = -49
	if d := vectors.Diff(a, b); d != "/z/1: want -50, got -49" {
		t.Fatalf("difference told as %q", d)
	}
}

func TestStringsWithLoneSurrogates(t *testing.T) {
	var v vectors.Value
	if err := json.Unmarshal([]byte(`{"$utf16":[97,55357,56832,56832]}`), &v); err != nil {
		t.Fatal(err)
	}
	if got := v.Text(); got != "a😀\xed\xb8\x80" {
		t.Fatalf("%q", got)
	}
	if d := vectors.Diff(v, vectors.MakeString(v.Text())); d != "" {
		t.Fatal(d)
	}
	const key = `{"a\ud83d\n\u00e9\ude00\ud83d":1}`
	if err := json.Unmarshal([]byte(key), &v); err != nil {
		t.Fatal(err)
	}
	if got := v.Fields[0].Key; got != "a\xed\xa0\xbd\né\xed\xb8\x80\xed\xa0\xbd" {
		t.Fatalf("%q", got)
	}
	if got := string(v.JSON()); got != strings.NewReplacer("\\n", "\\u000a", "\\u00e9", "é").Replace(key) {
		t.Fatal(got)
	}
}
