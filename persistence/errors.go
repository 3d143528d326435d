package persistence

import (
	"errors"
	"fmt"
)

// Classes of failure. Ask with errors.Is.
var (
	// ErrFenced: another claim is newer. The caller is not the writer any
	// more: it must stop, drop its copy and never retry under another epoch.
	ErrFenced = errors.New("fenced: the document has a newer claim")
	// ErrErased: the document has a tombstone.
	ErrErased = errors.New("the document was erased")
	// ErrReadOnly: the store takes no writes now (free space is under its
	// mark). Reading goes on; retry later.
	ErrReadOnly = errors.New("the log is read-only")
	// ErrUnknown: the commit may or may not have happened. The caller must
	// read back before it acknowledges or appends again.
	ErrUnknown = errors.New("the outcome of the commit is unknown")
	// ErrTrimmed: the entries asked for are gone from the log.
	ErrTrimmed = errors.New("the log does not reach back that far")
	// ErrTrimTooFar: the trim would pass what snapshots and segments hold.
	ErrTrimTooFar = errors.New("trim would pass the second newest snapshot or the history")
	// ErrInvalid: the call breaks the contract whatever the store holds: a bad
	// name, no entries, a document twice in one Append, a position past the
	// head. It is a bug of the caller.
	ErrInvalid = errors.New("invalid call")
	// ErrCorrupt: stored bytes are damaged.
	ErrCorrupt = errors.New("the log is corrupt")
	// ErrNewerFormat: the store was written by a newer release.
	ErrNewerFormat = errors.New("the store has a newer format than this release reads")
	// ErrLocked: another process has the data folder open.
	ErrLocked = errors.New("another process has the data folder open")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// Error is a failure of one operation on one document.
type Error struct {
	// Op is the method that failed: "append", "read", ….
	Op string
	// Document is the document's name, empty when no single one is concerned.
	Document string
	// Position is the entry concerned, 0 if none.
	Position Position
	Err      error
}

func (e *Error) Error() string {
	switch {
	case e.Document == "":
		return fmt.Sprintf("log: %s: %v", e.Op, e.Err)
	case e.Position == 0:
		return fmt.Sprintf("log: %s %q: %v", e.Op, e.Document, e.Err)
	default:
		return fmt.Sprintf("log: %s %q at position %d: %v", e.Op, e.Document, e.Position, e.Err)
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
