package gateway

import (
	"context"
	"errors"
	"net/netip"

	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/session"
	"ysync/syncproto"
)

// rightsOf are the rights of a scope at the hub.
func rightsOf(s auth.Scope) (r hub.Rights) {
	if s.Allows(auth.Edit) {
		r |= hub.RightWrite
	}
	if s.Allows(auth.Show) {
		r |= hub.RightPresence
	}
	return r
}

// judge has a token judged for the connection's document.
func (c *conn) judge(ctx context.Context, token string) (auth.Grant, error) {
	now := c.server.now()
	remote, _ := netip.ParseAddrPort(c.remote)
	grant, err := c.server.options.Auth.Authorize(ctx, auth.Request{Document: c.document, Token: token, Remote: remote, Now: now})
	if err == nil {
		err = grant.Check(auth.Look, c.document, now)
	}
	return grant, err
}

// closeFor says how a connection ends that is not let in.
func (c *conn) closeFor(err error) *session.Close {
	switch {
	case errors.Is(err, auth.ErrToken):
		return session.Closef(session.CloseUnauthorized, "%v", err)
	case errors.Is(err, auth.ErrDenied):
		return session.Closef(session.CloseForbidden, "%v", err)
	default:
		c.server.log.Error("no client can be authorised", c.fields(zap.Error(err))...)
		return session.Closef(session.CloseUnavailable, "nobody can be let in now, try again later")
	}
}

// welcome notes who the client is and counts it among its like.
func (c *conn) welcome(grant auth.Grant) *session.Close {
	if crowded := c.join(&grant); crowded != nil {
		return crowded
	}
	c.peer.Session = c.id
	c.peer.Subject = grant.Subject
	c.peer.CanWrite = grant.Scope.Allows(auth.Edit)
	c.peer.CanPresence = grant.Scope.Allows(auth.Show)
	c.peer.User = grant.User
	c.peer.Generation = grant.Generation
	if c.server.options.Rulings != nil {
		c.grant = &grant
	}
	c.server.options.Audit.Opened(c.document, grant, c.remote, c.id)
	return nil
}

var tokenTaken = syncproto.AppendAuthGranted(nil)

// present takes a token that came in a message. It is called by the reader.
func (c *conn) present(token string) {
	grant, err := c.judge(c.server.ctx, token)
	c.mu.Lock()
	begins, over := c.session.Locked(), c.ending != nil
	c.mu.Unlock()
	switch {
	case over:
	case begins && err == nil:
		if why := c.welcome(grant); why != nil {
			c.refuse(why)
			return
		}
		c.mu.Lock()
		c.session.Unlock(grant)
		c.mu.Unlock()
		c.do(session.Step{Frame: tokenTaken})
		c.rejudge()
	case begins:
		c.refuse(c.closeFor(err))
	case err != nil:
		// What it had still counts, to its end.
		c.deny(err.Error())
	case grant.Subject != c.peer.Subject || grant.Generation != c.peer.Generation:
		c.deny("the token is for somebody else, or another generation: connect again")
	default:
		c.mu.Lock()
		if c.grant != nil {
			c.grant = &grant
		}
		c.session.Renew(grant.Expiry)
		c.mu.Unlock()
		c.confine(grant.Limits)
		c.do(session.Step{Frame: tokenTaken})
		c.rescope(grant.Scope)
	}
}

// rejudge applies the rulings of now to a living session.
func (c *conn) rejudge() {
	if c.server.options.Rulings == nil {
		return
	}
	c.mu.Lock()
	if c.grant == nil || c.ending != nil {
		c.mu.Unlock()
		return
	}
	grant := *c.grant
	c.mu.Unlock()
	grant.Scope = grant.Granted
	c.rescope(c.server.options.Rulings.Left(grant, c.document, c.server.now()))
}

// rescope changes what a living session may do.
func (c *conn) rescope(scope auth.Scope) {
	c.server.rescoping.Lock() // so that the document hears of changes in their order
	c.mu.Lock()
	step, changed := c.session.Rescope(scope)
	sub := c.sub
	c.mu.Unlock()
	if changed && step.Close == nil && sub != nil {
		sub.Allow(rightsOf(scope))
	}
	c.server.rescoping.Unlock()
	if changed {
		c.server.metrics.RightsChangedTotal.Inc()
		c.server.log.Info("the rights of a session have changed", c.fields(zap.Stringer("scope", scope))...)
		c.do(step)
	}
}

// obey applies rulings as they come, until the server stops.
func (s *Server) obey() {
	defer s.sweeping.Done()
	for {
		changed := s.options.Rulings.Changed()
		s.connections.each((*conn).rejudge)
		select {
		case <-changed:
		case <-s.ctx.Done():
			return
		}
	}
}
