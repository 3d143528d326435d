package persistencetest

import (
	"slices"

	"ysync/persistence"
)

// releaseChecks are for logs that several processes may have open.
var releaseChecks = []check{
	{"ReleaseEndsTheClaim", func(s *store) {
		log := s.log().(persistence.Shared)
		old := s.claim("a", "n1")
		s.put("a", "1")
		s.ok(log.Release(ctx, "a", "n1", old.Epoch), "release")
		r := s.record("a")
		if r.Owner != "" || r.Epoch != old.Epoch+1 || r.Head != 1 || r.Generation != old.Generation {
			s.Errorf("after the release the record is %+v", r)
		}
		s.wantError(log.Append(ctx, []persistence.Batch{batch(old, "x")})[0].Err, persistence.ErrFenced, "a")
		s.wantError(log.SetSegmented(ctx, "a", old.Epoch, 1), persistence.ErrFenced, "a")
		s.wantError(log.Release(ctx, "a", "n1", old.Epoch), persistence.ErrFenced, "a")
		s.wantError(log.Release(ctx, "a", "n1", r.Epoch), persistence.ErrFenced, "a")
		_, err := log.Claim(ctx, "a", "n2", old.Epoch)
		s.wantError(err, persistence.ErrFenced, "a")
		s.claim("a", "n2")
		s.put("a", "2")
		s.wantUpdates("a", 0, "1", "2")
	}},
	{"ReleaseComparesOwnerAndEpoch", func(s *store) {
		log := s.log().(persistence.Shared)
		s.wantError(log.Release(ctx, "a", "n1", 0), persistence.ErrFenced, "a")
		if s.record("a").Exists() {
			s.Error("a refused release created a record")
		}
		r := s.claim("a", "n1")
		s.wantError(log.Release(ctx, "a", "n2", r.Epoch), persistence.ErrFenced, "a")
		s.wantError(log.Release(ctx, "a", "", r.Epoch), persistence.ErrFenced, "a")
		s.wantError(log.Release(ctx, "a", "n1", r.Epoch+1), persistence.ErrFenced, "a")
		if now := s.record("a"); now != r {
			s.Errorf("refused releases left %+v", now)
		}
		s.ok(log.Erase(ctx, "b", noon), "erase")
		s.wantError(log.Release(ctx, "b", "n1", 0), persistence.ErrErased, "b")
	}},
	{"ClaimAllClaimsWhatIsAsSeen", func(s *store) {
		log := s.log().(persistence.Shared)
		old := s.claim("a", "n1")
		s.put("a", "1")
		s.claim("b", "n1")
		s.claim("moved", "n1")
		s.ok(log.Erase(ctx, "erased", noon), "erase")
		seen := []persistence.Holding{
			{Document: "moved", Epoch: 0, Owner: "n1"}, {Document: "b", Epoch: 1, Owner: "n1"}, {Document: "erased"}, {Document: "a", Epoch: 1, Owner: "n1"},
		}
		got, err := log.ClaimAll(ctx, "n2", seen)
		s.ok(err, "claim all")
		for i, h := range seen {
			r := s.record(h.Document)
			switch h.Document {
			case "a", "b":
				if got[i] != r || r.Owner != "n2" || r.Epoch != 2 {
					s.Errorf("%s: got %+v, the record is %+v", h.Document, got[i], r)
				}
			default:
				if got[i] != (persistence.Record{}) || r.Owner == "n2" {
					s.Errorf("%s: got %+v, the record is %+v", h.Document, got[i], r)
				}
			}
		}
		s.wantError(log.Append(ctx, []persistence.Batch{batch(old, "x")})[0].Err, persistence.ErrFenced, "a")
		s.wantUpdates("a", 0, "1")
		s.ok(log.Append(ctx, []persistence.Batch{batch(got[3], "2")})[0].Err, "append")
		s.wantUpdates("a", 0, "1", "2")
		if again, err := log.ClaimAll(ctx, "n3", seen); err != nil || again[1] != (persistence.Record{}) {
			s.Errorf("a claim by what is past: %+v, %v", again, err)
		}
		_, err = log.ClaimAll(ctx, "n2", make([]persistence.Holding, persistence.MaxHoldings+1))
		s.wantError(err, persistence.ErrInvalid, "")
	}},
	{"HoldingsTellsOwners", func(s *store) {
		log := s.log().(persistence.Shared)
		s.claim("a", "n1")
		b := s.claim("b", "n2")
		s.ok(log.Release(ctx, "b", "n2", b.Epoch), "release")
		got, err := log.Holdings(ctx, []string{"c", "b", "a", "c", "a"})
		s.ok(err, "holdings")
		a, c := persistence.Holding{Document: "a", Epoch: 1, Owner: "n1"}, persistence.Holding{Document: "c"}
		if want := []persistence.Holding{c, {Document: "b", Epoch: 2}, a, c, a}; !slices.Equal(got, want) {
			s.Errorf("holdings: got %+v, want %+v", got, want)
		}
		if got, err := log.Holdings(ctx, nil); err != nil || len(got) != 0 {
			s.Errorf("holdings of nothing: %+v, %v", got, err)
		}
		_, err = log.Holdings(ctx, make([]string, persistence.MaxHoldings+1))
		s.wantError(err, persistence.ErrInvalid, "")
	}},
}
