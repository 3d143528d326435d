package persistence

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxDocumentName is the longest name of a document, in bytes.
const MaxDocumentName = 256

// ValidName reports whether document can name a document: 1 to MaxDocumentName
// bytes of valid UTF-8. What else a name must not hold is decided at the edge.
func ValidName(document string) bool {
	return document != "" && len(document) <= MaxDocumentName && utf8.ValidString(document)
}

// CheckName refuses, with ErrInvalid, what ValidName refuses.
func CheckName(document string) error {
	if !ValidName(document) {
		return fmt.Errorf("%w: document name", ErrInvalid)
	}
	return nil
}

// The methods below are the rules by which a record changes, as pure
// functions: a backend reads the record, asks the rule, and commits what it
// returns, with nothing in between. A returned record equal to the receiver
// means that nothing is to be written.

// Claimed is the record after owner claimed the document at the epoch seen.
func (r Record) Claimed(owner string, seen Epoch) (Record, error) {
	switch {
	case owner == "":
		return r, fmt.Errorf("%w: a claim names its owner", ErrInvalid)
	case !r.Tombstone.IsZero():
		return r, ErrErased
	case r.Epoch != seen:
		return r, ErrFenced
	}
	r.Generation = max(r.Generation, 1)
	r.Epoch = seen + 1
	r.Owner = owner
	return r, nil
}

// checkWriter refuses whoever does not hold the newest claim.
func (r Record) checkWriter(e Epoch) error {
	switch {
	case !r.Tombstone.IsZero():
		return ErrErased
	case r.Epoch == 0 || r.Epoch != e:
		return ErrFenced
	}
	return nil
}

// Appended is the record after the batch, whose entries then have the
// positions r.Head+1 … Head. The caller gives each entry its time with
// EntryTime, in order.
func (r Record) Appended(b *Batch) (Record, error) {
	if len(b.Entries) == 0 {
		return r, fmt.Errorf("%w: a batch without entries", ErrInvalid)
	}
	if err := r.checkWriter(b.Epoch); err != nil {
		return r, err
	}
	if b.Generation != r.Generation {
		return r, ErrFenced
	}
	r.Head += Position(len(b.Entries))
	for i := range b.Entries {
		r.Updated = EntryTime(r.Updated, b.Entries[i].Time)
	}
	return r, nil
}

// EntryTime is the time that an entry received at t gets in the log after an
// entry of time previous (zero for the first): whole milliseconds, in UTC,
// never decreasing.
func EntryTime(previous, t time.Time) time.Time {
	t = time.UnixMilli(t.UnixMilli()).UTC()
	if !previous.IsZero() && t.Before(previous) {
		return previous
	}
	return t
}

// WithSnapshot is the record after SetSnapshot.
func (r Record) WithSnapshot(e Epoch, p Pointer) (Record, error) {
	if p.IsZero() {
		return r, fmt.Errorf("%w: a snapshot without a key", ErrInvalid)
	}
	if err := r.checkWriter(e); err != nil {
		return r, err
	}
	switch {
	case p == r.Snapshot:
		return r, nil
	case p.Position > r.Head:
		return r, fmt.Errorf("%w: snapshot at position %d, the head is %d", ErrInvalid, p.Position, r.Head)
	case p.Position <= r.Snapshot.Position:
		return r, fmt.Errorf("%w: snapshot at position %d, the newest is at %d", ErrInvalid, p.Position, r.Snapshot.Position)
	}
	r.Previous, r.Snapshot = r.Snapshot, p
	return r, nil
}

// WithSegmented is the record after SetSegmented.
func (r Record) WithSegmented(e Epoch, p Position) (Record, error) {
	if err := r.checkWriter(e); err != nil {
		return r, err
	}
	if p > r.Head {
		return r, fmt.Errorf("%w: segments up to position %d, the head is %d", ErrInvalid, p, r.Head)
	}
	r.Segmented = max(r.Segmented, p)
	return r, nil
}

// MaxSeedKey is the longest idempotency key, in bytes of UTF-8.
const MaxSeedKey = 256

// ValidSeedKey reports whether key can be an idempotency key: 1 to MaxSeedKey
// bytes of valid UTF-8 without a zero byte.
func ValidSeedKey(key string) bool {
	return key != "" && len(key) <= MaxSeedKey && utf8.ValidString(key) && !strings.ContainsRune(key, 0)
}

// WithSeed is the record after SetSeed. While there is no entry another key
// may take the place of the one on record: whoever set that died before the
// content was in the log.
func (r Record) WithSeed(e Epoch, key string) (Record, error) {
	if !ValidSeedKey(key) {
		return r, fmt.Errorf("%w: seed key", ErrInvalid)
	}
	if err := r.checkWriter(e); err != nil {
		return r, err
	}
	if key != r.SeedKey && r.Head > 0 {
		return r, fmt.Errorf("%w: the document has %d entries and is not seeded with this key", ErrInvalid, r.Head)
	}
	r.SeedKey = key
	return r, nil
}

// TrimmedTo is the record after Trim.
func (r Record) TrimmedTo(e Epoch, upTo Position) (Record, error) {
	if err := r.checkWriter(e); err != nil {
		return r, err
	}
	if upTo > min(r.Previous.Position, r.Segmented) {
		return r, fmt.Errorf("%w: position %d, snapshot %d, segments %d",
			ErrTrimTooFar, upTo, r.Previous.Position, r.Segmented)
	}
	r.Trimmed = max(r.Trimmed, upTo)
	return r, nil
}

// FirstOfReset is the position of the snapshot with which a generation begins
// that a reset made: that of the one entry which stands for all before it.
const FirstOfReset Position = 1

// Renewed is the record after Reset. Updated is zero until the first entry
// comes.
func (r Record) Renewed(e Epoch, head Position, p Pointer) (Record, error) {
	if p.IsZero() || p.Position != FirstOfReset {
		return r, fmt.Errorf("%w: a generation begins with a snapshot at position %d", ErrInvalid, FirstOfReset)
	}
	if err := r.checkWriter(e); err != nil {
		return r, err
	}
	switch {
	case r.Head != head:
		return r, fmt.Errorf("%w: the head is %d, not %d", ErrInvalid, r.Head, head)
	case r.Segmented < r.Head:
		return r, fmt.Errorf("%w: the head is %d, segments %d", ErrTrimTooFar, r.Head, r.Segmented)
	}
	return Record{
		Document:   r.Document,
		Generation: r.Generation + 1,
		Epoch:      r.Epoch + 1,
		Head:       FirstOfReset,
		Trimmed:    FirstOfReset,
		Segmented:  FirstOfReset,
		Snapshot:   p,
		SeedKey:    r.SeedKey,
	}, nil
}

// ErasedAt is the record after Erase.
func (r Record) ErasedAt(at time.Time) Record {
	if !r.Tombstone.IsZero() {
		return r
	}
	return Record{
		Document:   r.Document,
		Generation: max(r.Generation, 1),
		Epoch:      r.Epoch,
		Head:       r.Head,
		Trimmed:    r.Head,
		Tombstone:  EntryTime(time.Time{}, at),
	}
}
