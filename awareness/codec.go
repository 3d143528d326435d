package awareness

import (
	"errors"
	"fmt"

	"ysync/internal/lib0"
)

// The classes of failure of an awareness update, to be tested with errors.Is.
var (
	// ErrTruncated: the update ends inside an entry.
	ErrTruncated = lib0.ErrTruncated
	// ErrOverflow: an integer exceeds 53 bits.
	ErrOverflow = lib0.ErrOverflow
	// ErrUTF8: a state is not valid UTF-8.
	ErrUTF8 = lib0.ErrUTF8
	// ErrJSON: a state is not one JSON value.
	ErrJSON = errors.New("state is not JSON")
	// ErrDepth: a state is nested deeper than MaxDepth.
	ErrDepth = errors.New("state is nested too deeply")
)

// Error is an awareness update that does not decode.
type Error struct {
	// Offset is where in the update the failing value starts, in bytes.
	Offset int
	// Err is one of the classes of this package.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("awareness: %v at byte %d of the update", e.Err, e.Offset)
}

func (e *Error) Unwrap() error { return e.Err }

// Entry is one client's part of an awareness update.
type Entry struct {
	ClientID uint64
	// Clock orders the states of one client; at most 53 bits.
	Clock uint64
	// State is JSON text that aliases the update. A Decoder does not look into
	// it: CheckState does.
	State []byte
	// Offset is where State starts in the update, in bytes.
	Offset int
}

// Removes says whether the state is null.
func (e Entry) Removes() bool { return isNull(e.State) }

// CheckState reports a state that is not JSON, as an *Error.
func (e Entry) CheckState() error {
	if err := checkJSON(e.State); err != nil {
		return &Error{Offset: e.Offset, Err: err}
	}
	return nil
}

// Decoder yields the entries of one awareness update, in order. It copies
// nothing and allocates only for an error. Bytes after the last entry are
// ignored, as y-protocols does.
type Decoder struct {
	r    lib0.Reader
	left uint64
}

// NewDecoder returns a Decoder of update, which it aliases.
func NewDecoder(update []byte) Decoder {
	d := Decoder{r: lib0.NewReader(update)}
	d.left = d.r.Uvarint()
	return d
}

// Next returns the next entry, and false at the end or at a failure, which Err
// then reports. A count beyond what follows fails at the end of the input.
func (d *Decoder) Next() (Entry, bool) {
	if d.left == 0 || d.r.Err() != nil {
		return Entry{}, false
	}
	d.left--
	e := Entry{ClientID: d.r.Uvarint(), Clock: d.r.Uvarint(), State: d.r.Bytes()}
	e.Offset = d.r.Off() - len(e.State)
	return e, d.r.Err() == nil
}

// Err returns why Next ended, an *Error, or nil if it was the last entry.
func (d *Decoder) Err() error {
	if e, ok := errors.AsType[*lib0.Error](d.r.Err()); ok {
		return &Error{Offset: e.Off, Err: e.Err}
	}
	return d.r.Err()
}

var null = []byte("null")

// appendEntry appends one entry; a nil state is null.
func appendEntry(dst []byte, id, clock uint64, state []byte) []byte {
	if state == nil {
		state = null
	}
	dst = lib0.AppendUvarint(dst, id)
	dst = lib0.AppendUvarint(dst, clock)
	return lib0.AppendBytes(dst, state)
}
