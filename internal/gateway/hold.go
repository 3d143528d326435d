package gateway

import (
	"net/netip"
	"sync"
	"time"

	"ysync/internal/session"
)

// Clients of y-websocket before 3.1 dial again whatever the close code, so
// one that is refused is kept waiting for its close, twice as long each time.
const (
	firstHold  = 250 * time.Millisecond
	lastHold   = 15 * time.Second
	forgetHold = time.Minute // without a refusal
	maxHolds   = 10_000      // addresses that are remembered
)

// refuse tells a client that it may not come in, and ends its connection after
// a while in which nothing that it sends is looked at.
func (c *conn) refuse(why *session.Close) {
	if why.Code == session.CloseUnauthorized || why.Code == session.CloseForbidden {
		c.deny(why.Reason)
		c.server.options.Audit.Refused(c.document, c.remote, c.id, why.Code, why.Reason)
	}
	c.mu.Lock()
	c.session.Closed()
	c.mu.Unlock()
	remote, _ := netip.ParseAddrPort(c.remote)
	time.AfterFunc(c.server.holds.next(remote.Addr(), c.server.now()), func() { c.end(why) })
}

// holds remembers who was refused lately. Only the refused wait: others from the
// same address do not notice.
type holds struct {
	mu   sync.Mutex
	last map[netip.Addr]refusal
}

type refusal struct {
	at   time.Time
	hold time.Duration
}

// next is how long a refused client at this address waits.
func (h *holds) next(address netip.Addr, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = map[netip.Addr]refusal{}
	}
	hold := firstHold
	before, known := h.last[address]
	if known && now.Sub(before.at) < forgetHold+before.hold {
		hold = min(2*before.hold, lastHold)
	}
	if !known && len(h.last) >= maxHolds {
		for other := range h.last { // whichever comes first
			delete(h.last, other)
			break
		}
	}
	h.last[address] = refusal{now, hold}
	return hold
}
