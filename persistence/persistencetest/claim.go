package persistencetest

import (
	"fmt"
	"slices"
	"sync"

	"ysync/persistence"
)

var claimChecks = []check{
	{"ClaimCreatesTheRecord", func(s *store) {
		if r := s.record("a"); r != (persistence.Record{Document: "a"}) || r.Exists() {
			s.Fatalf("a document that was never written: %+v", r)
		}
		want := persistence.Record{Document: "a", Generation: 1, Epoch: 1, Owner: "n1"}
		if got := s.claim("a", "n1"); got != want {
			s.Errorf("claim: got %+v, want %+v", got, want)
		}
		s.restart()
		if got := s.record("a"); got != want {
			s.Errorf("after a restart: got %+v, want %+v", got, want)
		}
	}},
	{"ClaimComparesTheEpoch", func(s *store) {
		s.claim("a", "n1")
		for _, seen := range []persistence.Epoch{0, 2, 1 << 60} {
			_, err := s.log().Claim(ctx, "a", "n2", seen)
			s.wantError(err, persistence.ErrFenced, "a")
		}
		_, err := s.log().Claim(ctx, "new", "n2", 1)
		s.wantError(err, persistence.ErrFenced, "new")
		if s.record("new").Exists() {
			s.Error("a refused claim created a record")
		}
		if r, err := s.log().Claim(ctx, "a", "n2", 1); err != nil || r.Epoch != 2 || r.Owner != "n2" || r.Generation != 1 {
			s.Errorf("claim at the epoch seen: %+v, %v", r, err)
		}
		_, err = s.log().Claim(ctx, "a", "", 2)
		s.wantError(err, persistence.ErrInvalid, "a")
	}},
	{"ClaimByTheSameOwnerFencesToo", func(s *store) {
		old := s.claim("a", "n1")
		s.claim("a", "n1")
		s.wantError(s.log().Append(ctx, []persistence.Batch{batch(old, "x")})[0].Err, persistence.ErrFenced, "a")
	}},
	{"ClaimReturnsTheHead", func(s *store) {
		s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		r := s.claim("a", "n2")
		if r.Head != 3 || !r.Updated.Equal(noon) {
			s.Errorf("claimed record: %+v", r)
		}
	}},
	{"OldEpochIsRefusedEverywhere", func(s *store) {
		old := s.claim("a", "n1")
		s.put("a", "1", "2", "3", "4")
		s.ok(s.log().SetSnapshot(ctx, "a", old.Epoch, pointer(2)), "set snapshot")
		s.ok(s.log().SetSnapshot(ctx, "a", old.Epoch, pointer(3)), "set snapshot")
		s.ok(s.log().SetSegmented(ctx, "a", old.Epoch, 3), "set segmented")
		s.claim("a", "n2")
		before := s.record("a")
		for _, e := range []persistence.Epoch{old.Epoch, 0, before.Epoch + 1} {
			stale := batch(old, "x")
			stale.Epoch = e
			s.wantError(s.log().Append(ctx, []persistence.Batch{stale})[0].Err, persistence.ErrFenced, "a")
			s.wantError(s.log().SetSnapshot(ctx, "a", e, pointer(4)), persistence.ErrFenced, "a")
			s.wantError(s.log().SetSegmented(ctx, "a", e, 4), persistence.ErrFenced, "a")
			s.wantError(s.log().SetSeed(ctx, "a", e, "k"), persistence.ErrFenced, "a")
			s.wantError(s.log().Trim(ctx, "a", e, 1), persistence.ErrFenced, "a")
		}
		s.restart()
		if got := s.record("a"); got != before {
			s.Errorf("refused calls changed the record: %+v, was %+v", got, before)
		}
		s.wantUpdates("a", 0, "1", "2", "3", "4")
		s.put("a", "5")
		s.ok(s.log().Trim(ctx, "a", before.Epoch, 2), "trim under the newest epoch")
		s.wantUpdates("a", 2, "3", "4", "5")
	}},
	{"RacingClaimsHaveOneWinner", func(s *store) {
		s.raceClaims(slices.Repeat([]persistence.Log{s.log()}, 8))
	}},
	{"NoAppendAfterTheClaimReturned", func(s *store) {
		s.claimAgainstAppends(s.log(), s.log())
	}},
}

// raceClaims claims one document through all logs at once, for some rounds:
// one of them wins each.
func (s *store) raceClaims(logs []persistence.Log) {
	s.Helper()
	const rounds = 20
	for round := range rounds {
		wins := make(chan persistence.Record, len(logs))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i, log := range logs {
			wg.Go(func() {
				<-start
				r, err := log.Claim(ctx, "a", fmt.Sprint("n", i), persistence.Epoch(round))
				if err == nil {
					wins <- r
					return
				}
				s.want(err, persistence.ErrFenced, "a lost race")
			})
		}
		close(start)
		wg.Wait()
		if len(wins) != 1 {
			s.Fatalf("round %d: %d winners", round, len(wins))
		}
		if won, now := <-wins, s.record("a"); won != now || won.Epoch != persistence.Epoch(round+1) {
			s.Fatalf("round %d: the winner has %+v, the record is %+v", round, won, now)
		}
	}
}

// claimAgainstAppends appends through one log under an old epoch, as fast as it
// can, and claims through the other: whatever lands lies before what the claim
// reported as the head.
func (s *store) claimAgainstAppends(appends, claims persistence.Log) {
	s.Helper()
	for round := range 20 {
		r := s.claim("a", fmt.Sprint("old", round))
		started, done := make(chan struct{}), make(chan persistence.Position)
		go func() {
			last := r.Head
			for i := 0; ; i++ {
				res := appends.Append(ctx, []persistence.Batch{batch(r, "x")})[0]
				if i == 0 {
					close(started)
				}
				if res.Err != nil {
					s.want(res.Err, persistence.ErrFenced, "append under the old epoch")
					done <- last
					return
				}
				last = res.Last
			}
		}()
		<-started
		claimed, err := claims.Claim(ctx, "a", fmt.Sprint("new", round), r.Epoch)
		s.ok(err, "claim")
		if last := <-done; last > claimed.Head {
			s.Fatalf("round %d: position %d was appended under the old epoch, the claim saw head %d", round, last, claimed.Head)
		}
		if now := s.record("a"); now.Head != claimed.Head {
			s.Fatalf("round %d: head %d, the claim saw %d", round, now.Head, claimed.Head)
		}
	}
}
