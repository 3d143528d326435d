//go:build linux || darwin

package gateway

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// initRaw finds the file descriptor's access, if the connection has one.
func (s *socket) initRaw() {
	sc, ok := s.Conn.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	s.rc = rc
	s.tryAhead = func(fd uintptr) bool { return s.readAhead(fd) != aheadNothing }
}

// readAhead reads once.
func (s *socket) readAhead(fd uintptr) ahead {
	buf := smallBuffers.Get().(*[]byte)
	for {
		n, err := readNow(int(fd), *buf)
		switch {
		case err == unix.EINTR:
			continue
		case n > 0:
			s.ahead, s.pooled = (*buf)[:n], buf
			if n < len(*buf) {
				return aheadAll
			}
			return aheadSome
		default:
			smallBuffers.Put(buf)
			if err == unix.EAGAIN {
				return aheadNothing
			}
			return aheadOver
		}
	}
}

// tryWrite writes what the kernel takes without waiting.
func (s *socket) tryWrite(a *attempt) error {
	if a.write == nil {
		a.write = a.writeTo
	}
	a.failed = nil
	// Control is enough: nothing waits, and whoever has the turn is alone.
	if err := s.rc.Control(a.write); err != nil {
		return err
	}
	return a.failed
}

func (a *attempt) writeTo(fd uintptr) {
	for len(a.frames) > 0 {
		n, err := writeOnce(int(fd), a.frames)
		if n > 0 {
			consume(&a.frames, n)
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return
		default:
			a.failed = err
			return
		}
	}
}

func writeOnce(fd int, frames net.Buffers) (int, error) {
	if len(frames) == 1 {
		return sendNow(fd, frames[0])
	}
	return unix.Writev(fd, frames)
}
