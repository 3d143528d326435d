package persistencetest

import (
	"fmt"

	"ysync/persistence"
)

// second opens the store once more, beside the log that is open.
func (s *store) second() persistence.Log {
	s.Helper()
	s.log()
	other, err := s.reopen()
	if err != nil {
		s.Fatalf("opening the store a second time: %v", err)
	}
	s.Cleanup(func() {
		if err := other.Close(); err != nil {
			s.Errorf("closing the second log: %v", err)
		}
	})
	return other
}

var sharedChecks = []check{
	{"TwoLogsSeeOneAnother", func(s *store) {
		other := s.second()
		s.claim("a", "n1")
		s.put("a", "1", "2")
		r, err := other.Open(ctx, "a")
		s.ok(err, "open")
		if r != s.record("a") || r.Head != 2 {
			s.Errorf("the other log shows %+v", r)
		}
		// A caller that knows the claim may append through either.
		for i, log := range []persistence.Log{other, s.log(), other, other, s.log()} {
			want := persistence.Result{First: persistence.Position(i + 3), Last: persistence.Position(i + 3)}
			if got := log.Append(ctx, []persistence.Batch{batch(r, fmt.Sprint(i+3))})[0]; got != want {
				s.Errorf("append %d: got %+v, want %+v", i, got, want)
			}
		}
		s.wantUpdates("a", 0, "1", "2", "3", "4", "5", "6", "7")
	}},
	{"ClaimElsewhereFences", func(s *store) {
		other := s.second()
		old := s.claim("a", "n1")
		s.put("a", "1")
		now, err := other.Claim(ctx, "a", "n2", old.Epoch)
		s.ok(err, "claim")
		if now.Head != 1 {
			s.Errorf("claimed record: %+v", now)
		}
		s.wantError(s.log().Append(ctx, []persistence.Batch{batch(old, "x")})[0].Err, persistence.ErrFenced, "a")
		s.wantError(s.log().SetSegmented(ctx, "a", old.Epoch, 1), persistence.ErrFenced, "a")
		s.ok(other.Append(ctx, []persistence.Batch{batch(now, "2")})[0].Err, "append")
		s.wantUpdates("a", 0, "1", "2")
	}},
	{"EraseElsewhereRefuses", func(s *store) {
		other := s.second()
		r := s.claim("a", "n1")
		s.put("a", "1")
		s.ok(other.Erase(ctx, "a", noon), "erase")
		s.wantError(s.log().Append(ctx, []persistence.Batch{batch(r, "x")})[0].Err, persistence.ErrErased, "a")
	}},
	{"RacingClaimsElsewhereHaveOneWinner", func(s *store) {
		s.raceClaims([]persistence.Log{s.log(), s.second(), s.second()})
	}},
	{"NoAppendAfterTheClaimElsewhereReturned", func(s *store) {
		s.claimAgainstAppends(s.log(), s.second())
	}},
}
