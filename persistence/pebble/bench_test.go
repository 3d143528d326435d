package pebble_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// benchmarkDocuments claims so many documents.
func benchmarkDocuments(b *testing.B, log *pebble.Log, n int) []persistence.Record {
	b.Helper()
	records := make([]persistence.Record, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r, err := log.Claim(ctx, fmt.Sprintf("document-%06d", i), "boot", 0)
				if err != nil {
					b.Error(err)
				}
				records[i] = r
			}
		})
	}
	wg.Wait()
	return records
}

// BenchmarkAppend is durable appends of 200 bytes from 64 goroutines over
// 1,000 documents, one document to a call.
func BenchmarkAppend(b *testing.B) {
	log := mustOpen(b, pebble.Options{Dir: b.TempDir(), Space: pebble.Space{BallastBytes: -1}})
	records := benchmarkDocuments(b, log, 1000)
	const writers = 64
	update := make([]byte, 200)
	var next atomic.Int64
	waits := make([][]time.Duration, writers)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				began := time.Now()
				if err := put(log, records[int(i)%len(records)], update); err != nil {
					b.Error(err)
					return
				}
				waits[w] = append(waits[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkAppendGroups is the same load with 100 documents to a call, as a
// batching owner makes it, from two goroutines.
func BenchmarkAppendGroups(b *testing.B) {
	log := mustOpen(b, pebble.Options{Dir: b.TempDir(), Space: pebble.Space{BallastBytes: -1}})
	records := benchmarkDocuments(b, log, 1000)
	update := make([]byte, 200)
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			batches := make([]persistence.Batch, 100)
			for {
				from := int(next.Add(int64(len(batches)))) - len(batches)
				if from >= b.N {
					return
				}
				for i := range batches {
					batches[i] = batch(records[(from+i)%len(records)], update)
				}
				for _, res := range log.Append(ctx, batches) {
					if res.Err != nil {
						b.Error(res.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkLoad is opening and reading cold documents of 20 KB (100 entries of
// 200 bytes) after a restart, one after the other.
func BenchmarkLoad(b *testing.B) {
	const documents = 5000
	dir := b.TempDir()
	o := pebble.Options{Dir: dir, Space: pebble.Space{BallastBytes: -1}}
	log := mustOpen(b, o)
	records := benchmarkDocuments(b, log, documents)
	update := make([]byte, 200)
	for i := range update {
		update[i] = byte(i * 7)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < documents; i += 8 {
				for range 4 {
					if err := put(log, records[i], slices.Repeat([][]byte{update}, 25)...); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	began := time.Now()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	closed := time.Since(began)
	began = time.Now()
	log = mustOpen(b, o)
	opened := time.Since(began)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		name := records[i%documents].Document
		r, err := log.Open(ctx, name)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range log.Read(ctx, name, r.Trimmed) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100 {
			b.Fatalf("%d entries", n)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(opened.Microseconds())/1000, "open-ms")
	b.ReportMetric(float64(closed.Microseconds())/1000, "close-ms")
}

// BenchmarkTrim is trimming half of 1,000 documents.
func BenchmarkTrim(b *testing.B) {
	log := mustOpen(b, pebble.Options{Dir: b.TempDir(), Space: pebble.Space{BallastBytes: -1}})
	records := benchmarkDocuments(b, log, 1000)
	head := persistence.Position(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		head += 20
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < len(records); i += 8 {
					r := records[i]
					if err := put(log, r, slices.Repeat([][]byte{make([]byte, 200)}, 20)...); err != nil {
						b.Error(err)
					}
					for _, at := range []persistence.Position{head - 10, head} {
						if err := log.SetSnapshot(ctx, r.Document, r.Epoch, persistence.Pointer{Position: at, Key: "k"}); err != nil {
							b.Error(err)
						}
					}
					if err := log.SetSegmented(ctx, r.Document, r.Epoch, head); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		b.StartTimer()
		for _, r := range records {
			if err := log.Trim(ctx, r.Document, r.Epoch, head-10); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1000, "ms/1000-trims")
}
