package session

import (
	"strings"
	"testing"
	"time"

	"ysync/internal/auth"
	"ysync/syncproto"
)

var start = time.Unix(1_700_000_000, 0)

func begin(scope auth.Scope) *Session {
	limits := Limits{}.WithDefaults()
	s := New(&limits, auth.Grant{Pattern: "*", Scope: scope}, start)
	return &s
}

var (
	step1     = syncproto.AppendSyncStep1(nil, []byte{0})
	step2     = syncproto.AppendSyncStep2(nil, []byte{0, 0})
	update    = syncproto.AppendUpdate(nil, []byte{1, 1, 7, 0, 4, 1, 1, 'a', 1, 'x', 0})
	presence  = syncproto.AppendAwareness(nil, []byte{1, 7, 1, 2, '{', '}'})
	query     = syncproto.AppendQueryAwareness(nil)
	ack       = syncproto.AppendAck(nil, []byte{5})
	truncated = []byte{0, 2, 9, 1}
	strange   = []byte{77, 1, 2, 3}
)

func kinds(step Step) string {
	var names []string
	for _, m := range step.Messages {
		names = append(names, m.Kind.String())
	}
	return strings.Join(names, " ")
}

func TestFirstFrameAttaches(t *testing.T) {
	for _, first := range [][]byte{step1, presence, update, ack, query} {
		s := begin(auth.Admin)
		step := s.Receive(first, nil, start)
		if !step.Attach || len(step.Messages) != 1 || step.Close != nil || !s.Attached() {
			t.Errorf("% x: %+v", first, step)
		}
		if step = s.Receive(step1, nil, start); step.Attach || kinds(step) != "SyncStep1" {
			t.Errorf("second frame: %+v", step)
		}
	}
}

func TestServerSpeaksAfterSilence(t *testing.T) {
	s := begin(auth.Admin)
	if step := s.Tick(start.Add(5*time.Second - 1)); step.Attach || step.Frame != nil {
		t.Fatalf("spoke early: %+v", step)
	}
	if step := s.Tick(start.Add(5 * time.Second)); !step.Attach || step.Close != nil {
		t.Fatalf("%+v", step)
	}
	if step := s.Receive(step1, nil, start.Add(6*time.Second)); step.Attach || kinds(step) != "SyncStep1" {
		t.Fatalf("after the silence: %+v", step)
	}
}

// Hocuspocus frames begin with the name of the document.
func TestHocuspocusIsRefusedByName(t *testing.T) {
	frame := append([]byte{1, 'a', 2, 0}, 0) // Auth with an empty token
	s := begin(auth.Admin)
	step := s.Receive(frame, nil, start)
	if step.Attach || step.Close == nil || step.Close.Code != CloseDialect ||
		!strings.Contains(step.Close.Reason, "Hocuspocus") {
		t.Fatalf("%+v", step)
	}
	if step = s.Receive(step1, nil, start); step.Attach || len(step.Messages) > 0 {
		t.Fatalf("a closed session went on: %+v", step)
	}
}

func TestMessagesOfOneFrameKeepTheirOrder(t *testing.T) {
	s := begin(auth.Write)
	frame := append(append(append([]byte(nil), step1...), update...), ack...)
	step := s.Receive(frame, nil, start)
	if kinds(step) != "SyncStep1 Update Ack" {
		t.Fatal(kinds(step))
	}
}

func TestMalformedFrameHasNoEffect(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	frame := append(append([]byte(nil), update...), truncated...)
	step := s.Receive(frame, nil, start)
	if step.Malformed == nil || len(step.Messages) != 0 || step.Close != nil {
		t.Fatalf("%+v", step)
	}
	if step = s.Receive(update, nil, start); kinds(step) != "Update" {
		t.Fatalf("the next frame: %+v", step)
	}
}

func TestMalformedFirstFrameCloses(t *testing.T) {
	for _, frame := range [][]byte{{}, truncated, {0x80}, {0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}} {
		s := begin(auth.Admin)
		step := s.Receive(frame, nil, start)
		if step.Close == nil || step.Close.Code != CloseMalformed || step.Malformed == nil {
			t.Errorf("% x: %+v", frame, step)
		}
	}
}

func TestRepeatedMalformedFramesClose(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	for i := range malformedAllowed {
		if step := s.Receive(truncated, nil, start); step.Close != nil {
			t.Fatalf("closed at strike %d", i+1)
		}
	}
	step := s.Receive(truncated, nil, start)
	if step.Close == nil || step.Close.Code != CloseMalformed {
		t.Fatalf("%+v", step)
	}
}

func TestMalformedFramesAreForgivenInTime(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	now := start
	for i := range 100 {
		if step := s.Receive(truncated, nil, now); step.Close != nil {
			t.Fatalf("closed at strike %d", i+1)
		}
		now = now.Add(malformedForgive)
	}
}

func TestUnknownTypesAreIgnoredThenClose(t *testing.T) {
	s := begin(auth.Admin)
	if step := s.Receive(strange, nil, start); step.Attach || step.Unknown != 1 || step.Close != nil {
		t.Fatalf("as the first frame: %+v", step)
	}
	s.Receive(step1, nil, start)
	frame := append(append([]byte(nil), update...), strange...)
	if step := s.Receive(frame, nil, start); kinds(step) != "Update" || step.Unknown != 1 {
		t.Fatalf("%+v", step)
	}
	for range unknownAllowed - 2 {
		if step := s.Receive(strange, nil, start); step.Close != nil {
			t.Fatal("closed early")
		}
	}
	if step := s.Receive(strange, nil, start); step.Close == nil || step.Close.Code != CloseMalformed {
		t.Fatalf("%+v", step)
	}
}

func TestOneUnknownMessageASecondIsToleratedForEver(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	for i := range 1000 {
		now := start.Add(time.Duration(i) * unknownForgive)
		if step := s.Receive(strange, nil, now); step.Close != nil {
			t.Fatalf("closed at %v", now.Sub(start))
		}
	}
}

func TestScopes(t *testing.T) {
	all := [][]byte{step1, step2, update, presence, query, ack}
	for _, c := range []struct {
		scope auth.Scope
		want  string
	}{
		{auth.Admin, "SyncStep1 SyncStep2 Update Awareness QueryAwareness Ack"},
		{auth.Write, "SyncStep1 SyncStep2 Update Awareness QueryAwareness Ack"},
		{auth.Read, "SyncStep1 SyncStep2 Awareness QueryAwareness"},
		{auth.Silent, "SyncStep1 SyncStep2"},
	} {
		s := begin(c.scope)
		var got []string
		refused := 0
		for _, frame := range all {
			step := s.Receive(frame, nil, start)
			if step.Close != nil {
				t.Fatalf("%v: closed: %v", c.scope, step.Close)
			}
			refused += step.Refused
			if k := kinds(step); k != "" {
				got = append(got, k)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, want %v", c.scope, got, c.want)
		}
		if c.scope == auth.Read && refused != 1 || c.scope == auth.Silent && refused != 3 {
			t.Errorf("%v: %d refused", c.scope, refused)
		}
	}
}

// An acknowledgement after a refused edit would say that the edit is durable.
func TestReadOnlyAcknowledgements(t *testing.T) {
	s := begin(auth.Read)
	s.Receive(step2, nil, start)
	if step := s.Receive(ack, nil, start); kinds(step) != "Ack" {
		t.Fatalf("nothing was refused: %+v", step)
	}
	s.Receive(update, nil, start)
	step := s.Receive(ack, nil, start)
	if len(step.Messages) != 0 || string(step.Frame) != string(syncproto.Keepalive) {
		t.Fatalf("after a refused edit: %+v", step)
	}
}

// A lone idle client for 90 s: at least one frame in every 25 s.
func TestIdleClientIsKeptAlive(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	last, longest, frames := start, time.Duration(0), 0
	for now := start; now.Before(start.Add(90 * time.Second)); now = now.Add(time.Second) {
		step := s.Tick(now)
		if step.Close != nil || step.Probe {
			t.Fatalf("%v: %+v", now.Sub(start), step)
		}
		if step.Frame == nil {
			continue
		}
		s.WriteStarted(now)
		s.WriteEnded(now)
		frames++
		longest = max(longest, now.Sub(last))
		last = now
	}
	if frames < 3 || longest >= 25*time.Second {
		t.Fatalf("%d frames, longest silence %v", frames, longest)
	}
}

func TestTrafficPostponesTheKeepalive(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	s.WriteStarted(start.Add(19 * time.Second))
	s.WriteEnded(start.Add(19 * time.Second))
	if step := s.Tick(start.Add(38 * time.Second)); step.Frame != nil {
		t.Fatal("keepalive though a frame went out 19 s ago")
	}
	if step := s.Tick(start.Add(39 * time.Second)); step.Frame == nil {
		t.Fatal("no keepalive after 20 s")
	}
}

func TestSlowReader(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	s.WriteStarted(start)
	if step := s.Tick(start.Add(29 * time.Second)); step.Probe || step.Frame != nil {
		t.Fatalf("%+v", step)
	}
	now := start.Add(30 * time.Second)
	if step := s.Tick(now); !step.Probe || step.Close != nil {
		t.Fatalf("%+v", step)
	}
	if c := s.Progress(1, now); c != nil {
		t.Fatalf("a byte was read, yet: %v", c)
	}
	if step := s.Tick(now.Add(29 * time.Second)); step.Probe {
		t.Fatal("probed before another 30 s")
	}
	now = now.Add(30 * time.Second)
	if step := s.Tick(now); !step.Probe {
		t.Fatal("not probed again")
	}
	if c := s.Progress(0, now); c == nil || c.Code != CloseSlowReader {
		t.Fatalf("%v", c)
	}
}

// The probe may hit a write that has only just begun.
func TestProbeOfAFreshWrite(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	s.WriteStarted(start)
	s.WriteEnded(start.Add(30 * time.Second))
	s.WriteStarted(start.Add(30 * time.Second))
	if c := s.Progress(0, start.Add(30*time.Second)); c != nil {
		t.Fatal(c)
	}
}

func TestLargeMessageMustKeepItsRate(t *testing.T) {
	s := begin(auth.Admin)
	s.Receive(step1, nil, start)
	s.LargeStarted(start)
	for i := range 60 {
		now := start.Add(time.Duration(i) * time.Second)
		s.LargeRead(s.limits.LargeBytesPerSecond)
		if step := s.Tick(now); step.Close != nil {
			t.Fatalf("closed after %d s at the full rate", i)
		}
	}
	if step := s.Tick(start.Add(76 * time.Second)); step.Close == nil || step.Close.Code != CloseSlowSender {
		t.Fatalf("%+v", step)
	}

	s = begin(auth.Admin)
	s.Receive(step1, nil, start)
	s.LargeStarted(start)
	s.LargeEnded()
	if step := s.Tick(start.Add(time.Hour)); step.Close != nil {
		t.Fatalf("after its end: %+v", step)
	}
}

func TestCloseReasonFitsAControlFrame(t *testing.T) {
	c := Closef(CloseName, "%s", strings.Repeat("é", 100))
	if len(c.Reason) > MaxReasonBytes || len(c.Reason) < MaxReasonBytes-1 {
		t.Fatal(len(c.Reason))
	}
	if strings.ContainsRune(c.Reason, '\uFFFD') {
		t.Fatal("cut inside a character")
	}
	if c = Closef(CloseName, "short"); c.Reason != "short" {
		t.Fatal(c.Reason)
	}
}
