package snapshots_test

import (
	"fmt"

	"ysync/crdt"
	"ysync/internal/lib0"
)

// typist writes into the root text "t" of a document, one update per edit. Its
// updates are put together by hand, so that these tests depend on no encoder.
type typist struct {
	client uint64
	clock  uint64
}

// write returns the update V1 that appends s, which is ASCII, to what the
// typist wrote before.
func (w *typist) write(s string) []byte {
	b := []byte{1, 1} // one client, one block
	b = lib0.AppendUvarint(b, w.client)
	b = lib0.AppendUvarint(b, w.clock)
	if w.clock == 0 {
		b = append(b, 4, 1) // a string in the root …
		b = lib0.AppendString(b, "t")
	} else {
		b = append(b, 4|0x80) // a string right of …
		b = lib0.AppendUvarint(b, w.client)
		b = lib0.AppendUvarint(b, w.clock-1)
	}
	b = lib0.AppendString(b, s)
	w.clock += uint64(len(s))
	return append(b, 0) // no deletes
}

// erase returns the update V1 that deletes units of any client.
func erase(client, clock, n uint64) []byte {
	b := []byte{0, 1} // no blocks, deletes of one client
	b = lib0.AppendUvarint(b, client)
	b = append(b, 1)
	b = lib0.AppendUvarint(b, clock)
	return lib0.AppendUvarint(b, n)
}

// workload is a series of updates with a dependency withheld: in the middle of
// it, blocks and a delete are pending, and the last update resolves them.
func workload() [][]byte {
	a, b := &typist{client: 11}, &typist{client: 1<<32 + 7}
	updates := [][]byte{a.write("hello "), b.write("world "), a.write("again ")}
	withheld := b.write("(withheld) ")
	updates = append(updates, b.write("dependent "), erase(b.client, 17, 5), erase(a.client, 0, 3))
	for i := range 40 {
		updates = append(updates, a.write(fmt.Sprintf("line %d ", i)))
		if i%7 == 0 {
			updates = append(updates, erase(a.client, uint64(20+i*3), 2))
		}
	}
	return append(updates, withheld, b.write("done"))
}

// replica is the document that the updates make.
func replica(updates [][]byte) *crdt.Doc {
	doc := crdt.New(crdt.Options{NoFormatCleanup: true})
	for i, u := range updates {
		if _, err := doc.Apply(nil, crdt.V1, u); err != nil {
			panic(fmt.Sprintf("update %d does not apply: %v", i, err))
		}
	}
	return doc
}
