package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/cluster"
	"ysync/internal/fault"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/syncproto"
)

// route is the way from the sessions of this node at one document to its owner.
type route struct {
	// Static.
	relay    *Relay
	document string

	mu sync.Mutex
	// Guarded by mu.
	seats []*Seat
	byID  map[uint64]*Seat // those on channel
	// channel leads to the owner while it is another node; nil otherwise. owner
	// is that node.
	channel *channel
	owner   cluster.Node
	opened  bool // the owner has said that the document is there
	// vector is what all have that hear updates.
	vector []byte
	// told is what the owner at the end of channel has told of presence.
	told told
	// running: a goroutine looks for the owner.
	running bool
	over    bool // taken off the relay's list
	// failures counts owners that were none, since the last one that was.
	failures int
	// here is when seats were last taken to this node's hub; the zero time once
	// one of them has left it.
	here time.Time
}

// Subscribe gives a session a place at a document. It returns at once. wake is
// that of hub.Subscribe.
func (r *Relay) Subscribe(document string, p hub.Peer, wake func()) (*Seat, error) {
	if !persistence.ValidName(document) {
		return nil, hub.ErrInvalidName
	}
	s := &Seat{peer: p, wake: wake}
	for {
		t := r.route(document)
		if t == nil {
			return nil, hub.ErrClosed
		}
		s.route = t
		if t.take(s) {
			return s, nil
		}
	}
}

func (r *Relay) route(document string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	t := r.routes[document]
	if t == nil {
		t = &route{relay: r, document: document, byID: map[uint64]*Seat{}}
		r.routes[document] = t
	}
	return t
}

// take adds a seat. It returns false when the route is over.
func (t *route) take(s *Seat) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	s.index = len(t.seats)
	t.seats = append(t.seats, s)
	switch {
	case t.channel != nil:
		t.joinAs(s, 0)
	default:
		t.look()
	}
	return true
}

// look starts to look for the owner. mu is held.
func (t *route) look() {
	if t.running || t.over {
		return
	}
	t.running = true
	t.relay.work.Go(t.run)
}

// close takes a seat off.
func (t *route) close(s *Seat) {
	t.mu.Lock()
	if s.closed {
		t.mu.Unlock()
		return
	}
	s.closed = true
	local := s.local
	s.local = nil
	if s.leg == legElsewhere {
		delete(t.byID, s.id)
		t.channel.send(frame{kind: frameLeave, session: s.id})
	}
	last := len(t.seats) - 1
	t.seats[s.index] = t.seats[last]
	t.seats[s.index].index = s.index
	t.seats[last] = nil
	t.seats = t.seats[:last]
	if len(t.seats) == 0 && !t.running {
		t.end()
	}
	t.mu.Unlock()
	if local != nil {
		local.Close()
	}
}

// end takes the route off the list. mu is held; no seat is left.
func (t *route) end() {
	t.over = true
	if t.channel != nil {
		t.channel.send(frame{kind: frameClose})
		t.channel = nil
	}
	// The relay's lock is never waited for with it held the other way round.
	t.relay.mu.Lock()
	if t.relay.routes[t.document] == t {
		delete(t.relay.routes, t.document)
	}
	t.relay.mu.Unlock()
}

// leave notes that the document went away from this node.
func (t *route) leave(s *Seat, from *hub.Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.local != from || s.closed {
		return
	}
	t.leaveLocked(s)
	t.look()
}

func (t *route) leaveLocked(s *Seat) {
	from := s.local
	s.local = nil
	s.carry(from)
	if known := from.Known(); known != nil {
		s.floor = known
	}
	t.unseat(s)
	if t.here.IsZero() {
		return
	}
	// A node that is about to stop may be the owner still, and take nobody.
	if t.failures++; t.relay.opt.Now().Sub(t.here) > lastPause {
		t.failures = 0
	}
	t.here = time.Time{}
}

// unseat makes s a seat without an owner. mu is held.
func (t *route) unseat(s *Seat) {
	s.leg, s.hears, s.lagging = legNone, 0, false
	s.kept.sent = 0
	s.stale = s.asked
}

// emptyVector asks for everything.
var emptyVector = []byte{0}

// detach takes all seats off the channel. mu is held.
func (t *route) detach() {
	if t.channel == nil {
		return
	}
	t.channel, t.opened = nil, false
	for _, s := range t.byID {
		if s.hears&hub.HearsUpdates != 0 {
			s.floor = t.vector
		}
		t.unseat(s)
	}
	clear(t.byID)
	t.look()
}

// run looks for the owner until all seats are there.
func (t *route) run() {
	r := t.relay
	t.mu.Lock()
	try := t.failures
	t.mu.Unlock()
	for ; ; try++ {
		if try > 0 && !t.pause(try) {
			try = 0
		}
		t.mu.Lock()
		if len(t.seats) == 0 || r.ctx.Err() != nil {
			t.running = false
			t.end()
			t.mu.Unlock()
			return
		}
		t.sweep()
		if t.seated() {
			t.running = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		if err := t.attach(); err != nil && r.ctx.Err() == nil {
			r.opt.Logger.Debug("no owner yet", zap.String("document", t.document), zap.Error(err))
			continue
		}
		try = -1
	}
}

// sweep takes off all seats whose document went away from here, so that they
// find the next owner together. mu is held.
func (t *route) sweep() {
	for _, s := range t.seats {
		var why *hub.EndError
		if s.leg == legHere && errors.As(s.local.End(), &why) && why.Code == hub.CodeRestart {
			t.leaveLocked(s)
		}
	}
}

// seated tells whether every seat is at an owner. mu is held.
func (t *route) seated() bool {
	return !slices.ContainsFunc(t.seats, func(s *Seat) bool { return s.leg < legHere })
}

// The pauses between tries to find an owner.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// pause waits before another try. It returns false when the members changed
// meanwhile.
func (t *route) pause(try int) bool {
	limit := min(firstPause<<min(try-1, 10), lastPause)
	timer := time.NewTimer(limit/2 + t.relay.opt.Jitter(limit/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.relay.opt.Directory.Changed():
		// All that wait are woken by the same change: spread them a little.
		spread := time.NewTimer(t.relay.opt.Jitter(firstPause))
		defer spread.Stop()
		select {
		case <-spread.C:
		case <-t.relay.ctx.Done():
		}
		return false
	case <-t.relay.ctx.Done():
		return true
	}
}

var errElsewhere = errors.New("relay: the document moved meanwhile")

// attach asks who the owner is and takes the seats there.
func (t *route) attach() error {
	r := t.relay
	ctx, cancel := context.WithTimeout(r.ctx, ownerWait)
	defer cancel()
	owner, err := r.opt.Directory.Owner(ctx, t.document)
	if err != nil {
		return err
	}
	if owner.Boot == r.self {
		return t.attachHere()
	}
	l, err := r.to(ctx, owner)
	if err != nil {
		return err
	}
	return t.attachTo(owner, l)
}

// attachTo opens a channel and joins all seats. All of it goes out in one go: if
// the node is not the owner, what was sent is for nothing, and kept.
func (t *route) attachTo(owner cluster.Node, l *link) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	how := hub.JoinShow
	if t.channel == nil {
		how = 0 // the beginning of the channel shows it
		c, err := l.open(nil)
		if err != nil {
			return err
		}
		c.to = &far{t, c}
		t.channel, t.owner, t.opened, t.told = c, owner, false, told{}
		c.send(frame{kind: frameOpen, text: t.document, body: t.commonFloor()})
	}
	asked := t.witness()
	for _, s := range t.seats {
		switch {
		case s.leg != legNone:
		case s == asked:
			t.joinAs(s, how|hub.JoinAsked)
		default:
			t.joinAs(s, how)
		}
	}
	return nil
}

// witness chooses a seat that is asked what it has: of what was sent to all and
// died with the owner, it has as much as any. mu is held.
func (t *route) witness() *Seat {
	var found *Seat
	for _, s := range t.seats {
		if s.leg == legNone && s.synced && s.peer.CanWrite && (found == nil || t.current(s)) {
			found = s
			if t.current(s) {
				break
			}
		}
	}
	return found
}

// commonFloor chooses the vector that most seats have for their floor: those are
// current by it. mu is held.
func (t *route) commonFloor() []byte {
	count := map[*byte]int{}
	t.vector = nil
	most := 0
	for _, s := range t.seats {
		if s.leg != legNone || !s.settled() {
			continue
		}
		at := &s.floor[0]
		if count[at]++; count[at] > most {
			most, t.vector = count[at], s.floor
		}
	}
	return t.vector
}

// settled tells whether a seat has all that its floor tells of and waits for
// nothing. mu is held.
func (s *Seat) settled() bool {
	return s.synced && s.want == nil && !s.lost && !s.peer.Echo && len(s.floor) > 0
}

// current tells whether what a seat has is what the route's vector tells of. mu
// is held.
func (t *route) current(s *Seat) bool {
	return s.settled() && len(t.vector) > 0 && &s.floor[0] == &t.vector[0]
}

// joinAs takes a seat to the owner at the other end of the channel. mu is held.
func (t *route) joinAs(s *Seat, how hub.Join) {
	c := t.channel
	s.id = t.relay.sessions.Add(1) & sessionMask
	s.leg = legElsewhere
	t.byID[s.id] = s
	current := t.current(s)
	how |= s.join()
	s.hears = hub.HearsPresence
	if current {
		how |= hub.JoinCurrent
		s.hears |= hub.HearsUpdates
	}
	s.lagging = false
	join := frame{kind: frameJoin, session: s.id, a: rightsOf(s.peer), b: uint64(how), text: s.peer.Subject, body: []byte(s.peer.User)}
	if s.peer.Generation != 0 {
		join.list = []uint64{s.peer.Generation}
	}
	c.send(join)
	behind := s.behind()
	if current {
		behind = nil
	}
	s.lost = false
	for _, m := range append(s.greeting(behind, s.presence.last), s.again()...) {
		c.send(frame{kind: frameMessage, session: s.id, a: uint64(m.Kind), body: m.Payload})
	}
	s.kept.sent = len(s.kept.messages)
}

// join says how a seat joins its next owner. Until it has been sent a state it
// may not have been asked for anything or shown who is there: who was to do that
// may have been no owner, or have died. What is not acknowledged may be in part
// with the owner before alone, which told the client that it has that; so the
// client is asked what it has before anything is acknowledged. mu is held.
func (s *Seat) join() (how hub.Join) {
	if fault.Active(fault.NoResync) {
		return hub.JoinKept
	}
	if s.synced {
		how = hub.JoinKept
	}
	if s.kept.dropped || len(s.kept.messages) > 0 && !fault.Active(fault.ReverseKept) {
		how |= hub.JoinOwes
	}
	return how
}

// again is what is sent again. mu is held.
func (s *Seat) again() []syncproto.Message {
	switch {
	case fault.Active(fault.NoResync):
		return nil
	case fault.Active(fault.ReverseKept):
		reversed := slices.Clone(s.kept.messages)
		slices.Reverse(reversed)
		return reversed
	default:
		return s.kept.messages
	}
}

// behind is the vector by which the owner is to answer; nil if the client has
// not asked for anything yet. mu is held.
func (s *Seat) behind() []byte {
	switch {
	case s.want != nil:
		return s.want
	case s.synced && s.floor != nil:
		return s.floor
	case s.synced:
		return emptyVector
	default:
		return nil
	}
}

// attachHere subscribes all seats at this node's hub, and sends what they have
// kept.
func (t *route) attachHere() error {
	t.mu.Lock()
	if t.channel != nil {
		c := t.channel
		t.detach()
		c.abandon()
	}
	waiting := slices.Clone(t.seats)
	asked := t.witness()
	t.here = t.relay.opt.Now()
	t.mu.Unlock()
	for _, s := range waiting {
		t.mu.Lock()
		if s.closed || s.leg != legNone {
			t.mu.Unlock()
			continue
		}
		peer := s.peer
		peer.Join = s.join() | hub.JoinShow
		if s == asked {
			peer.Join |= hub.JoinAsked
		}
		sub, err := t.relay.opt.Hub.Subscribe(t.document, peer, s.wake)
		if err != nil {
			t.mu.Unlock()
			return err
		}
		s.local, s.leg = sub, legJoining
		t.mu.Unlock()
		if err := t.bring(s, sub); err != nil {
			return err
		}
	}
	return nil
}

// bring sends an owner here what a seat has kept.
func (t *route) bring(s *Seat, sub *hub.Subscription) error {
	t.mu.Lock()
	behind, presence := s.behind(), s.presence.last
	first := s.greeting(behind, presence)
	s.lost = false
	t.mu.Unlock()
	for {
		for _, m := range first {
			if err := sub.Send(t.relay.ctx, m); err != nil {
				s.End() // takes the seat off if the document has moved on
				return err
			}
		}
		t.mu.Lock()
		if s.local != sub {
			t.mu.Unlock()
			return errElsewhere
		}
		first = first[:0]
		if b, p := s.want, s.presence.last; !same(b, behind) && b != nil || !same(p, presence) {
			behind, presence = b, p
			first = s.greeting(b, p)
		}
		first = append(first, s.kept.messages[s.kept.sent:]...)
		s.kept.sent = len(s.kept.messages)
		if len(first) == 0 {
			s.leg = legHere
			t.mu.Unlock()
			// It may have ended before anybody looked at it.
			s.wake()
			return nil
		}
		t.mu.Unlock()
	}
}

// greeting is what an owner is told first of a client that it did not have.
func (s *Seat) greeting(behind, presence []byte) []syncproto.Message {
	var m []syncproto.Message
	if behind != nil {
		m = append(m, syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: behind})
	}
	if presence != nil && !fault.Active(fault.NoPresence) {
		m = append(m, syncproto.Message{Kind: syncproto.KindAwareness, Payload: presence})
	}
	return m
}

// same tells whether two slices are the same bytes in memory.
func same(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }
