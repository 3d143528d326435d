package gateway

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"ysync/internal/invariant"
)

// errClosing: the close frame is out, and nothing may follow it (RFC 6455
// §5.5.1).
var errClosing = errors.New("the connection is closing")

// opcodes (RFC 6455 §5.2), each with the bit of a final fragment.
const (
	frameBinary = 0x80 | 2
	frameClose  = 0x80 | 8
	framePong   = 0x80 | 10
)

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// socket is a connection on which whole frames are written. All methods may
// be called from any goroutine.
type socket struct {
	net.Conn

	// dry: a read failed or met the end.
	dry atomic.Bool

	// turn is a lock: who has put something in may write. It is a channel, as
	// it is held while a write waits for the peer.
	turn chan struct{}
	// Guarded by turn.
	closing bool // a close frame was written
	broken  bool // part of a frame was written and the rest was not
}

// Read notes the end of what can be read: the WebSocket library reports the
// end of the transport inside a message as the end of the message.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		s.dry.Store(true)
	}
	return n, err
}

// Write takes one control frame of the WebSocket library, whole.
func (s *socket) Write(frame []byte) (int, error) {
	invariant.Assert(len(frame) >= 2 && frame[0]&0x88 == 0x88,
		"the WebSocket library wrote something other than one control frame")
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.closing || s.broken {
		return 0, errClosing
	}
	s.closing = frame[0] == frameClose
	n, err := s.Conn.Write(frame)
	s.broken = err != nil
	return n, err
}

// writeFrames writes bytes that are whole frames. When the deadline that probe
// set ends the write before all is taken, goOn is asked with what was taken
// since the last time, and the write goes on or ends by its answer.
func (s *socket) writeFrames(frames net.Buffers, goOn func(taken int) bool) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.closing || s.broken {
		return errClosing
	}
	for len(frames) > 0 {
		n, err := s.writeSome(&frames)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && goOn(n):
			if err := s.Conn.SetWriteDeadline(time.Time{}); err != nil {
				s.broken = true
				return err
			}
		default:
			s.broken = true
			return err
		}
	}
	return nil
}

// writeSome writes from the front of frames and drops from it what was taken.
func (s *socket) writeSome(frames *net.Buffers) (int, error) {
	if len(*frames) > 1 {
		n, err := frames.WriteTo(s.Conn)
		return int(n), err
	}
	n, err := s.Conn.Write((*frames)[0])
	if n == len((*frames)[0]) {
		*frames = nil
	} else {
		(*frames)[0] = (*frames)[0][n:]
	}
	return n, err
}

// probe interrupts the write under way, if any, to learn what was taken of it.
func (s *socket) probe() { _ = s.Conn.SetWriteDeadline(time.Unix(1, 0)) }

// appendHeader appends the header of an unmasked, unfragmented frame with n
// bytes of payload (RFC 6455 §5.2).
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}
