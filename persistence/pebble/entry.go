package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"ysync/persistence"
)

const (
	recordVersion = 1
	// headerBytes is the length of the version and the checksum before the
	// fields of a record or a group of entries.
	headerBytes = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the key, the version and everything after the checksum.
func checksum(key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, value[:1])
	return crc32.Update(sum, castagnoli, value[headerBytes:])
}

// sealValue sets the checksum of a value.
func sealValue(key, value []byte) {
	binary.LittleEndian.PutUint32(value[1:], checksum(key, value))
}

// fieldsOf checks a value's checksum and version and returns its fields.
func fieldsOf(key, value []byte, oldest, newest byte) ([]byte, error) {
	switch {
	case len(value) < headerBytes:
		return nil, fmt.Errorf("%w: %d bytes", persistence.ErrCorrupt, len(value))
	case checksum(key, value) != binary.LittleEndian.Uint32(value[1:]):
		return nil, fmt.Errorf("%w: checksum mismatch", persistence.ErrCorrupt)
	case value[0] > newest:
		return nil, fmt.Errorf("%w: version %d, this release reads up to %d", persistence.ErrNewerFormat, value[0], newest)
	case value[0] < oldest:
		return nil, fmt.Errorf("%w: version %d", persistence.ErrCorrupt, value[0])
	}
	return value[headerBytes:], nil
}

// appendRecord appends the value of a record stored under key. Head and
// Updated are not part of it, except for a tombstone, which has no entries
// left to tell its head: there Trimmed is the head.
func appendRecord(dst, key []byte, r *persistence.Record) []byte {
	start := len(dst)
	dst = append(dst, recordVersion, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(r.Generation))
	dst = binary.AppendUvarint(dst, uint64(r.Epoch))
	dst = appendString(dst, r.Owner)
	dst = binary.AppendUvarint(dst, uint64(r.Trimmed))
	dst = binary.AppendUvarint(dst, uint64(r.Segmented))
	dst = appendPointer(dst, &r.Snapshot)
	dst = appendPointer(dst, &r.Previous)
	if r.Tombstone.IsZero() {
		dst = append(dst, 0)
	} else {
		dst = binary.AppendVarint(append(dst, 1), r.Tombstone.UnixMilli())
	}
	dst = appendString(dst, r.SeedKey)
	sealValue(key, dst[start:])
	return dst
}

func appendPointer(dst []byte, p *persistence.Pointer) []byte {
	dst = appendString(dst, p.Key)
	if p.IsZero() {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(p.Position))
	return append(dst, p.SHA256[:]...)
}

// decodeRecord reads the record of a document stored under key. Head is at
// least Trimmed; the newest entry may raise it.
func decodeRecord(name string, key, value []byte) (persistence.Record, error) {
	rec := persistence.Record{Document: name}
	fields, err := fieldsOf(key, value, recordVersion, recordVersion)
	if err != nil {
		return rec, err
	}
	r := reader{rest: fields}
	rec.Generation = persistence.Generation(r.uvarint())
	rec.Epoch = persistence.Epoch(r.uvarint())
	rec.Owner = r.string()
	rec.Trimmed = persistence.Position(r.uvarint())
	rec.Segmented = persistence.Position(r.uvarint())
	rec.Snapshot = r.pointer()
	rec.Previous = r.pointer()
	if r.byte() == 1 {
		rec.Tombstone = time.UnixMilli(r.varint()).UTC()
	}
	rec.SeedKey = r.string()
	rec.Head = rec.Trimmed
	if r.err == nil && len(r.rest) > 0 {
		r.err = errFields
	}
	return rec, r.err
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// errFields is for a value whose checksum is right and whose fields are not.
var errFields = fmt.Errorf("%w: %w", persistence.ErrCorrupt, errors.New("malformed fields"))

// reader takes fields from a value; after an error it yields zeros.
type reader struct {
	rest []byte
	err  error
}

// take returns the next n bytes, or nil.
func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err = errFields
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.err = errFields
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.err = errFields
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

func (r *reader) pointer() persistence.Pointer {
	p := persistence.Pointer{Key: r.string()}
	if p.IsZero() {
		return p
	}
	p.Position = persistence.Position(r.uvarint())
	copy(p.SHA256[:], slices.Clone(r.take(uint64(len(p.SHA256)))))
	return p
}
