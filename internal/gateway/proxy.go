package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// fromProxy puts the client's address in place of the proxy's, if the request
// comes from a proxy that is trusted to say it. Of the addresses that are
// listed the last counts that no trusted proxy has: those before it are what
// the client claims.
func (s *Server) fromProxy(r *http.Request) {
	if len(s.options.Proxies) == 0 {
		return
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !s.trusts(peer.Addr()) {
		return
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		at, err := netip.ParseAddr(hop)
		if err != nil {
			withPort, portErr := netip.ParseAddrPort(hop)
			if portErr != nil {
				return // what is before it cannot be trusted either
			}
			at = withPort.Addr()
		}
		r.RemoteAddr = netip.AddrPortFrom(at.Unmap(), 0).String()
		if !s.trusts(at) {
			return
		}
	}
}

func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.options.Proxies, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
}
