package relay

import (
	"context"
	"errors"
	"sync"

	"ysync/internal/hub"
	"ysync/internal/tracing"
	"ysync/syncproto"
)

// Seat is a session's place at a document, wherever the document is and goes.
// It has the methods of hub.Subscription that a connection needs, and ends only
// for reasons that the session has to know of.
type Seat struct {
	// Static.
	route *route
	wake  func()

	// Has a lock of its own: what was sent to the session from elsewhere.
	out hub.Outbox

	// Guarded by route.mu. Of peer nothing changes but CanWrite.
	peer   hub.Peer
	index  int    // in route.seats
	id     uint64 // on the channel; another one with each channel
	leg    leg
	local  *hub.Subscription // while the document is here
	closed bool

	// synced: it has been sent a state; then floor is the vector of what it has
	// at least, nil if that is not known, unless it hears updates and the route
	// knows a newer one.
	synced bool
	floor  []byte
	hears  hub.Audience
	// lagging: the owner was told that the outbox is full. lost: frames were
	// dropped, so that all after floor must come again.
	lagging, lost bool
	// want is the vector of a SyncStep1 that was not answered yet.
	want []byte
	// asked is how many questions of owners the client has not answered, stale
	// how many of those are of owners before. Answers to these say nothing of what
	// the owner of now lacks.
	asked, stale int

	kept     kept
	presence ownPresence

	taking sync.Mutex
	// Guarded by taking, which may be locked with route.mu held. left is the
	// subscription that was left last: what it had queued is in out.
	left *hub.Subscription
}

// leg says how far a seat is on its way to the document.
type leg uint8

const (
	// legNone: what the client sends is kept until there is an owner.
	legNone leg = iota
	// legJoining: it is told to the owner here, by the route's goroutine.
	legJoining
	// legHere and legElsewhere: it goes to the owner at once.
	legHere
	legElsewhere
	// legOver: it has ended.
	legOver
)

// SendInTurn is that of hub.Subscription.
func (s *Seat) SendInTurn(ctx context.Context, m syncproto.Message, t *hub.Turn) error {
	r := s.route
	for {
		r.mu.Lock()
		if s.closed || s.out.Why() != nil {
			r.mu.Unlock()
			return hub.ErrEnded
		}
		if s.leg == legElsewhere {
			if wait := r.channel.full(); wait != nil {
				r.mu.Unlock()
				select {
				case <-wait:
					continue
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		break
	}
	m.Kind = s.kindOf(m.Kind)
	worth := s.note(m)
	switch s.leg {
	case legElsewhere:
		if worth {
			span := tracing.From(ctx).Child(tracing.Relay)
			r.channel.send(frame{kind: frameMessage, session: s.id, a: uint64(m.Kind), text: span.Parent(), body: m.Payload})
			span.End()
		}
		r.mu.Unlock()
		if m.Kind == syncproto.KindAck || m.Kind == syncproto.KindSyncStep1 {
			return s.out.Admit(ctx)
		}
		return nil
	case legHere:
		sub := s.local
		r.mu.Unlock()
		err := sub.SendInTurn(ctx, m, t)
		if errors.Is(err, hub.ErrEnded) && s.End() == nil {
			return nil // it was kept, and is sent to the next owner
		}
		return err
	default:
		r.mu.Unlock()
		return nil
	}
}

// kindOf makes an answer to an owner before an update like others. route.mu is
// held.
func (s *Seat) kindOf(kind syncproto.Kind) syncproto.Kind {
	if kind != syncproto.KindSyncStep2 {
		return kind
	}
	s.asked = max(0, s.asked-1)
	if s.stale == 0 {
		return kind
	}
	s.stale--
	return syncproto.KindUpdate
}

// note keeps of a message what another owner will need. It tells whether the
// message is worth sending to another node. route.mu is held.
func (s *Seat) note(m syncproto.Message) bool {
	switch m.Kind {
	case syncproto.KindSyncStep1:
		s.want = m.Payload
	case syncproto.KindUpdate, syncproto.KindSyncStep2, syncproto.KindAck:
		if s.peer.CanWrite || m.Kind == syncproto.KindAck {
			s.kept.add(m, s.leg >= legHere)
		}
	case syncproto.KindAwareness:
		if s.leg == legElsewhere && s.route.told.reflects(m.Payload, s.presence.ids) {
			s.route.relay.opt.Metrics.RelayReflectionsTotal.Inc()
			return false
		}
		s.presence.note(m.Payload)
	case syncproto.KindQueryAwareness:
	default:
		return false
	}
	return true
}

// kindRights is the kind of a message that is no client's: its body are the
// rights of a session from there on. Nodes of releases that do not know it ignore
// it; the gateway of the session has judged its messages before.
const kindRights = 200

// Allow is that of hub.Subscription.
func (s *Seat) Allow(r hub.Rights) {
	t := s.route
	t.mu.Lock()
	defer t.mu.Unlock()
	s.peer.CanWrite = r&hub.RightWrite != 0
	switch s.leg {
	case legElsewhere:
		t.channel.send(frame{kind: frameMessage, session: s.id, a: kindRights, body: []byte{byte(r)}})
	case legHere, legJoining:
		s.local.Allow(r)
	}
}

// Next is that of hub.Subscription.
func (s *Seat) Next() ([]byte, bool) {
	r := s.route
	for {
		r.mu.Lock()
		local := s.local
		r.mu.Unlock()
		if frame, drained, ok := s.out.Next(); ok {
			if drained {
				r.drained(s)
			}
			return frame, true
		}
		if local == nil {
			return nil, false
		}
		frame, ok, left := s.nextOf(local)
		if left {
			continue
		}
		if ok {
			s.passed(frame)
		}
		return frame, ok
	}
}

// nextOf takes the next frame of the hub here, unless it was left meanwhile.
func (s *Seat) nextOf(local *hub.Subscription) (frame []byte, ok, left bool) {
	s.taking.Lock()
	defer s.taking.Unlock()
	if s.left == local {
		return nil, false, true
	}
	frame, ok = local.Next()
	return frame, ok, false
}

// carry puts what a subscription that is left had queued behind what is queued
// already: all of it comes before what the next owner sends. route.mu is held.
func (s *Seat) carry(from *hub.Subscription) {
	s.taking.Lock()
	s.left = from
	s.taking.Unlock()
	for frame, ok := from.Next(); ok; frame, ok = from.Next() {
		s.answered(frame)
		s.out.Push(hub.CastChunk, frame, &s.route.relay.limits)
	}
}

// passed notes what goes out from an owner here: answers to what is kept.
func (s *Seat) passed(frame []byte) {
	if !isStep2(frame) && !isStep1(frame) && (len(frame) == 0 || frame[0] != ackType) {
		return
	}
	s.route.mu.Lock()
	defer s.route.mu.Unlock()
	s.answered(frame)
}

// ackType is the type of an acknowledgement on the wire of the clients.
const ackType = 102

// answered notes what an answer to the client settles. route.mu is held.
func (s *Seat) answered(frame []byte) {
	if isStep2(frame) {
		s.want, s.synced = nil, true
		return
	}
	if isStep1(frame) {
		s.asked++
		return
	}
	if len(frame) == 0 || frame[0] != ackType {
		return
	}
	d := syncproto.NewDecoder(frame)
	if m, ok := d.Next(); ok && m.Kind == syncproto.KindAck {
		s.kept.acked(m.Payload)
	}
}

// Progress is that of hub.Subscription.
func (s *Seat) Progress(bytes int) {
	r := s.route
	r.mu.Lock()
	local := s.local
	r.mu.Unlock()
	if local != nil {
		local.Progress(bytes)
	}
}

// End is that of hub.Subscription, but nil when the document only moves.
func (s *Seat) End() error {
	if why := s.out.Why(); why != nil {
		return why
	}
	r := s.route
	r.mu.Lock()
	local := s.local
	r.mu.Unlock()
	if local == nil {
		return nil
	}
	var why *hub.EndError
	if !errors.As(local.End(), &why) {
		return nil
	}
	if why.Code != hub.CodeRestart {
		return why
	}
	r.leave(s, local)
	return nil
}

// Close is that of hub.Subscription.
func (s *Seat) Close() {
	if s.out.Close() {
		s.route.close(s)
	}
}

// Peer returns who it is.
func (s *Seat) Peer() hub.Peer { return s.peer }
