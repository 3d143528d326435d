package syncproto

import "ysync/internal/lib0"

// AppendSyncStep1 appends a SyncStep1 message: sv is the sender's encoded state
// vector, and the answer is a SyncStep2 (y-protocols sync.js writeSyncStep1).
func AppendSyncStep1(dst, sv []byte) []byte {
	return lib0.AppendBytes(append(dst, typeSync, syncStep1), sv)
}

func decodeSyncStep1(r *lib0.Reader, m *Message) {
	m.Kind = KindSyncStep1
	m.Payload = r.Bytes()
}
