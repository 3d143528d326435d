package crdt

import (
	"slices"
	"sort"

	"ysync/internal/lib0"
)

// pending are the blocks and deletes that wait for something they depend on
// (Yjs: StructStore.pendingStructs, pendingDs).
type pending struct {
	clients map[ClientID][]*rawBlock // by clock, not overlapping; bytes are owned
	// missing says which clients are waited for, with the clock that Yjs notes:
	// where the client stood when it was found missing.
	missing map[ClientID]uint64
	deletes map[ClientID][]Range // as in an IDSet
	blocks  int
	types   int
	bytes   int
}

// Pending describes what waits for a dependency.
type Pending struct {
	// Blocks and Deletes are how many blocks and deleted ranges wait.
	Blocks, Deletes int
	// Bytes is about how much memory they take.
	Bytes int
	// Missing are the clients whose blocks are missing, with the state beyond
	// which they are: one more than what Yjs notes in pendingStructs.missing.
	Missing StateVector
}

// Empty tells whether nothing waits.
func (p Pending) Empty() bool { return p.Blocks == 0 && p.Deletes == 0 }

// Pending describes the blocks and deletes that wait for a dependency.
func (d *Doc) Pending() Pending {
	p := &d.pending
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

func (p *pending) empty() bool { return p.blocks == 0 && len(p.deletes) == 0 }

// addDelete stores a range that waits.
func (p *pending) addDelete(c ClientID, r Range) {
	if p.deletes == nil {
		p.deletes = make(map[ClientID][]Range)
	}
	p.deletes[c] = addRange(p.deletes[c], r)
}

// deleteSet is the set of the deletes that wait.
func (p *pending) deleteSet() IDSet {
	var s IDSet
	for c, rs := range p.deletes {
		s.clients = append(s.clients, idSetClient{c, rs})
	}
	s.sort()
	return s
}

// wait notes that something waits for a unit.
func (p *pending) wait(c ClientID, clock uint64) {
	if p.missing == nil {
		p.missing = make(map[ClientID]uint64)
	}
	if have, ok := p.missing[c]; !ok || clock < have {
		p.missing[c] = clock
	}
}

// rawBytes is what a waiting block counts for.
const rawBytes = 200

// add stores a block that waits, as merging its update with those stored
// before does: of two that overlap, the one that starts first stays whole
// (Yjs: mergeUpdatesV2).
func (p *pending) add(b *rawBlock) {
	if p.clients == nil {
		p.clients = make(map[ClientID][]*rawBlock)
	}
	own := b.clone()
	list := p.clients[b.client]
	i := len(list)
	if i > 0 && list[i-1].clock > own.clock {
		i = sort.Search(i, func(i int) bool { return list[i].clock > own.clock })
	}
	if i > 0 {
		prev := list[i-1]
		if prev.end() >= own.end() {
			return
		}
		if prev.end() > own.clock {
			own.slice(prev.end() - own.clock)
		}
		if prev.kind == kindGC && own.kind == kindGC && prev.end() == own.clock {
			prev.length += own.length
			p.trimAfter(b.client, i-1)
			return
		}
	}
	p.count(own, 1)
	p.clients[b.client] = slices.Insert(list, i, own)
	p.trimAfter(b.client, i)
}

// trimAfter cuts what overlaps block i from the blocks after it.
func (p *pending) trimAfter(c ClientID, i int) {
	list := p.clients[c]
	end := list[i].end()
	j := i + 1
	for j < len(list) && list[j].end() <= end {
		p.count(list[j], -1)
		j++
	}
	list = slices.Delete(list, i+1, j)
	if i+1 < len(list) && list[i+1].clock < end {
		list[i+1].slice(end - list[i+1].clock)
	}
	p.clients[c] = list
}

func (p *pending) count(b *rawBlock, sign int) {
	p.blocks += sign
	p.bytes += sign * (rawBytes + len(b.data) + len(b.name) + len(b.key) + len(b.root))
	if b.kind == kindType {
		p.types += sign
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
	for i := len(ids) - 1; i >= 0; i-- {
		for c := ids[i]; !tried[c]; {
			tried[c] = true
			on, clock, held := d.heldUp(p.clients[c][0])
			if held && p.clients[on] != nil && !tried[on] {
				c = on
			} else if held {
				p.wait(on, clock)
			}
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

// clone copies what aliases an update.
func (b *rawBlock) clone() *rawBlock {
	out := new(rawBlock)
	*out = *b
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
