package crdt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sort"

	"ysync/internal/lib0"
)

// pending are the blocks and deletes that wait for something they depend on
// (Yjs: StructStore.pendingStructs, pendingDs).
type pending struct {
	clients map[ClientID][]waitingBlock // by clock, not overlapping
	// missing says which clients are waited for, with the clock that Yjs notes:
	// where the client stood when it was found missing.
	missing map[ClientID]uint64
	// watched says the same of what the first block of each client waits for, with
	// the lowest clock of each client that is waited for. Only with Options.RetryAll.
	watched map[ClientID]uint64
	ready   bool // one of them waits for nothing
	deletes map[ClientID]ranges
	blocks  int
	types   int
	bytes   int
}

// Pending describes what waits for a dependency.
type Pending struct {
	// Blocks and Deletes are how many blocks and deleted ranges wait.
	Blocks, Deletes int
	// Bytes is what they count for: 200 for a block and the bytes of its content, 16
	// for a range of deletes and 100 for a client that has some. It is about the
	// memory that they take, or more.
	Bytes int
	// Missing are the clients whose blocks are missing, with the state beyond
	// which they are: one more than what Yjs notes in pendingStructs.missing.
	Missing StateVector
}

// Empty tells whether nothing waits.
func (p Pending) Empty() bool { return p.Blocks == 0 && p.Deletes == 0 }

// Pending describes the blocks and deletes that wait for a dependency.
func (d *Doc) Pending() Pending {
	p := d.pending
	out := Pending{Blocks: p.blocks, Bytes: p.bytes}
	for _, rs := range p.deletes {
		out.Deletes += len(rs)
	}
	cs := make([]clientClock, 0, len(p.missing))
	for c, clock := range p.missing {
		cs = append(cs, clientClock{c, Clock(clock + 1)})
	}
	out.Missing = newStateVector(cs)
	return out
}

// PendingBytes is Pending().Bytes, without the cost of naming what is missing. It is
// 0 exactly when nothing waits.
func (d *Doc) PendingBytes() int { return d.pending.bytes }

// nothingWaits is shared and must not be written to.
var nothingWaits pending

// waits is what waits, for writing.
func (d *Doc) waits() *pending {
	if d.pending == &nothingWaits {
		d.pending = new(pending)
	}
	return d.pending
}

func (p *pending) empty() bool { return p.blocks == 0 && len(p.deletes) == 0 }

// addDeletes stores ranges that wait.
func (p *pending) addDeletes(set *IDSet) {
	if p.deletes == nil {
		p.deletes = make(map[ClientID]ranges, len(set.clients))
	}
	for _, c := range set.clients {
		rs := p.deletes[c.client]
		had := deleteBytes(rs)
		if len(rs) == 0 {
			rs = c.ranges()
		} else {
			rs.union(c.ranges())
		}
		p.bytes += deleteBytes(rs) - had
		p.deletes[c.client] = rs
	}
}

// setDeletes replaces the ranges of a client.
func (p *pending) setDeletes(c ClientID, rs ranges) {
	p.bytes -= deleteBytes(p.deletes[c])
	p.bytes += deleteBytes(rs)
	if len(rs) == 0 {
		delete(p.deletes, c)
		return
	}
	p.deletes[c] = rs
}

// deleteBytes is what the waiting deletes of a client count for.
func deleteBytes(rs ranges) int {
	if len(rs) == 0 {
		return 0
	}
	return clientBytes + rangeBytes*len(rs)
}

// deleteSet is the set of the deletes that wait.
func (p *pending) deleteSet() IDSet {
	var s IDSet
	for c, rs := range p.deletes {
		s.clients = append(s.clients, idSetClient{c, pack(rs)})
	}
	s.sort()
	return s
}

// wait notes that something waits for a unit.
func (p *pending) wait(c ClientID, clock uint64) {
	if p.missing == nil {
		p.missing = make(map[ClientID]uint64)
	}
	lower(p.missing, c, clock)
}

// lower puts down a clock that is the first or the lowest of a client.
func lower(clocks map[ClientID]uint64, c ClientID, clock uint64) {
	if have, ok := clocks[c]; !ok || clock < have {
		clocks[c] = clock
	}
}

// watchFirst notes what the first block of a client waits for.
func (p *pending) watchFirst(d *Doc, c ClientID) {
	var room rawBlock
	on, clock, held := d.heldUp(p.clients[c][0].raw(c, &room))
	if !held {
		p.ready = true
		return
	}
	if p.watched == nil {
		p.watched = make(map[ClientID]uint64)
	}
	lower(p.watched, on, clock)
}

// rawBytes is what a waiting block counts for besides its content, rangeBytes what
// a waiting delete does, and clientBytes what a client with waiting deletes does
// besides.
const (
	rawBytes    = 200
	rangeBytes  = 16
	clientBytes = 100
)

// waitingBlock is a block that waits. A gc block is no more than its place: an
// update has one in two bytes, and a rawBlock for each would be ninety times that.
type waitingBlock struct {
	clock, length uint32
	item          *rawBlock // nil for a gc block; its bytes are owned
}

// keep copies a block that is no skip.
func keep(b *rawBlock) waitingBlock {
	w := waitingBlock{clock: uint32(b.clock), length: uint32(b.length)}
	if b.kind != kindGC {
		w.item = b.clone()
	}
	return w
}

func (w waitingBlock) end() uint32 { return w.clock + w.length }

// raw is the block, which is one of client c. It is put into room if it has none
// of its own.
func (w waitingBlock) raw(c ClientID, room *rawBlock) *rawBlock {
	if w.item != nil {
		return w.item
	}
	*room = rawBlock{client: c, clock: uint64(w.clock), length: uint64(w.length), kind: kindGC}
	return room
}

// slice cuts n units off the front.
func (w waitingBlock) slice(n uint32) waitingBlock {
	if w.item != nil {
		rest := *w.item
		rest.slice(uint64(n))
		w.item = &rest
	}
	return waitingBlock{w.clock + n, w.length - n, w.item}
}

// leftover are blocks of one update that have to wait, by client, as they come.
type leftover map[ClientID][]waitingBlock

// merge puts what is left of an update to what waits, exactly as merging the
// two updates does (Yjs: mergeUpdatesV2): which of two overlapping blocks stays
// whole shows in the state.
func (p *pending) merge(rest leftover) {
	if len(p.clients) == 0 {
		p.clients = rest
		for _, list := range rest {
			for _, b := range list {
				p.count(b, 1)
			}
		}
		return
	}
	ids := slices.Sorted(maps.Keys(rest))
	var held []ClientID // of those that wait, when first asked for
	restLast := func() bool { return false }
	for i := len(ids) - 1; i >= 0; i-- {
		before := restLast
		restLast = p.mergeClient(ids[i], rest[ids[i]], func() bool {
			if !before() {
				return false
			}
			if held == nil {
				held = slices.Sorted(maps.Keys(p.clients))
			}
			return !anyBetween(held, ids[i], ids[i+1])
		})
	}
}

// anyBetween tells whether there is a client between two.
func anyBetween(clients []ClientID, low, high ClientID) bool {
	i, ok := slices.BinarySearch(clients, low)
	if ok {
		i++
	}
	return i < len(clients) && clients[i] < high
}

// mergeClient merges the blocks of a client into those that wait. restFirst
// tells which comes first if both start at the same clock: the one that had
// blocks of the client before longer. The result is that of the rest and this
// client, valid until the next change.
func (p *pending) mergeClient(c ClientID, rest []waitingBlock, restFirst func() bool) (restLast func() bool) {
	list := p.clients[c]
	if len(list) == 0 {
		for _, b := range rest {
			p.count(b, 1)
		}
		p.clients[c] = rest
		return func() bool { return true }
	}
	start, end := rest[0].clock, rest[len(rest)-1].end()
	// Only blocks around the rest can change. One that starts with it counts as
	// part of a run that is written through.
	from := sort.Search(len(list), func(i int) bool { return list[i].clock > start })
	if from > 0 {
		from--
	}
	if from > 0 && list[from].clock == start && list[from-1].end() == start {
		from--
	}
	if from > 0 {
		restFirst = func() bool { return false }
	}
	to := from + sort.Search(len(list)-from, func(i int) bool { return list[from+i].clock >= end })
	to = min(to+1, len(list))
	for _, b := range list[from:to] {
		p.count(b, -1)
	}
	merged, last := mergeLists(list[from:to], rest, restFirst)
	// A gc block that took in the one behind the rest takes in those behind that.
	for n := len(merged) - 1; to < len(list) && merged[n].clock < list[to-1].clock && list[to].item == nil && merged[n].end() == list[to].clock; to++ {
		p.count(list[to], -1)
		merged[n].length += list[to].length
	}
	for _, b := range merged {
		p.count(b, 1)
	}
	beyond := len(list) - to
	p.clients[c] = slices.Replace(list, from, to, merged...)
	return func() bool {
		// What is beyond was written before the end of the rest was looked at if
		// it goes on without a hole.
		return last && unbroken(p.clients[c][len(p.clients[c])-beyond-1:])
	}
}

// unbroken tells whether there are no holes between blocks.
func unbroken(list []waitingBlock) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1].end() != list[i].clock {
			return false
		}
	}
	return true
}

func (p *pending) count(w waitingBlock, sign int) {
	p.blocks += sign
	p.bytes += sign * rawBytes
	if b := w.item; b != nil {
		p.bytes += sign * (len(b.data) + len(b.name) + len(b.key) + len(b.root))
		if b.kind == kindType {
			p.types += sign
		}
	}
}

// note notes anew what is waited for, as Yjs does when it tries all of the
// pending blocks in vain: clients in descending order, each block that waits
// for another pending client followed to what holds that one up, unless it was
// tried before.
func (p *pending) note(d *Doc) {
	p.missing = nil
	ids := make([]ClientID, 0, len(p.clients))
	for c := range p.clients {
		ids = append(ids, c)
	}
	slices.Sort(ids)
	tried := make(map[ClientID]bool, len(ids))
	var room rawBlock
	for i := len(ids) - 1; i >= 0; i-- {
		for c := ids[i]; !tried[c]; {
			tried[c] = true
			on, clock, held := d.heldUp(p.clients[c][0].raw(c, &room))
			if held && p.clients[on] != nil && !tried[on] {
				c = on
			} else if held {
				p.wait(on, clock)
			}
		}
	}
	if p.watched, p.ready = nil, false; d.retryAll {
		for _, c := range ids {
			p.watchFirst(d, c)
		}
	}
}

// heldUp tells what a block waits for: a client, and the clock that Yjs notes
// for it.
func (d *Doc) heldUp(b *rawBlock) (ClientID, uint64, bool) {
	if uint64(d.state(b.client)) < b.clock {
		return b.client, b.clock - 1, true
	}
	c, lacks := d.lacks(b)
	return c, uint64(d.state(c)), lacks
}

// clone copies what aliases an update. Blocks wait as V2, which has no lone surrogates (Yjs:
// readUpdateV2).
func (b *rawBlock) clone() *rawBlock {
	out := new(rawBlock)
	*out = *b
	if b.jsonText && bytes.IndexByte(b.data, '\\') >= 0 {
		out.data, out.jsonText = appendEmbedded(nil, b), false
		wireValues(out.data)
	}
	buf := make([]byte, 0, len(b.root)+len(b.key)+len(b.name)+len(b.data))
	for _, f := range []*[]byte{&out.root, &out.key, &out.name, &out.data} {
		start := len(buf)
		buf = append(buf, *f...)
		*f = buf[start:len(buf):len(buf)]
	}
	return out
}

// slice cuts n units off the front (Yjs: sliceStruct).
func (b *rawBlock) slice(n uint64) {
	b.clock += n
	b.length -= n
	if b.kind == kindGC || b.kind == kindSkip {
		return
	}
	b.hasOrigin = true
	b.origin = ID{b.client, Clock(b.clock - 1)}
	switch b.kind {
	case kindString:
		b.data = spliceText(b.data, uint32(n))
	case kindAny:
		b.data = skipValues(b.data, uint32(n))
	case kindJSON:
		r := lib0.NewReader(b.data)
		for range n {
			r.Bytes()
		}
		b.data = r.Rest()
	}
}

// check verifies the order of what waits and what it counts for, and that
// nothing waits in vain if nothing may.
func (p *pending) check(d *Doc) error {
	var sum pending
	var room rawBlock
	for c, list := range p.clients {
		if d.retryAll && len(list) > 0 {
			if _, _, held := d.heldUp(list[0].raw(c, &room)); !held {
				return fmt.Errorf("client %d: nothing that the block at clock %d waits for is missing", c, list[0].clock)
			}
		}
		end := uint32(0)
		for _, w := range list {
			if w.clock < end || w.length == 0 {
				return fmt.Errorf("client %d: a block at clock %d after %d", c, w.clock, end)
			}
			if b := w.item; b != nil && (b.client != c || b.clock != uint64(w.clock) || b.length != uint64(w.length) || b.kind == kindGC || b.kind == kindSkip) {
				return fmt.Errorf("client %d: at clock %d %d units of client %d from %d", c, w.clock, b.length, b.client, b.clock)
			}
			end = w.end()
			sum.count(w, 1)
		}
		if len(list) == 0 {
			return fmt.Errorf("client %d: nothing waits", c)
		}
	}
	for c, rs := range p.deletes {
		for i, r := range rs {
			if r.from >= r.to || i > 0 && rs[i-1].to >= r.from {
				return fmt.Errorf("client %d: deletes %v", c, rs)
			}
		}
		sum.bytes += deleteBytes(rs)
	}
	if p.blocks != sum.blocks || p.types != sum.types || p.bytes != sum.bytes {
		return fmt.Errorf("counts %d blocks, %d types, %d bytes, there are %d, %d, %d",
			p.blocks, p.types, p.bytes, sum.blocks, sum.types, sum.bytes)
	}
	return nil
}
