package crdt_test

import (
	"testing"

	"ysync/crdt"
)

func TestContentsOf(t *testing.T) {
	doc := crdt.New(crdt.Options{ClientID: 7})
	crdt.CheckAtEnd(t, doc)
	var updates [][]byte
	for range 3 {
		c, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, "abc") })
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, c.AppendUpdate(nil, crdt.V2))
	}
	c, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Delete(tx, 1, 4) })
	if err != nil {
		t.Fatal(err)
	}
	// Without the second update there is a hole of three units.
	holed, err := crdt.Merge(crdt.V2, updates[0], updates[2], c.AppendUpdate(nil, crdt.V2))
	if err != nil {
		t.Fatal(err)
	}
	got, err := crdt.ContentsOf(crdt.V2, holed)
	if err != nil {
		t.Fatal(err)
	}
	var blocks, deletes crdt.IDSet
	blocks.Add(7, crdt.Range{From: 0, To: 3})
	blocks.Add(7, crdt.Range{From: 6, To: 9})
	deletes.Add(7, crdt.Range{From: 7, To: 9})
	deletes.Add(7, crdt.Range{From: 3, To: 5})
	if !got.Blocks.Equal(&blocks) || !got.Deletes.Equal(&deletes) {
		t.Fatalf("%v", got)
	}
	if _, err := crdt.ContentsOf(crdt.V2, holed[:len(holed)-1]); err == nil {
		t.Fatal("a truncated update has contents")
	}
}
