package hub

import (
	"slices"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/internal/lib0"
	"ysync/internal/metrics"
	"ysync/syncproto"
)

// A client ID belongs to the subject whose client announced it, by its first
// presence or, without one, by its first edits. Bytes can't tell who made an
// edit: whoever was offline together with somebody passes on what that one made,
// rightly. So what others bring of an ID is taken as long as no session of that
// ID is here. When one is, it is asked itself, what others brought of it is taken
// out until then, and who brought it is asked again. Two that both lost what the
// owner of the document had of them bring each other's: each one's own is taken.
// Who goes on with what the ID's own session does not have, when that has answered
// since, made it up.
//
// The same ID and clock with other content, a fork, diverges for ever. What the
// document has of what an update brings is compared, as far as both know the
// content: deleted and collected content is forgotten, and half a surrogate pair
// may have become U+FFFD.

const (
	// maxOwners bounds the client IDs of a document that belong to somebody.
	maxOwners = 1 << 16
	// foreignTries is how often a session may bring what the ID's own session has
	// answered not to have.
	foreignTries = 3
	// ghostUnits is how many units without content a session may bring, beside one
	// for each byte: what was typed and deleted offline comes as a few bytes.
	ghostUnits = 64 << 20
	// maxCompared bounds the units that are compared of one update.
	maxCompared = 1 << 16
)

// judged is what becomes of an update by whose it is.
type judged struct {
	// update is what is taken of it; nil if it was refused.
	update []byte
	// partly: something of it is set aside.
	partly bool
	// ghosts is how many units without content it brings, beside one for each
	// byte.
	ghosts uint64
}

// announce notes the client ID that s speaks for: that of its first presence, if
// that is of one client alone. Clients that send those of others do so later.
func (c *core) announce(s *Subscription, update []byte) {
	if s.at.announced {
		return
	}
	s.at.announced = true
	d := awareness.NewDecoder(update)
	e, ok := d.Next()
	if _, more := d.Next(); !ok || more || e.ClientID > uint64(crdt.MaxClientID) {
		return
	}
	c.bind(s, crdt.ClientID(e.ClientID), true)
}

// owner is the subject that a client ID belongs to. announced: its client said
// so, which counts for more than edits: those may be passed on faster than they
// come from where they were made.
type owner struct {
	subject   string
	announced bool
}

// bind makes a client ID that of a session, if it is of its subject or nobody's.
func (c *core) bind(s *Subscription, client crdt.ClientID, announced bool) {
	was, owned := c.owners[client]
	switch {
	case !owned && s.peer.Subject != "" && len(c.owners) >= maxOwners:
		return
	case owned && was.subject != s.peer.Subject:
		if was.announced || !announced {
			return
		}
		for o := range c.sessionsOf(client, s) {
			o.at.owns = false
		}
	}
	if s.peer.Subject != "" || owned {
		if c.owners == nil {
			c.owners = make(map[crdt.ClientID]owner)
		}
		c.owners[client] = owner{s.peer.Subject, announced || was.announced}
	}
	s.at.own, s.at.owns = client, true
}

// plain reads an update of one block of one client that is not the empty kind of
// block: as all typing is.
func plain(update []byte) (client crdt.ClientID, clock crdt.Clock, ok bool) {
	r := lib0.NewReader(update)
	if clients, blocks := r.Uvarint(), r.Uvarint(); clients != 1 || blocks != 1 {
		return 0, 0, false
	}
	client, clock = crdt.ClientID(r.Uvarint()), crdt.Clock(r.Uvarint())
	kind := crdt.ContentKind(r.Uint8() & 0x1f)
	return client, clock, r.Err() == nil && kind != crdt.ContentGC && kind != crdt.ContentDeleted && kind != crdt.ContentSkip
}

// identify judges an update by whose the client IDs in it are, before it is
// applied. Most come from the client that they are of and continue what it wrote;
// for them the first few bytes tell.
func (c *core) identify(s *Subscription, kind syncproto.Kind, update []byte) judged {
	all := judged{update: update}
	if client, clock, ok := plain(update); ok && kind == syncproto.KindUpdate && clock >= c.doc.State(client) {
		if s.at.owns && s.at.own == client {
			return all
		}
		if !s.at.owns && clock == 0 {
			c.bind(s, client, false)
		}
		if owner, owned := c.owners[client]; !owned || owner.subject == s.peer.Subject {
			return all
		}
	}
	contents, err := crdt.ContentsOf(crdt.V1, update)
	if err != nil {
		return all // whoever applies it says what is wrong
	}
	var fresh uint64
	var again, foreign []crdt.ClientID
	madeUp, confirmed := false, true
	for client, r := range contents.Blocks.All() {
		known := c.doc.State(client)
		if r.From < known && !slices.Contains(again, client) {
			again = append(again, client)
		}
		if kind == syncproto.KindSyncStep2 && s.at.owns && s.at.own == client {
			s.at.told = max(s.at.told, r.To)
		}
		if r.To <= known {
			continue
		}
		if owner, owned := c.owners[client]; owned && owner.subject != s.peer.Subject && c.present(client, s) {
			if !slices.Contains(foreign, client) {
				foreign = append(foreign, client)
			}
			lies, has := c.inquire(client, r.To, s)
			madeUp, confirmed = madeUp || lies, confirmed && has
			continue
		}
		fresh += uint64(r.To - max(r.From, known))
	}
	all.ghosts = fresh - min(fresh, uint64(len(update)))
	if s.at.ghosts+all.ghosts > ghostUnits && !fault.Active(fault.AdmitGhosts) {
		return c.impostor(s, update, metrics.IdentityClock, endClock)
	}
	if len(again) > 0 && !fault.Active(fault.AdmitForks) && c.forked(s, update, again) {
		return c.impostor(s, update, metrics.IdentityFork, endForked)
	}
	if madeUp {
		if s.at.foreign++; s.at.foreign > foreignTries {
			return c.impostor(s, update, metrics.IdentityForeign, endForeign)
		}
	} else if len(foreign) == 0 {
		s.at.foreign = 0
	}
	// What is left of it may wait for what is taken out. If that is too much, it
	// is taken as it is, once those whose it is have said that they have it too.
	if len(foreign) == 0 || confirmed && c.doc.PendingBytes()+len(update) > c.limits.PendingBytes {
		return all
	}
	all.partly = true
	if all.update, err = withoutClients(update, foreign); err != nil || c.doc.PendingBytes()+len(all.update) > c.limits.PendingBytes {
		all.update = nothing
	}
	return all
}

// nothing is an update V1 without anything in it.
var nothing = []byte{0, 0}

// withoutClients takes the blocks of some clients out of an update V1. What they did
// to those of others stays: anybody may delete anything.
func withoutClients(update []byte, clients []crdt.ClientID) ([]byte, error) {
	vector := lib0.AppendUvarint(nil, uint64(len(clients)))
	for _, client := range clients {
		vector = lib0.AppendUvarint(lib0.AppendUvarint(vector, uint64(client)), uint64(crdt.MaxClientID))
	}
	sv, err := crdt.DecodeStateVector(vector)
	if err != nil {
		return nil, err
	}
	return crdt.Diff(crdt.V1, update, sv)
}

func (c *core) impostor(s *Subscription, update []byte, which string, why *EndError) judged {
	c.opt.count.identity.WithLabelValues(which).Inc()
	c.refuse(s, update, why)
	return judged{}
}

// sessionsOf yields the sessions other than s that a client ID is that of. More than
// one is when a connection was lost and its end has not been noticed.
func (c *core) sessionsOf(client crdt.ClientID, s *Subscription) func(yield func(*Subscription) bool) {
	return func(yield func(*Subscription) bool) {
		for _, other := range c.subs {
			if other != s && other.at.owns && other.at.own == client && other.at.writes && !yield(other) {
				return
			}
		}
	}
}

// present tells whether a session other than s is here that a client ID is of.
func (c *core) present(client crdt.ClientID, s *Subscription) bool {
	for range c.sessionsOf(client, s) {
		return true
	}
	return false
}

// inquiry is about what others brought of the ID of a session. Its answers are
// counted against the questions, as one may be on its way that crossed the
// question; too few count as none.
type inquiry struct {
	asks, answers uint32
	// by is the number of the question that it began with; 0 for none. wanted is
	// the clock that was asked for.
	by     uint32
	wanted crdt.Clock
}

// inquire asks the sessions of a client ID for what s brought of it. madeUp tells
// that all have answered since, and have not made it; has that one says to have
// it. That may wait for something else: the document need not have it then.
func (c *core) inquire(client crdt.ClientID, to crdt.Clock, s *Subscription) (madeUp, has bool) {
	madeUp = true
	for o := range c.sessionsOf(client, s) {
		q := &o.at.inquiry
		switch {
		case o.at.told >= to:
			has, madeUp = true, false
		case q.by > 0 && q.answers >= q.by && to <= q.wanted:
			q.by = 0
		default:
			madeUp = false
		}
		if c.now.Sub(o.at.asked) < ownerAskedEvery {
			continue
		}
		if c.ask(o); q.by == 0 || to > q.wanted {
			q.by, q.wanted = q.asks, to
		}
	}
	return madeUp, has
}

// ownerAskedEvery keeps a session from being asked for each message of others.
const ownerAskedEvery = 100 * time.Millisecond

// forked tells whether the document has other content for units that an update
// brings. What it costs is paid for like an answer to SyncStep1: a session that
// has spent its allowance is not compared.
func (c *core) forked(s *Subscription, update []byte, clients []crdt.ClientID) bool {
	if c.accrue(s); s.at.credit <= 0 {
		return false
	}
	left := maxCompared
	theirs := make(map[crdt.ClientID]*units, len(clients))
	sv := c.doc.StateVector()
	for _, client := range clients {
		theirs[client] = &units{to: sv.Get(client), left: &left}
	}
	if _, err := crdt.WalkStructs(crdt.V1, update, func(b *crdt.Struct) {
		if u := theirs[b.ID.Client]; u != nil {
			u.add(b)
		}
	}); err != nil {
		return false
	}
	// What the document has from the first of those units on.
	vector := lib0.AppendUvarint(nil, uint64(sv.Len()))
	for client, clock := range sv.All() {
		if u := theirs[client]; u != nil && !u.empty() {
			clock = u.from
		}
		vector = lib0.AppendUvarint(lib0.AppendUvarint(vector, uint64(client)), uint64(clock))
	}
	from, err := crdt.DecodeStateVector(vector)
	if err != nil {
		return false
	}
	ours := c.doc.AppendDiff(nil, crdt.V1, from)
	s.at.credit -= int64(len(ours) + len(update))
	differs := false
	_, err = crdt.WalkStructs(crdt.V1, ours, func(b *crdt.Struct) {
		if u := theirs[b.ID.Client]; u != nil && !differs {
			differs = u.differ(b)
		}
	})
	return err == nil && differs
}
