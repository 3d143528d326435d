package snapshots

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// DropCoders forgets the encoders and decoders that are kept for reuse: those
// made inside the bubble of a test with virtual time work nowhere else.
func DropCoders() {
	smallEncoders, largeEncoders = encoderPool(smallBytes), encoderPool(writeWindowBytes)
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

// AuthorsFile is the file that tells who made what the entries up to a position
// brought, and its key.
func AuthorsFile(document string, g persistence.Generation, to persistence.Position, bound map[crdt.ClientID]string) (key string, file []byte) {
	file = encodeAuthors(document, g, &Authors{To: to, bound: bound})
	return authorsKey(document, g, to, sha256.Sum256(file)), file
}
