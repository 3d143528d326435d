package migrate

import (
	"context"
	"errors"
	"fmt"

	"ysync/crdt"
)

// Source is the store of another server. It is only read. Read may be called
// from several goroutines.
type Source interface {
	// Names returns the names of the documents as the store has them, in no
	// order. With an error they are those that could be read.
	Names(ctx context.Context) ([]string, error)
	// Read reads one document. ErrDamaged when the store holds no whole one of
	// this name.
	Read(ctx context.Context, name string) (Stored, error)
	Close() error
}

// Stored is a document as another server stored it.
type Stored struct {
	// Updates are in the encoding V1, in the order in which they were made.
	Updates [][]byte
	// Known is a state vector that the store keeps beside the updates: they
	// have to hold at least that. Zero if it keeps none.
	Known crdt.StateVector
	// Notes tell what else belongs to the document and is not imported.
	Notes []string
}

// Bytes is how long the updates are together.
func (s *Stored) Bytes() int {
	n := 0
	for _, u := range s.Updates {
		n += len(u)
	}
	return n
}

// MaxBytes is how much a source may hold of one document. The update log in
// PostgreSQL takes this much at once.
const MaxBytes = 512 << 20

// Classes of failure of a source. Ask with errors.Is.
var (
	// ErrNotSource: there is nothing of this kind at the place named.
	ErrNotSource = errors.New("no such store")
	// ErrInUse: the server that writes the store still runs.
	ErrInUse = errors.New("the store is in use")
	// ErrDamaged: what is stored is not whole.
	ErrDamaged = errors.New("damaged")
	// ErrTooLarge: the document is beyond MaxBytes.
	ErrTooLarge = fmt.Errorf("more than %d MiB", MaxBytes>>20)
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}
