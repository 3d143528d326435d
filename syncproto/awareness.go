package syncproto

import "ysync/internal/lib0"

// AppendAwareness appends an Awareness message: update is an awareness update
// (y-websocket.js messageHandlers[messageAwareness]).
func AppendAwareness(dst, update []byte) []byte {
	return lib0.AppendBytes(append(dst, typeAwareness), update)
}

func decodeAwareness(r *lib0.Reader, m *Message) {
	m.Kind = KindAwareness
	m.Payload = r.Bytes()
}
