package gateway

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unackedFor is how long sent data may go unacknowledged by the peer's
	// kernel. Without it a peer that vanished is noticed after a quarter of an
	// hour, as keepalive frames fill the socket's buffer too slowly.
	unackedFor = 60 * time.Second
	// unsentBytes is how much may wait in the kernel beside what is on the
	// wire. What waits here instead can still be merged for a slow reader.
	unsentBytes = 128 << 10
)

// socketOptions sets what accepted connections inherit from the listener.
func socketOptions(fd uintptr) error {
	err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedFor.Milliseconds()))
	if err != nil {
		return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", err)
	}
	err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	return os.NewSyscallError("setsockopt TCP_NOTSENT_LOWAT", err)
}
