package hub

import (
	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/persistence"
	"ysync/syncproto"
)

// batch is what one step is going to relay.
type batch struct {
	// before is the state before the first update; set when there may be
	// several.
	before  crdt.StateVector
	many    bool
	list    []contribution
	deletes crdt.IDSet // of all, when marks need them or frames are joined
}

// contribution is what one update of a session changed.
type contribution struct {
	sub *Subscription
	// update is what it changed, as an update V1 without a skip: the bytes
	// that came in, if these were taken in whole.
	update []byte
	// added are the clocks that it added; deletes what it deleted.
	added   []addedRange
	deletes crdt.IDSet
}

type addedRange struct {
	client crdt.ClientID
	to     crdt.Clock
}

// begin starts a batch.
func (b *batch) begin(c *core, commands []command) {
	clear(b.list)
	*b = batch{list: b.list[:0]}
	n := 0
	for i := range commands {
		if m := commands[i].message; commands[i].kind == cmdMessage &&
			(m == syncproto.KindUpdate || m == syncproto.KindSyncStep2) && !emptyUpdate(commands[i].payload) {
			n++
		}
	}
	if n > 1 {
		b.many = true
		b.before = c.doc.StateVector()
	}
}

// add notes a commit. update is its encoding if that is known.
func (b *batch) add(c *core, s *Subscription, commit *crdt.Commit, update []byte) {
	if update == nil {
		update = commit.AppendUpdate(nil, crdt.V1)
	}
	it := contribution{sub: s, update: update}
	if b.many || len(c.lag.marks) > 0 {
		deletes := commit.Deletes()
		b.deletes.Union(&deletes)
		if b.many {
			it.deletes = deletes.Clone()
			for client, r := range commit.Added() {
				it.added = append(it.added, addedRange{client, r.To})
			}
		}
	}
	b.list = append(b.list, it)
}

// relay turns the contributions of the step into frames: one for everybody who
// contributed nothing, and one for each contributor, without what it sent
// itself. Frames are encoded from the document, or are the bytes that came in
// when these were taken in whole, so that they never hold a skip.
func (c *core) relay() {
	b := &c.batch
	if len(b.list) == 0 {
		return
	}
	c.noteDeletes(&b.deletes)
	authors := b.authors()
	var all []byte
	for _, s := range c.subs {
		if !s.at.ready || s.peer.Echo || s.at.lag != nil || s.at.author {
			continue
		}
		if all == nil {
			all = c.frameOfAll()
		}
		c.fx.out = append(c.fx.out, delivery{s, item{frame: all}})
	}
	if c.echoes > 0 {
		if all == nil {
			all = c.frameOfAll()
		}
		c.held = append(c.held, heldFrame{c.version, nil, item{frame: all}})
	}
	if len(authors) > 1 {
		for _, s := range authors {
			if !s.gone() && s.at.ready && !s.peer.Echo && s.at.lag == nil {
				c.relayOthers(s)
			}
		}
	}
	for _, s := range authors {
		s.at.author = false
	}
}

// authors returns the sessions that contributed, each once, and marks them.
func (b *batch) authors() []*Subscription {
	if len(b.list) == 1 {
		b.list[0].sub.at.author = true
		return []*Subscription{b.list[0].sub}
	}
	var out []*Subscription
	for i := range b.list {
		if s := b.list[i].sub; !s.at.author {
			s.at.author = true
			out = append(out, s)
		}
	}
	return out
}

// frameOfAll encodes everything that the batch changed.
func (c *core) frameOfAll() []byte {
	b := &c.batch
	if len(b.list) == 1 {
		return c.updateFrame(b.list[0].update)
	}
	return c.updateFrame(c.doc.AppendUpdate(nil, crdt.V1, b.before, b.deletes))
}

// relayOthers sends an author what the others contributed.
func (c *core) relayOthers(s *Subscription) {
	b := &c.batch
	others, last := 0, 0
	for i := range b.list {
		if b.list[i].sub != s {
			others, last = others+1, i
		}
	}
	if others == 1 {
		c.fx.out = append(c.fx.out, delivery{s, item{frame: c.updateFrame(b.list[last].update)}})
		return
	}
	if without, deletes, ok := c.without(s); ok {
		frame := c.updateFrame(c.doc.AppendUpdate(nil, crdt.V1, without, deletes))
		c.fx.out = append(c.fx.out, delivery{s, item{frame: frame}})
		return
	}
	for i := range b.list {
		if b.list[i].sub != s {
			c.fx.out = append(c.fx.out, delivery{s, item{frame: c.updateFrame(b.list[i].update)}})
		}
	}
}

// without returns the state before the batch with what s added on top, and the
// deletes of the others. It is not possible when s and another session added to
// the same client: then the state of that client can't tell them apart.
func (c *core) without(s *Subscription) (crdt.StateVector, crdt.IDSet, bool) {
	b := &c.batch
	var own []addedRange
	for i := range b.list {
		if b.list[i].sub == s {
			own = append(own, b.list[i].added...)
		}
	}
	has := func(client crdt.ClientID) (crdt.Clock, bool) {
		for i := len(own) - 1; i >= 0; i-- {
			if own[i].client == client {
				return own[i].to, true
			}
		}
		return 0, false
	}
	var deletes crdt.IDSet
	for i := range b.list {
		if b.list[i].sub == s {
			continue
		}
		for _, a := range b.list[i].added {
			if _, both := has(a.client); both {
				return crdt.StateVector{}, crdt.IDSet{}, false
			}
		}
		deletes.Union(&b.list[i].deletes)
	}
	n := b.before.Len()
	fresh := 0
	for i, a := range own {
		first := b.before.Get(a.client) == 0
		for _, o := range own[:i] {
			first = first && o.client != a.client
		}
		if first {
			fresh++
		}
	}
	sv := lib0.AppendUvarint(make([]byte, 0, 16*(n+fresh)+8), uint64(n+fresh))
	for client, clock := range b.before.All() {
		if to, ok := has(client); ok {
			clock = to
		}
		sv = lib0.AppendUvarint(lib0.AppendUvarint(sv, uint64(client)), uint64(clock))
	}
	for i, a := range own {
		first := b.before.Get(a.client) == 0
		for _, o := range own[:i] {
			first = first && o.client != a.client
		}
		if to, _ := has(a.client); first {
			sv = lib0.AppendUvarint(lib0.AppendUvarint(sv, uint64(a.client)), uint64(to))
		}
	}
	out, err := crdt.DecodeStateVector(sv)
	return out, deletes, err == nil
}

// updateFrame frames an update.
func (c *core) updateFrame(update []byte) []byte {
	c.opt.count.frames.Inc()
	return syncproto.AppendUpdate(make([]byte, 0, len(update)+12), update)
}

// cached returns an encoding of the present version, or makes it.
func (f *cachedFrame) of(version persistence.Position, encode func() []byte) []byte {
	if f.frame == nil || f.version != version {
		*f = cachedFrame{version, encode()}
	}
	return f.frame
}
