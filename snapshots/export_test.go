package snapshots

import "testing"

// NewerSnapshot is a snapshot file of the format after this one.
func NewerSnapshot(t testing.TB, document string) []byte {
	t.Helper()
	return reseal(snapshotMagic, appendSnapshotHeader(nil, SnapshotHeader{Document: document}), nil, formatVersion+1)
}

// Update asks for fixtures to be written anew.
var Update = update
