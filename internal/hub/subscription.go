package hub

import (
	"context"
	"time"

	"ysync/crdt"
	"ysync/internal/tracing"
	"ysync/persistence"
	"ysync/syncproto"
)

// Peer is who subscribes. Its rights hold until Subscription.Allow.
type Peer struct {
	// Session names the session in logs and in presence. Two subscriptions of
	// one document never share it.
	Session uint64
	// Subject is the subject of the grant; empty in open mode. It becomes the
	// author of log entries.
	Subject string
	// User is a JSON object that its presences show as "user"; empty for what its
	// client says.
	User string
	// CanWrite: updates are accepted. CanPresence: presence is accepted.
	CanWrite, CanPresence bool
	// Generation is the only one of the document for which the session was let
	// in; 0 for any.
	Generation uint64
	// Echo: the client takes its own update coming back for the
	// acknowledgement. It gets every update after the commit, its own too.
	Echo bool
	// Join is what the client has been through at another owner of the document.
	Join Join
}

// Join says how a session joins. Zero is a client that just connected: it is
// asked what it has and shown who is there.
type Join uint8

const (
	// JoinKept: the client stayed connected while the document changed its
	// owner. It is asked nothing and shown nothing, but for the bits below.
	JoinKept Join = 1 << iota
	// JoinAsked: it is asked what it has.
	JoinAsked
	// JoinOwes: it may have sent what nobody keeps, so it is asked what it has
	// and nothing is acknowledged before its answer was taken in.
	JoinOwes
	// JoinCurrent: it has what the vector of its group tells of.
	JoinCurrent
	// JoinShow: it is shown who is there, although it was kept. What begins a
	// group shows that to all who join with it.
	JoinShow
)

// Subscription is one session's place at one document. Its methods may be
// called from any goroutine; Next from one at a time.
type Subscription struct {
	// Static after construction.
	peer Peer
	doc  *document
	wake func()
	// group is what it is relayed by; nil for a session of this node.
	group *Group

	// Has a lock of its own.
	out outbox

	// Guarded by doc.mu.
	queued int // bytes of this session in the document's inbox

	// Owned by the core.
	at member

	// Written by the core before the end, read after it.
	known []byte
}

// Send hands a message from the client to the document. It takes over m's
// payload, which must not change afterwards. It waits while the document's
// inbox, or this session's part of it, is full, and while the client does not
// read the answers to what it asked. Kinds other than SyncStep1, SyncStep2,
// Update, Awareness, QueryAwareness and Ack are ignored. After the end it
// returns ErrEnded.
func (s *Subscription) Send(ctx context.Context, m syncproto.Message) error {
	var t Turn
	defer t.leave()
	return s.SendInTurn(ctx, m, &t)
}

// SendInTurn is Send, but leaves it to the caller when the document is stepped,
// if it need not be soon anyway: then t is the document's turn after it. Several
// messages of one session may be sent with one t; its methods must follow.
func (s *Subscription) SendInTurn(ctx context.Context, m syncproto.Message, t *Turn) error {
	switch m.Kind {
	case syncproto.KindSyncStep1, syncproto.KindSyncStep2, syncproto.KindUpdate,
		syncproto.KindAwareness, syncproto.KindQueryAwareness, syncproto.KindAck:
	default:
		return nil
	}
	if err := s.out.admit(ctx, t); err != nil {
		return err
	}
	c := command{kind: cmdMessage, message: m.Kind, sub: s, payload: m.Payload}
	if s.doc.hub.opt.Tracer != nil {
		c.span = tracing.From(ctx).Child(tracing.Owner)
	}
	return s.doc.send(ctx, s, c, t)
}

// Next returns the next message to write, encoded for y-websocket, shared with
// other subscriptions and never to be modified. It returns false when there is
// nothing now; wake is called when that changes. Messages queued before the
// end still come out.
func (s *Subscription) Next() ([]byte, bool) {
	frame, _, drained, ok := s.out.next()
	if drained {
		s.doc.post(command{kind: cmdDrained, sub: s})
	}
	return frame, ok
}

// Progress tells that the connection took bytes of a message that Next
// returned, so that a slow reader is not taken for a dead one. Next itself
// counts as progress; only writers that learn of partial writes need this.
func (s *Subscription) Progress(bytes int) {
	if bytes > 0 {
		s.out.progress()
	}
}

// End returns why the subscription is over, an *EndError, and nil while it
// lives. After Close it is not nil.
func (s *Subscription) End() error {
	if e := s.out.end(); e != nil {
		return e
	}
	return nil
}

// Close detaches the session. Its presence is removed after a grace period.
// Closing again does nothing.
func (s *Subscription) Close() {
	if s.out.close(endClosed) {
		s.doc.hub.left()
		s.doc.post(command{kind: cmdDetach, sub: s})
		s.doc.wakeSenders()
	}
}

// Rights are what a session may do beside reading, as bits.
type Rights uint8

// The rights.
const (
	RightWrite Rights = 1 << iota
	RightPresence
)

// Rights are those of the peer when it subscribed.
func (p *Peer) Rights() (r Rights) {
	if p.CanWrite {
		r |= RightWrite
	}
	if p.CanPresence {
		r |= RightPresence
	}
	return r
}

// Allow changes whether the session may write, from here on. What it sent before
// counts as before. Presence does not change.
func (s *Subscription) Allow(r Rights) {
	kind := cmdForbid
	if r&RightWrite != 0 {
		kind = cmdAllow
	}
	s.doc.post(command{kind: kind, sub: s})
}

// Known returns, after an end because the document goes elsewhere, the state
// vector of what the client has been sent; nil if it has not been sent a state.
// What Next still returns is part of it.
func (s *Subscription) Known() []byte {
	if s.out.end() == nil {
		return nil
	}
	return s.known
}

// Peer returns who subscribed.
func (s *Subscription) Peer() Peer { return s.peer }

// member is the core's side of a subscription.
type member struct {
	index   int32 // in core.subs; -1 when not among them
	waiting bool  // in core.acking
	chased  bool  // in core.chasing
	author  bool  // contributed to the batch under way

	// ready: its first SyncStep1 was answered, with what the document had at
	// version from. Until then it is sent no updates: its client could not
	// place them.
	ready bool
	from  persistence.Position

	// pending: something that this session sent waits for what is missing.
	// owes: something that it sent was set aside unread; nothing is
	// acknowledged until a SyncStep2 of this session has been applied.
	// refused: it sent something new without the right to write; nothing is
	// acknowledged any more.
	pending bool
	// judged: it has said what it holds, and none of it is of a generation that
	// is over.
	judged bool
	// gaps are what it waits for, while it is pending.
	gaps    []gap
	owes    bool
	refused bool
	// audience is what it was told to hear, if it is relayed.
	audience Audience
	// final: the next catch-up goes out as the SyncStep2 that ends a sync.
	final bool

	// own is the client ID of its client, if owns is set. announced: its first
	// presence was looked at for it. told is the clock up to which it has said to
	// have its own edits. foreign counts updates with what was made up since the
	// last that was all its own, ghosts the units without content.
	own             crdt.ClientID
	owns, announced bool
	told            crdt.Clock
	inquiry         inquiry
	foreign         uint8
	ghosts          uint64
	// writes: it may write.
	writes bool

	garbled uint8 // malformed messages
	tries   uint8 // of asking for what is missing

	// lag is what the reader is known to have; nil when it keeps up.
	lag *mark
	// presenceLag is the presence change up to which it was told, while lag
	// is set.
	presenceLag uint64
	holds       int // bytes of a diff that was made for it alone

	acks      []ackWait // in order of request
	keepalive time.Time // when acks were last kept waiting

	// wantSync is the vector of a SyncStep1 that is to be answered later.
	wantSync []byte
	// credit is how many bytes SyncStep2 answers may take, as of creditAt.
	credit   int64
	creditAt time.Time
	asked    time.Time // when SyncStep1 went out last
}

func (s *Subscription) gone() bool { return s.at.index < 0 }
