package syncproto

import (
	"bytes"
	"testing"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
)

// records reads a family of what the real clients and servers did.
func records[T any](t *testing.T, family string) []T {
	t.Helper()
	all, err := vectors.Records[T](family)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no records in %s", family)
	}
	return all
}

type protocolStep struct {
	Op     string
	M      []byte // a sync or auth message without its outer type
	U      []byte
	Reason string
	Throws bool
	Note   string
	Expect struct {
		M      []byte
		Type   *uint64
		Reply  []byte
		Reason *string
	}
}

// TestConformanceProtocol holds the framing of every sync and auth message of
// the family against y-protocols. The documents behind them are not here.
func TestConformanceProtocol(t *testing.T) {
	steps := 0
	for _, c := range records[struct {
		Name  string
		Steps []protocolStep
	}](t, "protocol") {
		for i, s := range c.Steps {
			if !checkStep(t, s) {
				continue
			}
			steps++
			if t.Failed() {
				t.Fatalf("in %s, step %d: %+v", c.Name, i, s)
			}
		}
	}
	if steps < 120 {
		t.Fatalf("only %d steps were checked", steps)
	}
}

func checkStep(t *testing.T, s protocolStep) bool {
	t.Helper()
	switch s.Op {
	case "syncStep1":
		if got := reframe(t, KindSyncStep1, s.Expect.M, AppendSyncStep1); !bytes.Equal(got, s.Expect.M) {
			t.Errorf("SyncStep1 % x, want % x", got, s.Expect.M)
		}
	case "syncStep2":
		if got := reframe(t, KindSyncStep2, s.Expect.M, AppendSyncStep2); !bytes.Equal(got, s.Expect.M) {
			t.Errorf("SyncStep2 % x, want % x", got, s.Expect.M)
		}
	case "syncUpdate":
		if got := AppendUpdate(nil, s.U)[1:]; !bytes.Equal(got, s.Expect.M) {
			t.Errorf("Update % x, want % x", got, s.Expect.M)
		}
	case "syncRead":
		checkSyncRead(t, s)
	case "authDenied":
		if got := AppendPermissionDenied(nil, s.Reason)[1:]; !bytes.Equal(got, s.Expect.M) {
			t.Errorf("permission denied % x, want % x", got, s.Expect.M)
		}
	case "authRead":
		checkAuthRead(t, s)
	default:
		return false
	}
	return true
}

// reframe decodes a sync message, which lacks its outer type, and encodes it.
func reframe(t *testing.T, kind Kind, inner []byte, encode func(dst, payload []byte) []byte) []byte {
	t.Helper()
	d := NewDecoder(append([]byte{typeSync}, inner...))
	m, ok := d.Next()
	if !ok || m.Kind != kind {
		t.Fatalf("% x is %v, %v", inner, m.Kind, d.Err())
	}
	return encode(nil, m.Payload)[1:]
}

func checkSyncRead(t *testing.T, s protocolStep) {
	t.Helper()
	d := NewDecoder(append([]byte{typeSync}, s.M...))
	m, _ := d.Next()
	switch {
	case s.Throws && len(s.M) == 3 && s.M[0] == syncUpdate:
		// The frame is sound; it is the update inside that Yjs refuses.
		if d.Err() != nil {
			t.Errorf("framing of a bad update: %v", d.Err())
		}
	case s.Throws:
		if d.Err() == nil {
			t.Errorf("% x was accepted as %v", s.M, m.Kind)
		}
	default:
		if d.Err() != nil || m.Sub != *s.Expect.Type {
			t.Errorf("% x is %v %d, %v", s.M, m.Kind, m.Sub, d.Err())
		}
		if s.Expect.Reply != nil && m.Kind != KindSyncStep1 {
			t.Errorf("%v is answered", m.Kind)
		}
		if s.Expect.Reply != nil {
			reframe(t, KindSyncStep2, s.Expect.Reply, AppendSyncStep2)
		}
	}
}

func checkAuthRead(t *testing.T, s protocolStep) {
	t.Helper()
	d := NewDecoder(append([]byte{typeAuth}, s.M...))
	m, ok := d.Next()
	switch {
	case s.Throws:
		if d.Err() == nil {
			t.Errorf("% x was accepted as %v", s.M, m.Kind)
		}
	case s.Expect.Reason == nil:
		if !ok || m.Kind != KindAuthGranted {
			t.Errorf("% x is %v, %v", s.M, m.Kind, d.Err())
		}
	default:
		if !ok || m.Kind != KindAuth || string(m.Payload) != *s.Expect.Reason {
			t.Errorf("% x is %v %q, %v", s.M, m.Kind, m.Payload, d.Err())
		}
	}
}

// TestConformanceConversation decodes every frame that y-websocket clients 1.5,
// 2.1 and 3.1 and their server exchanged, encodes it again, and tells the
// dialect by every client's first frame.
func TestConformanceConversation(t *testing.T) {
	frames, first := 0, 0
	for _, c := range records[struct {
		Name   string
		Frames []struct {
			Conn int
			Dir  string
			B    []byte
		}
	}](t, "conversation") {
		spoke := map[int]bool{}
		for i, f := range c.Frames {
			if f.Dir != "c2s" && f.Dir != "s2c" {
				continue
			}
			frames++
			d := NewDecoder(f.B)
			var again []byte
			for m, ok := d.Next(); ok; m, ok = d.Next() {
				again = encode(again, m)
			}
			if d.Err() != nil || !bytes.Equal(again, f.B) {
				t.Errorf("%s, frame %d: % x is again % x, %v", c.Name, i, f.B, again, d.Err())
			}
			if f.Dir == "c2s" && !spoke[f.Conn] {
				spoke[f.Conn] = true
				first++
				if got := Sniff(f.B); got != YWebSocket {
					t.Errorf("%s, frame %d: % x is %v", c.Name, i, f.B, got)
				}
			}
		}
	}
	if frames < 100 || first < 11 {
		t.Fatalf("only %d frames of %d clients", frames, first)
	}
}

// encode appends m as its sender did.
func encode(dst []byte, m Message) []byte {
	switch m.Kind {
	case KindSyncStep1:
		return AppendSyncStep1(dst, m.Payload)
	case KindSyncStep2:
		return AppendSyncStep2(dst, m.Payload)
	case KindUpdate:
		return AppendUpdate(dst, m.Payload)
	case KindAwareness:
		return AppendAwareness(dst, m.Payload)
	case KindAuth:
		return AppendPermissionDenied(dst, string(m.Payload))
	case KindAuthGranted:
		return append(dst, typeAuth, authGranted)
	case KindQueryAwareness:
		dst = AppendQueryAwareness(dst)
		if m.Payload != nil {
			dst = lib0.AppendBytes(dst, m.Payload)
		}
		return dst
	case KindAck:
		return AppendAck(dst, m.Payload)
	default:
		return dst
	}
}
