package gateway

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Accepted connections have the listener's keepalive and timeouts.
func TestListenerOptions(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	rc, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct{ level, option, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 60_000},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 128 << 10},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if err := rc.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), o.level, o.option); err != nil || got != o.want {
				t.Errorf("option %d: %d, %v, want %d", o.option, got, err, o.want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
