package auth

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Classes of refusal in open mode.
var (
	// ErrNotLoopback: the address to listen on can be reached from elsewhere.
	ErrNotLoopback = errors.New("not a loopback address")
	// ErrForeignHost: the request names a host that is not this machine. A
	// page of another site that points its own name at 127.0.0.1 sends such.
	ErrForeignHost = errors.New("foreign host name")
	// ErrForeignOrigin: a page of another site makes the request.
	ErrForeignOrigin = errors.New("foreign origin")
)

// CheckListen refuses an address to listen on ("host:port") unless it is
// certain to be loopback. A name other than localhost is refused unresolved:
// what it resolves to may change.
func CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	if isLoopbackName(host) {
		return nil
	}
	return fmt.Errorf("%w: %q: without keys the server lets everyone read and write everything, "+
		"so it listens on 127.0.0.1, [::1] or localhost only", ErrNotLoopback, address)
}

// CheckHost refuses the Host header of a request unless it names the loopback
// interface, on any port. It is what stops DNS rebinding.
func CheckHost(hostport string) error {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if isLoopbackName(host) {
		return nil
	}
	return fmt.Errorf("%w %q", ErrForeignHost, clip(hostport))
}

// CheckOrigin refuses the Origin header of a request unless it is absent (no
// browser) or of the loopback interface: development servers run on any
// scheme and port there. The opaque origin "null" is foreign, as any page can
// take it by a sandboxed frame.
func CheckOrigin(origin string) error {
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && isLoopbackName(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%w %q", ErrForeignOrigin, clip(origin))
}

// isLoopbackName reports whether host is a loopback address or a name that
// RFC 6761 reserves for it. No look-up is made.
func isLoopbackName(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// clip bounds what a stranger can put into a log line.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
