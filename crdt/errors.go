package crdt

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed says that bytes are not a valid encoding.
	ErrMalformed = errors.New("crdt: malformed")
	// ErrLimit says that valid bytes exceed a limit of this package or of Options.
	ErrLimit = errors.New("crdt: over limit")
	// ErrRange says that a position or length is outside of the type.
	ErrRange = errors.New("crdt: out of range")
	// ErrCollected says that the content asked for was garbage collected.
	ErrCollected = errors.New("crdt: collected")
)

// UpdateError is why an update was refused. The document is as it was before.
type UpdateError struct {
	// Offset is where decoding stopped, in bytes from the start of the update;
	// -1 when the fault is not at one place.
	Offset int
	// Err wraps ErrMalformed, ErrLimit, ErrRange or ErrCollected.
	Err error
}

func (e *UpdateError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("update: %v", e.Err)
	}
	return fmt.Sprintf("update at byte %d: %v", e.Offset, e.Err)
}

// Unwrap returns the class and cause.
func (e *UpdateError) Unwrap() error { return e.Err }
