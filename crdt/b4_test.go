package crdt

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// traceEdit is one edit of a trace: at a position, delete units and then insert text.
type traceEdit struct {
	at, del int
	ins     string
}

func (e *traceEdit) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&e.at, &e.del, &e.ins})
}

func readTrace(tb testing.TB, name string) []traceEdit {
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var edits []traceEdit
	if err := json.NewDecoder(z).Decode(&edits); err != nil {
		tb.Fatal(err)
	}
	return edits
}

// replay makes one transaction of each edit and hands its update to emit.
func replay(tb testing.TB, doc *Doc, edits []traceEdit, emit func([]byte)) {
	text := doc.Text("text")
	var buf []byte
	for i := range edits {
		e := &edits[i]
		c, err := doc.Transact(nil, func(tx *Txn) {
			if e.del > 0 {
				text.Delete(tx, e.at, e.del)
			}
			if e.ins != "" {
				text.Insert(tx, e.at, e.ins)
			}
		})
		if err != nil {
			tb.Fatalf("edit %d: %v", i, err)
		}
		buf = c.AppendUpdate(buf[:0], V1)
		emit(buf)
	}
}

// TestB4 replays the trace and compares every byte that real Yjs sends for it.
func TestB4(t *testing.T) {
	edits := readTrace(t, "testdata/b4.trace.json.gz")
	doc := New(Options{ClientID: 1815943022})
	updates, size := sha256.New(), 0
	replay(t, doc, edits, func(update []byte) {
		updates.Write(update)
		size += len(update)
	})
	if err := doc.Check(); err != nil {
		t.Fatal(err)
	}
	same := func(what string, sum []byte, want string) {
		t.Helper()
		if got := hex.EncodeToString(sum); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	sum := func(b []byte) []byte {
		s := sha256.Sum256(b)
		return s[:]
	}
	if size != 6324510 {
		t.Errorf("updates have %d bytes", size)
	}
	same("updates", updates.Sum(nil), "d7897f5d5f590c456b368afd2131cff741df86062b22fb50879db57b6b61677e")
	same("text", sum([]byte(doc.Text("text").String())), "a489e9022976c14e46627aea174d07797edcb3fd17df42605956d4cf01bf9039")
	same("state V1", sum(doc.AppendState(nil, V1)), "1e32fbcbc5dea52fab031ee6a65ac0792dfd838c66d1f968db69b019cfb631ae")
	same("state V2", sum(doc.AppendState(nil, V2)), "52891c1d5f0a3043f9b2316ab7d2a4c26871e25dac77b1cc191930ac8a4f0680")
}

func BenchmarkB4(b *testing.B) {
	edits := readTrace(b, "testdata/b4.trace.json.gz")
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		size := 0
		replay(b, New(Options{ClientID: 1815943022}), edits, func(update []byte) { size += len(update) })
		if size != 6324510 {
			b.Fatalf("updates have %d bytes", size)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(edits)), "ns/edit")
	reportCPU(b, start, b.N)
}
