package snapshots

import (
	"sync"
	"testing"
)

// DropCoders forgets the encoders and decoders that are kept for reuse: those
// made inside the bubble of a test with virtual time work nowhere else.
func DropCoders() {
	encoders = sync.Pool{New: encoders.New}
	decoders = sync.Pool{New: decoders.New}
}

// NewerSnapshot is a snapshot file of the format after this one.
func NewerSnapshot(t testing.TB, document string) []byte {
	t.Helper()
	return reseal(snapshotMagic, appendSnapshotHeader(nil, SnapshotHeader{Document: document}), nil, formatVersion+1)
}

// Update asks for fixtures to be written anew.
var Update = update
