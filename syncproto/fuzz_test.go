package syncproto

import (
	"bytes"
	"testing"
)

// FuzzDecoder: a frame that decodes comes back from the encoders as the same
// messages, payloads lie within the frame, and the messages are bounded.
func FuzzDecoder(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.frame))
	}
	f.Add([]byte{3, 1, 0})
	f.Add([]byte{2, 1})
	f.Add([]byte{0x80, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, frame []byte) {
		var kinds []Kind
		var loads [][]byte
		var again []byte
		total := 0
		d := NewDecoder(frame)
		for m, ok := d.Next(); ok; m, ok = d.Next() {
			total += len(m.Payload)
			if m.Kind == KindUnknown {
				break
			}
			kinds = append(kinds, m.Kind)
			loads = append(loads, m.Payload)
			again = encode(again, m)
		}
		if total > len(frame) || len(kinds) > MaxMessages {
			t.Fatalf("%d messages with %d payload bytes from %d", len(kinds), total, len(frame))
		}
		if d.Err() != nil {
			return
		}
		d = NewDecoder(again)
		for i, kind := range kinds {
			m, ok := d.Next()
			if !ok || m.Kind != kind || !bytes.Equal(m.Payload, loads[i]) {
				t.Fatalf("message %d: %v % x, want %v % x (%v)", i, m.Kind, m.Payload, kind, loads[i], d.Err())
			}
		}
		if _, ok := d.Next(); ok || d.Err() != nil {
			t.Fatalf("one message more, or %v", d.Err())
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
