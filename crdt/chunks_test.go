package crdt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ysync/internal/lib0"
)

// goldenStates are documents of many kinds and clients.
func goldenStates(t testing.TB, fn func(name string, d *Doc)) {
	for _, family := range []string{"single", "gc", "editors", "fuzz"} {
		goldenLines(t, family, func(line []byte) {
			var c goldenDoc
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if c.Kind != "doc" {
				return
			}
			d := New(Options{KeepDeleted: !c.GC, NoFormatCleanup: true})
			for _, u := range c.Updates {
				if _, err := d.Apply(nil, V1, u.V1); err != nil {
					t.Fatal(err)
				}
			}
			fn(c.Name, d)
		})
	}
}

// drawChunks applies the chunks one after the other and returns what they made.
func drawChunks(t *testing.T, d *Doc, into *Doc, maxBytes int) error {
	t.Helper()
	for chunk := range d.Chunks(into.StateVector(), maxBytes) {
		r, err := newUpdateReader(V1, chunk, 0)
		if err != nil {
			return err
		}
		var b rawBlock
		blocks := 0
		for ; r.next(&b); blocks++ {
			if b.kind == kindSkip {
				return fmt.Errorf("a chunk holds a skip")
			}
		}
		c, err := into.Apply(nil, V1, chunk)
		if err != nil {
			return err
		}
		if c.LeftPending() || !into.Pending().Empty() {
			return fmt.Errorf("a chunk leaves something pending: %+v", into.Pending())
		}
		if len(chunk) > max(maxBytes, minChunk)+256 && blocks > 1 {
			return fmt.Errorf("%d blocks in a chunk of %d bytes", blocks, len(chunk))
		}
	}
	return into.Check()
}

func sameDocument(a, b *Doc) error {
	if !a.StateVector().Equal(b.StateVector()) {
		return fmt.Errorf("state vector %v, want %v", b.StateVector(), a.StateVector())
	}
	da, db := a.Deletes(), b.Deletes()
	if !da.Equal(&db) {
		return fmt.Errorf("delete set %v, want %v", db, da)
	}
	return nil
}

func TestChunks(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	goldenStates(t, func(name string, d *Doc) {
		fresh := New(Options{KeepDeleted: d.keepDeleted, NoFormatCleanup: true})
		size := 256 + r.IntN(2000)
		if err := drawChunks(t, d, fresh, size); err != nil {
			t.Errorf("%s, %d bytes: %v", name, size, err)
			return
		}
		if err := sameDocument(d, fresh); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got, want := fresh.AppendState(nil, V1), reloaded(t, d).AppendState(nil, V1); !bytes.Equal(got, want) {
			t.Errorf("%s: the chunks make another document\n got %x\nwant %x", name, got, want)
		}
	})
}

// reloaded is the document after one transaction with everything.
func reloaded(t *testing.T, d *Doc) *Doc {
	t.Helper()
	out := New(Options{KeepDeleted: d.keepDeleted, NoFormatCleanup: true})
	if _, err := out.Apply(nil, V1, d.AppendDiff(nil, V1, StateVector{})); err != nil {
		t.Fatal(err)
	}
	return out
}

// A client that has some of the document gets the rest in chunks, and the
// deletes of what it has.
func TestChunksForHalfADocument(t *testing.T) {
	goldenLines(t, "fuzz", func(line []byte) {
		var c goldenDoc
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		d, half := serverDoc(), serverDoc()
		for i, u := range c.Updates {
			if i < len(c.Updates)/2 {
				if _, err := half.Apply(nil, V1, u.V1); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := d.Apply(nil, V1, u.V1); err != nil {
				t.Fatal(err)
			}
		}
		if !half.Pending().Empty() || !d.Pending().Empty() {
			return
		}
		if err := drawChunks(t, d, half, 300); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		} else if err := sameDocument(d, half); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	})
}

// Text is cut between characters, and one value that cannot be cut comes whole.
func TestChunksCutContent(t *testing.T) {
	d := serverDoc()
	text := textBlock(1, 0, "")
	text.data = []byte(strings.Repeat("aä漢😀", 2000))
	text.length = uint64(lib0.UTF16Len(text.data))
	values := textBlock(2, 0, "").after(ID{1, 0})
	values.kind, values.length, values.data = kindAny, 3000, bytes.Repeat([]byte{119, 3, 'a', 'b', 'c'}, 3000)
	whole := textBlock(3, 0, "").after(ID{2, 0})
	whole.kind, whole.length, whole.data = kindBinary, 1, make([]byte, 5000)
	for _, b := range []rawBlock{text, values, whole} {
		if _, err := d.Apply(nil, V1, oneBlock(b)); err != nil {
			t.Fatal(err)
		}
	}
	sizes := []int{}
	for chunk := range d.Chunks(StateVector{}, 1000) {
		sizes = append(sizes, len(chunk))
	}
	large := 0
	for _, n := range sizes {
		if n > 1000 {
			large++
		}
	}
	if large != 1 || len(sizes) < 30 {
		t.Errorf("chunks of %v bytes", sizes)
	}
	fresh := serverDoc()
	if err := drawChunks(t, d, fresh, 1000); err != nil {
		t.Fatal(err)
	}
	if got, want := fresh.AppendState(nil, V1), d.AppendState(nil, V1); !bytes.Equal(got, want) {
		t.Error("the chunks make another document")
	}
}

func TestChunksOfNothing(t *testing.T) {
	n, d := 0, serverDoc()
	CheckAtEnd(t, d)
	for chunk := range d.Chunks(StateVector{}, 100) {
		n++
		if !bytes.Equal(chunk, []byte{0, 0}) {
			t.Errorf("chunk %x", chunk)
		}
	}
	if n != 1 {
		t.Errorf("%d chunks", n)
	}
}
