package syncproto

import (
	"bytes"
	"testing"
)

// FuzzDecoder: a message that decodes comes back from the encoders as the same
// message, alone in its frame; payloads lie within the frame, and the messages
// are bounded.
func FuzzDecoder(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.frame))
	}
	f.Add([]byte{3, 1, 0})
	f.Add([]byte{2, 1})
	f.Add([]byte{0x80, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		count, total := 0, 0
		d := NewDecoder(frame)
		for m, ok := d.Next(); ok; m, ok = d.Next() {
			count++
			total += len(m.Payload)
			if m.Kind == KindUnknown {
				break
			}
			alone := NewDecoder(encode(nil, m))
			again, ok := alone.Next()
			if !ok || again.Kind != m.Kind || !bytes.Equal(again.Payload, m.Payload) {
				t.Fatalf("%v % x is again %v % x, %v", m.Kind, m.Payload, again.Kind, again.Payload, alone.Err())
			}
			if _, ok := alone.Next(); ok || alone.Err() != nil {
				t.Fatalf("%v % x: one message more, or %v", m.Kind, m.Payload, alone.Err())
			}
		}
		if total > len(frame) || count > MaxMessages {
			t.Fatalf("%d messages with %d payload bytes from %d", count, total, len(frame))
		}
	})
}

// FuzzSniff: any frame has one of four answers, and a frame that a dialect's
// decoder refuses is not of that dialect.
func FuzzSniff(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.frame))
	}
	f.Add(hocuspocusFrame("a", 0, 0, 1, 0))
	f.Add(hocuspocusFrame("a\x00b", 2, 0, 1, 'x'))
	f.Fuzz(func(t *testing.T, frame []byte) {
		got := Sniff(frame)
		if got > Either {
			t.Fatalf("answer %d", got)
		}
		d := NewDecoder(frame)
		for _, ok := d.Next(); ok; _, ok = d.Next() {
		}
		if d.Err() != nil && got&YWebSocket != 0 {
			t.Fatalf("%v for what does not decode: %v", got, d.Err())
		}
	})
}
