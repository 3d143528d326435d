package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is the client's end of a WebSocket with as little work in it as the
// protocol allows, so that one core of clients can keep one core of server busy.
// One goroutine reads; writes may come from any.
type socket struct {
	conn net.Conn
	in   *bufio.Reader

	mu   sync.Mutex
	out  []byte
	rest []byte // what is left to be written
	rc   syscall.RawConn
	send func(fd uintptr)
}

const (
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// maxFrame bounds a received frame, in bytes: more than the largest document.
const maxFrame = 64 << 20

func dial(addr, document string, readBuffer int) (*socket, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	// The key of RFC 6455 section 1.3: any 16 bytes do.
	request := "GET /" + document + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		conn.Close()
		return nil, err
	}
	in := bufio.NewReaderSize(conn, readBuffer)
	conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	status, err := in.ReadString('\n')
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if !strings.Contains(status, fmt.Sprint(http.StatusSwitchingProtocols)) {
		conn.Close()
		return nil, fmt.Errorf("upgrade refused: %s", strings.TrimSpace(status))
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("upgrade: %w", err)
		}
		if line == "\r\n" {
			conn.SetReadDeadline(time.Time{})
			return &socket{conn: conn, in: in}, nil
		}
	}
}

// read returns the payload of the next binary message, in buf if it fits.
func (s *socket) read(buf []byte) ([]byte, error) {
	message := buf[:0]
	for {
		var head [8]byte
		if _, err := io.ReadFull(s.in, head[:2]); err != nil {
			return nil, err
		}
		final, op := head[0]&0x80 != 0, head[0]&0x0f
		n := int(head[1] & 0x7f)
		switch n {
		case 126:
			if _, err := io.ReadFull(s.in, head[:2]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint16(head[:]))
		case 127:
			if _, err := io.ReadFull(s.in, head[:8]); err != nil {
				return nil, err
			}
			n = int(binary.BigEndian.Uint64(head[:]))
		}
		if n < 0 || len(message)+n > maxFrame {
			return nil, fmt.Errorf("frame of %d bytes", n)
		}
		at := len(message)
		if cap(message) < at+n {
			message = append(make([]byte, 0, at+n), message...)
		}
		message = message[:at+n]
		if _, err := io.ReadFull(s.in, message[at:]); err != nil {
			return nil, err
		}
		switch op {
		case opPing:
			if err := s.frame(opPong, message[at:]); err != nil {
				return nil, err
			}
			message = message[:at]
			continue
		case opPong:
			message = message[:at]
			continue
		case opClose:
			return nil, closedBy(message[at:])
		}
		if final {
			return message, nil
		}
	}
}

// closedBy is the error of a close frame.
func closedBy(payload []byte) error {
	if len(payload) < 2 {
		return io.EOF
	}
	return fmt.Errorf("closed %d %s", binary.BigEndian.Uint16(payload), payload[2:])
}

func (s *socket) write(message []byte) error { return s.frame(opBinary, message) }

// frame masks with zeros: the bytes stay as they are, which RFC 6455 section
// 5.3 lets a receiver accept.
func (s *socket) frame(op byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := append(s.out[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(append(b, 0, 0, 0, 0), payload...)
	s.out = b
	return s.put(b)
}

// put writes b, without the scheduler's knowledge as far as the kernel takes it.
func (s *socket) put(b []byte) error {
	if s.rc == nil {
		var err error
		if s.rc, err = s.conn.(syscall.Conn).SyscallConn(); err != nil {
			return err
		}
		s.send = func(fd uintptr) {
			n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&s.rest[0])), uintptr(len(s.rest)), unix.MSG_NOSIGNAL, 0, 0)
			if errno == 0 {
				s.rest = s.rest[n:]
			}
		}
	}
	if s.rest = b; len(b) > 0 {
		if err := s.rc.Control(s.send); err != nil {
			return err
		}
	}
	if len(s.rest) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.rest) // it waits, or tells what is wrong
	return err
}

func (s *socket) close() { s.conn.Close() }
