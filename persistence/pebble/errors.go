package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

// storeError classifies an error of the database.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", persistence.ErrCorrupt, flat{err})
	}
	return flat{err}
}

// openError classifies a failure to open the database. What is neither of the
// system nor a format from the future is a contradiction between the files.
func openError(err error) error {
	var number syscall.Errno
	switch {
	case strings.Contains(err.Error(), "unknown format major version"): // there is no error value for it
		return fmt.Errorf("%w: %w", persistence.ErrNewerFormat, flat{err})
	case errors.As(err, &number) && !errors.Is(err, fs.ErrNotExist):
		return flat{err}
	}
	return fmt.Errorf("%w: %w", persistence.ErrCorrupt, flat{err})
}

// atPosition carries the place of a damaged entry to the error that the caller sees.
type atPosition struct {
	position persistence.Position
	err      error
}

func (e *atPosition) Error() string { return e.err.Error() }
func (e *atPosition) Unwrap() error { return e.err }

// missing is the error of an entry that is not where it must be.
func missing(p persistence.Position) error {
	return &atPosition{position: p, err: fmt.Errorf("%w: the entry is missing", persistence.ErrCorrupt)}
}

// readError is the error of a reading method.
func readError(op, name string, err error) error {
	out := &persistence.Error{Op: op, Document: name, Err: err}
	var at *atPosition
	if errors.As(err, &at) {
		out.Position, out.Err = at.position, at.err
	}
	return out
}

// flat is an error of the database on one line, without its details.
type flat struct{ err error }

func (f flat) Error() string {
	text, _, _ := strings.Cut(f.err.Error(), "\n")
	return strings.TrimSpace(text)
}

func (f flat) Unwrap() error { return f.err }
