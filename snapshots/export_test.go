package snapshots

import (
	"sync"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/persistence"
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

// EncodeRetired and DecodeRetired are the file that names retired clients.
func EncodeRetired(document string, g persistence.Generation, e persistence.Epoch, at time.Time, clients []crdt.ClientID) ([]byte, error) {
	return encodeRetired(document, &retirement{retiredPlace: retiredPlace{g, e}, at: at, author: "ann", clients: clients})
}

func DecodeRetired(file []byte, document string, g persistence.Generation, e persistence.Epoch) ([]crdt.ClientID, error) {
	r, err := decodeRetired(file, document, retiredPlace{g, e})
	if err != nil {
		return nil, err
	}
	return r.clients, nil
}
