package crdt

import "testing"

// BenchmarkPast reads the text of the B4 trace, with everything ever deleted from it, as it was half
// way, and resolves a position in its middle.
func BenchmarkPast(b *testing.B) {
	edits := readTrace(b, "testdata/b4.trace.json.gz")
	doc := New(Options{ClientID: 1, KeepDeleted: true})
	nothing := func([]byte) {}
	replay(b, doc, edits[:len(edits)/2], nothing)
	half := doc.Snapshot()
	replay(b, doc, edits[len(edits)/2:], nothing)
	end, text := doc.Snapshot(), doc.Text("text")
	middle := text.RelativePosition(text.Len()/2, AssocAfter)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"snapshot", func() { doc.Snapshot() }},
		{"text at", func() { text.DeltaAt(half) }},
		{"text now", func() { text.Delta() }},
		{"changes", func() {
			for range text.Changes(half, end) {
			}
		}},
		{"authors", func() {
			for range text.Authors() {
			}
		}},
		{"document at", func() {
			if _, err := doc.At(half, Options{}); err != nil {
				b.Fatal(err)
			}
		}},
		{"place", func() { text.RelativePosition(text.Len()/2, AssocAfter) }},
		{"resolve", func() { doc.Resolve(middle) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				c.run()
			}
			reportCPU(b, start, b.N)
		})
	}
}
