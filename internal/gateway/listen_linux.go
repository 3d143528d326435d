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
	// keepAlive is how long a connection may be silent before the kernel asks whether
	// the peer is there, keepAliveTries times in this distance.
	keepAlive      = 15 * time.Second
	keepAliveTries = 9
	// inheritedKeepAlive has the runtime leave keepalive as the listener has it.
	inheritedKeepAlive = -1
)

// socketOptions sets what accepted connections inherit from the listener.
func socketOptions(fd uintptr) error {
	for _, o := range []struct {
		name                 string
		level, option, value int
	}{
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedFor.Milliseconds())},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive.Seconds())},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAlive.Seconds())},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveTries},
	} {
		if err := unix.SetsockoptInt(int(fd), o.level, o.option, o.value); err != nil {
			return os.NewSyscallError("setsockopt "+o.name, err)
		}
	}
	return nil
}
