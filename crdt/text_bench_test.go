package crdt

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// benchEdits measures single edits of a text, each a transaction with its update.
func benchEdits(b *testing.B, edits int, start string, edit func(rng *rand.Rand, text Text, tx *Txn)) {
	b.ReportAllocs()
	var buf []byte
	began := cpuTime()
	for b.Loop() {
		rng := rand.New(rand.NewPCG(1, 2))
		doc := New(Options{ClientID: 1})
		text := doc.Text("text")
		do := func(fn func(tx *Txn)) {
			c, err := doc.Transact(nil, fn)
			if err != nil {
				b.Fatal(err)
			}
			buf = c.AppendUpdate(buf[:0], V1)
		}
		do(func(tx *Txn) { text.Insert(tx, 0, start) })
		for range edits {
			do(func(tx *Txn) { edit(rng, text, tx) })
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(edits), "ns/edit")
	reportCPU(b, began, b.N)
}

func BenchmarkAppend(b *testing.B) {
	benchEdits(b, 6000, "", func(_ *rand.Rand, text Text, tx *Txn) { text.Insert(tx, text.Len(), "a") })
}

func BenchmarkAppendBeyondASCII(b *testing.B) {
	benchEdits(b, 20_000, "", func(_ *rand.Rand, text Text, tx *Txn) { text.Insert(tx, text.Len(), "中") })
}

func BenchmarkPrepend(b *testing.B) {
	benchEdits(b, 6000, "", func(_ *rand.Rand, text Text, tx *Txn) { text.Insert(tx, 0, "a") })
}

func BenchmarkRandomInserts(b *testing.B) {
	benchEdits(b, 50_000, "", func(rng *rand.Rand, text Text, tx *Txn) { text.Insert(tx, rng.IntN(text.Len()+1), "a") })
}

func BenchmarkRandomDeletesOfOnePaste(b *testing.B) {
	benchEdits(b, 20_000, strings.Repeat("0123456789", 100_000), func(rng *rand.Rand, text Text, tx *Txn) {
		text.Delete(tx, rng.IntN(text.Len()), 1)
	})
}

func BenchmarkRandomInsertsIntoOnePaste(b *testing.B) {
	benchEdits(b, 20_000, strings.Repeat("0123456789", 100_000), func(rng *rand.Rand, text Text, tx *Txn) {
		text.Insert(tx, rng.IntN(text.Len()), "a")
	})
}

func BenchmarkRandomEditsOfFormattedText(b *testing.B) {
	benchEdits(b, 5000, strings.Repeat("0123456789", 1000), func(rng *rand.Rand, text Text, tx *Txn) {
		at := rng.IntN(text.Len() - 10)
		switch rng.IntN(3) {
		case 0:
			text.Format(tx, at, 5, Attrs{{"bold", Bool(rng.IntN(2) == 0)}})
		case 1:
			text.Insert(tx, at, "abc")
		default:
			text.Delete(tx, at, 2)
		}
	})
}
