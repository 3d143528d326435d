package awareness

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
)

var start = time.Unix(1_700_000_000, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

// one returns an update of a single entry.
func one(id, clock uint64, state string) []byte {
	return many(Entry{ClientID: id, Clock: clock, State: []byte(state)})
}

func many(entries ...Entry) []byte {
	b := lib0.AppendUvarint(nil, uint64(len(entries)))
	for _, e := range entries {
		b = appendEntry(b, e.ClientID, e.Clock, e.State)
	}
	return b
}

func entry1(id, clock uint64, state string) Entry {
	return Entry{ClientID: id, Clock: clock, State: []byte(state)}
}

// show prints an update as "id@clock=state", in order.
func show(update []byte) string {
	if update == nil {
		return ""
	}
	var out []string
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		out = append(out, fmt.Sprintf("%d@%d=%s", e.ClientID, e.Clock, e.State))
	}
	if d.Err() != nil {
		return d.Err().Error()
	}
	return strings.Join(out, " ")
}

// server is a Presence whose answers are strings.
type server struct {
	*Presence
	t *testing.T
}

func newServer(t *testing.T, opts Options) server { return server{NewPresence(opts), t} }

// apply returns what is relayed and what is repaired.
func (s server) apply(session uint64, subject string, update []byte, now time.Time) (relay, repair string) {
	s.t.Helper()
	out, err := s.Apply(session, subject, update, now)
	if err != nil {
		s.t.Fatalf("session %d, %s: %v", session, show(update), err)
	}
	s.check()
	return show(out.Relay), show(out.Repair)
}

// want applies an update and compares what comes of it.
func (s server) want(session uint64, subject string, update []byte, now time.Time, relay, repair string) {
	s.t.Helper()
	gotRelay, gotRepair := s.apply(session, subject, update, now)
	if gotRelay != relay || gotRepair != repair {
		s.t.Fatalf("session %d, %s: relay %q, repair %q; want %q, %q",
			session, show(update), gotRelay, gotRepair, relay, repair)
	}
}

func (s server) wantExpired(now time.Time, relay string) {
	s.t.Helper()
	if got := show(s.Expire(now)); got != relay {
		s.t.Fatalf("expired %q, want %q", got, relay)
	}
	s.check()
}

func (s server) wantAll(now time.Time, all string) {
	s.t.Helper()
	if got := show(s.AppendAll(nil, now)); got != all {
		s.t.Fatalf("all %q, want %q", got, all)
	}
}

// check holds the invariants of the lists, the sessions and the byte count.
func (s server) check() {
	s.t.Helper()
	size, n := 0, 0
	for _, l := range []*list{&s.live, &s.leaving, &s.removed} {
		count := 0
		var prev *entry
		for e := l.head; e != nil; prev, e = e, e.next {
			count++
			size += len(e.state)
			switch {
			case e.list != l || e.prev != prev || s.entries[e.id] != e:
				s.t.Fatalf("entry %d is linked wrongly", e.id)
			case prev != nil && e.at.Before(prev.at):
				s.t.Fatalf("entry %d is out of order", e.id)
			case (e.state == nil) != (l == &s.removed):
				s.t.Fatalf("entry %d has state %q in the wrong list", e.id, e.state)
			case (e.owner == nil) != (l == &s.leaving) && l != &s.removed:
				s.t.Fatalf("entry %d has the wrong owner", e.id)
			case e.owner != nil && !slices.Contains(e.owner.entries, e):
				s.t.Fatalf("entry %d is not with its owner", e.id)
			}
		}
		if l.tail != prev || l.len != count {
			s.t.Fatalf("list of %d counts %d", count, l.len)
		}
		n += count
	}
	if n != len(s.entries) || size != s.bytes {
		s.t.Fatalf("%d entries of %d bytes, counted %d and %d", n, size, len(s.entries), s.bytes)
	}
	for _, e := range s.entries {
		if e.owner != nil && !slices.Contains(slices.Collect(maps.Values(s.sessions)), e.owner) {
			s.t.Fatalf("entry %d belongs to a session that left", e.id)
		}
	}
	for key, session := range s.sessions {
		for _, e := range session.entries {
			if e.owner != session {
				s.t.Fatalf("session %d has entry %d of another", key, e.id)
			}
		}
	}
}

func TestAFirstStateAtClockZeroIsNotAccepted(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 0, `{}`), start, "", "")
	s.want(1, "", one(7, 0, `null`), start, "", "")
	s.wantAll(start, "")
	s.want(1, "", one(7, 1, `{}`), start, "7@1={}", "")
	s.wantAll(start, "7@1={}")
}

func TestANewerClockIsAccepted(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 1, `{"a":1}`), start, `7@1={"a":1}`, "")
	s.want(1, "", one(7, 4, `{"a":2}`), start, `7@4={"a":2}`, "")
	s.want(1, "", one(7, 5, `null`), start, `7@5=null`, "")
	s.want(1, "", one(7, 6, `5`), start, `7@6=5`, "")
}

func TestOnlyWhatWasAcceptedIsRelayed(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{"a":1}`), start, `7@3={"a":1}`, "")
	s.want(1, "", many(entry1(7, 3, `{"a":1}`), entry1(8, 1, `{}`), entry1(9, 0, `{}`)), start, `8@1={}`, "")
}

func TestOneClientTwiceInAnUpdateIsRelayedOnceAndNewest(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", many(entry1(7, 1, `1`), entry1(8, 1, `1`), entry1(7, 3, `3`), entry1(7, 2, `2`)), start, `7@3=3 8@1=1`, "")
	s.want(1, "", many(entry1(9, 1, `1`), entry1(9, 1, `null`)), start, `9@1=null`, "")
}

func TestAStaleStateIsDroppedBeforeItsJSONIsLookedAt(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	for _, bad := range []string{`{`, "\xff", strings.Repeat("[", 1000), ``} {
		s.want(2, "", one(7, 3, bad), start, "", "")
		s.want(2, "", one(7, 2, bad), start, "", "")
		s.want(2, "", one(8, 0, bad), start, "", "")
		if _, err := s.Apply(2, "", one(7, 4, bad), start); err == nil {
			t.Fatalf("new state %q was accepted", bad)
		}
	}
	s.wantAll(start, `7@3={}`)
}

func TestAMalformedUpdateChangesNothing(t *testing.T) {
	s := newServer(t, Options{})
	good := many(entry1(7, 1, `{}`), entry1(8, 1, `{"a":[1]}`))
	for n := range good {
		_, err := s.Apply(1, "", good[:n], start)
		if e := (*Error)(nil); !errors.As(err, &e) || !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, c := range []struct {
		state  string
		class  error
		offset int
	}{
		{`{]`, ErrJSON, 9},
		{"\"\xc3\"", ErrUTF8, 9},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), ErrDepth, 10},
	} {
		_, err := s.Apply(1, "", many(entry1(7, 1, `{}`), entry1(8, 1, c.state)), start)
		var e *Error
		if !errors.As(err, &e) || e.Err != c.class || e.Offset != c.offset {
			t.Errorf("%q: %v, want %v at %d", c.state, err, c.class, c.offset)
		}
	}
	if s.Len() != 0 || len(s.sessions) != 0 || !s.NextExpiry().IsZero() {
		t.Fatal("something was kept")
	}
}

func TestACountBeyondTheUpdateIsRefusedAtOnce(t *testing.T) {
	s := newServer(t, Options{})
	huge := append(lib0.AppendUvarint(nil, 1<<53-1), one(7, 1, `{}`)[1:]...)
	if _, err := s.Apply(1, "", huge, start); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
}

func TestAnEmptyUpdateDoesNothing(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", []byte{0}, start, "", "")
	if len(s.sessions) != 0 {
		t.Fatal("a keepalive made a session")
	}
}

func TestAGoodbyeAtTheKnownClockIsObeyedFromTheOwnerOnly(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "", one(7, 3, `null`), start, "", "")
	s.want(1, "", one(7, 2, `null`), start, "", "")
	s.wantAll(start, `7@3={}`)
	s.want(1, "", one(7, 3, ` null `), start, `7@3=null`, "")
	s.want(1, "", one(7, 3, `null`), start, "", "")
	s.wantAll(start, "")
}

func TestANewerNullIsObeyedFromATabOfTheSameSubject(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "ann", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "bob", one(7, 4, `null`), start, "", "")
	s.want(3, "ann", one(7, 4, `null`), start, `7@4=null`, "")
}

func TestRemovalOfAnUnknownClientLeavesNothingBehind(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 9, `null`), start, "", "")
	if len(s.entries) != 0 {
		t.Fatal("an entry was made")
	}
}

func TestAReflectionDoesNotMoveAClientToAnotherSession(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "", one(8, 1, `{}`), start, `8@1={}`, "")
	s.want(2, "", one(7, 3, `{}`), start, "", "")
	s.Leave(2, at(time.Second))
	s.wantExpired(at(10*time.Second), `8@1=null`)
	s.wantAll(at(10*time.Second), `7@3={}`)
}

func TestAReflectionDoesNotProlongAPresence(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	for d := time.Second; d < OutdatedAfter; d += time.Second {
		s.want(2, "", one(7, 3, `{}`), at(d), "", "")
	}
	s.wantExpired(at(OutdatedAfter-1), "")
	s.wantExpired(at(OutdatedAfter), `7@3=null`)
}

func TestTheBindingMovesOnANewerClockOfTheSameSubject(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "ann", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "ann", one(7, 4, `{}`), start, `7@4={}`, "")
	s.Leave(1, start)
	s.wantExpired(at(time.Minute/3), "")
	s.wantAll(start, `7@4={}`)
	s.Leave(2, start)
	s.wantExpired(at(DefaultGrace), `7@4=null`)
}

func TestAnotherSubjectCannotTakeAClient(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "ann", one(7, 3, `{}`), start, `7@3={}`, "")
	for _, subject := range []string{"bob", ""} {
		out, err := s.Apply(2, subject, one(7, 4, `{"name":"ann"}`), start)
		if err != nil || out.Relay != nil || !slices.Equal(out.Refused, []Refusal{{7, ReasonSubject}}) {
			t.Fatalf("%q: %+v, %v", subject, out, err)
		}
	}
	s.Leave(1, start)
	s.wantExpired(at(DefaultGrace), `7@3=null`)
	s.want(2, "bob", one(7, 5, `{}`), at(DefaultGrace), "", "")
	s.want(2, "bob", one(7, 3, `{}`), at(DefaultGrace), "", "")
	s.wantExpired(at(DefaultGrace+ForgetAfter), "")
	s.want(2, "bob", one(7, 5, `{}`), at(DefaultGrace+ForgetAfter), `7@5={}`, "")
}

func TestASessionMayGoOnUnderAnotherSubject(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "ann", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(1, "ann-marie", one(7, 4, `{}`), start, `7@4={}`, "")
	s.want(2, "ann", one(7, 5, `{}`), start, "", "")
	s.want(2, "ann-marie", one(7, 5, `{}`), start, `7@5={}`, "")
}

func TestALeavingSessionKeepsNoHoldOnWhatItRemoved(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", many(entry1(7, 3, `{}`), entry1(8, 3, `{}`)), start, `7@3={} 8@3={}`, "")
	s.want(1, "", one(7, 3, `null`), start, `7@3=null`, "")
	s.Leave(1, start)
	s.check()
	s.want(2, "", one(7, 4, `{}`), start, `7@4={}`, "")
}

func TestInOpenModeAnySessionMayTakeAClient(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "", one(7, 4, `{}`), start, `7@4={}`, "")
	s.Leave(1, start)
	s.wantExpired(at(DefaultGrace), "")
}

func TestALeavingSessionTakesItsClientsAlongAfterTheGrace(t *testing.T) {
	s := newServer(t, Options{Grace: 5 * time.Second})
	s.want(1, "", many(entry1(7, 3, `{}`), entry1(8, 1, `1`)), start, `7@3={} 8@1=1`, "")
	s.want(2, "", one(9, 1, `{}`), start, `9@1={}`, "")
	s.Leave(1, at(time.Second))
	s.check()
	if got := s.NextExpiry(); !got.Equal(at(6 * time.Second)) {
		t.Fatalf("next expiry %v", got.Sub(start))
	}
	s.wantExpired(at(6*time.Second-1), "")
	s.wantAll(at(6*time.Second-1), `9@1={} 7@3={} 8@1=1`)
	s.wantAll(at(6*time.Second), `9@1={}`)
	s.wantExpired(at(6*time.Second), `7@3=null 8@1=null`)
	s.Leave(1, at(7*time.Second))
	s.Leave(77, at(7*time.Second))
	s.check()
}

func TestAReconnectWithinTheGraceShowsNoGap(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.Leave(1, at(time.Second))
	s.want(2, "", one(7, 4, `{}`), at(2*time.Second), `7@4={}`, "")
	s.wantExpired(at(20*time.Second), "")
	s.wantAll(at(20*time.Second), `7@4={}`)
}

func TestAReconnectAtTheSameClockWithinTheGraceIsRepaired(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.Leave(1, at(time.Second))
	s.want(2, "", one(7, 3, `{}`), at(2*time.Second), "", `7@3=null`)
	s.want(2, "", one(7, 4, `{}`), at(2*time.Second), `7@4={}`, "")
	s.wantExpired(at(20*time.Second), "")
}

func TestAReconnectAtTheSameClockAfterTheRemovalIsRepaired(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.Leave(1, start)
	s.wantExpired(at(DefaultGrace), `7@3=null`)
	s.want(2, "", one(8, 1, `{}`), at(5*time.Second), `8@1={}`, "")
	s.want(2, "", one(7, 3, `{}`), at(5*time.Second), "", `7@3=null`)
	s.want(2, "", one(7, 2, `{}`), at(5*time.Second), "", `7@3=null`)
	s.want(2, "", one(7, 4, `{}`), at(5*time.Second), `7@4={}`, "")
}

func TestARepairNamesEachClientOnce(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(1, "", one(7, 4, `null`), start, `7@4=null`, "")
	s.want(2, "", many(entry1(7, 3, `{}`), entry1(7, 3, `{}`), entry1(7, 1, `{}`)), start, "", `7@4=null`)
}

func TestOneWhoOnlyWatchesIsNotRepaired(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	// The owner is there: whoever sends its state back is a mirror.
	s.want(2, "", one(7, 3, `{}`), start, "", "")
	s.Leave(1, start)
	// It has spoken before, so this is no first word of one who came back.
	s.want(2, "", one(7, 3, `{}`), start, "", "")
	// Nor is a list of several.
	s.want(3, "", many(entry1(7, 3, `{}`), entry1(9, 0, `{}`)), start, "", "")
}

func TestALateCopyDoesNotBringARemovedClientBack(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(1, "", one(7, 4, `null`), start, `7@4=null`, "")
	s.want(2, "", one(7, 3, `{}`), at(ForgetAfter-1), "", `7@4=null`)
	s.wantAll(start, "")
}

func TestSilenceRemoves(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(2, "", one(8, 3, `{}`), at(time.Second), `8@3={}`, "")
	s.want(1, "", one(7, 4, `{}`), at(RenewAfter), `7@4={}`, "")
	if got := s.NextExpiry(); !got.Equal(at(time.Second + OutdatedAfter)) {
		t.Fatalf("next expiry %v", got.Sub(start))
	}
	s.wantExpired(at(time.Second+OutdatedAfter), `8@3=null`)
	s.wantAll(at(RenewAfter+OutdatedAfter), "")
	s.wantExpired(at(RenewAfter+OutdatedAfter), `7@4=null`)
	s.want(2, "", one(8, 4, `{}`), at(time.Minute), `8@4={}`, "")
}

func TestRemovedClientsAreForgotten(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.want(1, "", one(7, 4, `null`), start, `7@4=null`, "")
	if got := s.NextExpiry(); !got.Equal(at(ForgetAfter)) {
		t.Fatalf("next expiry %v", got.Sub(start))
	}
	s.wantExpired(at(ForgetAfter-1), "")
	if len(s.entries) != 1 {
		t.Fatal("forgotten early")
	}
	s.wantExpired(at(ForgetAfter), "")
	if len(s.entries) != 0 || len(s.sessions[1].entries) != 0 || !s.NextExpiry().IsZero() {
		t.Fatal("not forgotten")
	}
}

func TestEvictRemovesAtOnce(t *testing.T) {
	s := newServer(t, Options{})
	s.want(1, "", many(entry1(7, 3, `{}`), entry1(8, 1, `1`)), start, `7@3={} 8@1=1`, "")
	s.want(1, "", one(8, 1, `null`), start, `8@1=null`, "")
	if got := show(s.Evict(1, start)); got != `7@3=null` {
		t.Fatalf("told %q", got)
	}
	s.check()
	if s.Evict(1, start) != nil || s.Len() != 0 {
		t.Fatal("not gone")
	}
}

func TestWithoutGraceALeavingSessionIsRemovedAtOnce(t *testing.T) {
	s := newServer(t, Options{Grace: -1})
	s.want(1, "", one(7, 3, `{}`), start, `7@3={}`, "")
	s.Leave(1, start)
	if !s.NextExpiry().Equal(start) {
		t.Fatal("not due at once")
	}
	s.wantExpired(start, `7@3=null`)
}

func TestOptionsHaveDefaultsAndBounds(t *testing.T) {
	got := Options{Grace: time.Hour}.withDefaults()
	want := Options{
		DefaultMaxStateBytes, DefaultMaxPerSession, DefaultMaxEntries,
		DefaultMaxTotalBytes, OutdatedAfter,
	}
	if got != want {
		t.Fatalf("%+v", got)
	}
}

func TestAppendStatesIsTheNewestOfSome(t *testing.T) {
	s := newServer(t, Options{})
	s.apply(1, "", many(entry1(7, 1, `1`), entry1(8, 1, `1`), entry1(9, 1, `1`)), start)
	s.apply(1, "", many(entry1(7, 2, `2`), entry1(8, 2, `null`)), start)
	if got := show(s.AppendStates(nil, 8, 7, 66)); got != `8@2=null 7@2=2` {
		t.Fatal(got)
	}
	var ids []uint64
	for c := range s.Clients() {
		ids = append(ids, c.ID)
	}
	if !slices.Equal(ids, []uint64{9, 7}) || s.Bytes() != 2 || s.Len() != 2 {
		t.Fatal(ids, s.Bytes(), s.Len())
	}
}

func TestARenewalIsToldFromAChange(t *testing.T) {
	s := newServer(t, Options{})
	for _, c := range []struct {
		update  []byte
		renewal bool
	}{
		{one(7, 1, `{}`), false},
		{one(7, 2, `{}`), true},
		{many(entry1(7, 3, `{}`), entry1(8, 1, `1`)), false},
		{many(entry1(7, 4, `{}`), entry1(8, 2, `1`)), true},
		{many(entry1(7, 4, `{}`), entry1(8, 3, `1`), entry1(9, 0, `1`)), true},
		{one(7, 5, `{"a":1}`), false},
		{one(7, 5, `{"a":1}`), false},
		{one(7, 6, `null`), false},
		{one(7, 7, `null`), false},
	} {
		out, err := s.Apply(1, "", c.update, start)
		if err != nil || out.Renewal != c.renewal {
			t.Fatalf("%s: %+v, %v", show(c.update), out, err)
		}
	}
}

func TestPresenceIsDeterministic(t *testing.T) {
	run := func() []byte {
		p := NewPresence(Options{})
		var b []byte
		for id := uint64(1); id < 50; id++ {
			if _, err := p.Apply(id, "", one(id*7919%101, id, `{}`), start); err != nil {
				t.Fatal(err)
			}
		}
		b = p.AppendAll(b, start)
		for id := uint64(1); id < 50; id += 3 {
			p.Leave(id, start)
		}
		return append(p.AppendAll(b, start), p.Expire(at(time.Minute))...)
	}
	if !bytes.Equal(run(), run()) {
		t.Fatal("two runs differ")
	}
}
