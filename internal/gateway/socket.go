package gateway

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"ysync/internal/invariant"
)

// Classes of failure of a socket.
var (
	// errClosing: the close frame is out, and nothing may follow it (RFC 6455
	// §5.5.1).
	errClosing = errors.New("the connection is closing")
	// errWait: the write would have to wait.
	errWait = errors.New("the peer does not take more now")
)

// opcodes (RFC 6455 §5.2), each with the bit of a final fragment.
const (
	frameBinary = 0x80 | 2
	frameClose  = 0x80 | 8
	framePong   = 0x80 | 10
)

// maxHeader is the longest header of an unmasked frame.
const maxHeader = 10

// socket is a connection on which whole frames are written, and which can wait
// for input without a buffer. Reading is for one goroutine; all else may be
// called from any.
type socket struct {
	net.Conn
	// rc gives the file descriptor; nil where the system or the transport has
	// none that can be used.
	rc syscall.RawConn
	// meter counts what the transport takes; nil where a write can be
	// interrupted to learn that.
	meter *meter

	// Owned by the reader.
	in       *bufio.Reader // the WebSocket library's
	ahead    []byte        // read and not consumed yet
	pooled   *[]byte       // what ahead is a part of; nil if it is not pooled
	tryAhead func(fd uintptr) bool
	// dry: a read failed or met the end.
	dry atomic.Bool

	// turn is for who writes. It is held while a write waits for the peer.
	turn baton
	// Guarded by turn.
	control []byte // a control frame of which the rest is to come
	closing bool   // a close frame was written
	broken  bool   // part of a frame was written and the rest was not
}

// ahead is what a try to read brought.
type ahead uint8

const (
	aheadNothing ahead = iota // nothing has come
	aheadAll                  // all that had come
	aheadSome                 // as much as there was room for
	aheadOver                 // the next read will tell what is wrong
)

// takeMessage takes a message off what was read ahead, if it is there whole and
// in one frame. Everything else is for the WebSocket library: control frames,
// fragments, what came in part, and what breaks the protocol. It must be called
// between two messages. The memory is the caller's.
func (s *socket) takeMessage() (message []byte, ok bool) {
	b := s.ahead
	if len(b) < 6 || b[0] != frameBinary || b[1] < 0x80 || s.in.Buffered() > 0 {
		return nil, false
	}
	n, at := int(b[1]&0x7f), 6
	switch {
	case n == 127 || n == 126 && len(b) < 8:
		return nil, false
	case n == 126:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 8
	}
	if len(b) < at+n {
		return nil, false
	}
	message = make([]byte, n)
	unmask(message, b[at:at+n], [4]byte(b[at-4:at]))
	if s.ahead = b[at+n:]; len(s.ahead) == 0 {
		s.releaseAhead()
	}
	return message, true
}

// unmask copies the payload of a frame without its mask (RFC 6455 §5.3).
func unmask(dst, src []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^k)
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] = b ^ key[i&3]
	}
}

// await calls try once and whenever something may have come, until it says that
// waiting is over. It needs little stack. What was read ahead already ends it at once.
func (s *socket) await(try func(fd uintptr) (over bool)) error {
	if s.rc == nil || len(s.ahead) > 0 || s.in.Buffered() > 0 {
		return nil
	}
	return s.rc.Read(try)
}

// Read takes what was read ahead first. It notes the end of what can be read:
// the WebSocket library reports the end of the transport inside a message as
// the end of the message.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
			s.releaseAhead()
		}
		return n, nil
	}
	n, err := s.Conn.Read(p)
	if err != nil {
		s.dry.Store(true)
	}
	return n, err
}

func (s *socket) releaseAhead() {
	s.ahead = nil
	if s.pooled != nil {
		smallBuffers.Put(s.pooled)
		s.pooled = nil
	}
}

// Write takes a control frame of the WebSocket library, in one piece or two.
func (s *socket) Write(piece []byte) (int, error) {
	s.turn.take()
	defer s.turn.give()
	s.control = append(s.control, piece...)
	invariant.Assert(s.control[0]&0x88 == 0x88, "the WebSocket library wrote something other than a control frame")
	if len(s.control) < 2 || len(s.control) < 2+int(s.control[1]) {
		return len(piece), nil
	}
	frame := s.control
	s.control = nil
	if err := s.writeControl(frame); err != nil {
		return 0, err
	}
	return len(piece), nil
}

// writeControl writes one control frame, under turn.
func (s *socket) writeControl(frame []byte) error {
	if s.closing || s.broken {
		return errClosing
	}
	s.closing = frame[0] == frameClose
	_, err := s.Conn.Write(frame)
	s.broken = err != nil
	return err
}

// writeClose writes a close frame, unless one is out already.
func (s *socket) writeClose(code int, reason string) error {
	frame := appendHeader(nil, frameClose, 2+len(reason))
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(code)), reason...)
	s.turn.take()
	defer s.turn.give()
	return s.writeControl(frame)
}

// tryFrames writes bytes that are whole frames as far as the peer takes them
// at once, and drops from a what was taken. The error is errWait if
// something is left: writeFrames must go on with it, and be given held.
func (s *socket) tryFrames(a *attempt) (held turn, err error) {
	if s.rc == nil || !s.turn.tryTake() {
		return turnFree, errWait
	}
	switch {
	case s.closing || s.broken:
		err = errClosing
	default:
		if err = s.tryWrite(a); err == nil && len(a.frames) > 0 {
			// The turn is kept: nothing may come between the two parts.
			return turnHeld, errWait
		}
		s.broken = err != nil
	}
	s.turn.give()
	return turnFree, err
}

// attempt is a write that does not wait, kept so that none has to be allocated.
type attempt struct {
	frames net.Buffers // what is to be written, and then what was not
	failed error
	write  func(fd uintptr)
}

// turn tells who has a socket's turn.
type turn uint8

const (
	turnFree turn = iota
	turnHeld      // the caller
)

// writeFrames writes bytes that are whole frames, or what tryFrames left. When
// the deadline that probe set ends the write before all is taken, goOn is asked
// with what was taken since the last time, and the write goes on or ends by its
// answer.
func (s *socket) writeFrames(frames net.Buffers, held turn, goOn func(taken int) bool) error {
	if held == turnFree {
		s.turn.take()
		if s.closing || s.broken {
			s.turn.give()
			return errClosing
		}
	}
	defer s.turn.give()
	for len(frames) > 0 {
		n, err := frames.WriteTo(s.Conn)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && goOn(int(n)):
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

// consume drops the first n bytes.
func consume(frames *net.Buffers, n int) {
	for n > 0 {
		first := (*frames)[0]
		if n < len(first) {
			(*frames)[0] = first[n:]
			return
		}
		n -= len(first)
		*frames = (*frames)[1:]
	}
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
