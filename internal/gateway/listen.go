package gateway

import (
	"context"
	"net"
	"syscall"
)

// Listen listens for clients on a TCP address. Accepted connections take over
// the listener's options: see socketOptions.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	// The runtime would set keepalive on each accepted connection, by four calls.
	config := net.ListenConfig{KeepAlive: inheritedKeepAlive, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if controlErr := c.Control(func(fd uintptr) { err = socketOptions(fd) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	return config.Listen(ctx, "tcp", address)
}
