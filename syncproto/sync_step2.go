package syncproto

import "ysync/internal/lib0"

// AppendSyncStep2 appends a SyncStep2 message, the answer to a SyncStep1:
// update is in format V1 and holds what the asker lacks, with all deletes. The
// first one makes a client "synced" (y-protocols sync.js writeSyncStep2).
func AppendSyncStep2(dst, update []byte) []byte {
	return append(AppendSyncStep2Header(dst, len(update)), update...)
}

// AppendSyncStep2Header appends what comes before the update of a SyncStep2
// message whose n payload bytes follow, so that a large payload need not be
// copied.
func AppendSyncStep2Header(dst []byte, n int) []byte {
	return lib0.AppendUvarint(append(dst, typeSync, syncStep2), uint64(n))
}

func decodeSyncStep2(r *lib0.Reader, m *Message) {
	m.Kind = KindSyncStep2
	m.Payload = r.Bytes()
}
