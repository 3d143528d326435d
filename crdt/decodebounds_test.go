package crdt

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
)

// decoder reads bytes of others and does nothing about what they say.
type decoder struct {
	of   string // the exported function or method
	name string
	read func(b []byte) error
	// most is how many bytes it allocates for one it is given, if those are others than eight.
	most int
}

// decoders are all functions that take bytes of others.
func decoders() []decoder {
	out := []decoder{
		{of: "DecodeStateVector", read: func(b []byte) error { _, err := DecodeStateVector(b); return err }},
		{of: "DecodeRelativePosition", read: func(b []byte) error { _, err := DecodeRelativePosition(b); return err }},
		{of: "RelativePosition.UnmarshalJSON", read: func(b []byte) error {
			var p RelativePosition
			return json.Unmarshal(b, &p)
		}},
	}
	for _, v := range []Version{V1, V2} {
		add := func(of string, most int, read func(b []byte) error) {
			out = append(out, decoder{of, fmt.Sprintf(" V%d", v), read, most})
		}
		add("DecodeIDSet", 0, func(b []byte) error { _, err := DecodeIDSet(v, b); return err })
		add("DecodeSnapshot", 0, func(b []byte) error { _, err := DecodeSnapshot(v, b); return err })
		add("StateVectorOf", 0, func(b []byte) error { _, err := StateVectorOf(v, b); return err })
		add("ContentsOf", 0, func(b []byte) error { _, err := ContentsOf(v, b); return err })
		add("MentionsOf", 0, func(b []byte) error { return mentionsOnly(v, b) })
		add("WalkStructs", 0, func(b []byte) error { _, err := WalkStructs(v, b, func(*Struct) {}); return err })
		add("WalkStructs", 64, func(b []byte) error { _, err := WalkStructs(v, b, askAll); return err })
		add("Snapshot.ContainsUpdate", 0, func(b []byte) error { _, err := Snapshot{}.ContainsUpdate(v, b); return err })
		add("Doc.Apply", 0, func(b []byte) error { return decodeOnly(v, b) }) // TestIntegrationIsBounded has the rest
		// These write what they read, which in V1 takes more than in V2.
		add("Diff", 64, func(b []byte) error { _, err := Diff(v, b, StateVector{}); return err })
		add("Convert", 64, func(b []byte) error { _, err := Convert(v, 3-v, b); return err })
		add("Merge", 64, func(b []byte) error { _, err := Merge(v, b, b); return err })
		add("Compact", 64, func(b []byte) error { _, err := Compact(v, b); return err })
	}
	return out
}

// Every exported function that takes bytes, but for those to append to, is in the
// list of decoders.
func TestDecodersAreListed(t *testing.T) {
	listed := map[string]bool{"Bytes": true} // which makes a value of any bytes
	for _, d := range decoders() {
		listed[d.of] = true
	}
	for name := range takersOfBytes(t) {
		if !listed[name] {
			t.Errorf("%s takes bytes and is not in decoders", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is in decoders and does not take bytes", name)
	}
}

// takersOfBytes are the exported functions and methods of the package with a parameter of
// bytes that is not called dst.
func takersOfBytes(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				name = strings.TrimPrefix(types.ExprString(fn.Recv.List[0].Type), "*") + "." + name
			}
			for _, p := range fn.Type.Params.List {
				if of := strings.TrimPrefix(types.ExprString(p.Type), "..."); strings.HasPrefix(of, "[]byte") || of == "[][]byte" {
					out[name] = out[name] || p.Names[0].Name != "dst"
				}
			}
		}
	}
	maps.DeleteFunc(out, func(name string, takes bool) bool { return !takes || !ast.IsExported(name) })
	return out
}

// askAll asks for everything that a block says.
func askAll(s *Struct) {
	_, _, _, _ = s.Root(), s.Key(), s.Name(), s.Text()
	for range s.Values() {
	}
}

func decodeOnly(v Version, b []byte) error {
	in := new(incoming)
	return in.read(v, b, &defaultLimits)
}

func mentionsOnly(v Version, b []byte) error {
	for _, err := range MentionsOf(v, b) {
		if err != nil {
			return err
		}
	}
	return nil
}

// entries are n clients, each followed by more, with IDs from n down, or up to it.
func entries(n int, up bool, more ...byte) []byte {
	out := lib0.AppendUvarint(nil, uint64(n))
	for i := range n {
		id := n - i
		if up {
			id = i
		}
		out = append(lib0.AppendUvarint(out, uint64(id)), more...)
	}
	return out
}

// claims are bytes that say much in little space, or say that they do, for all decoders.
var claims = map[string]func(n int) []byte{
	"clients and numbers":          func(n int) []byte { return entries(n, false, 1) },
	"clients and numbers, upwards": func(n int) []byte { return entries(n, true, 1) },
	"one client and numbers": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{5, 1}, n)...)
	},
	"clients with a range": func(n int) []byte { return entries(n, false, 1, 0, 1) },
	"clients with a range, upwards": func(n int) []byte {
		return entries(n, true, 1, 0, 1)
	},
	"two clients in turns": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{1, 1, 0, 1, 2, 1, 0, 1}, n/2)...)
	},
	"ranges that touch": func(n int) []byte {
		return append(lib0.AppendUvarint([]byte{1, 5}, uint64(n)), slices.Repeat([]byte{0, 1}, n)...)
	},
	"ranges that do not touch": func(n int) []byte {
		return append(lib0.AppendUvarint([]byte{1, 5}, uint64(n)), slices.Repeat([]byte{1, 1}, n)...)
	},
	"a false count": func(n int) []byte { return append(lib0.AppendUvarint(nil, uint64(n)), make([]byte, n)...) },
	"a false count, FF": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{0xff}, n)...)
	},
	"a long name": func(n int) []byte { return append(lib0.AppendUvarint([]byte{1}, uint64(n)), strings.Repeat("n", n)...) },
	"deep JSON":   func(n int) []byte { return []byte(strings.Repeat(`{"type":`, n)) },
}

// contents are blocks with much to tell of their content.
var contents = map[string]func(n int) rawBlock{
	"nulls": func(n int) rawBlock {
		return rawBlock{client: 5, length: uint64(n), kind: kindAny, hasRoot: true, root: []byte("t"), data: slices.Repeat([]byte{126}, n)}
	},
	"a list of nulls": func(n int) rawBlock {
		data := append(lib0.AppendUvarint([]byte{117}, uint64(n)), slices.Repeat([]byte{126}, n)...)
		return rawBlock{client: 5, length: 1, kind: kindAny, hasRoot: true, root: []byte("t"), data: data}
	},
	"an object of nulls": func(n int) rawBlock {
		data := lib0.AppendUvarint([]byte{118}, uint64(n))
		for i := range n {
			data = append(data, 2, byte(i), byte(i>>8), 126)
			data[len(data)-3], data[len(data)-2] = 'a'+byte(i%26), 'a'+byte(i/26%26)
		}
		return rawBlock{client: 5, length: 1, kind: kindAny, hasRoot: true, root: []byte("t"), data: data}
	},
	"empty objects": func(n int) rawBlock {
		return rawBlock{client: 5, length: uint64(n), kind: kindAny, hasRoot: true, root: []byte("t"), data: slices.Repeat([]byte{118, 0}, n)}
	},
	"empty lists in a list": func(n int) rawBlock {
		data := append(lib0.AppendUvarint([]byte{117}, uint64(n)), slices.Repeat([]byte{117, 0}, n)...)
		return rawBlock{client: 5, length: 1, kind: kindAny, hasRoot: true, root: []byte("t"), data: data}
	},
	"JSON of old versions": func(n int) rawBlock {
		return rawBlock{client: 5, length: uint64(n), kind: kindJSON, hasRoot: true, root: []byte("t"), data: slices.Repeat([]byte{1, '1'}, n)}
	},
	"an embedded list": func(n int) rawBlock {
		data := []byte("[" + strings.Repeat("1,", n) + "1]")
		return rawBlock{client: 5, length: 1, kind: kindEmbed, jsonText: true, hasRoot: true, root: []byte("t"), data: data}
	},
	"embedded objects": func(n int) rawBlock {
		data := []byte("[" + strings.Repeat("{},", n) + "1]")
		return rawBlock{client: 5, length: 1, kind: kindEmbed, jsonText: true, hasRoot: true, root: []byte("t"), data: data}
	},
	"text": func(n int) rawBlock { return textBlock(5, 0, strings.Repeat("x", n)) },
}

// Whatever bytes say, a decoder allocates at most eight times what they take and 64
// KiB, takes time in proportion to them, and says at which byte it stopped.
func TestDecodersAreBounded(t *testing.T) {
	all, inputs := decoders(), map[string]func(n int) []byte{}
	for name, c := range claims {
		inputs[name] = c
		inputs["deletes: "+name] = func(n int) []byte { return append([]byte{0}, c(n)...) } // as the deletes of an update in V1
	}
	for name, s := range shapes {
		inputs[name] = s
		inputs[name+", in V2"] = func(n int) []byte {
			out, err := Convert(V1, V2, s(n))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	for name, c := range contents {
		inputs[name] = func(n int) []byte { return oneBlock(c(n)) }
		inputs[name+", in V2"] = func(n int) []byte {
			out, err := Convert(V1, V2, oneBlock(c(n)))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	for shape, bytes := range inputs {
		for _, n := range []int{100, 5000, 50_000} {
			b := bytes(n)
			for _, b := range [][]byte{b, b[:len(b)-1]} {
				for _, d := range all {
					var err error
					start := cpuTime()
					got := allocated(func() { err = d.read(b) })
					took := cpuTime() - start
					what := fmt.Sprintf("%s as %s%s, %d bytes (%v)", shape, d.of, d.name, len(b), err)
					if most := uint64(cmp.Or(d.most, 8)*len(b) + 64<<10); got > most {
						t.Errorf("%s: %d bytes allocated, at most %d allowed", what, got, most)
					}
					if most := 50*time.Millisecond + time.Duration(len(b))*2*time.Microsecond; took > most {
						t.Errorf("%s: took %v, at most %v allowed", what, took, most)
					}
				}
			}
		}
	}
}
