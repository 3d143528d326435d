package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ysync/internal/lib0"
)

// data reads the benchmark's files, each once. Files that cannot be read end
// the program: there is nothing to measure without them.
type data struct {
	dir     string
	files   map[string][]byte
	updates map[string][][]byte
	traces  map[string][][]op
	texts   inputs
}

func newData(dir string) *data {
	return &data{dir: dir, files: map[string][]byte{}, updates: map[string][][]byte{}, traces: map[string][][]op{}}
}

// op is one edit: at a position, delete units and then insert text.
type op struct {
	at, del int
	ins     string
}

func (o *op) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&o.at, &o.del, &o.ins}) }

// number is an insertion of a number into an array.
type number struct {
	at int
	n  float64
}

func (n *number) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&n.at, &n.n}) }

// inputs are those of B1 and B2.
type inputs map[string]json.RawMessage

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (d *data) file(name string) []byte {
	if b, ok := d.files[name]; ok {
		return b
	}
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	must(err)
	d.files[name] = b
	return b
}

func (d *data) unzip(name string) []byte {
	z, err := gzip.NewReader(bytes.NewReader(d.file(name)))
	must(err)
	b, err := io.ReadAll(z)
	must(err)
	return b
}

// session is the updates of a recorded editing session, in order.
func (d *data) session(set string) [][]byte {
	if us, ok := d.updates[set]; ok {
		return us
	}
	var us [][]byte
	for r := lib0.NewReader(d.unzip(set + ".updates.v1.bin.gz")); r.Len() > 0; {
		us = append(us, r.Bytes())
	}
	d.updates[set] = us
	return us
}

// trace is what the author of a session did: a list of edits a transaction.
func (d *data) trace(set string) [][]op {
	if t, ok := d.traces[set]; ok {
		return t
	}
	var out [][]op
	if set == "b4" {
		var edits []op
		must(json.Unmarshal(d.unzip(set+".trace.json.gz"), &edits))
		for i := range edits {
			out = append(out, edits[i:i+1])
		}
	} else {
		must(json.Unmarshal(d.unzip(set+".trace.json.gz"), &out))
	}
	d.traces[set] = out
	return out
}

// input reads the input of a row of B1 or B2.
func input[T any](d *data, row string) T {
	if d.texts == nil {
		must(json.Unmarshal(d.unzip("b1b2.inputs.json.gz"), &d.texts))
	}
	raw, ok := d.texts[row]
	if !ok {
		panic(fmt.Sprintf("no input for %s", row))
	}
	var v T
	must(json.Unmarshal(raw, &v))
	return v
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
