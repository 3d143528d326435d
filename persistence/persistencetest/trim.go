package persistencetest

import (
	"strings"

	"ysync/persistence"
)

var trimChecks = []check{
	{"TrimWithoutSnapshotsIsTooFar", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		s.ok(s.log().Trim(ctx, "a", r.Epoch, 0), "trim of nothing")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 1), persistence.ErrTrimTooFar, "a")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 3), "set segmented")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 1), persistence.ErrTrimTooFar, "a")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(3)), "set snapshot")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 1), persistence.ErrTrimTooFar, "a")
		s.wantUpdates("a", 0, "1", "2", "3")
	}},
	{"TrimStopsAtPreviousAndSegments", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3", "4", "5", "6")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(4)), "set snapshot")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(6)), "set snapshot")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 1), persistence.ErrTrimTooFar, "a")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 2), "set segmented")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 3), persistence.ErrTrimTooFar, "a")
		s.ok(s.log().Trim(ctx, "a", r.Epoch, 2), "trim")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 6), "set segmented")
		s.wantError(s.log().Trim(ctx, "a", r.Epoch, 5), persistence.ErrTrimTooFar, "a")
		for range 2 {
			for after, class := range []error{persistence.ErrTrimmed, persistence.ErrTrimmed, nil, nil} {
				_, err := s.read("a", persistence.Position(after))
				if class == nil {
					s.ok(err, "read")
				} else {
					s.wantError(err, class, "a")
				}
			}
			s.wantUpdates("a", 2, "3", "4", "5", "6")
			if got := s.record("a"); got.Trimmed != 2 || got.Head != 6 {
				s.Errorf("record: %+v", got)
			}
			s.restart()
		}
		s.ok(s.log().Trim(ctx, "a", r.Epoch, 1), "trim of what is trimmed")
		s.ok(s.log().Trim(ctx, "a", r.Epoch, 4), "trim")
		s.wantUpdates("a", 4, "5", "6")
		s.put("a", "7")
		s.wantUpdates("a", 4, "5", "6", "7")
	}},
	{"TrimTouchesNoOtherDocument", func(s *store) {
		names := []string{"a", "a\x00", "a\x00b", "a/b", "aa", "b"}
		for _, name := range names {
			s.claim(name, "n1")
			s.put(name, "1", "2", "3")
		}
		for _, name := range names[:2] {
			s.ok(s.log().SetSnapshot(ctx, name, 1, pointer(2)), "set snapshot")
			s.ok(s.log().SetSnapshot(ctx, name, 1, pointer(3)), "set snapshot")
			s.ok(s.log().SetSegmented(ctx, name, 1, 3), "set segmented")
			s.ok(s.log().Trim(ctx, name, 1, 2), "trim")
		}
		s.restart()
		for _, name := range names[:2] {
			s.wantUpdates(name, 2, "3")
		}
		for _, name := range names[2:] {
			s.wantUpdates(name, 0, "1", "2", "3")
		}
	}},
}

var pointerChecks = []check{
	{"SnapshotShiftsToPrevious", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3", "4")
		for i, p := range []persistence.Position{1, 2, 4} {
			before := s.record("a")
			s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(p)), "set snapshot")
			s.restart()
			if got := s.record("a"); got.Snapshot != pointer(p) || got.Previous != before.Snapshot {
				s.Errorf("snapshot %d: %+v", i, got)
			}
		}
	}},
	{"SnapshotMustBeNewerAndInTheLog", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(1)), "set snapshot")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), "set snapshot")
		before := s.record("a")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), "setting the newest again")
		other := pointer(2)
		other.Key = "other"
		for _, p := range []persistence.Pointer{pointer(1), other, pointer(4), {Position: 3}} {
			s.wantError(s.log().SetSnapshot(ctx, "a", r.Epoch, p), persistence.ErrInvalid, "a")
		}
		if got := s.record("a"); got != before {
			s.Errorf("refused pointers changed the record: %+v, was %+v", got, before)
		}
	}},
	{"SeedKeyIsSetBeforeTheFirstEntry", func(s *store) {
		r := s.claim("a", "n1")
		s.wantError(s.log().SetSeed(ctx, "a", r.Epoch, ""), persistence.ErrInvalid, "a")
		s.wantError(s.log().SetSeed(ctx, "a", r.Epoch, strings.Repeat("k", persistence.MaxSeedKey+1)), persistence.ErrInvalid, "a")
		s.ok(s.log().SetSeed(ctx, "a", r.Epoch, "died before it appended"), "set seed")
		s.ok(s.log().SetSeed(ctx, "a", r.Epoch, "k"), "set seed")
		s.put("a", "1")
		s.ok(s.log().SetSeed(ctx, "a", r.Epoch, "k"), "set the same key")
		s.wantError(s.log().SetSeed(ctx, "a", r.Epoch, "other"), persistence.ErrInvalid, "a")
		s.restart()
		if got := s.record("a").SeedKey; got != "k" {
			s.Errorf("the seed key is %q", got)
		}
		s.wantUpdates("a", 0, "1")
		b := s.claim("b", "n1")
		s.put("b", "1")
		s.wantError(s.log().SetSeed(ctx, "b", b.Epoch, "k"), persistence.ErrInvalid, "b")
	}},
	{"SegmentedNeverGoesBack", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 2), "set segmented")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 1), "set segmented")
		s.wantError(s.log().SetSegmented(ctx, "a", r.Epoch, 4), persistence.ErrInvalid, "a")
		s.restart()
		if got := s.record("a").Segmented; got != 2 {
			s.Errorf("segmented up to %d, want 2", got)
		}
	}},
	{"PointersOutliveAClaim", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(1)), "set snapshot")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), "set snapshot")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 2), "set segmented")
		want := s.record("a")
		want.Epoch, want.Owner = 2, "n2"
		if got := s.claim("a", "n2"); got != want {
			s.Errorf("got %+v, want %+v", got, want)
		}
	}},
}

var eraseChecks = []check{
	{"EraseLeavesATombstone", func(s *store) {
		r := s.claim("a", "n1")
		s.claim("ab", "n1")
		s.put("ab", "kept")
		s.put("a", "1", "2", "3")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(1)), "set snapshot")
		s.ok(s.log().Erase(ctx, "a", noon), "erase")
		want := persistence.Record{Document: "a", Generation: 1, Epoch: 1, Head: 3, Trimmed: 3, Tombstone: noon}
		for range 2 {
			if got := s.record("a"); got != want {
				s.Errorf("tombstone: got %+v, want %+v", got, want)
			}
			_, err := s.log().Claim(ctx, "a", "n2", 1)
			s.wantError(err, persistence.ErrErased, "a")
			s.wantError(s.log().Append(ctx, []persistence.Batch{batch(r, "x")})[0].Err, persistence.ErrErased, "a")
			s.wantError(s.log().SetSnapshot(ctx, "a", 1, pointer(2)), persistence.ErrErased, "a")
			s.wantError(s.log().SetSegmented(ctx, "a", 1, 2), persistence.ErrErased, "a")
			s.wantError(s.log().SetSeed(ctx, "a", 1, "k"), persistence.ErrErased, "a")
			s.wantError(s.log().Trim(ctx, "a", 1, 0), persistence.ErrErased, "a")
			_, err = s.read("a", 0)
			s.wantError(err, persistence.ErrErased, "a")
			s.wantUpdates("ab", 0, "kept")
			s.ok(s.log().Erase(ctx, "a", noon.AddDate(1, 0, 0)), "erase again")
			s.restart()
		}
	}},
	{"EraseOfAnUnwrittenName", func(s *store) {
		s.ok(s.log().Erase(ctx, "a", noon), "erase")
		s.restart()
		if got := s.record("a"); !got.Exists() || !got.Tombstone.Equal(noon) || got.Epoch != 0 {
			s.Errorf("tombstone: %+v", got)
		}
		_, err := s.log().Claim(ctx, "a", "n1", 0)
		s.wantError(err, persistence.ErrErased, "a")
	}},
}
