package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/postgres"
)

// claimMany claims so many documents.
func claimMany(b *testing.B, log *postgres.Log, n int) []persistence.Record {
	b.Helper()
	records := make([]persistence.Record, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				r, err := log.Claim(context.Background(), fmt.Sprintf("document-%06d", i), "boot", 0)
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

// measure runs calls from goroutines and reports entries per second and how
// long a call took.
func measure(b *testing.B, goroutines, entries int, call func(n int64) error) {
	b.Helper()
	var next atomic.Int64
	waits := make([][]time.Duration, goroutines)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				began := time.Now()
				if err := call(n); err != nil {
					b.Error(err)
					return
				}
				waits[g] = append(waits[g], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N*entries)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

var benchmarkUpdate = make([]byte, 200)

// BenchmarkAppend is durable appends of one entry of 200 bytes, one document
// to a call, over 1,000 documents.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			o := patient(shared(b).Database(b))
			o.Writers = writers
			log := mustOpen(b, o)
			records := claimMany(b, log, 1000)
			measure(b, 256, 1, func(n int64) error {
				r := records[int(n)%len(records)]
				return log.Append(context.Background(), []persistence.Batch{entriesOf(r, 1)})[0].Err
			})
		})
	}
}

func entriesOf(r persistence.Record, n int) persistence.Batch {
	b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch, Entries: make([]persistence.NewEntry, n)}
	for i := range b.Entries {
		b.Entries[i] = persistence.NewEntry{Time: noon, Author: "ann", Update: benchmarkUpdate}
	}
	return b
}

// BenchmarkAppendGroups is the same load as an owner makes it: one call at a
// time, with 250 documents of 8 entries each.
func BenchmarkAppendGroups(b *testing.B) {
	for _, writers := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			o := patient(shared(b).Database(b))
			o.Writers = writers
			log := mustOpen(b, o)
			records := claimMany(b, log, 1000)
			const documents, entries = 250, 8
			measure(b, 1, documents*entries, func(n int64) error {
				batches := make([]persistence.Batch, documents)
				for i := range batches {
					batches[i] = entriesOf(records[(int(n)*documents+i)%len(records)], entries)
				}
				for _, res := range log.Append(context.Background(), batches) {
					if res.Err != nil {
						return res.Err
					}
				}
				return nil
			})
		})
	}
}

// BenchmarkLoad reads a document of 10,000 entries of 50 bytes.
func BenchmarkLoad(b *testing.B) {
	log := mustOpen(b, patient(shared(b).Database(b)))
	r := claimMany(b, log, 1)[0]
	batch := entriesOf(r, 5000)
	for i := range batch.Entries {
		batch.Entries[i].Update = benchmarkUpdate[:50]
	}
	for range 2 {
		if res := log.Append(context.Background(), []persistence.Batch{batch})[0]; res.Err != nil {
			b.Fatal(res.Err)
		}
	}
	measure(b, 1, 10_000, func(int64) error {
		for _, err := range log.Read(context.Background(), r.Document, 0) {
			if err != nil {
				return err
			}
		}
		return nil
	})
}
