package hub

import (
	"slices"

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
	authors []*Subscription // of list, each once; their author flag is set
	deletes crdt.IDSet      // of all, when marks need them or frames are joined
}

// contribution is what one update of a session changed.
type contribution struct {
	sub *Subscription // who has all of it; nil for nobody
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

// keptBatch is how much room for contributions is kept in any case.
const keptBatch = 16

// begin starts a batch.
func (b *batch) begin(c *core, commands []command) {
	clear(b.list)
	clear(b.authors)
	// What a rush needed is given back when a batch needs far less.
	if cap(b.list) > keptBatch && len(b.list) < cap(b.list)/4 {
		b.list, b.authors = nil, nil
	}
	*b = batch{list: b.list[:0], authors: b.authors[:0]}
	n := 0
	for i := range commands {
		if m := commands[i].message; commands[i].kind == cmdChange || commands[i].kind == cmdMessage &&
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
			it.deletes = deletes
			for client, r := range commit.Added() {
				it.added = append(it.added, addedRange{client, r.To})
			}
		}
	}
	b.list = append(b.list, it)
	if s != nil && !s.at.author {
		s.at.author = true
		b.authors = append(b.authors, s)
	}
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
	var all []byte
	for _, s := range c.subs {
		if !s.at.ready || s.peer.Echo || s.at.lag != nil || s.at.author || s.relayed() {
			continue
		}
		if all == nil {
			all = c.frameOfAll()
		}
		if s.group != nil {
			c.cast(s, all, classUpdate, b.authors)
			continue
		}
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: all}})
	}
	if c.echoes > 0 {
		if all == nil {
			all = c.frameOfAll()
		}
		c.held = append(c.held, heldFrame{c.version, nil, item{frame: all}})
	}
	if len(b.authors) > 0 && len(b.list) > 1 {
		for _, s := range b.authors {
			if !s.gone() && s.at.ready && !s.peer.Echo && s.at.lag == nil {
				c.relayOthers(s)
			}
		}
	}
	for _, s := range b.authors {
		s.at.author = false
	}
	c.tellVectors()
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
	others, last := 0, 0 // of b.list
	for i := range b.list {
		if b.list[i].sub != s {
			others, last = others+1, i
		}
	}
	if others == 0 {
		return
	}
	if others == 1 {
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: c.updateFrame(b.list[last].update)}})
		return
	}
	if without, deletes, ok := c.without(s); ok {
		frame := c.updateFrame(c.doc.AppendUpdate(nil, crdt.V1, without, deletes))
		c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame}})
		return
	}
	for i := range b.list {
		if b.list[i].sub != s {
			c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: c.updateFrame(b.list[i].update)}})
		}
	}
}

// without returns the state before the batch with what s added on top, and the
// deletes of the others. It is not possible when s and another session added to
// the same client: then the state of that client can't tell them apart.
func (c *core) without(s *Subscription) (crdt.StateVector, crdt.IDSet, bool) {
	b := &c.batch
	var own []addedRange // each client once
	find := func(client crdt.ClientID) int {
		return slices.IndexFunc(own, func(a addedRange) bool { return a.client == client })
	}
	for i := range b.list {
		if b.list[i].sub != s {
			continue
		}
		for _, a := range b.list[i].added {
			if at := find(a.client); at >= 0 {
				own[at].to = a.to
			} else {
				own = append(own, a)
			}
		}
	}
	var deletes crdt.IDSet
	for i := range b.list {
		if b.list[i].sub == s {
			continue
		}
		for _, a := range b.list[i].added {
			if find(a.client) >= 0 {
				return crdt.StateVector{}, crdt.IDSet{}, false
			}
		}
		deletes.Union(&b.list[i].deletes)
	}
	n := b.before.Len()
	for _, a := range own {
		if b.before.Get(a.client) == 0 {
			n++
		}
	}
	sv := lib0.AppendUvarint(make([]byte, 0, 16*n+8), uint64(n))
	for client, clock := range b.before.All() {
		if at := find(client); at >= 0 {
			clock = own[at].to
		}
		sv = lib0.AppendUvarint(lib0.AppendUvarint(sv, uint64(client)), uint64(clock))
	}
	for _, a := range own {
		if b.before.Get(a.client) == 0 {
			sv = lib0.AppendUvarint(lib0.AppendUvarint(sv, uint64(a.client)), uint64(a.to))
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

// of returns an encoding of the present version, or makes it.
func (f *cachedFrame) of(version persistence.Position, encode func() []byte) []byte {
	if f.frame == nil || f.version != version {
		*f = cachedFrame{version, encode()}
	}
	return f.frame
}
