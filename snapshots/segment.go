package snapshots

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"ysync/persistence"
)

// SegmentHeader says what a segment file holds: the entries From+1 … To.
type SegmentHeader struct {
	Document   string
	Generation persistence.Generation
	// Epoch is the one of the writer's claim; every entry has its own.
	Epoch persistence.Epoch
	// From is exclusive, To inclusive; To > From.
	From, To persistence.Position
	// First and Last are the times of the first and the last entry.
	First, Last time.Time
	// RawBytes and StoredBytes are the sizes of the entries before and after
	// compression. EncodeSegment fills them in.
	RawBytes, StoredBytes int64
	// RawSHA256 is the digest of the entries. EncodeSegment fills it in.
	RawSHA256 [sha256.Size]byte
}

// EncodeSegment returns the file for a dense row of entries and its header.
// Of h it takes document, generation and epoch; the rest follows from entries.
func EncodeSegment(h SegmentHeader, entries []persistence.Entry) ([]byte, SegmentHeader, error) {
	if len(entries) == 0 {
		return nil, h, fmt.Errorf("a segment needs at least one entry")
	}
	if err := boundedNames(h.Document); err != nil {
		return nil, h, err
	}
	first, last := entries[0], entries[len(entries)-1]
	h.From, h.To = first.Position-1, last.Position
	h.First, h.Last = milli(first.Time), milli(last.Time)
	size := 0
	for _, e := range entries {
		size += entryBytes(e)
	}
	if err := bounded("the segment", size); err != nil {
		return nil, h, err
	}
	raw := make([]byte, 0, size)
	for _, e := range entries {
		raw = appendEntry(raw, e)
	}
	body := compress(raw)
	h.RawBytes, h.StoredBytes = int64(len(raw)), int64(len(body))
	h.RawSHA256 = sha256.Sum256(raw)
	return seal(segmentMagic, appendSegmentHeader(nil, h), body), h, nil
}

// DecodeSegment checks a whole file and returns its header and entries, whose
// updates share one allocation. ErrCorrupt for any damage and for a row that is
// not dense or goes back in time or epoch, ErrNewerFormat for a format it does
// not know.
func DecodeSegment(file []byte) (SegmentHeader, []persistence.Entry, error) {
	header, body, err := openFile(segmentMagic, file)
	if err != nil {
		return SegmentHeader{}, nil, err
	}
	h, err := readSegmentHeader(header)
	if err != nil {
		return SegmentHeader{}, nil, err
	}
	raw, err := openBody(body, h.RawBytes, h.StoredBytes, h.RawSHA256)
	if err != nil {
		return SegmentHeader{}, nil, err
	}
	entries, err := readEntries(h, raw)
	if err != nil {
		return SegmentHeader{}, nil, err
	}
	return h, entries, nil
}

// DecodeSegmentHeader reads the header alone, from the front of a file. It
// vouches for the header, not for the body behind it.
func DecodeSegmentHeader(head []byte) (SegmentHeader, error) {
	header, _, err := openHeader(segmentMagic, head)
	if err != nil {
		return SegmentHeader{}, err
	}
	return readSegmentHeader(header)
}

func appendSegmentHeader(dst []byte, h SegmentHeader) []byte {
	dst = appendString(dst, h.Document)
	dst = binary.AppendUvarint(dst, uint64(h.Generation))
	dst = binary.AppendUvarint(dst, uint64(h.Epoch))
	dst = binary.AppendUvarint(dst, uint64(h.From))
	dst = binary.AppendUvarint(dst, uint64(h.To))
	dst = appendTime(dst, h.First)
	dst = appendTime(dst, h.Last)
	dst = binary.AppendUvarint(dst, uint64(h.RawBytes))
	dst = binary.AppendUvarint(dst, uint64(h.StoredBytes))
	return append(dst, h.RawSHA256[:]...)
}

func readSegmentHeader(header []byte) (SegmentHeader, error) {
	f := fields{rest: header}
	h := SegmentHeader{
		Document:   string(f.string()),
		Generation: persistence.Generation(f.uvarint()),
		Epoch:      persistence.Epoch(f.uvarint()),
		From:       persistence.Position(f.uvarint()),
		To:         persistence.Position(f.uvarint()),
		First:      f.time(),
		Last:       f.time(),
	}
	h.RawBytes, h.StoredBytes = f.size(), f.size()
	copy(h.RawSHA256[:], f.bytes(sha256.Size))
	if err := f.end(); err != nil {
		return SegmentHeader{}, err
	}
	if h.To <= h.From {
		return SegmentHeader{}, corrupt("its range (%d, %d] is empty", h.From, h.To)
	}
	return h, nil
}

func appendEntry(dst []byte, e persistence.Entry) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(dst, uint64(e.Position))
	dst = binary.AppendUvarint(dst, uint64(e.Epoch))
	dst = appendTime(dst, e.Time)
	dst = appendString(dst, e.Author)
	dst = appendString(dst, e.Update)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// entryBytes is an upper bound of what appendEntry adds.
func entryBytes(e persistence.Entry) int {
	return 5*binary.MaxVarintLen64 + len(e.Author) + len(e.Update) + crc32.Size
}

// minEntryBytes is what the smallest entry takes: five empty fields and a crc.
const minEntryBytes = 5 + crc32.Size

func readEntries(h SegmentHeader, raw []byte) ([]persistence.Entry, error) {
	count := uint64(h.To - h.From)
	if count > uint64(len(raw)/minEntryBytes) {
		return nil, corrupt("%d bytes cannot hold %d entries", len(raw), count)
	}
	entries := make([]persistence.Entry, 0, count)
	f := fields{rest: raw}
	for i := range count {
		start := f.rest
		e := persistence.Entry{
			Position: persistence.Position(f.uvarint()),
			Epoch:    persistence.Epoch(f.uvarint()),
			Time:     f.time(),
			Author:   string(f.string()),
			Update:   f.string(),
		}
		body := start[:len(start)-len(f.rest)]
		sum := f.bytes(crc32.Size)
		if f.err != nil {
			return nil, f.err
		}
		if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
			return nil, corrupt("entry %d has a wrong checksum", h.From+persistence.Position(i)+1)
		}
		if e.Position != h.From+persistence.Position(i)+1 {
			return nil, corrupt("entry %d stands where %d belongs", e.Position, h.From+persistence.Position(i)+1)
		}
		if i > 0 {
			before := entries[i-1]
			if e.Epoch < before.Epoch || e.Time.Before(before.Time) {
				return nil, corrupt("entry %d goes back in time or epoch", e.Position)
			}
		}
		entries = append(entries, e)
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	if !entries[0].Time.Equal(h.First) || !entries[count-1].Time.Equal(h.Last) {
		return nil, corrupt("its entries have other times than its header")
	}
	return entries, nil
}

// milli is t as the files keep it: whole milliseconds, UTC.
func milli(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// sameEntry reports whether a and b are the same entry as far as a file keeps
// it: times count in whole milliseconds.
func sameEntry(a, b persistence.Entry) bool {
	return a.Position == b.Position && a.Epoch == b.Epoch && a.Author == b.Author &&
		a.Time.UnixMilli() == b.Time.UnixMilli() && bytes.Equal(a.Update, b.Update)
}
