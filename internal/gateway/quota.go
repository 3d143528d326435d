package gateway

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/limit"
	"ysync/internal/metrics"
	"ysync/internal/session"
)

// Share bounds what all sessions of one subject, or of one tenant, take
// together. 0 bounds nothing.
type Share struct {
	Connections                       int
	MessagesPerSecond, BytesPerSecond int
}

// shareBurst is how many seconds' worth of its rates a share may take at once.
const shareBurst = 5

// shares are those who share something: the subjects, or the tenants.
type shares struct {
	bound           Share
	messages, bytes limit.Rate

	mu sync.Mutex
	of map[string]*share // those with connections
}

// share is what one subject or tenant has.
type share struct {
	all             *shares
	name            string
	messages, bytes limit.Shared

	connections int // guarded by all.mu
}

func newShares(bound Share) *shares {
	return &shares{
		bound:    bound,
		messages: limit.Per(bound.MessagesPerSecond, shareBurst*bound.MessagesPerSecond),
		bytes:    limit.Per(bound.BytesPerSecond, shareBurst*bound.BytesPerSecond),
		of:       map[string]*share{},
	}
}

// enter counts a connection of name, unless there are too many, or as many as its
// token allows (0 for any number). Who has no name shares with nobody: the share
// is nil.
func (a *shares) enter(name string, allowed int) (s *share, ok bool) {
	if name == "" || a.bound == (Share{}) && allowed == 0 {
		return nil, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s = a.of[name]
	switch {
	case s == nil:
		s = &share{all: a, name: name}
		a.of[name] = s
	case a.bound.Connections > 0 && s.connections >= a.bound.Connections, allowed > 0 && s.connections >= allowed:
		return nil, false
	}
	s.connections++
	return s, true
}

// leave uncounts a connection. A nil share has none.
func (s *share) leave() {
	if s == nil {
		return
	}
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	if s.connections--; s.connections == 0 {
		delete(s.all.of, s.name)
	}
}

// spend notes a message of n bytes and returns how long to wait for the next.
func (s *share) spend(n int, now int64) time.Duration {
	if s == nil {
		return 0
	}
	return max(s.messages.Take(s.all.messages, 1, now), s.bytes.Take(s.all.bytes, n, now))
}

// join counts the connection for its subject and its tenant.
func (c *conn) join(grant *auth.Grant) *session.Close {
	var ok bool
	if c.subject, ok = c.server.subjects.enter(grant.Subject, grant.Limits.Connections); !ok {
		return c.crowded(metrics.LimitSubjectConnections, "too many connections of one subject")
	}
	if c.tenant, ok = c.server.tenants.enter(grant.Tenant, 0); !ok {
		return c.crowded(metrics.LimitTenantConnections, "too many connections of one tenant")
	}
	c.confine(grant.Limits)
	return nil
}

// confine bounds the rates of the connection as its token says.
func (c *conn) confine(l auth.Limits) {
	c.own = nil
	if l.MessagesPerSecond > 0 || l.BytesPerSecond > 0 {
		c.own = &share{all: newShares(Share{MessagesPerSecond: l.MessagesPerSecond, BytesPerSecond: l.BytesPerSecond})}
	}
}

// shares reports whether others than the session count what it sends.
func (c *conn) shares() bool { return c.subject != nil || c.tenant != nil || c.own != nil }

func (c *conn) crowded(which, why string) *session.Close {
	c.server.metrics.LimitedTotal.WithLabelValues(which).Inc()
	return session.Closef(session.CloseTooMany, "%s", why)
}

var overNames = map[session.Over]string{
	session.OverMessages: metrics.LimitSessionMessages,
	session.OverBytes:    metrics.LimitSessionBytes,
	session.OverFair:     metrics.LimitFair,
}

// pay waits until a message is paid for that was taken, and which the session
// wants wait for. The document is not kept waiting.
func (c *conn) pay(bytes int, now time.Time, wait time.Duration, over session.Over) {
	which := overNames[over]
	if at := now.UnixNano(); c.shares() {
		if w := c.subject.spend(bytes, at); w > wait {
			wait, which = w, metrics.LimitSubjectRate
		}
		if w := c.tenant.spend(bytes, at); w > wait {
			wait, which = w, metrics.LimitTenantRate
		}
		if w := c.own.spend(bytes, at); w > wait {
			wait, which = w, metrics.LimitTokenRate
		}
	}
	if wait <= 0 {
		return
	}
	c.run()
	c.slow(wait, which, now)
}

// slow holds the reader for a while, over a limit.
func (c *conn) slow(wait time.Duration, which string, now time.Time) {
	c.server.metrics.LimitedTotal.WithLabelValues(which).Inc()
	c.server.load.slowed.Add(1)
	c.watch.Load().add(Event{Time: now, Way: wayNote, Kind: "slowed", Note: "for " + wait.String() + " by the limit " + which})
	if c.slowed.CompareAndSwap(false, true) {
		c.server.log.Info("a session sends too much and is read more slowly", c.fields(
			zap.String("limit", which), zap.Duration("wait", wait))...)
	}
	c.pause(wait)
}

// payPart notes that more of a long message came, and waits until the next may be
// read.
func (c *conn) payPart(bytes int) {
	now := c.server.now()
	c.mu.Lock()
	wait := c.session.SpendPart(bytes, now)
	c.mu.Unlock()
	c.paid += bytes
	if wait <= 0 {
		return
	}
	c.unhurried() // it is not the client that is slow now
	c.slow(wait, metrics.LimitSessionBytes, now)
	c.hurried()
}

// pauseStep is how often a paused reader looks whether its connection ends.
const pauseStep = 250 * time.Millisecond

// pause holds the reader for a while.
func (c *conn) pause(wait time.Duration) {
	ctx, cancel := context.WithTimeout(c.server.ctx, wait)
	defer cancel()
	ticker := time.NewTicker(min(wait, pauseStep))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.mu.Lock()
		over := c.ending != nil
		c.mu.Unlock()
		if over {
			return
		}
	}
}
