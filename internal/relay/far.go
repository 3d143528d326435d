package relay

import (
	"slices"

	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/syncproto"
)

// far is a route's end of a channel. What comes after the route has let go of
// the channel is ignored.
type far struct {
	route   *route
	channel *channel
}

// receive implements receiver.
func (f *far) receive(in frame, bytes int) {
	t := f.route
	t.mu.Lock()
	moved := false
	if t.channel == f.channel {
		moved = t.receive(&in)
	}
	t.mu.Unlock()
	f.channel.took(bytes)
	if moved {
		t.relay.opt.Directory.Moved(t.document)
	}
}

// broken implements receiver.
func (f *far) broken() {
	t := f.route
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.channel == f.channel {
		t.relay.opt.Metrics.RelayReattachTotal.Inc()
		t.detach()
	}
}

// receive takes in a frame of the owner. It tells whether the owner said that it
// is not the owner. mu is held.
func (t *route) receive(f *frame) (moved bool) {
	switch f.kind {
	case frameOpened:
		t.opened = true
	case frameRefused:
		return t.moved()
	case frameGone:
		return t.gone(f)
	case frameCast:
		t.failures = 0
		t.cast(f)
	case frameAudience, frameSingle, frameEnd:
		if s := t.byID[f.session]; s != nil {
			t.forOne(s, f)
		}
	default:
		t.relay.opt.Logger.Error("a frame of the wrong side", zap.Uint8("kind", uint8(f.kind)))
	}
	return false
}

// moved lets go of the channel to look for the owner again. mu is held.
func (t *route) moved() bool {
	c := t.channel
	t.failures++
	t.relay.opt.Metrics.RelayReattachTotal.Inc()
	t.detach()
	c.abandon()
	return true
}

// gone: the owner has ended all subscriptions.
func (t *route) gone(f *frame) (moved bool) {
	if f.a == hub.CodeRestart {
		if len(f.body) > 0 {
			t.vector = f.body
		}
		return t.moved()
	}
	c := t.channel
	why := &hub.EndError{Code: int(f.a), Reason: f.text}
	again := false
	for _, s := range slices.Clone(t.seats) {
		switch {
		case s.leg != legElsewhere:
		case f.a == hub.CodeReset && !s.synced:
			// It was given nothing of what is over, and comes back at once: others,
			// of before, may have been what the owner ended all for.
			delete(t.byID, s.id)
			t.unseat(s)
			again = true
		default:
			t.finish(s, why)
		}
	}
	t.channel, t.opened = nil, false
	c.abandon()
	if again {
		t.look()
	}
	return false
}

// finish ends a seat. mu is held.
func (t *route) finish(s *Seat, why *hub.EndError) {
	delete(t.byID, s.id)
	s.leg, s.hears = legOver, 0
	s.out.End(why)
	s.wake()
}

// cast hands on what goes to everybody.
func (t *route) cast(f *frame) {
	need := hub.HearsUpdates
	switch kind := hub.CastKind(f.a); kind {
	case hub.CastVector:
		t.vector = f.body
		return
	case hub.CastPresence:
		need = hub.HearsPresence
		t.told.note(f.body)
		fallthrough
	case hub.CastUpdate:
		n := 0
		for _, s := range t.seats {
			if kind == hub.CastPresence && !s.peer.CanPresence {
				continue
			}
			if s.hears&need != 0 && s.leg == legElsewhere && (len(f.list) == 0 || !slices.Contains(f.list, s.id)) {
				t.push(s, kind, f.body)
				n++
			}
		}
		t.relay.opt.Metrics.RelayDeliveriesTotal.Add(float64(n))
	}
}

// push puts a frame into a seat's outbox.
func (t *route) push(s *Seat, kind hub.CastKind, body []byte) {
	if s.lost && kind != hub.CastControl {
		return
	}
	wake, full, lost := s.out.Push(kind, body, &t.relay.limits)
	switch {
	case lost:
		s.lost = true
		if s.hears&hub.HearsUpdates != 0 {
			s.floor = t.vector
		}
	case full && !s.lagging && s.hears != 0:
		s.lagging = true
		t.channel.send(frame{kind: frameLag, session: s.id})
	}
	if wake {
		s.wake()
	}
}

// forOne takes in what is for one seat.
func (t *route) forOne(s *Seat, f *frame) {
	switch f.kind {
	case frameAudience:
		t.hear(s, hub.Audience(f.a))
	case frameSingle:
		s.answered(f.body)
		// What goes to an echo session waited for its commit: the vector is ahead.
		if s.want == nil && s.floor == nil && !s.peer.Echo && isStep2(f.body) {
			s.floor = t.vector
		}
		if hub.CastKind(f.a) == hub.CastPresence {
			t.told.note(f.body)
		}
		t.push(s, hub.CastKind(f.a), f.body)
	case frameEnd:
		if f.a == hub.CodeRestart {
			// This one alone: it starts again.
			delete(t.byID, s.id)
			t.unseat(s)
			t.look()
			return
		}
		t.finish(s, &hub.EndError{Code: int(f.a), Reason: f.text})
	}
}

// hear changes what a seat hears.
func (t *route) hear(s *Seat, a hub.Audience) {
	before := s.hears
	s.hears = a
	switch {
	case a&hub.HearsUpdates != 0:
		s.synced, s.lagging = true, false
		s.want = nil
	case a == 0:
		if before&hub.HearsUpdates != 0 && !s.lost {
			s.floor = t.vector
		}
		if s.out.Watch() {
			t.tellDrained(s)
		}
	}
}

// drained is called when a seat's outbox has become empty, if somebody waits for
// that.
func (t *route) drained(s *Seat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.leg != legElsewhere:
	case s.hears == 0:
		t.tellDrained(s)
	case !s.lost:
		// What an echo session was sent in chunks waited for its commit, and it
		// hears things again.
		t.channel.send(frame{kind: frameDrained, session: s.id})
	}
}

// tellDrained has the owner go on with a seat. mu is held.
func (t *route) tellDrained(s *Seat) {
	if s.lost {
		s.lost = false
		v := s.floor
		if v == nil {
			v = emptyVector
		}
		t.channel.send(frame{kind: frameMessage, session: s.id, a: uint64(syncproto.KindSyncStep1), body: v})
	}
	t.channel.send(frame{kind: frameDrained, session: s.id})
}

// isStep2 tells whether a frame for a client is a SyncStep2.
func isStep2(frame []byte) bool { return len(frame) >= 2 && frame[0] == 0 && frame[1] == 1 }

// isStep1 tells whether a frame for a client is a SyncStep1.
func isStep1(frame []byte) bool { return len(frame) >= 2 && frame[0] == 0 && frame[1] == 0 }
