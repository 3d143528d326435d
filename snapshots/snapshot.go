package snapshots

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"ysync/persistence"
)

// SnapshotHeader says what a snapshot file holds.
type SnapshotHeader struct {
	Document   string
	Generation persistence.Generation
	// Epoch is the one of the writer's claim.
	Epoch persistence.Epoch
	// Position is the newest log entry that the state contains.
	Position persistence.Position
	// Time is the moment of the state, in whole milliseconds, UTC.
	Time time.Time
	// Label is what the snapshot was asked for with; empty for the server's own.
	Label string
	// RawBytes and StoredBytes are the sizes of the state before and after
	// compression. EncodeSnapshot fills them in.
	RawBytes, StoredBytes int64
	// RawSHA256 is the digest of the state. EncodeSnapshot fills it in.
	RawSHA256 [sha256.Size]byte
}

// encodingV2 says that the raw body is an update V2.
const encodingV2 = 2

// EncodeSnapshot returns the file for a state (update V2) and its full header.
// ErrTooLarge when the state is over MaxRawBytes or the names over the header.
func EncodeSnapshot(h SnapshotHeader, state []byte) ([]byte, SnapshotHeader, error) {
	if err := bounded("the state", len(state)); err != nil {
		return nil, h, err
	}
	if err := boundedNames(h.Document, h.Label); err != nil {
		return nil, h, err
	}
	body := compress(state)
	h.Time = milli(h.Time)
	h.RawBytes, h.StoredBytes = int64(len(state)), int64(len(body))
	h.RawSHA256 = sha256.Sum256(state)
	return seal(snapshotMagic, appendSnapshotHeader(nil, h), body), h, nil
}

// DecodeSnapshot checks a whole file and returns its header and state (update
// V2). It never returns a part: ErrCorrupt for any damage, ErrNewerFormat for a
// format it does not know. It allocates in proportion to what the file really
// holds.
func DecodeSnapshot(file []byte) (SnapshotHeader, []byte, error) {
	header, body, err := openFile(snapshotMagic, file)
	if err != nil {
		return SnapshotHeader{}, nil, err
	}
	h, err := readSnapshotHeader(header)
	if err != nil {
		return SnapshotHeader{}, nil, err
	}
	state, err := openBody(body, h.RawBytes, h.StoredBytes, h.RawSHA256)
	if err != nil {
		return SnapshotHeader{}, nil, err
	}
	return h, state, nil
}

// DecodeSnapshotHeader reads the header alone, from the front of a file. It
// vouches for the header, not for the body behind it.
func DecodeSnapshotHeader(head []byte) (SnapshotHeader, error) {
	header, _, err := openHeader(snapshotMagic, head)
	if err != nil {
		return SnapshotHeader{}, err
	}
	return readSnapshotHeader(header)
}

func appendSnapshotHeader(dst []byte, h SnapshotHeader) []byte {
	dst = appendString(dst, h.Document)
	dst = binary.AppendUvarint(dst, uint64(h.Generation))
	dst = binary.AppendUvarint(dst, uint64(h.Epoch))
	dst = binary.AppendUvarint(dst, uint64(h.Position))
	dst = appendTime(dst, h.Time)
	dst = appendString(dst, h.Label)
	dst = append(dst, encodingV2)
	dst = binary.AppendUvarint(dst, uint64(h.RawBytes))
	dst = binary.AppendUvarint(dst, uint64(h.StoredBytes))
	return append(dst, h.RawSHA256[:]...)
}

func readSnapshotHeader(header []byte) (SnapshotHeader, error) {
	f := fields{rest: header}
	h := SnapshotHeader{
		Document:   string(f.string()),
		Generation: persistence.Generation(f.uvarint()),
		Epoch:      persistence.Epoch(f.uvarint()),
		Position:   persistence.Position(f.uvarint()),
		Time:       f.time(),
		Label:      string(f.string()),
	}
	if e := f.bytes(1); len(e) == 1 && e[0] != encodingV2 {
		f.fail("its state has an unknown encoding")
	}
	h.RawBytes, h.StoredBytes = f.size(), f.size()
	copy(h.RawSHA256[:], f.bytes(sha256.Size))
	if err := f.end(); err != nil {
		return SnapshotHeader{}, err
	}
	return h, nil
}

// boundedNames refuses strings that would not fit into a header.
func boundedNames(names ...string) error {
	n := 0
	for _, s := range names {
		n += len(s)
	}
	if n > maxHeaderBytes-256 {
		return ErrTooLarge
	}
	return nil
}

// openBody decompresses a body and checks it against its header.
func openBody(body []byte, raw, stored int64, sum [sha256.Size]byte) ([]byte, error) {
	if int64(len(body)) != stored {
		return nil, corrupt("its body has %d bytes of %d", len(body), stored)
	}
	out, err := decompress(body, uint64(raw))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(out) != sum {
		return nil, corrupt("its body has a wrong digest")
	}
	return out, nil
}
