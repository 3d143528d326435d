package snapshots

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
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

// EncodeSegment returns the file for a row of entries and its header. Positions
// have to be dense, epochs and times must not go back.
// Of h it takes document, generation and epoch; the rest follows from entries.
func EncodeSegment(h SegmentHeader, entries []persistence.Entry) ([]byte, SegmentHeader, error) {
	if len(entries) == 0 {
		return nil, h, fmt.Errorf("a segment needs at least one entry")
	}
	if err := boundedNames(h.Document); err != nil {
		return nil, h, err
	}
	if err := checkRow(entries); err != nil {
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
	epoch, at := persistence.Epoch(0), first.Time
	for _, e := range entries {
		raw = appendEntry(raw, e, epoch, at)
		epoch, at = e.Epoch, e.Time
	}
	body := compress(raw)
	h.RawBytes, h.StoredBytes = int64(len(raw)), int64(len(body))
	h.RawSHA256 = sha256.Sum256(raw)
	return seal(segmentMagic, appendSegmentHeader(nil, h), body), h, nil
}

// DecodeSegment checks a whole file and returns its header and entries, whose
// updates share one allocation. ErrCorrupt for any damage, ErrNewerFormat for
// a format it does not know.
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
	if h.To <= h.From || h.Last.Before(h.First) {
		return SegmentHeader{}, corrupt("its range (%d, %d], %v to %v is empty", h.From, h.To, h.First, h.Last)
	}
	return h, nil
}

// appendEntry appends e, which follows an entry of the given epoch and time.
func appendEntry(dst []byte, e persistence.Entry, epoch persistence.Epoch, at time.Time) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.Epoch-epoch))
	dst = binary.AppendUvarint(dst, uint64(e.Time.UnixMilli()-at.UnixMilli()))
	dst = appendString(dst, e.Author)
	return appendString(dst, e.Update)
}

// entryBytes is an upper bound of what appendEntry adds.
func entryBytes(e persistence.Entry) int {
	return 4*binary.MaxVarintLen64 + len(e.Author) + len(e.Update)
}

// minEntryBytes is what the smallest entry takes: four fields.
const minEntryBytes = 4

func readEntries(h SegmentHeader, raw []byte) ([]persistence.Entry, error) {
	count := uint64(h.To - h.From)
	if count > uint64(len(raw)/minEntryBytes) {
		return nil, corrupt("%d bytes cannot hold %d entries", len(raw), count)
	}
	entries := make([]persistence.Entry, 0, count)
	f := fields{rest: raw}
	var epoch uint64
	at := h.First.UnixMilli()
	for i := range count {
		epochs, pause := f.uvarint(), f.uvarint()
		author, update := f.string(), f.string()
		if f.err != nil {
			return nil, f.err
		}
		if epochs > math.MaxUint64-epoch || pause > uint64(h.Last.UnixMilli()-at) {
			return nil, corrupt("entry %d has an epoch or time out of range", h.From+persistence.Position(i)+1)
		}
		epoch += epochs
		at += int64(pause)
		entries = append(entries, persistence.Entry{
			Position: h.From + persistence.Position(i) + 1,
			Epoch:    persistence.Epoch(epoch),
			Time:     time.UnixMilli(at).UTC(),
			Author:   string(author),
			Update:   update,
		})
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	if at != h.Last.UnixMilli() {
		return nil, corrupt("its entries have other times than its header")
	}
	return entries, nil
}

// checkRow refuses entries that are not a dense row, or go back in time or
// epoch: the file could not say so.
func checkRow(entries []persistence.Entry) error {
	for i, e := range entries[1:] {
		before := entries[i]
		if e.Position != before.Position+1 || e.Epoch < before.Epoch || e.Time.UnixMilli() < before.Time.UnixMilli() {
			return fmt.Errorf("entry %d (epoch %d, %v) cannot follow entry %d (epoch %d, %v)",
				e.Position, e.Epoch, e.Time, before.Position, before.Epoch, before.Time)
		}
	}
	return nil
}

// milli is t as the files keep it: whole milliseconds, UTC.
func milli(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// sameEntry reports whether a and b are the same entry as far as a file keeps
// it: times count in whole milliseconds.
func sameEntry(a, b persistence.Entry) bool {
	return a.Position == b.Position && a.Epoch == b.Epoch && a.Author == b.Author &&
		a.Time.UnixMilli() == b.Time.UnixMilli() && bytes.Equal(a.Update, b.Update)
}
