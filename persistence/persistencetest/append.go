package persistencetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ysync/persistence"
)

var appendChecks = []check{
	{"AppendGivesDensePositions", func(s *store) {
		s.claim("a", "n1")
		for i, want := range []persistence.Result{{First: 1, Last: 1}, {First: 2, Last: 4}, {First: 5, Last: 5}} {
			if got := s.put("a", make([]string, want.Last-want.First+1)...); got != want {
				s.Errorf("append %d: got %+v, want %+v", i, got, want)
			}
			if r := s.record("a"); r.Head != want.Last {
				s.Errorf("append %d: head %d, want %d", i, r.Head, want.Last)
			}
		}
	}},
	{"AppendKeepsEverythingOfAnEntry", func(s *store) {
		r := s.claim("a", "n1")
		in := []persistence.NewEntry{
			{Time: noon.Add(1500 * time.Microsecond), Author: "", Update: []byte{0, 0xff}},
			{Time: noon.Add(time.Second), Author: "ümlaut\x00", Update: nil},
			{Time: noon.Add(2 * time.Second), Author: "bob", Update: bytes.Repeat([]byte{7}, 70_000)},
		}
		s.ok(s.log().Append(ctx, []persistence.Batch{{Document: "a", Generation: r.Generation, Epoch: r.Epoch, Entries: in}})[0].Err, "append")
		r = s.claim("a", "n2")
		s.put("a", "later")
		for range 2 {
			got, err := s.read("a", 0)
			s.ok(err, "read")
			if len(got) != 4 {
				s.Fatalf("got %d entries, want 4", len(got))
			}
			for i, e := range got[:3] {
				if e.Position != persistence.Position(i+1) || e.Epoch != 1 || e.Author != in[i].Author ||
					!e.Time.Equal(in[i].Time.Truncate(time.Millisecond)) || !bytes.Equal(e.Update, in[i].Update) {
					s.Errorf("entry %d: got %+v", i, e)
				}
			}
			if got[3].Epoch != 2 {
				s.Errorf("entry under the second claim: epoch %d", got[3].Epoch)
			}
			s.restart()
		}
	}},
	{"AppendOfManyDocuments", func(s *store) {
		const documents = 300
		var batches []persistence.Batch
		for i := range documents {
			batches = append(batches, batch(s.claim(fmt.Sprint("doc", i), "n1"), fmt.Sprint(i), "second"))
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(documents, func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
		for i, res := range s.log().Append(ctx, batches) {
			if res != (persistence.Result{First: 1, Last: 2}) {
				s.Fatalf("result %d: %+v", i, res)
			}
		}
		s.restart()
		for i := range documents {
			s.wantUpdates(fmt.Sprint("doc", i), 0, fmt.Sprint(i), "second")
		}
	}},
	{"AppendRefusesOneBatchAndTakesTheOthers", func(s *store) {
		good, stale, erased, never := s.claim("good", "n1"), s.claim("stale", "n1"), s.claim("erased", "n1"), s.record("never")
		s.claim("stale", "n2")
		s.ok(s.log().Erase(ctx, "erased", noon), "erase")
		otherGeneration := batch(s.claim("generation", "n1"), "x")
		otherGeneration.Generation++
		future := batch(s.claim("future", "n1"), "x")
		future.Epoch++
		never.Generation, never.Epoch = 1, 1
		unclaimed := batch(s.record("unclaimed"), "x")
		unclaimed.Generation = 1
		res := s.log().Append(ctx, []persistence.Batch{
			batch(stale, "x"), batch(good, "a", "b"), batch(erased, "x"), batch(never, "x"), otherGeneration, future,
			unclaimed, batch(good, "twice"),
			{Document: "", Generation: 1, Epoch: 1, Entries: make([]persistence.NewEntry, 1)},
			batch(s.claim("empty", "n1")),
		})
		if len(res) != 10 || res[1] != (persistence.Result{First: 1, Last: 2}) {
			s.Fatalf("results: %+v", res)
		}
		s.wantError(res[0].Err, persistence.ErrFenced, "stale")
		s.wantError(res[2].Err, persistence.ErrErased, "erased")
		s.wantError(res[3].Err, persistence.ErrFenced, "never")
		s.wantError(res[4].Err, persistence.ErrFenced, "generation")
		s.wantError(res[5].Err, persistence.ErrFenced, "future")
		s.wantError(res[6].Err, persistence.ErrFenced, "unclaimed")
		s.wantError(res[7].Err, persistence.ErrInvalid, "good")
		s.wantError(res[8].Err, persistence.ErrInvalid, "")
		s.wantError(res[9].Err, persistence.ErrInvalid, "empty")
		s.restart()
		s.wantUpdates("good", 0, "a", "b")
		for _, name := range []string{"stale", "never", "generation", "future", "unclaimed", "empty"} {
			s.wantUpdates(name, 0)
		}
		if s.record("never").Exists() {
			s.Error("a refused append created a record")
		}
	}},
	{"AppendOfNothing", func(s *store) {
		if res := s.log().Append(ctx, nil); len(res) != 0 {
			s.Errorf("results: %+v", res)
		}
	}},
	{"AppendDoesNotKeepTheCallersBytes", func(s *store) {
		b := batch(s.claim("a", "n1"), "aaaa", "bbbb")
		s.ok(s.log().Append(ctx, []persistence.Batch{b})[0].Err, "append")
		copy(b.Entries[0].Update, "XXXX")
		b.Entries[1] = persistence.NewEntry{Update: []byte("YYYY")}
		s.wantUpdates("a", 0, "aaaa", "bbbb")
		entries, err := s.read("a", 0)
		s.ok(err, "read")
		copy(entries[0].Update, "ZZZZ")
		s.wantUpdates("a", 0, "aaaa", "bbbb")
	}},
	{"TimeNeverDecreases", func(s *store) {
		times := func(offsets ...int) []persistence.NewEntry {
			var out []persistence.NewEntry
			for _, ms := range offsets {
				out = append(out, persistence.NewEntry{Time: noon.Add(time.Duration(ms) * time.Millisecond)})
			}
			return out
		}
		r := s.claim("a", "n1")
		put := func(offsets ...int) {
			s.ok(s.log().Append(ctx, []persistence.Batch{{Document: "a", Generation: r.Generation, Epoch: r.Epoch, Entries: times(offsets...)}})[0].Err, "append")
		}
		put(10, 5, 20)
		put(15, 25)
		s.restart()
		put(1)
		r = s.claim("a", "n2")
		put(2, 30)
		entries, err := s.read("a", 0)
		s.ok(err, "read")
		var got []int
		for _, e := range entries {
			got = append(got, int(e.Time.Sub(noon)/time.Millisecond))
		}
		if want := []int{10, 10, 20, 20, 25, 25, 25, 30}; !slices.Equal(got, want) {
			s.Errorf("times: got %v, want %v", got, want)
		}
		if u := s.record("a").Updated; !u.Equal(noon.Add(30 * time.Millisecond)) {
			s.Errorf("Updated: %v", u)
		}
	}},
	{"BigEntries", func(s *store) {
		big := make([]byte, 32<<20)
		r := rand.New(rand.NewPCG(3, 4))
		for i := range big {
			big[i] = byte(r.Uint32())
		}
		rec := s.claim("big", "n1")
		b := batch(rec, "before", "", "after")
		b.Entries[1].Update = big
		s.ok(s.log().Append(ctx, []persistence.Batch{b, batch(s.claim("small", "n1"), "x")})[0].Err, "append")
		s.put("big", "last")
		for range 2 {
			i := 0
			for e, err := range s.log().Read(ctx, "big", 1) {
				s.ok(err, "read")
				if i == 0 && !bytes.Equal(e.Update, big) {
					s.Error("the big update changed")
				}
				i++
			}
			if i != 3 {
				s.Errorf("got %d entries, want 3", i)
			}
			s.wantUpdates("small", 0, "x")
			s.restart()
		}
	}},
	{"CancelledContextChangesNothing", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "kept")
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		s.want(s.log().Append(cancelled, []persistence.Batch{batch(r, "x")})[0].Err, context.Canceled, "append")
		_, err := s.log().Open(cancelled, "a")
		s.want(err, context.Canceled, "open")
		_, err = s.log().Claim(cancelled, "a", "n2", r.Epoch)
		s.want(err, context.Canceled, "claim")
		s.want(s.log().SetSnapshot(cancelled, "a", r.Epoch, pointer(1)), context.Canceled, "set snapshot")
		s.want(s.log().SetSeed(cancelled, "a", r.Epoch, "k"), context.Canceled, "set seed")
		s.want(s.log().SetSegmented(cancelled, "a", r.Epoch, 1), context.Canceled, "set segmented")
		s.want(s.log().Trim(cancelled, "a", r.Epoch, 0), context.Canceled, "trim")
		s.want(s.log().Erase(cancelled, "a", noon), context.Canceled, "erase")
		for _, err := range s.log().Read(cancelled, "a", 0) {
			s.want(err, context.Canceled, "read")
		}
		for _, err := range s.log().List(cancelled, "") {
			s.want(err, context.Canceled, "list")
		}
		s.wantUpdates("a", 0, "kept")
		if got := s.record("a"); got.Epoch != r.Epoch || !got.Snapshot.IsZero() || !got.Tombstone.IsZero() {
			s.Errorf("record after cancelled calls: %+v", got)
		}
	}},
}
