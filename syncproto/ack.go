package syncproto

import "ysync/internal/lib0"

// AppendAck appends message 102, with which a client asks for an
// acknowledgement and which the server sends back with the same payload,
// verbatim, when everything before it is durable (y-sweet provider.ts
// MESSAGE_SYNC_STATUS).
func AppendAck(dst, payload []byte) []byte {
	return lib0.AppendBytes(append(dst, typeAck), payload)
}

func decodeAck(r *lib0.Reader, m *Message) {
	m.Kind = KindAck
	m.Payload = bounded(r, MaxAckBytes)
}
