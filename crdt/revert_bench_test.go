package crdt

import (
	"testing"
	"time"
)

// BenchmarkRevert reverts the document of the B4 trace from its end to half way, and back. Reading the
// states is not counted.
func BenchmarkRevert(b *testing.B) {
	edits := readTrace(b, "testdata/b4.trace.json.gz")
	doc := New(Options{ClientID: 1})
	nothing := func([]byte) {}
	replay(b, doc, edits[:len(edits)/2], nothing)
	half := doc.AppendState(nil, V2)
	replay(b, doc, edits[len(edits)/2:], nothing)
	end := doc.AppendState(nil, V2)
	load := func(state []byte) *Doc {
		d := New(Options{NoFormatCleanup: true})
		if _, err := d.Apply(nil, V2, state); err != nil {
			b.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		name     string
		from, to []byte
		back     bool
	}{
		{"end to half", end, half, false},
		{"back", end, half, true},
		{"nothing changed", end, end, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var spent time.Duration
			size := 0
			past, before := load(c.to), load(c.from)
			for range b.N {
				b.StopTimer()
				d := load(c.from)
				if c.back {
					if _, err := d.Transact(nil, func(tx *Txn) { tx.Revert(past) }); err != nil {
						b.Fatal(err)
					}
					past, before = before, past
				}
				b.StartTimer()
				start := cpuTime()
				commit, err := d.Transact(nil, func(tx *Txn) { tx.Revert(past) })
				if err != nil {
					b.Fatal(err)
				}
				spent += cpuTime() - start
				b.StopTimer()
				size = len(commit.AppendUpdate(nil, V2))
				if d.Text("text").String() != past.Text("text").String() {
					b.Fatal("another text")
				}
				if c.back {
					past, before = before, past
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(size), "update-bytes")
		})
	}
}
