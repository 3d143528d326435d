package snapshots

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"ysync/persistence"
)

const (
	snapshotExt = ".snapshot"
	segmentExt  = ".segment"
	// maxKeyBytes bounds a key, maxElementBytes each of its elements.
	maxKeyBytes     = 512
	maxElementBytes = 200
)

// CheckKey refuses what no Store may take: whatever could leave a folder, hide
// in it or depend on a store's idea of letters.
func CheckKey(key string) error {
	if len(key) > maxKeyBytes {
		return fmt.Errorf("the key has %d bytes, at most %d", len(key), maxKeyBytes)
	}
	for elem := range strings.SplitSeq(key, "/") {
		if elem == "" || elem[0] == '.' || len(elem) > maxElementBytes {
			return fmt.Errorf("%q is no key", key)
		}
		for _, c := range []byte(elem) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
				return fmt.Errorf("%q is no key", key)
			}
		}
	}
	return nil
}

// Folder is the key prefix of a document's files, "/" included. It is made of
// the digest of the name, so that no name can reach outside the store or
// collide with another; the name itself is in every file's header.
func Folder(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:]) + "/"
}

// SnapshotKey is the key of a snapshot whose stored bytes have digest sum.
// Keys of one document sort by generation, then position.
func SnapshotKey(h SnapshotHeader, sum [sha256.Size]byte) string {
	return fmt.Sprintf("%s%020d-%020d-%020d-%s%s",
		Folder(h.Document), h.Generation, h.Position, h.Epoch, hex.EncodeToString(sum[:8]), snapshotExt)
}

// SegmentKey is the key of a segment whose stored bytes have digest sum. Keys
// of one document sort by generation, then position.
func SegmentKey(h SegmentHeader, sum [sha256.Size]byte) string {
	return fmt.Sprintf("%s%020d-%020d-%020d-%020d-%s%s",
		Folder(h.Document), h.Generation, h.From, h.To, h.Epoch, hex.EncodeToString(sum[:8]), segmentExt)
}

// keyRange is what a segment's key tells without opening the file.
type keyRange struct {
	generation persistence.Generation
	from, to   persistence.Position
	epoch      persistence.Epoch
}

// segmentRange reads the range out of a key; ok is false for other files.
func segmentRange(key string) (r keyRange, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], segmentExt)
	if !ok {
		return keyRange{}, false
	}
	var n [4]uint64
	if !keyNumbers(name, n[:]) {
		return keyRange{}, false
	}
	return keyRange{persistence.Generation(n[0]), persistence.Position(n[1]), persistence.Position(n[2]), persistence.Epoch(n[3])}, true
}

// keyPlace is what a snapshot's key tells without opening the file.
type keyPlace struct {
	generation persistence.Generation
	position   persistence.Position
	epoch      persistence.Epoch
}

// snapshotPlace reads the place out of a key; ok is false for other files.
func snapshotPlace(key string) (p keyPlace, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], snapshotExt)
	if !ok {
		return keyPlace{}, false
	}
	var n [3]uint64
	if !keyNumbers(name, n[:]) {
		return keyPlace{}, false
	}
	return keyPlace{persistence.Generation(n[0]), persistence.Position(n[1]), persistence.Epoch(n[2])}, true
}

// keyNumbers reads the numbers of a name that ends with a digest.
func keyNumbers(name string, n []uint64) bool {
	parts := strings.Split(name, "-")
	if len(parts) != len(n)+1 {
		return false
	}
	for i := range n {
		v, err := strconv.ParseUint(parts[i], 10, 64)
		if err != nil {
			return false
		}
		n[i] = v
	}
	return true
}
