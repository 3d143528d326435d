package persistencetest

import (
	"strings"

	"ysync/persistence"
)

// adopt takes in a document, by a log that has to be able to.
func (s *store) adopt(rec persistence.Record) error {
	s.Helper()
	a, ok := s.log().(persistence.Adopter)
	if !ok {
		s.Fatal("the log is no persistence.Adopter")
	}
	return a.Adopt(ctx, rec)
}

// elsewhere is the record of a document with a history of 70 entries.
func elsewhere(document string) persistence.Record {
	return persistence.Record{
		Document: document, Generation: 3, Epoch: 9, Head: 70, Snapshot: pointer(70),
	}
}

var adoptChecks = []check{
	{"AdoptedDocumentGoesOn", func(s *store) {
		s.ok(s.adopt(elsewhere("a")), "adopt")
		want := elsewhere("a")
		want.Trimmed, want.Segmented = 70, 70
		for range 2 {
			if r := s.record("a"); r != want {
				s.Fatalf("the record is %+v, want %+v", r, want)
			}
			s.wantUpdates("a", 70)
			if _, err := s.read("a", 69); err == nil {
				s.Error("an entry before the adopted head was read")
			} else {
				s.want(err, persistence.ErrTrimmed, "reading before the head")
			}
			s.restart()
		}
		if r := s.claim("a", "n1"); r.Epoch != 10 || r.Generation != 3 {
			s.Errorf("the claim gives %+v", r)
		}
		if res := s.put("a", "71"); res.First != 71 {
			s.Fatalf("the first entry after: %+v", res)
		}
		s.restart()
		s.wantUpdates("a", 70, "71")
		r := s.record("a")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(71)), "snapshot")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 71), "segmented")
		s.ok(s.log().Trim(ctx, "a", r.Epoch, 70), "trim")
	}},
	{"AdoptWithoutEntries", func(s *store) {
		s.ok(s.adopt(persistence.Record{Document: "a", Generation: 2, Epoch: 4}), "adopt")
		s.claim("a", "n1")
		s.put("a", "1")
		if r := s.record("a"); r.Generation != 2 || r.Epoch != 5 || r.Head != 1 {
			s.Errorf("the record is %+v", r)
		}
	}},
	{"AdoptRefuses", func(s *store) {
		s.claim("a", "n1")
		s.wantError(s.adopt(elsewhere("a")), persistence.ErrFenced, "a")
		s.ok(s.log().Erase(ctx, "b", noon), "erase")
		s.wantError(s.adopt(elsewhere("b")), persistence.ErrErased, "b")
		long := strings.Repeat("n", persistence.MaxDocumentName+1)
		s.wantError(s.adopt(elsewhere(long)), persistence.ErrInvalid, long)
		bad := elsewhere("c")
		bad.Snapshot = pointer(60)
		s.wantError(s.adopt(bad), persistence.ErrInvalid, "c")
		bad.Snapshot = persistence.Pointer{}
		s.wantError(s.adopt(bad), persistence.ErrInvalid, "c")
		s.wantError(s.adopt(persistence.Record{Document: "c"}), persistence.ErrInvalid, "c")
		if r := s.record("c"); r.Exists() {
			s.Errorf("a refused adoption left %+v", r)
		}
	}},
}
