// Package testyjs compares documents with what a real Yjs had at moments of the
// recorded editing sessions in crdt/testdata.
package testyjs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ysync/crdt"
	"ysync/internal/lib0"
)

// Shown are digests of what a document shows and knows, as Yjs tells them
// (crdt/differential/moments.mjs). Its text is the root "text".
type Shown struct {
	Position                            uint64
	JSON, Text, Delta, Vector, Snapshot string
}

// Of is what a document shows that holds the first updates of a session, as many
// as position says.
func Of(position uint64, doc *crdt.Doc) Shown {
	digest := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	text := doc.Text("text")
	var ops []crdt.Value
	for op := range text.Chunks() {
		ops = append(ops, crdt.Object(crdt.Field{Key: "insert", Value: op.Insert}))
	}
	return Shown{
		position, digest(doc.AppendJSON(nil, nil)), digest([]byte(text.String())), digest(crdt.List(ops...).AppendJSON(nil)),
		digest(crdt.AppendStateVector(nil, doc.StateVector())), digest(crdt.AppendSnapshot(nil, crdt.V1, doc.Snapshot())),
	}
}

// Moments starts a Yjs that takes in the updates of a session and tells what it
// has after each of the positions, which are in order; next gives one after the
// other. ok is false when there is no Yjs here: that fails where CI=true.
func Moments(t testing.TB, session string, positions []uint64) (next func() Shown, ok bool) {
	t.Helper()
	folder := filepath.Join(root(t), "crdt", "differential")
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(folder, "node_modules", "yjs", "package.json"))
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Logf("not compared with Yjs: %v", err)
		return nil, false
	}
	in, err := json.Marshal(positions)
	if err != nil {
		t.Fatal(err)
	}
	yjs := exec.CommandContext(t.Context(), node, "moments.mjs", file(t, session))
	yjs.Dir, yjs.Stdin, yjs.Stderr = folder, bytes.NewReader(in), os.Stderr
	out, err := yjs.StdoutPipe()
	if err == nil {
		err = yjs.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, told := bufio.NewScanner(out), 0
	return func() Shown {
		t.Helper()
		var s Shown
		if !lines.Scan() {
			t.Fatalf("Yjs ended after %d moments: %v", told, yjs.Wait())
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil || s.Position != positions[told] {
			t.Fatalf("Yjs answered %q: %v", lines.Text(), err)
		}
		if told++; told == len(positions) {
			if err := yjs.Wait(); err != nil {
				t.Error(err)
			}
		}
		return s
	}, true
}

// Session reads the updates of a recorded editing session.
func Session(t testing.TB, session string) [][]byte {
	t.Helper()
	f, err := os.Open(file(t, session))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var updates [][]byte
	r := lib0.NewReader(b)
	for r.Len() > 0 && r.Err() == nil {
		updates = append(updates, r.Bytes())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return updates
}

func file(t testing.TB, session string) string {
	return filepath.Join(root(t), "crdt", "testdata", session+".updates.v1.bin.gz")
}

// root is the folder of the module, in which tests of every package begin.
func root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("there is no go.mod above")
		}
		folder = filepath.Dir(folder)
	}
}
