package syncproto

import (
	"errors"
	"fmt"

	"ysync/internal/lib0"
)

// The classes of failure of a Decoder, to be tested with errors.Is.
var (
	// ErrTruncated: the frame ends inside a message, or holds none.
	ErrTruncated = lib0.ErrTruncated
	// ErrOverflow: an integer exceeds 53 bits.
	ErrOverflow = lib0.ErrOverflow
	// ErrUTF8: the text of an auth message is not valid UTF-8.
	ErrUTF8 = lib0.ErrUTF8
	// ErrUnknownType: an outer or inner type that the dialect does not have.
	ErrUnknownType = errors.New("unknown message type")
	// ErrTooLarge: a payload exceeds the bound of its kind.
	ErrTooLarge = errors.New("payload too large")
	// ErrTooMany: the frame holds more than MaxMessages messages.
	ErrTooMany = errors.New("too many messages in one frame")
)

// Bounds on one frame. The payloads of sync and awareness messages are bounded
// by the frame alone: what they may cost is known to those who decode them.
const (
	// MaxMessages bounds the messages of one frame. Stock clients send one; a
	// frame of one-byte queries would otherwise ask for millions of answers.
	MaxMessages = 256
	// MaxAckBytes bounds the payload of an acknowledgement request, which is
	// kept until what came before it is durable. Stock clients send one
	// varUint, at most 8 bytes.
	MaxAckBytes = 64
	// MaxTextBytes bounds the text of an auth message. It has room for a token
	// of 8 KiB, twice.
	MaxTextBytes = 16 << 10
)

// Error is a frame that does not decode.
type Error struct {
	// Offset is where in the frame the failing value starts, in bytes.
	Offset int
	// Err is one of the classes of this package.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("syncproto: %v at byte %d of the frame", e.Err, e.Offset)
}

func (e *Error) Unwrap() error { return e.Err }

// wrap gives a failure of the reader the type of this package.
func wrap(err error) error {
	if e, ok := errors.AsType[*lib0.Error](err); ok {
		return &Error{Offset: e.Off, Err: e.Err}
	}
	return err
}
