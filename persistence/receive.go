package persistence

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// Receiver is a Log that can take over documents as they are in another log:
// with generation, epoch, positions, times, authors, pointers, seed key and
// tombstone. All backends of this project are.
type Receiver interface {
	Log

	// Receive makes the record of a document rec, and its log the entries up to
	// rec.Head. What is here already stays; read yields what is missing, which
	// are the entries after a position up to rec.Head, and is called at most
	// once for each attempt to commit. Either all of it is durable when Receive
	// returns, or the document is as it was, or at some entry in between; then
	// the same call again completes it.
	//
	// rec.Owner has to be one that Receiving knows, so that it is told from a
	// document that a server owns. Errors: what Received says, ErrCorrupt when
	// the entries are not the row that is missing, and those of read.
	Receive(ctx context.Context, rec Record, read func(after Position) iter.Seq2[Entry, error]) error
}

// Owners of documents that were received and that no server has claimed yet.
const (
	receiving = "receiving:"
	// ReceivedUnchecked owns a document that was not compared with where it
	// came from, ReceivedChecked one that was.
	ReceivedUnchecked = receiving + "unchecked"
	ReceivedChecked   = receiving + "checked"
)

// Receiving reports whether an owner is that of a document which was received.
func Receiving(owner string) bool { return strings.HasPrefix(owner, receiving) }

// Received is the record that Receive puts in the place of r, and the position
// after which entries are missing. A document that is here must be one that was
// received before and that nobody has claimed since, and rec a later state of it:
// ErrFenced otherwise. A tombstone stays one: ErrErased.
func (r Record) Received(rec Record) (after Record, from Position, err error) {
	switch {
	case rec.Document != r.Document, !rec.Exists(), !Receiving(rec.Owner),
		rec.Trimmed > rec.Head, rec.Segmented > rec.Head, rec.Snapshot.Position > rec.Head:
		return r, 0, fmt.Errorf("%w: the record cannot be received", ErrInvalid)
	case !r.Exists():
		return rec, rec.Trimmed, nil
	case !Receiving(r.Owner):
		return r, 0, fmt.Errorf("%w: it was written here", ErrFenced)
	case !r.Tombstone.IsZero() && rec.Tombstone != r.Tombstone:
		return r, 0, ErrErased
	case rec.Generation < r.Generation, rec.Epoch < r.Epoch, rec.Generation == r.Generation && rec.Head < r.Head:
		return r, 0, fmt.Errorf("%w: here it is ahead", ErrFenced)
	case rec.Generation > r.Generation, rec.Trimmed > r.Head:
		return rec, rec.Trimmed, nil
	}
	return rec, r.Head, nil
}

// ReceivedRow checks, entry by entry, that a sequence is the row (from, rec.Head]
// of a document's log, and hands it over in parts of about limit bytes.
func ReceivedRow(rec Record, from Position, entries iter.Seq2[Entry, error], limit int, part func([]Entry) error) error {
	if from >= rec.Head || !rec.Tombstone.IsZero() {
		return nil
	}
	var row []Entry
	size, next := 0, from+1
	for e, err := range entries {
		switch {
		case err != nil:
			return err
		case e.Position != next || e.Position > rec.Head || e.Epoch > rec.Epoch:
			return fmt.Errorf("%w: entry %d of epoch %d came, %d of epoch %d at most was due", ErrCorrupt, e.Position, e.Epoch, next, rec.Epoch)
		}
		row, size, next = append(row, e), size+len(e.Update)+len(e.Author)+64, next+1
		if size >= limit {
			if err := part(row); err != nil {
				return err
			}
			row, size = row[:0], 0
		}
	}
	if next <= rec.Head {
		return fmt.Errorf("%w: entry %d is missing", ErrCorrupt, next)
	}
	if len(row) == 0 {
		return nil
	}
	return part(row)
}
