package syncproto

import "ysync/internal/lib0"

// AppendQueryAwareness appends a message that asks for all awareness states
// (y-websocket.js messageQueryAwareness).
func AppendQueryAwareness(dst []byte) []byte { return append(dst, typeQueryAwareness) }

// decodeQueryAwareness yields a payload only for y-sweet's clients, which put
// an awareness update after the type. Since messages may follow in the same
// frame, what follows is a payload only if it is the last thing in the frame
// and has the form of an awareness update. No message that a client sends
// after a query reads as one: its type, taken for a length, would have to be
// the number of bytes left, and the rest a list of client IDs and clocks.
func decodeQueryAwareness(r *lib0.Reader, m *Message) {
	m.Kind = KindQueryAwareness
	if r.Len() == 0 {
		return
	}
	ahead := *r
	n := ahead.Uvarint()
	if ahead.Err() != nil || n != uint64(ahead.Len()) {
		return
	}
	if payload := ahead.Rest(); isAwarenessUpdate(payload) {
		m.Payload = payload
		*r = ahead
	}
}

// isAwarenessUpdate says whether b has the form of an awareness update: a
// count and as many (client ID, clock, text), and nothing after it. The texts
// are not looked at.
func isAwarenessUpdate(b []byte) bool {
	r := lib0.NewReader(b)
	for n := r.Count(3); n > 0; n-- {
		r.Uvarint()
		r.Uvarint()
		r.Bytes()
	}
	return r.Err() == nil && r.Len() == 0
}
