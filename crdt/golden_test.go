package crdt

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The golden files hold what real Yjs 13.6 did; their README says what must be
// equal. The tests here need no shared types: they deliver updates and compare
// the encoded states.

type goldenUpdate struct {
	V1 []byte `json:"v1"`
	V2 []byte `json:"v2"`
}

type goldenExpect struct {
	SV      map[string]uint64      `json:"sv"`
	SVBytes []byte                 `json:"sv_bytes"`
	DS      map[string][][2]uint64 `json:"ds"`
	StateV1 []byte                 `json:"state_v1"`
	StateV2 []byte                 `json:"state_v2"`
	Pending json.RawMessage        `json:"pending"`
}

type goldenDoc struct {
	Kind       string            `json:"kind"`
	Name       string            `json:"name"`
	GC         bool              `json:"gc"`
	Updates    []goldenUpdate    `json:"updates"`
	Expect     goldenExpect      `json:"expect"`
	Roots      map[string]string `json:"roots"`
	Deliveries []struct {
		Name   string          `json:"name"`
		V      int             `json:"v"`
		Order  json.RawMessage `json:"order"`
		Seq    [][]int         `json:"seq"`
		Expect *goldenExpect   `json:"expect"`
	} `json:"deliveries"`
}

// goldenLines calls fn with each case of a family.
func goldenLines(t testing.TB, family string, fn func(line []byte)) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "internal", "vectors", "testdata", family+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		fn(s.Bytes())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

func (c *goldenDoc) order(i int) ([][]int, Version, error) {
	d := c.Deliveries[i]
	if d.Seq != nil {
		return d.Seq, Version(d.V), nil
	}
	var out [][]int
	if string(d.Order) == `"seq"` {
		for i := range c.Updates {
			out = append(out, []int{i})
		}
		return out, Version(d.V), nil
	}
	var flat []int
	err := json.Unmarshal(d.Order, &flat)
	for _, i := range flat {
		out = append(out, []int{i})
	}
	return out, Version(d.V), err
}

func (u goldenUpdate) bytes(v Version) []byte {
	if v == V2 {
		return u.V2
	}
	return u.V1
}

func newGoldenDoc(gc bool, roots map[string]string) *Doc {
	d := New(Options{ClientID: 4294967290, KeepDeleted: !gc})
	kinds := map[string]TypeKind{
		"text": KindText, "array": KindArray, "map": KindMap,
		"xml": KindXMLFragment, "xmlelement": KindXMLElement, "xmltext": KindXMLText,
	}
	for name, kind := range roots {
		d.root(name, kinds[kind])
	}
	return d
}

// compareState tells how a document differs from what is expected.
func compareState(d *Doc, want goldenExpect) error {
	if err := d.Check(); err != nil {
		return err
	}
	if want.SV != nil {
		sv := d.StateVector()
		if sv.Len() != len(want.SV) {
			return fmt.Errorf("state vector %v, want %v", sv, want.SV)
		}
		for c, clock := range sv.All() {
			if want.SV[fmt.Sprint(c)] != uint64(clock) {
				return fmt.Errorf("state of %d is %d, want %d", c, clock, want.SV[fmt.Sprint(c)])
			}
		}
	}
	if want.DS != nil {
		var ds IDSet
		for c, rs := range want.DS {
			var id ClientID
			fmt.Sscan(c, &id)
			for _, r := range rs {
				ds.Add(id, Range{Clock(r[0]), Clock(r[0] + r[1])})
			}
		}
		if got := d.Deletes(); !got.Equal(&ds) {
			return fmt.Errorf("delete set %v, want %v", got, ds)
		}
	}
	if got := d.AppendState(nil, V1); want.StateV1 != nil && !bytes.Equal(got, want.StateV1) {
		return fmt.Errorf("state V1\n got %s\nwant %s", b64(got), b64(want.StateV1))
	}
	if got := d.AppendState(nil, V2); want.StateV2 != nil && !bytes.Equal(got, want.StateV2) {
		return fmt.Errorf("state V2\n got %s\nwant %s", b64(got), b64(want.StateV2))
	}
	return nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func (e goldenExpect) override(o *goldenExpect) goldenExpect {
	if o == nil {
		return e
	}
	if o.SV != nil {
		e.SV = o.SV
	}
	if o.DS != nil {
		e.DS = o.DS
	}
	if o.StateV1 != nil {
		e.StateV1 = o.StateV1
	}
	if o.StateV2 != nil {
		e.StateV2 = o.StateV2
	}
	return e
}

func TestGoldenDocuments(t *testing.T) {
	for _, family := range []string{"single", "gc", "editors", "fuzz"} {
		t.Run(family, func(t *testing.T) {
			cases, runs, bad := 0, 0, 0
			fail := func(c *goldenDoc, what string, err error) {
				bad++
				if bad <= 8 {
					msg := err.Error()
					t.Errorf("%s, %s: %s", c.Name, what, msg[:min(len(msg), 600)])
				}
			}
			goldenLines(t, family, func(line []byte) {
				var c goldenDoc
				if err := json.Unmarshal(line, &c); err != nil {
					t.Fatal(err)
				}
				if c.Kind != "doc" {
					return
				}
				cases++
				d := newGoldenDoc(c.GC, c.Roots)
				for i, u := range c.Updates {
					if _, err := d.Apply(nil, V1, u.V1); err != nil {
						fail(&c, fmt.Sprint("update ", i), err)
						return
					}
				}
				runs++
				if err := compareState(d, c.Expect); err != nil {
					fail(&c, "in order", err)
				}
				for i := range c.Deliveries {
					runs++
					order, v, err := c.order(i)
					if err != nil {
						t.Fatal(err)
					}
					d := newGoldenDoc(c.GC, c.Roots)
					for _, group := range order {
						var parts [][]byte
						for _, i := range group {
							parts = append(parts, c.Updates[i].bytes(v))
						}
						u, err := Merge(v, parts...)
						if err == nil {
							_, err = d.Apply(nil, v, u)
						}
						if err != nil {
							fail(&c, c.Deliveries[i].Name, err)
							return
						}
					}
					if err := compareState(d, c.Expect.override(c.Deliveries[i].Expect)); err != nil {
						fail(&c, c.Deliveries[i].Name, err)
					}
				}
			})
			t.Logf("%d cases, %d deliveries, %d differ", cases, runs, bad)
		})
	}
}
