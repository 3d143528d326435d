package crdt

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// A merge of many updates out of order, with some left out, some twice and some
// that overlap, has the bytes that it has when the updates are grouped first;
// the digest is of what yjs 13.6.33 gives for the two authors' session in order.
func TestMergeMany(t *testing.T) {
	all := readUpdates(t, "friendsforever.updates.v1.bin.gz")
	whole, err := Merge(V1, all...)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(whole)
	if got := hex.EncodeToString(sum[:]); got != "d79ed8ca37116533d595336085dbc2c68a9c19397333a783ef93dd2c73566fc1" {
		t.Errorf("%d bytes, SHA-256 %s", len(whole), got)
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
		t.Error("merged in parts, the bytes differ")
	}
	d := serverDoc()
	if _, err := d.Apply(nil, V1, merged); err != nil {
		t.Fatal(err)
	}
	if got := d.AppendState(nil, V1); string(got) != string(readTestdata(t, "friendsforever.state.v1.bin")) {
		t.Error("the merge gives another state")
	}
}
