package crdt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"testing"

	"ysync/internal/lib0"
)

// unzipped is the content of a compressed file of testdata.
func unzipped(tb testing.TB, name string) []byte {
	tb.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestTraces replays sessions whose transactions have several edits and
// compares each update with the one that real Yjs sent for it.
func TestTraces(t *testing.T) {
	for _, set := range []string{"sveltecomponent", "rustcode", "seph-blog1"} {
		t.Run(set, func(t *testing.T) {
			var trace [][]traceEdit
			if err := json.Unmarshal(unzipped(t, set+".trace.json.gz"), &trace); err != nil {
				t.Fatal(err)
			}
			recorded := lib0.NewReader(unzipped(t, set+".updates.v1.bin.gz"))
			doc := New(Options{ClientID: 1815943022})
			text := doc.Text("text")
			var got []byte
			for i, edits := range trace {
				c, err := doc.Transact(nil, func(tx *Txn) {
					for _, e := range edits {
						if e.del > 0 {
							text.Delete(tx, e.at, e.del)
						}
						if e.ins != "" {
							text.Insert(tx, e.at, e.ins)
						}
					}
				})
				if err != nil {
					t.Fatalf("transaction %d: %v", i, err)
				}
				got = c.AppendUpdate(got[:0], V1)
				if want := recorded.Bytes(); !bytes.Equal(got, want) {
					t.Fatalf("transaction %d, %v:\ngot  %x\nwant %x", i, edits, got, want)
				}
			}
			if recorded.Len() > 0 || recorded.Err() != nil {
				t.Fatalf("%d bytes of updates are left: %v", recorded.Len(), recorded.Err())
			}
			if err := doc.Check(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
