package crdt

import (
	"iter"
	"slices"

	"ysync/internal/lib0"
)

// Chunks cuts what AppendDiff would give into V1 updates of at most about
// maxBytes. After every prefix of them a Yjs client that has sv has integrated
// all it got: blocks come after what they depend on, and never a skip. Long
// text and lists of values are cut; one value that cannot be cut comes in a
// chunk of its own size. Deletes travel with their blocks; those of blocks
// that the client has come last. There is always at least one chunk. The
// document must not change while the chunks are drawn.
func (d *Doc) Chunks(sv StateVector, maxBytes int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := chunker{d: d, maxBytes: max(maxBytes, minChunk), yield: yield}
		c.sent = make([]uint32, len(d.clients))
		c.part = make([]int, len(d.clients))
		order := make([]from, 0, len(d.clients))
		for i := 1; i < len(d.clients); i++ {
			cl := d.clients[i]
			c.sent[i] = uint32(min(sv.Get(cl.id), Clock(cl.state)))
			order = append(order, from{client: clientRef(i)})
		}
		known := slices.Clone(c.sent)
		d.sortDescending(order)
		for _, f := range order {
			if !c.sendUpTo(f.client, d.clients[f.client].state) {
				return
			}
		}
		for _, f := range order {
			if !c.addDeletes(f.client, 0, known[f.client]) {
				return
			}
		}
		c.flush(true)
	}
}

// minChunk keeps cuts of text from becoming absurd.
const minChunk = 256

// blockOverhead is more than the encoding of a block's head takes, two
// 53-bit IDs and a section start included.
const blockOverhead = 64

// chunker collects blocks in causal order.
type chunker struct {
	d        *Doc
	maxBytes int
	yield    func([]byte) bool

	sent  []uint32    // by client: the state that the receiver will have
	part  []int       // by client: its index in parts plus one, 0 for none
	parts []chunkPart // of the chunk being built
	size  int
}

// chunkPart is what the chunk holds of one client.
type chunkPart struct {
	client  clientRef
	clock   uint32
	blocks  uint64
	enc     encoderV1
	deletes ranges
}

// sendUpTo sends the blocks of a client up to a state, after everything that
// they depend on. The blocks of a Doc have no cyclic dependencies: each was
// integrated after what it names.
func (c *chunker) sendUpTo(client clientRef, state uint32) bool {
	type goal struct {
		client clientRef
		state  uint32
	}
	stack := []goal{{client, state}}
	for len(stack) > 0 {
		g := stack[len(stack)-1]
		if c.sent[g.client] >= g.state {
			stack = stack[:len(stack)-1]
			continue
		}
		it := c.d.item(c.d.blockAt(unitID{g.client, c.sent[g.client]}))
		if dep, ok := c.lacks(it); ok {
			stack = append(stack, goal{dep.client, dep.clock + 1})
			continue
		}
		if !c.sendBlock(it) {
			return false
		}
	}
	return true
}

// lacks finds a unit that the rest of a block depends on and that was not sent.
func (c *chunker) lacks(it *item) (unitID, bool) {
	if it.isGC() {
		return unitID{}, false
	}
	if c.sent[it.client] == it.clock {
		if o := it.origin; o.client != 0 && c.sent[o.client] <= o.clock {
			return o, true
		}
		if it.origin.client == 0 && it.rightOrigin.client == 0 {
			if p := c.d.branch(c.d.parentOf(it)).item; p != 0 {
				if id := c.d.item(p).id(); c.sent[id.client] <= id.clock {
					return id, true
				}
			}
		}
	}
	if o := it.rightOrigin; o.client != 0 && c.sent[o.client] <= o.clock {
		return o, true
	}
	return unitID{}, false
}

// sendBlock puts what is left of a block into chunks.
func (c *chunker) sendBlock(it *item) bool {
	offset := c.sent[it.client] - it.clock
	for offset < it.length {
		room := c.maxBytes - c.size - blockOverhead
		to := c.d.cutContent(it, offset, room)
		if to == offset {
			if c.size > 0 {
				if !c.flush(false) {
					return false
				}
				continue
			}
			if to = it.length; it.kind == kindAny {
				to = offset + 1
			}
		}
		p := c.partOf(it.client)
		before := len(p.enc.buf)
		c.d.writePart(&p.enc, it, offset, to)
		p.blocks++
		c.size += len(p.enc.buf) - before
		from := it.clock + offset
		offset = to
		c.sent[it.client] = it.clock + to
		if !c.addDeletes(it.client, from, it.clock+to) {
			return false
		}
	}
	return true
}

// partOf is the part of a client in the current chunk.
func (c *chunker) partOf(client clientRef) *chunkPart {
	if i := c.part[client]; i > 0 {
		return &c.parts[i-1]
	}
	c.parts = append(c.parts, chunkPart{client: client, clock: c.sent[client]})
	c.part[client] = len(c.parts)
	c.size += 3 * 8
	return &c.parts[len(c.parts)-1]
}

// addDeletes puts the deletes of a client within clocks into the chunk.
func (c *chunker) addDeletes(client clientRef, from, to uint32) bool {
	if from >= to {
		return true
	}
	del := c.d.clients[client].deleted.settled()
	for i := del.search(from); i < len(del) && del[i].from < to; i++ {
		if c.size > c.maxBytes && !c.flush(false) {
			return false
		}
		p := c.partOf(client)
		n := len(p.deletes)
		p.deletes.add(max(from, del[i].from), min(to, del[i].to))
		c.size += 10 * (len(p.deletes) - n)
	}
	return true
}

// flush yields the current chunk; an empty one only as the very last.
func (c *chunker) flush(last bool) bool {
	if len(c.parts) == 0 && !last {
		return true
	}
	slices.SortFunc(c.parts, func(a, b chunkPart) int { return c.d.descending(a.client, b.client) })
	blocks, deletes := 0, 0
	for i := range c.parts {
		if c.parts[i].blocks > 0 {
			blocks++
		}
		if len(c.parts[i].deletes) > 0 {
			deletes++
		}
	}
	out := make([]byte, 0, c.size+2*len(c.parts)+16)
	out = lib0.AppendUvarint(out, uint64(blocks))
	for i := range c.parts {
		if p := &c.parts[i]; p.blocks > 0 {
			out = lib0.AppendUvarint(out, p.blocks)
			out = lib0.AppendUvarint(out, uint64(c.d.clients[p.client].id))
			out = lib0.AppendUvarint(out, uint64(p.clock))
			out = append(out, p.enc.buf...)
		}
	}
	out = lib0.AppendUvarint(out, uint64(deletes))
	for i := range c.parts {
		p := &c.parts[i]
		c.part[p.client] = 0
		if len(p.deletes) == 0 {
			continue
		}
		out = lib0.AppendUvarint(out, uint64(c.d.clients[p.client].id))
		out = lib0.AppendUvarint(out, uint64(len(p.deletes)))
		for _, s := range p.deletes {
			out = lib0.AppendUvarint(out, uint64(s.from))
			out = lib0.AppendUvarint(out, uint64(s.to-s.from))
		}
	}
	c.parts, c.size = c.parts[:0], 0
	return c.yield(out)
}

// cutContent finds how far a block can be sent from unit offset on within room
// bytes of content; it returns offset when nothing fits.
func (d *Doc) cutContent(it *item, offset uint32, room int) uint32 {
	if room <= 0 {
		return offset
	}
	data := d.data(it)
	if len(data) <= room {
		return it.length
	}
	switch it.kind {
	case kindString:
		b := textFrom(data, offset)
		if len(b) <= room {
			return it.length
		}
		at := room
		for at > 0 && b[at]&0xc0 == 0x80 {
			at--
		}
		return offset + uint32(lib0.UTF16Len(b[:at]))
	case kindAny:
		b := skipValues(data, offset)
		r := lib0.NewWTF8Reader(b)
		for n := offset; n < it.length; n++ {
			r.SkipAny(maxAnyDepth + 1)
			if len(b)-r.Len() > room {
				return n
			}
		}
		return it.length
	}
	return offset
}
