package snapshots

import (
	"errors"
	"fmt"
)

// Classes of failure. Ask with errors.Is.
var (
	// ErrNotFound: the store holds nothing under that key.
	ErrNotFound = errors.New("no such object")
	// ErrExists: the key holds other bytes. Objects are never overwritten.
	ErrExists = errors.New("the key is taken by another object")
	// ErrCorrupt: stored bytes are damaged, cut short or not what the pointer
	// or the key says.
	ErrCorrupt = errors.New("the file is damaged")
	// ErrNewerFormat: the file was written by a newer release.
	ErrNewerFormat = errors.New("the file has a newer format than this release reads")
	// ErrTooLarge: the state or entry is beyond what a file may hold.
	ErrTooLarge = errors.New("too large for a snapshot file")
	// ErrVerify: a file that was just written does not read back as what was
	// to be written. Nothing may point at it.
	ErrVerify = errors.New("the written file does not hold what was to be stored")
	// ErrUnrecoverable: no snapshot of the document can be read and its log
	// does not reach back to its beginning.
	ErrUnrecoverable = errors.New("no good snapshot, and the log does not reach back to the beginning")
	// ErrAway: a snapshot that is needed cannot be read now. A later try may
	// succeed.
	ErrAway = errors.New("the snapshots cannot be read now")
	// ErrNoDocument: neither the log nor the store knows the document.
	ErrNoDocument = errors.New("no such document")
	// ErrMoment: the text is no moment, or the document has none of this
	// position or label.
	ErrMoment = errors.New("no such moment")
	// ErrThinned: the entries up to the moment are gone by retention.
	ErrThinned = errors.New("the history is thinned out there")
	// ErrNoLog: the log cannot be read, or has lost the document, so that only
	// what the store holds is known.
	ErrNoLog = errors.New("the log is not there")
)

// FileError is a fault of one stored file.
type FileError struct {
	// Key is the file's key in the store, empty when only bytes were at hand.
	Key string
	// Err says what is wrong; it wraps one of the classes above.
	Err error
}

func (e *FileError) Error() string {
	if e.Key == "" {
		return e.Err.Error()
	}
	return e.Key + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// DocumentError is a failure of one operation on one document.
type DocumentError struct {
	// Op is the method that failed: "load", "save", "segment", "list", "at", ….
	Op       string
	Document string
	Err      error
}

func (e *DocumentError) Error() string {
	return fmt.Sprintf("snapshots: %s %q: %v", e.Op, e.Document, e.Err)
}

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Err }

// corrupt returns an ErrCorrupt that says what is wrong.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// versionError is ErrNewerFormat with the version found.
type versionError struct{ found uint32 }

func (e *versionError) Error() string {
	return fmt.Sprintf("%v: version %d, newest known %d", ErrNewerFormat, e.found, formatVersion)
}

func (e *versionError) Unwrap() error { return ErrNewerFormat }
