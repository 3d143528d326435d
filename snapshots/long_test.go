package snapshots_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/internal/testyjs"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

var moments = flag.Int("moments", 40, "how many moments of a session of 259,778 edits are asked for")

// TestMomentsOfALongSession replays the B4 trace with a clock, stored as it
// comes, and asks for random moments: by position or by time, with the log or
// without.
func TestMomentsOfALongSession(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(*moments), 17))
	r := record(t, nil)
	updates := testyjs.Session(t, "b4")
	r.life(rng, updates, *moments)
	r.segment()
	noted := r.positions()
	withLog, filesAlone := r.keeper, r.keeperOf(nil)
	var worst time.Duration
	for range *moments {
		p := noted[rng.IntN(len(noted))]
		m := snapshots.AtPosition(p)
		if p > 0 && r.lastAt(r.times[p-1]) == p && rng.IntN(2) == 0 {
			m = snapshots.AtTime(r.times[p-1])
		}
		r.keeper = withLog
		if p < r.head() && rng.IntN(4) == 0 {
			r.keeper = filesAlone
		}
		began := time.Now()
		r.at(m, p)
		worst = max(worst, time.Since(began))
	}
	if len(r.damaged) > 0 {
		t.Errorf("files were found damaged: %q", r.damaged)
	}
	t.Logf("%d moments of %d entries, the longest took %v", *moments, r.head(), worst)
}

// BenchmarkPointInTime restores the B4 document out of 259,778 entries in a
// database on a disk, with a snapshot every 10,000 as the server takes them,
// and with none at all.
func BenchmarkPointInTime(b *testing.B) {
	updates := testyjs.Session(b, "b4")
	folder := b.TempDir()
	store, err := dir.Open(vfs.Default, folder+"/snapshots")
	if err != nil {
		b.Fatal(err)
	}
	log, err := pebble.Open(pebble.Options{Dir: folder + "/log"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	}()
	k := snapshots.New(store, log, snapshots.Options{})
	for _, every := range []int{10_000, 0} {
		name := "snapshots"
		if every == 0 {
			name = "none"
		}
		rec, err := log.Claim(b.Context(), name, "boot", 0)
		if err != nil {
			b.Fatal(err)
		}
		live := replica(nil)
		for from := 0; from < len(updates); from += 10_000 {
			batch := persistence.Batch{Document: name, Generation: 1, Epoch: rec.Epoch}
			for i, u := range updates[from:min(from+10_000, len(updates))] {
				at := start.Add(time.Duration(from+i) * time.Second)
				batch.Entries = append(batch.Entries, persistence.NewEntry{Time: at, Author: "ada", Update: u})
				if _, err := live.Apply(nil, 1, u); err != nil {
					b.Fatal(err)
				}
			}
			if res := log.Append(b.Context(), []persistence.Batch{batch}); res[0].Err != nil {
				b.Fatal(res[0].Err)
			}
			if rec, err = log.Open(b.Context(), name); err != nil {
				b.Fatal(err)
			}
			if every > 0 {
				p, err := k.Save(b.Context(), rec, rec.Head, rec.Updated, "", live.AppendState(nil, 2))
				if err == nil {
					err = log.SetSnapshot(b.Context(), name, rec.Epoch, p)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			to, err := k.Segment(b.Context(), rec, rec.Head)
			if err == nil {
				err = log.SetSegmented(b.Context(), name, rec.Epoch, to)
			}
			if err == nil && every > 0 {
				if rec, err = log.Open(b.Context(), name); err == nil {
					err = log.Trim(b.Context(), name, rec.Epoch, k.Trimmable(b.Context(), rec))
				}
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		files := snapshots.New(store, nil, snapshots.Options{})
		run := func(what string, k *snapshots.Keeper, position func() persistence.Position) {
			b.Run(name+"/"+what, func(b *testing.B) {
				var longest time.Duration
				for b.Loop() {
					began := time.Now()
					p := position()
					if _, _, err := k.At(b.Context(), name, snapshots.AtPosition(p), snapshots.AtOptions{}); err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(began))
				}
				b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest")
			})
		}
		random := func() persistence.Position { return persistence.Position(1 + rng.IntN(len(updates))) }
		newest := func() persistence.Position { return persistence.Position(len(updates)) }
		run("random moment", k, random)
		run("newest, files alone", files, newest)
		b.Run(name+"/diff of all", func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Diff(b.Context(), name, snapshots.AtPosition(100_000), snapshots.Now(), snapshots.DiffOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		for order, newest := range map[string]bool{"oldest": false, "newest": true} {
			b.Run(name+"/timeline, "+order+" first", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for _, err := range k.Timeline(b.Context(), name, snapshots.TimelineOptions{NewestFirst: newest}) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
