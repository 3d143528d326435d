package syncproto

import "ysync/internal/lib0"

// AppendUpdate appends an Update message: update is in format V1 (y-protocols
// sync.js writeUpdate).
func AppendUpdate(dst, update []byte) []byte {
	return append(AppendUpdateHeader(dst, len(update)), update...)
}

// AppendUpdateHeader appends what comes before the update of an Update message
// whose n payload bytes follow, so that a large payload need not be copied.
func AppendUpdateHeader(dst []byte, n int) []byte {
	return lib0.AppendUvarint(append(dst, typeSync, syncUpdate), uint64(n))
}

func decodeUpdate(r *lib0.Reader, m *Message) {
	m.Kind = KindUpdate
	m.Payload = r.Bytes()
}
