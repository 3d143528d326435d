package awareness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// wantRefused applies an update of which one entry is refused.
func (s server) wantRefused(session uint64, update []byte, relay string, refused ...Refusal) {
	s.t.Helper()
	out, err := s.Apply(session, "", update, start)
	if err != nil || show(out.Relay) != relay || !slices.Equal(out.Refused, refused) {
		s.t.Fatalf("%s: relay %q, refused %v, %v", show(update), show(out.Relay), out.Refused, err)
	}
	s.check()
}

func TestAStateIsBounded(t *testing.T) {
	s := newServer(t, Options{MaxStateBytes: 10})
	s.want(1, "", one(7, 1, `"12345678"`), start, `7@1="12345678"`, "")
	s.wantRefused(1, one(7, 2, `"123456789"`), "", Refusal{7, ReasonStateSize})
	s.wantRefused(1, many(entry1(8, 2, `"123456789"`), entry1(9, 1, `1`)), "9@1=1", Refusal{8, ReasonStateSize})
	s.want(1, "", one(7, 2, `null`), start, `7@2=null`, "")
}

func TestTheClientsOfASessionAreBounded(t *testing.T) {
	s := newServer(t, Options{MaxPerSession: 2})
	s.want(1, "", many(entry1(7, 1, `1`), entry1(8, 1, `1`)), start, `7@1=1 8@1=1`, "")
	s.wantRefused(1, one(9, 1, `1`), "", Refusal{9, ReasonSessionFull})
	s.want(2, "", one(9, 1, `1`), start, `9@1=1`, "")
	// Reflections and what the session speaks for already are free.
	s.want(1, "", many(entry1(9, 1, `1`), entry1(8, 2, `2`)), start, `8@2=2`, "")
	s.wantRefused(1, one(9, 2, `2`), "", Refusal{9, ReasonSessionFull})
	// To remove one makes no room until it is forgotten: else one session could
	// fill the memory with removed ones.
	s.want(1, "", one(8, 3, `null`), start, `8@3=null`, "")
	s.wantRefused(1, one(9, 2, `2`), "", Refusal{9, ReasonSessionFull})
	s.wantExpired(at(ForgetAfter), `7@1=null 9@1=null`)
	s.want(1, "", one(10, 1, `2`), at(ForgetAfter), `10@1=2`, "")
}

func TestTheClockIsBounded(t *testing.T) {
	s := newServer(t, Options{})
	s.wantRefused(1, one(7, MaxFirstClock+1, `1`), "", Refusal{7, ReasonClock})
	s.want(1, "", one(7, 5, `1`), start, `7@5=1`, "")
	s.wantRefused(1, one(7, 5+MaxClockJump+1, `1`), "", Refusal{7, ReasonClock})
	s.wantRefused(1, one(7, 5+MaxClockJump+1, `null`), "", Refusal{7, ReasonClock})
	s.wantRefused(1, one(7, 1<<53-1, `1`), "", Refusal{7, ReasonClock})
	s.want(1, "", one(7, 5+MaxClockJump, `1`), start, fmt.Sprintf(`7@%d=1`, 5+MaxClockJump), "")
}

func TestTheClientsOfADocumentAreBounded(t *testing.T) {
	s := newServer(t, Options{MaxEntries: 2})
	s.want(1, "", one(7, 1, `1`), start, `7@1=1`, "")
	s.want(2, "", one(8, 1, `1`), start, `8@1=1`, "")
	s.wantRefused(3, one(9, 1, `1`), "", Refusal{9, ReasonDocumentFull})
	// Those removed make room, but not before that has been told.
	s.wantRefused(2, many(entry1(8, 2, `null`), entry1(9, 1, `1`)), `8@2=null`, Refusal{9, ReasonDocumentFull})
	s.want(3, "", one(9, 1, `1`), start, `9@1=1`, "")
	s.wantAll(start, `7@1=1 9@1=1`)
}

func TestTheStatesOfADocumentAreBoundedTogether(t *testing.T) {
	s := newServer(t, Options{MaxTotalBytes: 10})
	s.want(1, "", one(7, 1, `123456`), start, `7@1=123456`, "")
	s.wantRefused(2, one(8, 1, `12345`), "", Refusal{8, ReasonDocumentFull})
	s.want(2, "", one(8, 1, `1234`), start, `8@1=1234`, "")
	s.want(2, "", one(8, 2, `4321`), start, `8@2=4321`, "")
	s.wantRefused(2, one(8, 3, `54321`), "", Refusal{8, ReasonDocumentFull})
	s.want(1, "", one(7, 2, `null`), start, `7@2=null`, "")
	s.want(2, "", one(8, 3, `1234567890`), start, `8@3=1234567890`, "")
}

func TestRefusalsAreBounded(t *testing.T) {
	s := newServer(t, Options{})
	var entries []Entry
	for id := range uint64(10_000) {
		entries = append(entries, entry1(id, MaxFirstClock+1, `1`))
	}
	out, err := s.Apply(1, "", many(entries...), start)
	if err != nil || len(out.Refused) != MaxRefusals {
		t.Fatalf("%d refusals, %v", len(out.Refused), err)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for r := ReasonSubject; r <= ReasonDocumentFull; r++ {
		if strings.HasPrefix(r.String(), "Reason(") || r.String() == "" {
			t.Errorf("%d is %q", r, r)
		}
	}
	if Reason(0).String() != "Reason(0)" || Reason(9).String() != "Reason(9)" {
		t.Error("unknown reasons")
	}
}

// TestManyJoinsAndLeavesLeaveNothingBehind: what is remembered of those who left
// is bounded while they come and go, and nothing after a minute.
func TestManyJoinsAndLeavesLeaveNothingBehind(t *testing.T) {
	p := NewPresence(Options{MaxEntries: 1000, Grace: -1})
	for i := range uint64(200_000) {
		out, err := p.Apply(i, "", one(i, 1, `{"name":"x"}`), start)
		if err != nil || out.Relay == nil {
			t.Fatalf("%d: %+v, %v", i, out, err)
		}
		p.Leave(i, start)
		p.Expire(start)
		if len(p.entries) > 1000 {
			t.Fatalf("%d entries", len(p.entries))
		}
	}
	if p.Expire(at(ForgetAfter)); len(p.entries) != 0 || len(p.sessions) != 0 || p.bytes != 0 {
		t.Fatalf("%d entries, %d sessions, %d bytes remain", len(p.entries), len(p.sessions), p.bytes)
	}
}

func TestReflectionsCostNoMemory(t *testing.T) {
	p := NewPresence(Options{})
	var all []Entry
	for id := uint64(1); id <= 20; id++ {
		e := entry1(id, 5, `{"user":{"name":"somebody","color":"#30bced"},"cursor":null}`)
		all = append(all, e)
		if _, err := p.Apply(id, "", many(e), start); err != nil {
			t.Fatal(err)
		}
	}
	equal, stale := many(all...), many(entry1(3, 4, `{}`), entry1(4, 1, `{}`))
	if n := testing.AllocsPerRun(100, func() {
		for _, update := range [][]byte{equal, stale} {
			if out, err := p.Apply(1, "", update, start); err != nil || out.Relay != nil {
				t.Fatal(out, err)
			}
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func benchmarkPresence(b *testing.B, clients uint64) *Presence {
	p := NewPresence(Options{})
	for id := uint64(1); id <= clients; id++ {
		update := one(id, 1, `{"user":{"name":"somebody","color":"#30bced"},"cursor":{"anchor":7,"head":9}}`)
		if _, err := p.Apply(id, "", update, start); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

func BenchmarkReflection(b *testing.B) {
	p := benchmarkPresence(b, 200)
	update := one(77, 1, `{"user":{"name":"somebody","color":"#30bced"},"cursor":{"anchor":7,"head":9}}`)
	b.ReportAllocs()
	for b.Loop() {
		if out, err := p.Apply(5, "", update, start); err != nil || out.Relay != nil {
			b.Fatal(out, err)
		}
	}
}

func BenchmarkRenewal(b *testing.B) {
	p := benchmarkPresence(b, 200)
	clock := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		clock++
		update := one(77, clock, `{"user":{"name":"somebody","color":"#30bced"},"cursor":{"anchor":7,"head":9}}`)
		if out, err := p.Apply(77, "", update, start); err != nil || !out.Renewal {
			b.Fatal(out, err)
		}
	}
}

func BenchmarkAppendAll(b *testing.B) {
	p := benchmarkPresence(b, 200)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.AppendAll(buf[:0], start)
	}
}
