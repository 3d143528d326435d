package migrate

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"ysync/crdt"
)

// ySweetFile is the file in the folder of each document.
const ySweetFile = "/data.ysweet"

// ySweetNumber is the key of the number that other keys name the document by. A
// file of y-sweet holds one document, which it calls "doc".
var ySweetNumber = []byte("\x00\x00doc\x00")

// What a key of a document is for.
const (
	sweetState byte = iota
	sweetVector
	sweetUpdate
	sweetMeta
)

// decodeYSweet reads a file of y-sweet.
func decodeYSweet(file []byte) (Stored, error) {
	entries, err := decodeBincode(file)
	if err != nil {
		return Stored{}, err
	}
	var number []byte
	for _, e := range entries {
		if bytes.Equal(e.key, ySweetNumber) {
			number = e.value
		}
	}
	if len(entries) == 0 {
		return Stored{}, nil // opened, never edited
	}
	if len(number) != 4 {
		return Stored{}, damaged("the entry that numbers its document is missing")
	}
	var stored Stored
	meta := 0
	mine := append([]byte{0, 1}, number...)
	for _, e := range entries {
		rest, ok := bytes.CutPrefix(e.key, mine)
		switch {
		case !ok:
			if !bytes.Equal(e.key, ySweetNumber) {
				return Stored{}, damaged("a key that y-sweet does not write: %x", e.key)
			}
		case len(rest) == 1 && rest[0] == sweetState, len(rest) == 6 && rest[0] == sweetUpdate:
			// The keys are sorted: the state is before the updates.
			stored.Updates = append(stored.Updates, e.value)
		case len(rest) == 1 && rest[0] == sweetVector:
			if stored.Known, err = crdt.DecodeStateVector(e.value); err != nil {
				return Stored{}, damaged("the state vector: %w", err)
			}
		case len(rest) > 1 && rest[0] == sweetMeta:
			meta++
		default:
			return Stored{}, damaged("a key that y-sweet does not write: %x", e.key)
		}
	}
	if len(stored.Updates) == 0 {
		return Stored{}, damaged("it has neither a state nor updates")
	}
	if meta > 0 {
		stored.Notes = append(stored.Notes, fmt.Sprintf("%d metadata values are not imported", meta))
	}
	return stored, nil
}

type bincodeEntry struct{ key, value []byte }

// decodeBincode reads a sorted map of bytes to bytes. The slices are parts of b.
func decodeBincode(b []byte) ([]bincodeEntry, error) {
	count, rest, ok := bincodeLength(b)
	if !ok || count > uint64(len(rest))/16 {
		return nil, damaged("it is cut short, or no file of y-sweet")
	}
	entries := make([]bincodeEntry, count)
	for i := range entries {
		for _, part := range []*[]byte{&entries[i].key, &entries[i].value} {
			var n uint64
			if n, rest, ok = bincodeLength(rest); !ok || n > uint64(len(rest)) {
				return nil, damaged("it is cut short in entry %d of %d", i+1, count)
			}
			*part, rest = rest[:n:n], rest[n:]
		}
		if i > 0 && bytes.Compare(entries[i-1].key, entries[i].key) >= 0 {
			return nil, damaged("entry %d is out of order", i+1)
		}
	}
	if len(rest) > 0 {
		return nil, damaged("%d bytes follow its last entry", len(rest))
	}
	return entries, nil
}

func bincodeLength(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) < 8 {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b), b[8:], true
}
