package persistencetest

import (
	"fmt"
	"sync"

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
		const rounds = 20
		logs := []persistence.Log{s.log(), s.second(), s.second()}
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
	}},
	{"NoAppendAfterTheClaimElsewhereReturned", func(s *store) {
		mine, other := s.log(), s.second()
		for round := range 20 {
			r := s.claim("a", fmt.Sprint("old", round))
			started, done := make(chan struct{}), make(chan persistence.Position)
			go func() {
				last := r.Head
				for i := 0; ; i++ {
					res := mine.Append(ctx, []persistence.Batch{batch(r, "x")})[0]
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
			claimed, err := other.Claim(ctx, "a", fmt.Sprint("new", round), r.Epoch)
			s.ok(err, "claim")
			if last := <-done; last > claimed.Head {
				s.Fatalf("round %d: position %d was appended under the old epoch, the claim saw head %d", round, last, claimed.Head)
			}
			if now := s.record("a"); now.Head != claimed.Head {
				s.Fatalf("round %d: head %d, the claim saw %d", round, now.Head, claimed.Head)
			}
		}
	}},
}
