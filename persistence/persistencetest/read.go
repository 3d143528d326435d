package persistencetest

import (
	"context"
	"slices"

	"ysync/persistence"
)

var readChecks = []check{
	{"ReadAfterAPosition", func(s *store) {
		s.claim("a", "n1")
		s.put("a", "1", "2")
		s.put("a", "3")
		all := []string{"1", "2", "3"}
		for after := range 4 {
			s.wantUpdates("a", persistence.Position(after), all[after:]...)
		}
		s.wantUpdates("a", 4)
		s.wantUpdates("a", 1<<63)
		s.wantUpdates("never", 0)
		s.wantUpdates("never", 9)
	}},
	{"ReadIsAsOfOneMoment", func(s *store) {
		r := s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(2)), "set snapshot")
		s.ok(s.log().SetSnapshot(ctx, "a", r.Epoch, pointer(3)), "set snapshot")
		s.ok(s.log().SetSegmented(ctx, "a", r.Epoch, 3), "set segmented")
		var got []string
		for e, err := range s.log().Read(ctx, "a", 0) {
			s.ok(err, "read")
			if got = append(got, string(e.Update)); len(got) == 1 {
				s.put("a", "4")
				s.ok(s.log().Trim(ctx, "a", r.Epoch, 2), "trim")
			}
		}
		if !slices.Equal(got, []string{"1", "2", "3"}) {
			s.Errorf("got %q", got)
		}
	}},
	{"ReadStopsWhenToldTo", func(s *store) {
		s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		n := 0
		for _, err := range s.log().Read(ctx, "a", 0) {
			s.ok(err, "read")
			n++
			break
		}
		for _, err := range s.log().List(ctx, "") {
			s.ok(err, "list")
			n++
			break
		}
		if n != 2 {
			s.Errorf("%d elements", n)
		}
	}},
	{"ReadCanRunTwice", func(s *store) {
		s.claim("a", "n1")
		s.put("a", "1", "2")
		seq := s.log().Read(ctx, "a", 0)
		for range 2 {
			n := 0
			for _, err := range seq {
				s.ok(err, "read")
				n++
			}
			if n != 2 {
				s.Errorf("got %d entries, want 2", n)
			}
		}
	}},
	{"ReadEndsWithItsContext", func(s *store) {
		s.claim("a", "n1")
		s.put("a", "1", "2", "3")
		cancellable, cancel := context.WithCancel(ctx)
		defer cancel()
		var entries int
		var last error
		for _, err := range s.log().Read(cancellable, "a", 0) {
			cancel()
			if last = err; err == nil {
				entries++
			}
		}
		if entries != 1 {
			s.Errorf("%d entries after cancelling at the first", entries)
		}
		s.wantError(last, context.Canceled, "a")
	}},
	{"ReadingWritesNothing", func(s *store) {
		for range 2 {
			s.record("a")
			s.wantUpdates("a", 0)
			for r, err := range s.log().List(ctx, "") {
				s.ok(err, "list")
				s.Errorf("listed %+v", r)
			}
			s.restart()
		}
	}},
}
