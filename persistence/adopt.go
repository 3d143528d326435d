package persistence

import (
	"context"
	"fmt"
)

// Adopter is a Log that can take in a document whose history is stored
// elsewhere, and go on with its positions. All backends of this project are.
type Adopter interface {
	Log

	// Adopt creates the record of a document that was never written; what it
	// holds is Adopted's to say. Durable when it returns. Errors: ErrFenced when
	// the document has a record already, ErrErased for a tombstone, ErrInvalid.
	Adopt(ctx context.Context, rec Record) error
}

// Adopted is the record that Adopt puts in the place of r: generation, epoch,
// head and newest snapshot are those of rec. None of the entries up to the head
// is in the log; all are trimmed, and segments cover them as far as anything
// does. The owner is nobody, and Updated is zero until the first entry comes.
func (r Record) Adopted(rec Record) (Record, error) {
	switch {
	case !r.Tombstone.IsZero():
		return r, ErrErased
	case r.Exists():
		return r, fmt.Errorf("%w: it has a record", ErrFenced)
	case rec.Document != r.Document, !rec.Exists(), rec.Snapshot.Position != rec.Head, rec.Head > 0 && rec.Snapshot.IsZero():
		return r, fmt.Errorf("%w: the record to adopt is not that of a snapshot", ErrInvalid)
	}
	r.Generation, r.Epoch = rec.Generation, rec.Epoch
	r.Head, r.Trimmed, r.Segmented = rec.Head, rec.Head, rec.Head
	r.Snapshot = rec.Snapshot
	return r, nil
}
