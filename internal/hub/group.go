package hub

import (
	"sync"

	"ysync/persistence"
)

// Group is the place at a document of all sessions that are connected to one
// other node. What goes to everybody is put into its queue once, for all of
// them; what goes to one of them alone, and when each begins and ceases to hear
// what goes to everybody, is in the same queue, in order. So whoever carries
// the queue over and keeps its order needs no other knowledge to know who gets
// what.
//
// To the core a group is a reader: when its queue is full it lags, and gets one
// diff for all when it is empty. Its methods may be called from any goroutine;
// Next from one at a time.
type Group struct {
	// self is the member that stands for the group; it has a lock of its own.
	self Subscription
	// wake is called when Next has something after it had nothing. Static.
	wake func()

	mu sync.Mutex
	// Guarded by mu.
	queue []groupItem
	head  int // items before it were taken
	bytes int // of frames for everybody
	// notify: the core wants to know when the queue is empty.
	notify bool
}

// groupItem is an entry of a group's queue.
type groupItem struct {
	kind  CastKind
	sub   *Subscription // nil: for everybody
	frame []byte
	but   *except
	// version is that of the document when the frame was made.
	version persistence.Position
}

// except are the sessions that do not get what goes to everybody.
type except struct{ sessions []uint64 }

// CastKind says what a Cast is for.
type CastKind uint8

const (
	// CastUpdate: Frame is for all who hear updates, but those in Except.
	CastUpdate CastKind = iota
	// CastPresence: Frame is for all who hear presence, but those in Except.
	CastPresence
	// CastVector: all who hear updates have been sent what Frame, a state
	// vector, tells of.
	CastVector
	// CastAudience: from here on Session hears what Audience says.
	CastAudience
	// CastSingle: Frame, about the document, is for Session.
	CastSingle
	// CastControl: Frame is for Session and must not be dropped.
	CastControl
	// CastChunk: Frame is for Session, part of something large. More comes when
	// Group.Drained was called.
	CastChunk
	// CastEnd: Session's subscription has ended; Why.
	CastEnd
	// CastGone: the group has ended, and with it all subscriptions; Why. Frame
	// is the last vector.
	CastGone
)

// Audience is what a session hears of what goes to everybody.
type Audience uint8

const (
	// HearsPresence and HearsUpdates are bits of Audience.
	HearsPresence Audience = 1 << iota
	HearsUpdates
)

// audienceFrames hold an Audience, so that it fits where a frame does.
var audienceFrames = [...][]byte{{0}, {1}, {2}, {3}}

// Cast is one thing for the other node to do, in the order of the queue.
type Cast struct {
	Kind     CastKind
	Session  uint64
	Audience Audience
	Version  persistence.Position
	Except   []uint64
	// Frame is shared and must not be modified.
	Frame []byte
	Why   *EndError
}

// Join attaches another node to a document. Its sessions follow by Subscribe.
// vector is a state vector that tells what all have that hear updates from the
// start (JoinCurrent): they get what is missing. It is nil if there are none.
// Errors and wake are as of Subscribe.
func (h *Hub) Join(document string, vector []byte, wake func()) (*Group, error) {
	if !persistence.ValidName(document) {
		return nil, ErrInvalidName
	}
	g := &Group{wake: wake}
	g.self.group = g
	g.self.wake = func() { g.add(groupItem{kind: CastGone}) }
	g.self.at.index = -1
	if !h.enter(document, command{kind: cmdSubscribe, sub: &g.self, payload: vector}) {
		return nil, ErrClosed
	}
	return g, nil
}

// Subscribe attaches a session of the node. It fails with ErrEnded when the
// group has ended.
func (g *Group) Subscribe(p Peer) (*Subscription, error) {
	s := &Subscription{peer: p, group: g}
	s.wake = func() { g.add(groupItem{kind: CastEnd, sub: s}) }
	s.at.index = -1
	d := g.self.doc
	if !d.hub.enter(d.name, command{kind: cmdSubscribe, sub: s}) {
		return nil, ErrClosed
	}
	if s.doc != d {
		// The document was dropped, and this one was loaded anew.
		s.Close()
		return nil, ErrEnded
	}
	return s, nil
}

// Lag tells that the session's queue at the other node is full. The core stops
// what it hears, and goes on with a diff when Drained was called.
func (g *Group) Lag(s *Subscription) { s.doc.post(command{kind: cmdLag, sub: s}) }

// Drained tells that the session's queue at the other node is empty after the
// session was told to hear nothing, or after a chunk.
func (g *Group) Drained(s *Subscription) {
	if _, streaming := s.out.waits(); streaming {
		g.add(groupItem{kind: CastSingle, sub: s})
		return
	}
	s.doc.post(command{kind: cmdDrained, sub: s})
}

// End returns why the group is over, nil while it lives.
func (g *Group) End() error { return g.self.End() }

// Close ends the group. Its subscriptions must be closed before.
func (g *Group) Close() { g.self.Close() }

// Next returns the next thing to do. It returns false when there is nothing
// now; wake is called when that changes.
func (g *Group) Next() (Cast, bool) {
	for {
		it, drained, ok := g.take()
		if drained {
			g.self.doc.post(command{kind: cmdDrained, sub: &g.self})
		}
		if !ok {
			return Cast{}, false
		}
		if c, ok := it.cast(); ok {
			return c, true
		}
	}
}

// turns gives what is queued behind a stream its turns, when the stream is
// through: those that it had may have gone to the stream. One too many does
// nothing.
func (g *Group) turns(s *Subscription) {
	waiting, streaming := s.out.waits()
	if streaming {
		return
	}
	g.mu.Lock()
	for range waiting {
		g.push(groupItem{kind: CastSingle, sub: s})
	}
	g.mu.Unlock()
}

func (g *Group) take() (it groupItem, drained, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.head == len(g.queue) {
		return it, false, false
	}
	it = g.queue[g.head]
	g.queue[g.head] = groupItem{}
	g.head++
	if it.sub == nil {
		g.bytes -= len(it.frame) + itemBytes
	}
	if g.head == len(g.queue) {
		if cap(g.queue) > 256 {
			g.queue = nil
		}
		g.queue, g.head = g.queue[:0], 0
		g.bytes = 0
		drained, g.notify = g.notify, false
	}
	return it, drained, true
}

// cast makes a Cast of an item. It returns false when a session's queue was
// emptied by its end.
func (it groupItem) cast() (Cast, bool) {
	c := Cast{Kind: it.kind, Frame: it.frame, Version: it.version}
	if it.but != nil {
		c.Except = it.but.sessions
	}
	if it.sub == nil {
		return c, true
	}
	c.Session = it.sub.peer.Session
	switch it.kind {
	case CastAudience:
		c.Audience, c.Frame = Audience(it.frame[0]), nil
	case CastEnd:
		c.Why = it.sub.out.end()
	case CastSingle:
		var cl class
		var ok bool
		if c.Frame, cl, _, ok = it.sub.out.next(); !ok {
			return c, false
		}
		switch cl {
		case classControl:
			c.Kind = CastControl
		case classStream:
			c.Kind = CastChunk
			it.sub.group.turns(it.sub)
		}
	}
	return c, true
}

// Why returns why the group has ended, for CastGone.
func (g *Group) Why() *EndError { return g.self.out.end() }

// Known returns, after the end, the vector of what all had been sent that heard
// updates; nil if that is not known.
func (g *Group) Known() []byte { return g.self.Known() }

// add puts an item in.
func (g *Group) add(it groupItem) {
	g.mu.Lock()
	wake := g.head == len(g.queue)
	g.push(it)
	g.mu.Unlock()
	if wake {
		g.wake()
	}
}

// push appends to the queue. mu is held.
func (g *Group) push(it groupItem) {
	if g.head > 64 && g.head*2 > len(g.queue) {
		n := copy(g.queue, g.queue[g.head:])
		clear(g.queue[n:])
		g.queue, g.head = g.queue[:n], 0
	}
	g.queue = append(g.queue, it)
}

// groupOutboxes is how many times the bound of one reader a group's queue may
// hold: it serves many.
const groupOutboxes = 4

// put takes a delivery of the core. It tells whether the receiver now lags, as
// outbox.push does.
func (g *Group) put(dl *delivery, version persistence.Position, limits *Limits) (full bool) {
	if dl.sub != &g.self {
		it := groupItem{kind: CastSingle, sub: dl.sub, version: version}
		if dl.item.class == classAudience {
			it.kind, it.frame = CastAudience, dl.item.frame
		} else {
			_, full = dl.sub.out.push(dl.item, limits)
		}
		g.add(it)
		return full
	}
	g.mu.Lock()
	if g.self.out.end() != nil {
		g.mu.Unlock()
		return false
	}
	wake := g.head == len(g.queue)
	cast := func(kind CastKind, frame []byte) {
		g.push(groupItem{kind: kind, frame: frame, but: dl.but, version: version})
		g.bytes += len(frame) + itemBytes
	}
	switch dl.item.class {
	case classPresence:
		cast(CastPresence, dl.item.frame)
		full = g.bytes > groupOutboxes*limits.PresenceBytes
	case classVector:
		cast(CastVector, dl.item.frame)
	case classStream:
		for _, frame := range dl.item.rest {
			cast(CastUpdate, frame)
		}
		g.notify = true
	default:
		cast(CastUpdate, dl.item.frame)
		full = g.bytes > groupOutboxes*limits.OutboxBytes
	}
	if full {
		g.notify = true
	}
	g.mu.Unlock()
	if wake {
		g.wake()
	}
	return full
}

// relayed tells whether s is a session of another node, which hears what goes
// to everybody by way of its group.
func (s *Subscription) relayed() bool { return s.group != nil && s != &s.group.self }

// isGroup tells whether s stands for a group.
func (s *Subscription) isGroup() bool { return s.group != nil && s == &s.group.self }
