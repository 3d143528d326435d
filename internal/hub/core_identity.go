package hub

import (
	"slices"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/internal/metrics"
	"ysync/syncproto"
)

// A client ID belongs to the subject whose client announced it, by its first
// presence or, without one, by its first edits. Bytes can't tell who made an
// edit: whoever was offline together with somebody passes on what that one made,
// rightly. So what others bring of an ID is taken as long as no session of that
// ID is here. When one is, it is asked itself, and who brought it is asked again;
// who goes on with what the ID's own session does not have made it up.
//
// The same ID and clock with other content, a fork, diverges for ever. What the
// document has of what an update brings is compared, as far as both know the
// content: deleted and collected content is forgotten, and half a surrogate pair
// may have become U+FFFD.

const (
	// maxOwners bounds the client IDs of a document that belong to somebody.
	maxOwners = 1 << 16
	// foreignTries is how often a session may bring what the ID's own session does
	// not have.
	foreignTries = 3
	// ghostUnits is how many units without content a session may bring, beside one
	// for each byte: what was typed and deleted offline comes as a few bytes.
	ghostUnits = 64 << 20
	// maxCompared bounds the units that are compared of one update.
	maxCompared = 1 << 16
)

// verdict is what becomes of an update by whose it is.
type verdict uint8

const (
	take verdict = iota
	setAside
	refused
)

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
	c.bind(s, crdt.ClientID(e.ClientID))
}

// bind makes a client ID that of a session, if it is of its subject or nobody's.
func (c *core) bind(s *Subscription, client crdt.ClientID) {
	if owner, owned := c.owners[client]; owned && owner != s.peer.Subject {
		return
	} else if !owned && s.peer.Subject != "" {
		if len(c.owners) >= maxOwners {
			return
		}
		if c.owners == nil {
			c.owners = make(map[crdt.ClientID]string)
		}
		c.owners[client] = s.peer.Subject
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
func (c *core) identify(s *Subscription, kind syncproto.Kind, update []byte) verdict {
	sv := c.doc.StateVector()
	if client, clock, ok := plain(update); ok && clock >= sv.Get(client) {
		if s.at.owns && s.at.own == client {
			return take
		}
		if !s.at.owns && kind == syncproto.KindUpdate && clock == 0 {
			c.bind(s, client)
		}
		if owner, owned := c.owners[client]; !owned || owner == s.peer.Subject {
			return take
		}
	}
	contents, err := crdt.ContentsOf(crdt.V1, update)
	if err != nil {
		return take // whoever applies it says what is wrong
	}
	var fresh, foreign uint64
	var again []crdt.ClientID
	for client, r := range contents.Blocks.All() {
		known := sv.Get(client)
		if r.From < known && !slices.Contains(again, client) {
			again = append(again, client)
		}
		if r.To <= known {
			continue
		}
		fresh += uint64(r.To - max(r.From, known))
		if owner, owned := c.owners[client]; owned && owner != s.peer.Subject && c.present(client, s) != nil {
			foreign++
			c.askOwner(client, s)
		}
	}
	if ghosts := fresh - min(fresh, uint64(len(update))); ghosts > 0 {
		if s.at.ghosts += ghosts; s.at.ghosts > ghostUnits {
			c.impostor(s, update, metrics.IdentityClock, endClock)
			return refused
		}
	}
	if len(again) > 0 && c.forked(s, update, again) {
		c.impostor(s, update, metrics.IdentityFork, endForked)
		return refused
	}
	if foreign == 0 {
		s.at.foreign = 0
		return take
	}
	if s.at.foreign++; s.at.foreign > foreignTries {
		c.impostor(s, update, metrics.IdentityForeign, endForeign)
		return refused
	}
	return setAside
}

func (c *core) impostor(s *Subscription, update []byte, which string, why *EndError) {
	c.opt.count.identity.WithLabelValues(which).Inc()
	c.refuse(s, update, why)
}

// present is a session other than s that a client ID is that of; nil for none.
func (c *core) present(client crdt.ClientID, s *Subscription) *Subscription {
	for _, other := range c.subs {
		if other != s && other.at.owns && other.at.own == client && other.at.writes {
			return other
		}
	}
	return nil
}

// askOwner asks the session of a client ID for what s brought of it.
func (c *core) askOwner(client crdt.ClientID, s *Subscription) {
	if owner := c.present(client, s); owner != nil && c.now.Sub(owner.at.asked) >= ownerAskedEvery {
		c.ask(owner)
	}
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
		if u := theirs[client]; u != nil && len(u.of) > 0 {
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

// units are those of one client that an update brings and the document has.
type units struct {
	from, to crdt.Clock
	of       map[crdt.Clock]string
	left     *int // how many more may be noted, for all clients
}

// add notes the content of a block, as far as the document has its clocks.
func (u *units) add(b *crdt.Struct) {
	for clock, content := range contentOf(b) {
		if clock >= u.to || *u.left == 0 {
			return
		}
		*u.left--
		if u.of == nil {
			u.of, u.from = make(map[crdt.Clock]string), clock
		}
		u.from = min(u.from, clock)
		u.of[clock] = content
	}
}

// differ tells whether a block of the document has other content.
func (u *units) differ(b *crdt.Struct) bool {
	for clock, content := range contentOf(b) {
		if other, both := u.of[clock]; both && other != content && content != replaced && other != replaced {
			return true
		}
	}
	return false
}

// replaced is half of a surrogate pair that was cut.
var replaced = unitText(0xfffd)

func unitText(u uint16) string {
	return string([]byte{byte(crdt.ContentString), byte(u >> 8), byte(u)})
}

// contentOf yields the content of each unit of a block that still has any.
func contentOf(b *crdt.Struct) func(yield func(crdt.Clock, string) bool) {
	return func(yield func(crdt.Clock, string) bool) {
		clock := b.ID.Clock
		switch b.Kind {
		case crdt.ContentGC, crdt.ContentDeleted, crdt.ContentSkip:
		case crdt.ContentString:
			for _, u := range lib0.AppendUTF16(nil, b.Text) {
				if !yield(clock, unitText(u)) {
					return
				}
				clock++
			}
		case crdt.ContentAny, crdt.ContentJSON:
			for _, v := range b.Values {
				if !yield(clock, string(v.AppendJSON([]byte{byte(b.Kind)}))) {
					return
				}
				clock++
			}
		default:
			content := append([]byte{byte(b.Kind), byte(b.Type)}, b.Name...)
			if len(b.Values) == 1 && b.Kind != crdt.ContentDoc {
				content = b.Values[0].AppendJSON(append(content, 0))
			}
			yield(clock, string(content))
		}
	}
}
