package crdt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
)

// A merge of many updates out of order, with some left out, some twice and some
// that overlap, has the bytes that it has when the updates are grouped first, so
// few at a time that each is opened; the digests are of what yjs 13.6.33 gives for
// the sessions in order.
func TestMergeMany(t *testing.T) {
	for name, want := range map[string]string{
		"friendsforever": "d79ed8ca37116533d595336085dbc2c68a9c19397333a783ef93dd2c73566fc1",
		"b4":             "419002f1203950ba95d174c64a7ad3a83052b57070dec23c3fec472a1cbb5104",
	} {
		all := readUpdates(t, name+".updates.v1.bin.gz")
		whole, err := Merge(V1, all...)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(whole)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: %d bytes, SHA-256 %s", name, len(whole), got)
		}
		r := rand.New(rand.NewPCG(1, 2))
		var parts [][]byte
		for i := 0; i < len(all); {
			n := min(1+r.IntN(50), len(all)-i)
			part, err := Merge(V1, all[i:i+n]...)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
			if i += n; i < len(all) {
				i -= r.IntN(n)
			}
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		merged, err := Merge(V1, parts...)
		if err != nil {
			t.Fatal(err)
		}
		if string(merged) != string(whole) {
			t.Errorf("%s: merged in parts, the bytes differ", name)
		}
		d := serverDoc()
		CheckAtEnd(t, d)
		if _, err := d.Apply(nil, V1, merged); err != nil {
			t.Fatal(err)
		}
		if got := d.AppendState(nil, V1); string(got) != string(readTestdata(t, name+".state.v1.bin")) {
			t.Errorf("%s: the merge gives another state", name)
		}
	}
}

// Among many keystrokes, a damaged update is refused wherever it is, and one that
// holds more, twice or too much is merged as among few.
func TestMergeOddOnes(t *testing.T) {
	all := readUpdates(t, "b4.updates.v1.bin.gz")[:200]
	two, err := Merge(V1, all[90], all[91])
	if err != nil {
		t.Fatal(err)
	}
	gone := oneBlock(rawBlock{client: 7, clock: 3, length: 4, kind: kindGC})
	for name, odd := range map[string][]byte{"two": two, "another client": gone, "again": all[90], "old": all[3]} {
		many := append(append(append([][]byte{}, all[:90]...), odd), all[91:]...)
		got, err := Merge(V1, many...)
		if err != nil {
			t.Fatal(err)
		}
		var parts [][]byte
		for i := 0; i < len(many); i += 40 {
			part, err := Merge(V1, many[i:min(i+40, len(many))]...)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
		}
		if want, err := Merge(V1, parts...); err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, in parts %d: %v", name, len(got), len(want), err)
		}
	}
	for i := range all[:100] {
		for n := range all[i] {
			whole := all[i]
			all[i] = whole[:n]
			if _, err := Merge(V1, all...); !errors.Is(err, ErrMalformed) {
				t.Fatalf("update %d cut to %d bytes: %v", i, n, err)
			}
			all[i] = whole
		}
	}
}
