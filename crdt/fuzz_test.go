package crdt

import (
	"bytes"
	"encoding/json"
	"testing"
)

// seedUpdates adds real updates of every family to a corpus.
func seedUpdates(f *testing.F, add func(u goldenUpdate)) {
	f.Helper()
	for _, family := range []string{"single", "gc", "editors"} {
		goldenLines(f, family, func(line []byte) {
			var c goldenDoc
			if err := json.Unmarshal(line, &c); err != nil {
				f.Fatal(err)
			}
			for i, u := range c.Updates {
				if i%7 == 0 && len(u.V1) < 400 {
					add(u)
				}
			}
			if len(c.Expect.StateV1) < 2000 {
				add(goldenUpdate{c.Expect.StateV1, c.Expect.StateV2})
			}
		})
	}
}

// fuzzApply applies an update to an empty document and one to a document with
// content; what is accepted can be stored and loaded.
func fuzzApply(f *testing.F, v Version) {
	seedUpdates(f, func(u goldenUpdate) { f.Add(u.bytes(v)) })
	var base goldenDoc
	goldenLines(f, "editors", func(line []byte) {
		if base.Name == "" {
			if err := json.Unmarshal(line, &base); err != nil {
				f.Fatal(err)
			}
		}
	})
	f.Fuzz(func(t *testing.T, update []byte) {
		for _, state := range [][]byte{{0, 0}, base.Expect.StateV1} {
			d := serverDoc()
			if _, err := d.Apply(nil, V1, state); err != nil {
				t.Fatal(err)
			}
			before := d.AppendState(nil, V1)
			c, err := d.Apply(nil, v, update)
			if cerr := d.Check(); cerr != nil {
				t.Fatal(cerr)
			}
			if err != nil {
				if !bytes.Equal(before, d.AppendState(nil, V1)) {
					t.Fatal("refused, but the document changed")
				}
				continue
			}
			if c.Relayable() && c.LeftPending() {
				t.Fatal("relayable and pending")
			}
			if d.Bytes() <= 0 {
				t.Fatal("no memory")
			}
			for _, out := range []Version{V1, V2} {
				again := serverDoc()
				if _, err := again.Apply(nil, out, d.AppendDiff(nil, out, StateVector{})); err != nil {
					t.Fatalf("the state in V%d is refused: %v", out, err)
				}
				if !again.Pending().Empty() {
					t.Fatalf("the integrated state in V%d leaves something pending", out)
				}
				if err := sameButLost(d, again); err != nil {
					t.Fatal(err)
				}
				if _, err := serverDoc().Apply(nil, out, d.AppendState(nil, out)); err != nil {
					t.Fatalf("the whole state in V%d is refused: %v", out, err)
				}
			}
		}
	})
}

func FuzzApplyV1(f *testing.F) { fuzzApply(f, V1) }
func FuzzApplyV2(f *testing.F) { fuzzApply(f, V2) }

func FuzzDecodeStateVector(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{2, 5, 1, 3, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		sv, err := DecodeStateVector(b)
		if err != nil {
			return
		}
		again, err := DecodeStateVector(AppendStateVector(nil, sv))
		if err != nil || !again.Equal(sv) || !again.Contains(sv) {
			t.Fatalf("%v, then %v, %v", sv, again, err)
		}
	})
}

func FuzzDecodeIDSet(f *testing.F) {
	f.Add(uint8(1), []byte{1, 5, 2, 0, 1, 4, 2})
	f.Add(uint8(2), []byte{1, 5, 2, 0, 1, 4, 2})
	f.Fuzz(func(t *testing.T, v uint8, b []byte) {
		set, err := DecodeIDSet(Version(v), b)
		if err != nil {
			return
		}
		again, err := DecodeIDSet(Version(v), AppendIDSet(nil, Version(v), &set))
		if err != nil || !again.Equal(&set) {
			t.Fatalf("%v, then %v, %v", set, again, err)
		}
	})
}

// FuzzMerge checks that merging two updates, and compacting them, fails or has
// the effect of both.
func FuzzMerge(f *testing.F) {
	var last goldenUpdate
	seedUpdates(f, func(u goldenUpdate) {
		f.Add(u.V1, last.V1)
		last = u
	})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		merged, err := Merge(V1, a, b)
		if err != nil {
			return
		}
		if _, err := Compact(V1, a, b); err != nil {
			t.Fatalf("merged, but not compacted: %v", err)
		}
		if _, err := StateVectorOf(V1, merged); err != nil {
			t.Fatal(err)
		}
		if _, err := Diff(V1, merged, StateVector{}); err != nil {
			t.Fatal(err)
		}
		v2, err := Convert(V1, V2, merged)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Convert(V2, V1, v2); err != nil {
			t.Fatal(err)
		}
		d := serverDoc()
		if _, err := d.Apply(nil, V1, merged); err != nil {
			t.Logf("merged, but refused: %v", err)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
