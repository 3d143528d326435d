package hub

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"time"

	"ysync/awareness"
	"ysync/syncproto"
)

// said is what one step changed of the presence.
type said struct {
	count int
	// from sent the only message and relay is what was accepted of it; both nil
	// when there were several.
	from  *Subscription
	relay []byte
	ids   []uint64            // each once
	known map[uint64]struct{} // ids; only looked up in
	// due is when it may be told; the zero time for at once.
	due time.Time
}

// What is told to very many comes together: the number of frames grows with
// that of those who speak times that of those who listen, and stock clients send
// every one of them back.
const (
	presenceCrowd = 64                     // up to so many sessions it is told at once
	presenceEach  = 200 * time.Microsecond // above, so much apart for each of them
	presenceApart = 250 * time.Millisecond // and at most
)

// presenceRest is how far apart what is said is told.
func (c *core) presenceRest() time.Duration {
	if len(c.subs) <= presenceCrowd {
		return 0
	}
	return min(time.Duration(len(c.subs))*presenceEach, presenceApart)
}

// awareness takes in an awareness update.
func (c *core) awareness(s *Subscription, update []byte) {
	if !s.peer.CanPresence {
		return
	}
	if s.peer.User != "" {
		// What is accepted of it is what it may say; what it only sends back is not.
		change := s.stamp
		if c.limits.VerifyUser {
			change = c.verify(s)
		}
		stamped, err := awareness.Modify(update, change)
		if err != nil {
			c.garble(s)
			return
		}
		update = stamped
	}
	before := c.presence.Len()
	out, err := c.presence.Apply(s.peer.Session, s.peer.Subject, update, c.now)
	if err != nil {
		c.garble(s)
		return
	}
	if len(out.Refused) == 0 {
		c.announce(s, update)
	}
	c.opt.count.presence.Add(float64(c.presence.Len() - before))
	if out.Repair != nil {
		frame := syncproto.AppendAwareness(nil, out.Repair)
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: classPresence}})
	}
	for _, r := range out.Refused {
		c.opt.count.presenceRefused.WithLabelValues(r.Reason.Label()).Inc()
	}
	if out.Relay == nil {
		return
	}
	b := &c.said
	b.count++
	if b.count == 1 {
		b.from, b.relay = s, out.Relay
	} else {
		b.from, b.relay = nil, nil
	}
	for _, id := range out.Accepted {
		if _, twice := b.known[id]; twice {
			continue
		}
		if b.known == nil {
			b.known = make(map[uint64]struct{})
		}
		b.known[id] = struct{}{}
		b.ids = append(b.ids, id)
	}
}

// relayPresence tells everybody what changed: the newest state of each client,
// once. A session does not hear what it said itself, unless others spoke too. Then
// it shows everything to those who were kept while the document came here: the owner
// before may have been told of others, or died with what they said last.
func (c *core) relayPresence() {
	if next := c.presence.NextExpiry(); !next.IsZero() && !c.now.Before(next) {
		before := c.presence.Len()
		if removed := c.presence.Expire(c.now); removed != nil {
			d := awareness.NewDecoder(removed)
			for e, ok := d.Next(); ok; e, ok = d.Next() {
				c.notePresence(e.ClientID)
			}
			c.tellPresence(syncproto.AppendAwareness(nil, removed), nil)
		}
		c.opt.count.presence.Add(float64(c.presence.Len() - before))
	}
	b := &c.said
	if b.count == 0 && len(c.unshown) == 0 {
		return
	}
	if c.now.Before(b.due) {
		b.from, b.relay = nil, nil
		return
	}
	if b.count > 0 {
		relay := b.relay
		if relay == nil {
			relay = c.presence.AppendStates(nil, b.ids...)
		}
		c.notePresence(b.ids...)
		c.tellPresence(syncproto.AppendAwareness(make([]byte, 0, len(relay)+8), relay), b.from)
	}
	c.showPresence(c.unshown...)
	clear(c.unshown)
	c.unshown = c.unshown[:0]
	clear(b.known)
	*b = said{ids: b.ids[:0], known: b.known, due: c.now.Add(c.presenceRest())}
}

// stamp puts the user of s into a state. A state that is no object has no place
// for it, and shows nobody.
func (s *Subscription) stamp(_ uint64, state []byte) ([]byte, error) {
	stamped, err := awareness.SetField(state, "user", []byte(s.peer.User))
	if errors.Is(err, awareness.ErrNotObject) {
		return state, nil
	}
	return stamped, err
}

// verify lets a state pass that says of s what its token says, or nothing, and makes
// any other one of nobody. It is counted unless the client only sends back what others
// said.
func (c *core) verify(s *Subscription) func(uint64, []byte) ([]byte, error) {
	return func(client uint64, state []byte) ([]byte, error) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(state, &fields) != nil || fields["user"] == nil || sameJSON(fields["user"], s.peer.User) {
			return state, nil
		}
		if !s.at.owns || uint64(s.at.own) == client {
			c.opt.count.presenceRefused.WithLabelValues(presenceOtherUser).Inc()
		}
		return []byte("null"), nil
	}
}

// presenceOtherUser is the label of a presence whose user is not that of the token.
const presenceOtherUser = "user_of_somebody_else"

// sameJSON tells whether two texts are the same value.
func sameJSON(a json.RawMessage, b string) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// deaf tells whether s may not see presence. What stands for a group passes it on
// to those of it that may.
func (s *Subscription) deaf() bool { return !s.peer.CanPresence && !s.isGroup() }

func (c *core) tellPresence(frame []byte, but *Subscription) {
	for _, s := range c.subs {
		if s == but || s.at.lag != nil || s.relayed() || s.deaf() {
			continue
		}
		if s.group != nil {
			c.cast(s, frame, classPresence, []*Subscription{but})
			continue
		}
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: classPresence}})
	}
}

// showPresence sends members everybody's state, or does so when they have caught up.
func (c *core) showPresence(to ...*Subscription) {
	var frame []byte
	for _, s := range to {
		if s.gone() || s.deaf() {
			continue
		}
		if s.at.lag != nil {
			s.at.presenceLag = 0
			continue
		}
		if frame == nil {
			frame = syncproto.AppendAwareness(nil, c.presence.AppendAll(nil, c.now))
		}
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: classPresence}})
	}
}

// presenceChange says that a client's presence changed.
type presenceChange struct {
	seq    uint64
	client uint64
}

// maxPresenceChanges is how many changes are noted before those that newer ones
// replace are taken out.
const maxPresenceChanges = 1024

// notePresence notes whose presence changed for those who lag.
func (c *core) notePresence(clients ...uint64) {
	l := &c.lag
	l.seq++
	if l.lagging == 0 {
		return
	}
	for _, id := range clients {
		l.changes = append(l.changes, presenceChange{l.seq, id})
	}
	if len(l.changes) < l.tidyAt {
		return
	}
	seen := make(map[uint64]struct{}, len(l.changes))
	n := len(l.changes)
	for i := n - 1; i >= 0; i-- {
		if _, newer := seen[l.changes[i].client]; !newer {
			seen[l.changes[i].client] = struct{}{}
			n--
			l.changes[n] = l.changes[i]
		}
	}
	l.changes = slices.Delete(l.changes, 0, n)
	l.tidyAt = max(maxPresenceChanges, 2*len(l.changes))
}

// showMissedPresence sends a reader that lagged the newest state of those whose
// presence changed meanwhile.
func (c *core) showMissedPresence(s *Subscription) {
	if s.deaf() {
		return
	}
	l := &c.lag
	var update []byte
	if s.at.presenceLag == 0 {
		update = c.presence.AppendAll(nil, c.now)
	} else {
		var ids []uint64
		seen := make(map[uint64]struct{})
		for _, ch := range l.changes {
			if _, twice := seen[ch.client]; ch.seq > s.at.presenceLag && !twice {
				seen[ch.client] = struct{}{}
				ids = append(ids, ch.client)
			}
		}
		if len(ids) == 0 {
			return
		}
		update = c.presence.AppendStates(nil, ids...)
	}
	s.at.presenceLag = l.seq
	frame := syncproto.AppendAwareness(nil, update)
	c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: classPresence}})
}
