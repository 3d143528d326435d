package crdt_test

import (
	"bytes"
	"testing"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// seedUpdates adds short recorded updates, sound and hostile ones.
func seedUpdates(f *testing.F, version int) {
	for _, family := range []string{"single", "gc", "malformed"} {
		cases, err := vectors.Read(family)
		if err != nil {
			f.Fatal(err)
		}
		for i, c := range cases {
			if len(c.Updates) > 0 {
				f.Add(c.Updates[i%len(c.Updates)].Bytes(version))
				f.Add(c.Updates[0].Bytes(version))
			}
			for _, v := range c.Variants {
				if v.V == version && len(v.B) < 200 {
					f.Add(v.B)
				}
			}
		}
	}
}

func fuzzApply(f *testing.F, version int) {
	seedUpdates(f, version)
	cases, err := vectors.Read("malformed")
	if err != nil {
		f.Fatal(err)
	}
	pre := &cases[0]
	f.Fuzz(func(t *testing.T, b []byte) {
		doc := replica.New(replica.Options{ClientID: observerID, Roots: pre.Roots})
		for _, u := range pre.Pre {
			if err := doc.ApplyOnly(1, u.V1); err != nil {
				t.Fatal(err)
			}
		}
		before := doc.State(1)
		err := doc.ApplyOnly(version, b)
		if bad := doc.Check(); bad != nil {
			t.Fatal(bad)
		}
		if err != nil && !bytes.Equal(before, doc.State(1)) {
			t.Fatalf("refused (%v), but the document changed", err)
		}
	})
}

func FuzzApplyUpdateV1(f *testing.F) { fuzzApply(f, 1) }
func FuzzApplyUpdateV2(f *testing.F) { fuzzApply(f, 2) }

// FuzzBytes runs everything that works on bytes alone. What one function
// accepts and writes, all accept.
func FuzzBytes(f *testing.F) {
	seedUpdates(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) {
		for version := 1; version <= 2; version++ {
			sv, err := replica.SVFromUpdate(version, b)
			if err != nil {
				continue
			}
			if _, err := replica.DecodeSV(sv); err != nil {
				t.Fatalf("state vector: %v", err)
			}
			if rest, err := replica.Diff(version, b, sv); err == nil {
				if _, err := replica.SVFromUpdate(version, rest); err != nil {
					t.Fatalf("difference: %v", err)
				}
			}
			if twice, err := replica.Merge(version, [][]byte{b, b}); err == nil {
				if _, err := replica.SVFromUpdate(version, twice); err != nil {
					t.Fatalf("merged: %v", err)
				}
			}
			if other, err := replica.Convert(3-version, b); err == nil {
				if _, err := replica.Convert(version, other); err != nil {
					t.Fatalf("converted: %v", err)
				}
			}
		}
	})
}

func FuzzStateVector(f *testing.F) {
	cases, err := vectors.Read("malformed")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		for _, s := range c.Steps {
			if s.Op == "decodeSV" {
				f.Add(s.SV)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := replica.DecodeSV(b); err != nil {
			return
		}
		if _, err := replica.New(replica.Options{ClientID: 1}).StateDiff(1, b); err != nil {
			t.Fatalf("decoded, but refused: %v", err)
		}
	})
}
