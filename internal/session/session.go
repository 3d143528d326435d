package session

import (
	"errors"
	"time"

	"ysync/internal/auth"
	"ysync/internal/limit"
	"ysync/syncproto"
)

// Session is one client on one document. It is confined to one goroutine at a
// time: its driver holds a lock around every call.
type Session struct {
	// Static.
	limits *Limits // shared by all sessions of a server, never written

	scope auth.Scope
	state state
	// inBand: the client sends tokens in messages, and is asked for a fresh one
	// before the grant ends. asked: it was.
	inBand, asked bool
	// unsaved: a write was refused for lack of the right. No acknowledgement
	// may follow, as it would say that the write is durable.
	unsaved bool

	opened time.Time
	// expires is when the grant ends; 0 for never.
	expires instant
	// sent is when a frame was last handed to the transport in full.
	sent instant

	malformed, unknown bucket
	// What was received, by the bounds on it.
	messages, bytes, fair limit.Bucket

	// The write under way; 0 when there is none.
	writing instant // start, or when it last made progress
	// The large message under way; 0 when there is none.
	large     instant
	largeRead int
}

// instant is a moment in a session's life, in nanoseconds since it began; never
// 0, so that 0 can say "none". There are many sessions, and a time.Time is
// three times as large.
type instant int64

func (s *Session) at(now time.Time) instant { return 1 + instant(max(0, now.Sub(s.opened))) }

// since is the time from an instant to now.
func (i instant) since(then instant) time.Duration { return time.Duration(i - then) }

type state uint8

const (
	// locked: nothing counts but a token.
	locked state = iota
	silent
	attached
	closed
)

// New starts a session at now. limits has its defaults filled in and is
// retained.
func New(limits *Limits, grant auth.Grant, now time.Time) Session {
	s := Session{limits: limits, state: silent, scope: grant.Scope, opened: now, sent: 1}
	s.until(grant.Expiry)
	return s
}

// NewLocked starts a session of a client that has promised to send its token in
// a message. Until Unlock nothing else of it is looked at.
func NewLocked(limits *Limits, now time.Time) Session {
	return Session{limits: limits, opened: now, sent: 1, inBand: true}
}

func (s *Session) until(expiry time.Time) {
	s.expires, s.asked = 0, false
	if !expiry.IsZero() {
		s.expires = s.at(expiry)
	}
}

// Unlock lets a locked session begin, by a grant.
func (s *Session) Unlock(grant auth.Grant) {
	if s.state == locked {
		s.state, s.scope = silent, grant.Scope
		s.until(grant.Expiry)
	}
}

// Locked reports whether the session waits for a token.
func (s *Session) Locked() bool { return s.state == locked }

// Scope is what the session may do now.
func (s *Session) Scope() auth.Scope { return s.scope }

// Renew lets the session go on until expiry.
func (s *Session) Renew(expiry time.Time) { s.until(expiry) }

// Rescope changes what the session may do from here on. What was passed on
// before stays. A session that loses everything is closed, and one whose part in
// presence changes has to begin again, as others know of it.
func (s *Session) Rescope(scope auth.Scope) (step Step, changed bool) {
	if s.state == closed || s.state == locked || scope == s.scope {
		return step, false
	}
	before := s.scope
	s.scope = scope
	switch {
	case !scope.Allows(auth.Look):
		return s.close(step, Closef(CloseUnauthorized, "the access was revoked")), true
	case scope.Allows(auth.Show) != before.Allows(auth.Show):
		return s.close(step, Closef(CloseRestart, "the rights have changed: connect again")), true
	}
	if scope.Allows(auth.Edit) {
		// Its owner acknowledges nothing before it knows what was refused.
		s.unsaved = false
	}
	return step, true
}

// Step is what the driver has to do after a call, in the order of the fields.
type Step struct {
	// Attach: subscribe to the document before anything else.
	Attach bool
	// Messages go to the document's owner, in order. Payloads alias the frame.
	Messages []syncproto.Message
	// Token was sent by the client; empty for none. Whether it is good is for the
	// driver to find out.
	Token string
	// Frame is to be written to the client, nil for none. It is shared and
	// must not be modified.
	Frame []byte
	// Probe: find out whether the write under way makes progress, and tell by
	// Progress.
	Probe bool
	// Close ends the connection, nil for not yet.
	Close *Close

	// Malformed is why the frame was set aside whole, nil if it was not.
	Malformed error
	// Unknown and Refused count messages ignored as of unknown type, and
	// dropped for lack of the right.
	Unknown, Refused int
}

// Receive takes a whole frame of the client. Messages are appended to into,
// which lets the driver reuse its space.
func (s *Session) Receive(frame []byte, into []syncproto.Message, now time.Time) Step {
	step := Step{Messages: into}
	if s.state == closed {
		return step
	}
	switch {
	case s.state == locked:
		return s.receiveToken(step, frame, now)
	case s.expires != 0 && s.at(now) >= s.expires:
		return s.close(step, expired)
	}
	first := s.state == silent
	if first && syncproto.Sniff(frame) == syncproto.Hocuspocus {
		return s.close(step, Closef(CloseDialect,
			"Hocuspocus is not supported yet: connect with y-websocket"))
	}
	if err := check(frame); err != nil {
		step.Malformed = err
		if first || s.malformed.strike(s.at(now), malformedAllowed, malformedForgive) {
			return s.close(step, Closef(CloseMalformed, "%v", err))
		}
		return step
	}
	messages := syncproto.NewDecoder(frame)
	for m, ok := messages.Next(); ok; m, ok = messages.Next() {
		switch s.judge(m) {
		case pass:
			step.Messages = append(step.Messages, m)
		case token:
			if s.unknown.strike(s.at(now), unknownAllowed, unknownForgive) {
				return s.close(step, Closef(CloseMalformed, "too many tokens"))
			}
			s.inBand, step.Token = true, string(m.Payload)
		case unknown:
			step.Unknown++
			if s.unknown.strike(s.at(now), unknownAllowed, unknownForgive) {
				return s.close(step, Closef(CloseMalformed,
					"too many messages of unknown type %d", m.Type))
			}
		case refuse:
			step.Refused++
		case unconfirmed:
			// The client's timer for an answer must not run out (y-sweet
			// reconnects after 3 s), and any message stops it.
			step.Frame = syncproto.Keepalive
		}
	}
	if first && len(step.Messages) > 0 {
		s.state = attached
		step.Attach = true
	}
	return step
}

// receiveToken takes the first frame of a locked session.
func (s *Session) receiveToken(step Step, frame []byte, now time.Time) Step {
	if s.unknown.strike(s.at(now), unknownAllowed, unknownForgive) {
		return s.close(step, Closef(CloseMalformed, "too many messages before the token"))
	}
	messages := syncproto.NewDecoder(frame)
	if m, ok := messages.Next(); ok && m.Kind == syncproto.KindAuth && len(m.Payload) > 0 {
		step.Token = string(m.Payload)
	} else {
		step.Refused++
	}
	return step
}

// check decodes the whole frame, so that a malformed one has no effect at all.
// A message of unknown type is no fault: it takes the rest of its frame.
func check(frame []byte) error {
	messages := syncproto.NewDecoder(frame)
	for _, ok := messages.Next(); ok; _, ok = messages.Next() {
	}
	if err := messages.Err(); err != nil && !errors.Is(err, syncproto.ErrUnknownType) {
		return err
	}
	return nil
}

type judgement uint8

const (
	pass judgement = iota
	unknown
	refuse
	unconfirmed
	token
)

// judge decides on one message by its kind and the scope. What is not listed
// may not come from a client.
func (s *Session) judge(m syncproto.Message) judgement {
	switch m.Kind {
	case syncproto.KindSyncStep1, syncproto.KindSyncStep2:
		// Every client answers the server's SyncStep1 with its whole delete
		// set. Whether that adds anything, and may, the document's owner knows.
		return pass
	case syncproto.KindUpdate:
		if s.scope.Allows(auth.Edit) {
			return pass
		}
		s.unsaved = true
		return refuse
	case syncproto.KindAwareness, syncproto.KindQueryAwareness:
		if s.scope.Allows(auth.Show) {
			return pass
		}
		return refuse
	case syncproto.KindAck:
		if s.unsaved {
			return unconfirmed
		}
		return pass
	case syncproto.KindAuth:
		// A fresh token.
		return token
	default:
		return unknown
	}
}

// Tick looks at what is overdue at now. It is called about once a second.
func (s *Session) Tick(now time.Time) Step {
	var step Step
	at := s.at(now)
	switch {
	case s.state == closed:
	case s.state == locked:
		if now.Sub(s.opened) >= s.limits.TokenFor {
			return s.close(step, Closef(CloseUnauthorized, "no token came"))
		}
	case s.expires != 0 && at >= s.expires:
		return s.close(step, expired)
	case s.inBand && !s.asked && s.expires != 0 && s.expires.since(at) <= renewBefore && s.writing == 0:
		s.asked = true
		step.Frame = tokenWanted
	case s.tooSlow(at):
		return s.close(step, Closef(CloseSlowSender, "a large message came too slowly"))
	case s.writing != 0:
		step.Probe = at.since(s.writing) >= s.limits.StallFor
	case s.state == silent:
		if now.Sub(s.opened) >= s.limits.SilentFor {
			s.state = attached
			step.Attach = true
		}
	case at.since(s.sent) >= s.limits.KeepaliveAfter:
		// Set here as well as when it is written: it is asked for once.
		s.sent = at
		step.Frame = syncproto.Keepalive
	}
	return step
}

var expired = Closef(CloseUnauthorized, "the token has expired")

// renewBefore is how long before the end of a grant a fresh token is asked for.
const renewBefore = time.Minute

var tokenWanted = syncproto.AppendTokenWanted(nil)

func (s *Session) close(step Step, reason *Close) Step {
	s.state = closed
	step.Messages = step.Messages[:0]
	step.Close = reason
	return step
}

// Opened is when the session began.
func (s *Session) Opened() time.Time { return s.opened }

// Attached reports whether the session has a subscription.
func (s *Session) Attached() bool { return s.state == attached }

// Closed ends the session from outside: nothing comes out of it any more.
func (s *Session) Closed() { s.state = closed }
