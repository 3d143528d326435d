package hub

import (
	"time"

	"ysync/crdt"
)

// vectorEvery is how often a group is told, while there are updates, what its
// readers have. After a failure of this node they need nothing that is older.
const vectorEvery = time.Second

// joinGroup makes s, which stands for a group, a reader from now on. vector
// tells what readers of it have that were kept while the document came here
// from another owner; nil for none.
func (c *core) joinGroup(s *Subscription, vector []byte) {
	s.at.ready, s.at.from = true, c.version
	c.groups = append(c.groups, s)
	if len(vector) > 0 {
		sv, err := crdt.DecodeStateVector(vector)
		if err != nil {
			c.end(s, endGarbled)
			return
		}
		if c.knowsRetired(s, sv) {
			return
		}
		for chunk := range c.doc.Chunks(sv, c.limits.ChunkBytes) {
			c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: c.updateFrame(chunk)}})
		}
	}
	if c.presence.Len() > 0 {
		c.showPresence(s)
	}
	c.tellVector(s)
}

// tellVector tells a group what its readers have been sent.
func (c *core) tellVector(s *Subscription) {
	s.at.asked = c.now
	c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: c.vectorNow(), class: classVector}})
}

// tellVectors tells the groups for which it is time, at the end of what a step
// relays: before, some had not been sent all of it.
func (c *core) tellVectors() {
	for _, s := range c.groups {
		if s.at.lag == nil && c.now.Sub(s.at.asked) >= vectorEvery {
			c.tellVector(s)
		}
	}
}

// vectorNow encodes the present state vector.
func (c *core) vectorNow() []byte { return crdt.AppendStateVector(nil, c.doc.StateVector()) }

// resume makes s a member whose client was kept while the document changed its
// owner. It is asked for its state only if need be: thousands may resume at once.
func (c *core) resume(s *Subscription) {
	join := s.peer.Join
	if join&JoinCurrent != 0 && s.group != nil && !s.peer.Echo {
		// The vector of its group was judged for it.
		s.at.ready, s.at.from, s.at.judged = true, c.version, true
	}
	c.hears(s)
	if join&JoinShow != 0 && c.presence.Len() > 0 {
		c.unshown = append(c.unshown, s)
	}
	if !s.at.writes {
		return
	}
	switch {
	case join&JoinOwes != 0:
		s.at.owes, s.at.tries = true, 0
		c.chaseLater(s)
	case join&JoinAsked != 0:
		c.ask(s)
	}
}

// hears tells the group of s what s hears from now on, if that has changed.
// Whoever changes ready or lag of a member calls it.
func (c *core) hears(s *Subscription) {
	if !s.relayed() || s.gone() {
		return
	}
	var a Audience
	if s.at.lag == nil {
		a = HearsPresence
		if s.at.ready && !s.peer.Echo {
			a |= HearsUpdates
		}
	}
	if a == s.at.audience {
		return
	}
	s.at.audience = a
	c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: audienceFrames[a], class: classAudience}})
}

// cast puts a frame of the step under way into a group's queue, for all but some.
func (c *core) cast(s *Subscription, frame []byte, cl class, but []*Subscription) {
	var e *except
	for _, b := range but {
		if b != nil && b.group == s.group {
			if e == nil {
				e = new(except)
			}
			e.sessions = append(e.sessions, b.peer.Session)
		}
	}
	c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: cl}, but: e})
}

// lagLater notes that a member's queue at another node is full. It is heeded
// after what this step relays, which the member still gets.
func (c *core) lagLater(s *Subscription) { c.laggards = append(c.laggards, s) }

func (c *core) heedLaggards() {
	for _, s := range c.laggards {
		c.lagging(s)
	}
	clear(c.laggards)
	c.laggards = c.laggards[:0]
}

// lagMark is what s is known to have when its queue turns out to be full. What
// its group was not sent, it was not sent.
func (c *core) lagMark(s *Subscription) (*mark, uint64) {
	if s.relayed() && s.group.self.at.lag != nil {
		return s.group.self.at.lag, s.group.self.at.presenceLag
	}
	return c.markNow(), c.lag.seq
}

// noteKnown tells every member that is about to end with the document what its
// client is known to have: what it was sent up to the step before. Of those for
// whom this step made anything it is not known, as that is not sent any more.
func (c *core) noteKnown() {
	if len(c.batch.list) > 0 && !c.batch.many {
		return
	}
	missed := make(map[*Subscription]bool, len(c.fx.out))
	for i := range c.fx.out {
		missed[c.fx.out[i].sub] = true
	}
	c.noteVector(c.vectorBefore(), missed)
}

// noteSent is noteKnown at the end of a step whose frames are sent.
func (c *core) noteSent() { c.noteVector(c.vectorNow(), nil) }

func (c *core) noteVector(now []byte, missed map[*Subscription]bool) {
	encoded := map[*mark][]byte{}
	for _, s := range c.subs {
		switch m := s.at.lag; {
		case !s.at.ready || missed[s] || s.relayed() && missed[&s.group.self]:
		case s.peer.Echo && len(c.held) > 0:
			// What waits for its commit was not sent.
		case m != nil:
			if encoded[m] == nil {
				encoded[m] = crdt.AppendStateVector(nil, m.state)
			}
			s.known = encoded[m]
		default:
			s.known = now
		}
	}
}

// vectorBefore encodes the state vector before the step under way.
func (c *core) vectorBefore() []byte {
	if c.batch.many {
		return crdt.AppendStateVector(nil, c.batch.before)
	}
	return c.vectorNow()
}
