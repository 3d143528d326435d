package persistencetest

import (
	"context"

	"ysync/persistence"
)

// settled is a document with entries, all of which segments hold.
func (s *store) settled(document string, updates ...string) persistence.Record {
	s.Helper()
	r := s.claim(document, "n1")
	s.put(document, updates...)
	s.ok(s.log().SetSegmented(ctx, document, r.Epoch, s.record(document).Head), "set segmented")
	return s.record(document)
}

// born is the record of a document after its first reset.
func born(document string, epoch persistence.Epoch) persistence.Record {
	return persistence.Record{
		Document: document, Generation: 2, Epoch: epoch, Head: 1, Trimmed: 1, Segmented: 1, Snapshot: pointer(1),
	}
}

var resetChecks = []check{
	{"ResetBeginsAGeneration", func(s *store) {
		s.settled("b", "other")
		r := s.settled("a", "1", "2", "3")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), "snapshot")
		s.ok(s.log().Reset(ctx, "a", r.Epoch, 3, pointer(1)), "reset")
		for range 2 {
			if got, want := s.record("a"), born("a", r.Epoch+1); got != want {
				s.Fatalf("the record is %+v, want %+v", got, want)
			}
			s.wantUpdates("a", 1)
			_, err := s.read("a", 0)
			s.wantError(err, persistence.ErrTrimmed, "a")
			s.wantUpdates("b", 0, "other")
			s.restart()
		}
		now := s.claim("a", "n2")
		if now.Epoch != r.Epoch+2 || now.Generation != 2 || now.Owner != "n2" {
			s.Errorf("the claim after it gives %+v", now)
		}
		if res := s.put("a", "new 2", "new 3"); res.First != 2 || res.Last != 3 {
			s.Errorf("the first entries after it: %+v", res)
		}
		s.ok(s.log().SetSegmented(ctx, "a", now.Epoch, 3), "set segmented")
		s.ok(s.log().SetSnapshot(ctx, "a", now.Epoch, pointer(3)), "snapshot")
		s.ok(s.log().Trim(ctx, "a", now.Epoch, 1), "trim")
		s.restart()
		s.wantUpdates("a", 1, "new 2", "new 3")
		if got := s.record("a"); got.Previous != pointer(1) || got.Head != 3 {
			s.Errorf("the record is %+v", got)
		}
	}},
	{"ResetFencesEverybody", func(s *store) {
		r := s.settled("a", "1", "2")
		s.ok(s.log().Reset(ctx, "a", r.Epoch, 2, pointer(1)), "reset")
		for _, b := range []persistence.Batch{batch(r, "late"), batch(s.record("a"), "nobody's")} {
			if b.Generation == 2 {
				b.Generation = 1
			}
			res := s.log().Append(ctx, []persistence.Batch{b})
			s.wantError(res[0].Err, persistence.ErrFenced, "a")
		}
		s.wantError(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), persistence.ErrFenced, "a")
		s.wantError(s.log().SetSegmented(ctx, "a", r.Epoch, 1), persistence.ErrFenced, "a")
		s.wantError(s.log().SetSeed(ctx, "a", r.Epoch, "k"), persistence.ErrFenced, "a")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 1), persistence.ErrFenced, "a")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch, 2, pointer(1)), persistence.ErrFenced, "a")
		_, err := s.log().Claim(ctx, "a", "n1", r.Epoch)
		s.wantError(err, persistence.ErrFenced, "a")
		if got, want := s.record("a"), born("a", r.Epoch+1); got != want {
			s.Errorf("the record is %+v, want %+v", got, want)
		}
	}},
	{"ResetRefuses", func(s *store) {
		s.wantError(s.log().Reset(ctx, "new", 0, 0, pointer(1)), persistence.ErrFenced, "new")
		r := s.settled("a", "1", "2")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch, 2, pointer(2)), persistence.ErrInvalid, "a")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch, 2, persistence.Pointer{Position: 1}), persistence.ErrInvalid, "a")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch, 1, pointer(1)), persistence.ErrInvalid, "a")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch+1, 2, pointer(1)), persistence.ErrFenced, "a")
		s.put("a", "3")
		s.wantError(s.log().Reset(ctx, "a", r.Epoch, 3, pointer(1)), persistence.ErrTrimTooFar, "a")
		gone, cancel := context.WithCancel(ctx)
		cancel()
		s.wantError(s.log().Reset(gone, "a", r.Epoch, 3, pointer(1)), context.Canceled, "a")
		s.wantUpdates("a", 0, "1", "2", "3")
		s.ok(s.log().Erase(ctx, "b", noon), "erase")
		s.wantError(s.log().Reset(ctx, "b", 1, 0, pointer(1)), persistence.ErrErased, "b")
	}},
	{"ResetTwiceThenErase", func(s *store) {
		r := s.claim("a", "n1")
		s.ok(s.log().SetSeed(ctx, "a", r.Epoch, "template"), "seed")
		r = s.settled("a", "1")
		s.ok(s.log().Reset(ctx, "a", r.Epoch, 1, pointer(1)), "reset")
		r = s.settled("a", "2", "3")
		s.ok(s.log().Reset(ctx, "a", r.Epoch, 3, pointer(1)), "second reset")
		want := born("a", r.Epoch+1)
		want.Generation, want.SeedKey = 3, "template"
		if got := s.record("a"); got != want {
			s.Fatalf("the record is %+v, want %+v", got, want)
		}
		s.claim("a", "n1")
		s.put("a", "4")
		s.wantUpdates("a", 1, "4")
		s.ok(s.log().Erase(ctx, "a", noon), "erase")
		s.restart()
		if got := s.record("a"); got.Generation != 3 || got.Head != 2 || got.Trimmed != 2 {
			s.Errorf("the tombstone is %+v", got)
		}
	}},
}
