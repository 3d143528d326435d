package postgres

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"ysync/persistence"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers where an entry belongs and what it holds.
func checksum(name string, g persistence.Generation, e *persistence.Entry) int32 {
	var scratch [persistence.MaxDocumentName + 64]byte
	head := binary.AppendUvarint(scratch[:0], uint64(len(name)))
	head = append(head, name...)
	head = binary.AppendUvarint(head, uint64(g))
	head = binary.AppendUvarint(head, uint64(e.Position))
	head = binary.AppendUvarint(head, uint64(e.Epoch))
	head = binary.AppendVarint(head, e.Time.UnixMilli())
	head = binary.AppendUvarint(head, uint64(len(e.Author)))
	sum := crc32.Update(0, castagnoli, head)
	sum = crc32.Update(sum, castagnoli, []byte(e.Author))
	return int32(crc32.Update(sum, castagnoli, e.Update))
}

// number is a counter as the database has it. Counters beyond its range are
// beyond every stored one, and stay so.
func number[T ~uint64](n T) int64 { return int64(min(uint64(n), math.MaxInt64)) }
