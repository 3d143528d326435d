package syncproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden are the frames of the protocol's own description, both ways.
var golden = []struct {
	name   string
	frame  string
	kind   Kind
	load   string
	encode func([]byte) []byte
}{
	{
		"SyncStep1 of an empty document", "00 00 01 00", KindSyncStep1, "00",
		func(b []byte) []byte { return AppendSyncStep1(b, []byte{0}) },
	},
	{
		"SyncStep2 of an empty document", "00 01 02 00 00", KindSyncStep2, "00 00",
		func(b []byte) []byte { return AppendSyncStep2(b, []byte{0, 0}) },
	},
	{
		"Update", "00 02 04 00 01 02 03", KindUpdate, "00 01 02 03",
		func(b []byte) []byte { return AppendUpdate(b, []byte{0, 1, 2, 3}) },
	},
	{
		"Awareness, a removal", "01 09 01 eb 07 00 04 6e 75 6c 6c", KindAwareness, "01 eb 07 00 04 6e 75 6c 6c",
		func(b []byte) []byte { return AppendAwareness(b, []byte("\x01\xeb\x07\x00\x04null")) },
	},
	{
		"keepalive", "01 01 00", KindAwareness, "00",
		func(b []byte) []byte { return append(b, Keepalive...) },
	},
	{
		"permission denied", "02 00 02 6e 6f", KindAuth, "6e 6f",
		func(b []byte) []byte { return AppendPermissionDenied(b, "no") },
	},
	{
		"QueryAwareness", "03", KindQueryAwareness, "",
		AppendQueryAwareness,
	},
	{
		"Ack", "66 02 ac 02", KindAck, "ac 02",
		func(b []byte) []byte { return AppendAck(b, []byte{0xac, 2}) },
	},
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range golden {
		frame := unhex(t, g.frame)
		if got := g.encode([]byte{0xee}); !bytes.Equal(got[1:], frame) || got[0] != 0xee {
			t.Errorf("%s: encoded to % x, want % x after what was there", g.name, got, frame)
		}
		d := NewDecoder(frame)
		m, ok := d.Next()
		if !ok || m.Kind != g.kind || !bytes.Equal(m.Payload, unhex(t, g.load)) || m.Type != uint64(frame[0]) {
			t.Errorf("%s: decoded to %v %+v, %v", g.name, ok, m, d.Err())
		}
		if m, ok := d.Next(); ok || d.Err() != nil {
			t.Errorf("%s: goes on with %+v, %v", g.name, m, d.Err())
		}
	}
}

func TestHeadersAreFollowedByThePayload(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 300_000} {
		load := bytes.Repeat([]byte{7}, n)
		if got := append(AppendUpdateHeader(nil, n), load...); !bytes.Equal(got, AppendUpdate(nil, load)) {
			t.Errorf("Update of %d bytes: header % x", n, got[:5])
		}
		d := NewDecoder(append(AppendSyncStep2Header(nil, n), load...))
		if m, ok := d.Next(); !ok || m.Kind != KindSyncStep2 || !bytes.Equal(m.Payload, load) {
			t.Errorf("SyncStep2 of %d bytes: %v, %v", n, m.Kind, d.Err())
		}
	}
}

func TestSeveralMessagesInOneFrame(t *testing.T) {
	frame := AppendQueryAwareness(nil)
	for _, g := range golden {
		frame = g.encode(frame)
	}
	d := NewDecoder(frame)
	if m, ok := d.Next(); !ok || m.Kind != KindQueryAwareness || m.Payload != nil {
		t.Fatalf("first message: %+v, %v", m, d.Err())
	}
	for _, g := range golden {
		if m, ok := d.Next(); !ok || m.Kind != g.kind || !bytes.Equal(m.Payload, unhex(t, g.load)) {
			t.Fatalf("%s: %+v, %v", g.name, m, d.Err())
		}
	}
	if _, ok := d.Next(); ok || d.Err() != nil {
		t.Fatalf("at the end: %v, %v", ok, d.Err())
	}
}

func TestMalformedFrames(t *testing.T) {
	long := func(prefix string, n int) string {
		return prefix + strings.Repeat("61", n)
	}
	for _, c := range []struct {
		name, frame string
		yielded     int
		offset      int
		class       error
	}{
		{"empty", "", 0, 0, ErrTruncated},
		{"no inner type", "00", 0, 1, ErrTruncated},
		{"no length", "00 00", 0, 2, ErrTruncated},
		{"length beyond the frame", "00 02 05 01", 0, 2, ErrTruncated},
		{"length of 2^53-1", "00 02 ff ff ff ff ff ff ff 0f", 0, 2, ErrTruncated},
		{"length over 53 bits", "01 ff ff ff ff ff ff ff ff 7f", 0, 1, ErrOverflow},
		{"type without end", "80", 0, 0, ErrTruncated},
		{"unknown inner sync type", "00 03 00", 1, 0, ErrUnknownType},
		{"unknown inner auth type", "02 02", 1, 0, ErrUnknownType},
		{"unknown outer type", "04 01 02", 1, 0, ErrUnknownType},
		{"unknown type after a good message", "01 01 00 09", 2, 3, ErrUnknownType},
		{"trailing half of a message", "01 01 00 00", 1, 4, ErrTruncated},
		{"reason that is not text", "02 00 01 ff", 0, 2, ErrUTF8},
		{"reason too long", long("02 00 81 80 01", MaxTextBytes+1), 0, 2, ErrTooLarge},
		{"acknowledgement too long", long("66 41", MaxAckBytes+1), 0, 1, ErrTooLarge},
		{"too many messages", strings.Repeat("03", MaxMessages+1), MaxMessages, MaxMessages, ErrTooMany},
	} {
		d := NewDecoder(unhex(t, c.frame))
		n := 0
		for _, ok := d.Next(); ok; _, ok = d.Next() {
			n++
		}
		var e *Error
		if !errors.As(d.Err(), &e) || !errors.Is(e, c.class) || e.Offset != c.offset || n != c.yielded {
			t.Errorf("%s: %d messages, %v; want %d, %v at %d", c.name, n, d.Err(), c.yielded, c.class, c.offset)
		}
		if _, ok := d.Next(); ok {
			t.Errorf("%s: goes on after its end", c.name)
		}
	}
}

func TestUnknownMessageTakesTheRestOfTheFrame(t *testing.T) {
	d := NewDecoder(unhex(t, "05 03 61 62 63"))
	m, ok := d.Next()
	if !ok || m.Kind != KindUnknown || m.Type != 5 || !bytes.Equal(m.Payload, []byte("\x03abc")) {
		t.Fatalf("%v %+v", ok, m)
	}
	if !errors.Is(d.Err(), ErrUnknownType) {
		t.Fatalf("error is %v", d.Err())
	}
}

func TestQueryAwarenessOfYSweetCarriesAPayload(t *testing.T) {
	update := unhex(t, "01 05 01 08 7b 22 69 64 22 3a 35 7d")
	frame := append([]byte{3, byte(len(update))}, update...)
	d := NewDecoder(frame)
	if m, ok := d.Next(); !ok || m.Kind != KindQueryAwareness || !bytes.Equal(m.Payload, update) {
		t.Fatalf("%+v, %v", m, d.Err())
	}
	if _, ok := d.Next(); ok || d.Err() != nil {
		t.Fatal("the payload was taken for a message")
	}
	d = NewDecoder([]byte{3, 1, 0})
	if m, ok := d.Next(); !ok || !bytes.Equal(m.Payload, []byte{0}) {
		t.Fatalf("nobody's states: %+v, %v", m, d.Err())
	}
}

func TestAuthGrantedHasNoBody(t *testing.T) {
	d := NewDecoder([]byte{2, 1, 3})
	if m, ok := d.Next(); !ok || m.Kind != KindAuthGranted || m.Payload != nil || m.Sub != 1 {
		t.Fatalf("%+v, %v", m, d.Err())
	}
	if m, ok := d.Next(); !ok || m.Kind != KindQueryAwareness {
		t.Fatalf("%+v, %v", m, d.Err())
	}
}

func TestKindNames(t *testing.T) {
	if KindUnknown.String() != "Unknown" || KindAck.String() != "Ack" || Kind(99).String() != "Kind(99)" {
		t.Fatalf("%v %v %v", KindUnknown, KindAck, Kind(99))
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	var frame []byte
	for _, g := range golden {
		frame = g.encode(frame)
	}
	if n := testing.AllocsPerRun(100, func() {
		d := NewDecoder(frame)
		for _, ok := d.Next(); ok; _, ok = d.Next() {
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	frame := AppendUpdate(nil, make([]byte, 40))
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(frame)
		if m, ok := d.Next(); !ok || m.Kind != KindUpdate {
			b.Fatal(d.Err())
		}
	}
}
