package crdt

import (
	"cmp"
	"slices"

	"ysync/internal/lib0"
)

// updateEncoder is the surface over which blocks and delete sets are written in
// both encodings (Yjs: UpdateEncoderV1, UpdateEncoderV2).
type updateEncoder interface {
	uvarint(v uint64) // to the bytes that are not in a column
	client(c ClientID)
	leftID(id ID)
	rightID(id ID)
	info(v uint8)
	parentInfo(v uint8)
	typeRef(v uint64)
	length(v uint64)
	// text writes WTF-8; units is its length, -1 when not known.
	text(s []byte, units int)
	str(s string)
	key(s []byte)
	bytes(b []byte)
	any(b []byte)  // encoded values
	json(b []byte) // one value in the Any encoding
	resetDeletes()
	deleteClock(v uint64)
	deleteLength(v uint64)
	// finish returns the dst of newEncoder with the update appended.
	finish() []byte
}

// newEncoder starts an update that is appended to dst.
func newEncoder(v Version, dst []byte) updateEncoder {
	if v == V2 {
		e := encodersV2.Get().(*encoderV2)
		e.dst = dst
		return e
	}
	return &encoderV1{buf: dst}
}

// writeBlock writes a block from its unit offset on (Yjs: Item.write, GC.write).
func (d *Doc) writeBlock(e updateEncoder, it *item, offset uint32) {
	d.writePart(e, it, offset, it.length)
}

// writePart writes the units of a block from offset up to, not including, to.
// The block stays whole.
func (d *Doc) writePart(e updateEncoder, it *item, offset, to uint32) {
	if it.isGC() {
		e.info(uint8(kindGC))
		e.length(uint64(to - offset))
		return
	}
	origin := it.origin
	if offset > 0 {
		origin = unitID{it.client, it.clock + offset - 1}
	}
	ch := d.chain(it.chain)
	info := uint8(it.kind)
	if origin.client != 0 {
		info |= 0x80
	}
	if it.rightOrigin.client != 0 {
		info |= 0x40
	}
	if ch.key != 0 {
		info |= 0x20
	}
	e.info(info)
	if origin.client != 0 {
		e.leftID(d.publicID(origin))
	}
	if it.rightOrigin.client != 0 {
		e.rightID(d.publicID(it.rightOrigin))
	}
	if info&0xc0 == 0 {
		b := d.branch(ch.branch)
		if b.item == 0 {
			e.parentInfo(1)
			e.str(d.key(b.name))
		} else {
			e.parentInfo(0)
			e.leftID(d.publicID(d.item(b.item).id()))
		}
		if ch.key != 0 {
			e.str(d.key(ch.key))
		}
	}
	d.writeContent(e, it, offset, to)
}

// writeBlocksV2 is writeBlock for whole blocks in V2; the frequent ones go
// straight to the columns.
func (d *Doc) writeBlocksV2(e *encoderV2, blocks []blockEntry) {
	for _, b := range blocks {
		it := d.item(b.ref)
		if it.kind != kindString && it.kind != kindDeleted || it.origin.client == 0 && it.rightOrigin.client == 0 {
			d.writeBlock(e, it, 0)
			continue
		}
		info := uint8(it.kind)
		if it.origin.client != 0 {
			info |= 0x80
			e.leftID(d.publicID(it.origin))
		}
		if it.rightOrigin.client != 0 {
			info |= 0x40
			e.rightID(d.publicID(it.rightOrigin))
		}
		if d.chains[it.chain].key != 0 {
			info |= 0x20
		}
		e.infos.Write(info)
		if it.kind == kindString {
			e.strings.WriteUnits(view(d.data(it)), int(it.length))
		} else {
			e.lens.Write(uint64(it.length))
		}
	}
}

// writeContent writes the payload of the units from offset up to to.
func (d *Doc) writeContent(e updateEncoder, it *item, offset, to uint32) {
	data := d.data(it)
	switch it.kind {
	case kindDeleted:
		e.length(uint64(to - offset))
	case kindJSON:
		e.length(uint64(to - offset))
		r := lib0.NewWTF8Reader(d.valuesFrom(it, offset))
		for range to - offset {
			if ahead := r; ahead.Tag() == lib0.TagUndefined {
				r = ahead
				e.str("undefined")
			} else {
				e.text(stringifyAny(nil, &r), -1)
			}
		}
	case kindBinary:
		e.bytes(data)
	case kindString:
		if it.size == it.length {
			e.text(data[offset:to], int(to-offset))
			return
		}
		text, ok := textTail(data, it.length-offset)
		if !ok {
			text = textFrom(data, offset)
		}
		if to < it.length {
			at, how := cutText(text, to-offset)
			if how == cutClean {
				text = text[:at]
			} else {
				text, _ = replaceAtCut(text, at, how)
			}
		}
		e.text(text, int(to-offset))
	case kindEmbed:
		e.json(data)
	case kindFormat:
		key, value := d.formatParts(it)
		e.key(key)
		e.json(value)
	case kindType:
		b := d.branch(it.branch())
		e.typeRef(uint64(b.kind))
		if b.kind.named() {
			e.key([]byte(d.key(b.name)))
		}
	case kindAny:
		e.length(uint64(to - offset))
		values := d.valuesFrom(it, offset)
		if to < it.length {
			values = values[:len(values)-len(skipValues(values, to-offset))]
		}
		e.any(values)
	case kindDoc:
		guid, opts := d.formatParts(it)
		e.text(guid, -1)
		e.any(opts)
	}
}

// seam remembers where a value of a long item begins, to spare a walk over those
// before it: the place of the last search, or where two items were merged. It
// cannot go out of date, because the units of an ID keep their encoding for as
// long as they have one.
type seam struct {
	id    unitID // of the item's first unit
	units uint32
	bytes uint32 // of the units from id on
}

// valuesFrom are the encoded values of an item from unit n on.
func (d *Doc) valuesFrom(it *item, n uint32) []byte {
	data := d.data(it)
	if n == 0 {
		return data
	}
	s := seam{id: it.id()}
	if d.seam.id == s.id && d.seam.units <= n {
		s = d.seam
	}
	rest := skipValues(data[s.bytes:], n-s.units)
	d.seam = seam{s.id, n, uint32(len(data) - len(rest))}
	return rest
}

// skipValues cuts n encoded values off the front.
func skipValues(b []byte, n uint32) []byte {
	if n == 0 {
		return b
	}
	r := lib0.NewWTF8Reader(b)
	for range n {
		r.SkipAny(maxAnyDepth + 1)
	}
	return r.Rest()
}

// from is where a diff starts in one client.
type from struct {
	client clientRef
	clock  uint32
}

// missingFrom lists the clients with blocks beyond sv, in descending order of
// their IDs (Yjs: writeClientsStructs).
func (d *Doc) missingFrom(sv StateVector) []from {
	out := make([]from, 0, len(d.clients))
	for c := 1; c < len(d.clients); c++ {
		cl := d.clients[c]
		if known := sv.Get(cl.id); Clock(cl.state) > known {
			out = append(out, from{clientRef(c), uint32(known)})
		}
	}
	d.sortDescending(out)
	return out
}

// descending compares two clients by their IDs, the higher one first.
func (d *Doc) descending(a, b clientRef) int {
	return cmp.Compare(d.clients[b].id, d.clients[a].id)
}

func (d *Doc) sortDescending(fs []from) {
	slices.SortFunc(fs, func(a, b from) int { return d.descending(a.client, b.client) })
}

// writeFrom writes the blocks of each client from a clock on
// (Yjs: writeStructs).
func (d *Doc) writeFrom(e updateEncoder, fs []from) {
	e.uvarint(uint64(len(fs)))
	for _, f := range fs {
		cl := d.clients[f.client]
		p := cl.blocks.find(f.clock)
		e.uvarint(uint64(cl.blocks.lenFrom(p)))
		e.client(cl.id)
		e.uvarint(uint64(f.clock))
		offset := f.clock - cl.blocks.at(p).clock
		d.writeBlock(e, d.item(cl.blocks.at(p).ref), offset)
		e2, isV2 := e.(*encoderV2)
		for c := p.chunk; c <= len(cl.blocks.full); c++ {
			rest := cl.blocks.chunk(c)
			if c == p.chunk {
				rest = rest[p.at+1:]
			}
			if isV2 {
				d.writeBlocksV2(e2, rest)
				continue
			}
			for _, b := range rest {
				d.writeBlock(e, d.item(b.ref), 0)
			}
		}
	}
}

// writeAllDeletes writes the delete set of the document (Yjs: writeDeleteSet of
// createDeleteSetFromStructStore).
func (d *Doc) writeAllDeletes(e updateEncoder) {
	fs := make([]from, 0, len(d.clients))
	for c := 1; c < len(d.clients); c++ {
		if len(d.clients[c].deleted.settled()) > 0 {
			fs = append(fs, from{client: clientRef(c)})
		}
	}
	d.sortDescending(fs)
	e.uvarint(uint64(len(fs)))
	for _, f := range fs {
		cl := d.clients[f.client]
		e.resetDeletes()
		e.uvarint(uint64(cl.id))
		e.uvarint(uint64(len(cl.deleted.list)))
		for _, s := range cl.deleted.list {
			e.deleteClock(uint64(s.from))
			e.deleteLength(uint64(s.to - s.from))
		}
	}
}

// writeIDSet writes a delete set (Yjs: writeDeleteSet).
func writeIDSet(e updateEncoder, s *IDSet) {
	e.uvarint(uint64(len(s.clients)))
	for _, c := range s.clients {
		e.resetDeletes()
		e.uvarint(uint64(c.client))
		rs := c.ranges()
		e.uvarint(uint64(len(rs)))
		for _, r := range rs {
			e.deleteClock(uint64(r.from))
			e.deleteLength(uint64(r.to - r.from))
		}
	}
}

// writeRanges writes the sorted deletes of a transaction.
func (d *Doc) writeRanges(e updateEncoder, ds []deleteRange) {
	fs := make([]from, 0, 1)
	for i, r := range ds {
		if i == 0 || ds[i-1].client != r.client {
			fs = append(fs, from{r.client, uint32(i)})
		}
	}
	if len(fs) > 1 {
		d.sortDescending(fs)
	}
	e.uvarint(uint64(len(fs)))
	for _, f := range fs {
		group := ds[f.clock:]
		n := 1
		for n < len(group) && group[n].client == f.client {
			n++
		}
		e.resetDeletes()
		e.uvarint(uint64(d.clients[f.client].id))
		e.uvarint(uint64(n))
		for _, r := range group[:n] {
			e.deleteClock(uint64(r.clock))
			e.deleteLength(uint64(r.length))
		}
	}
}

// AppendDiff appends the blocks that sv lacks and the whole delete set. Pending
// blocks are left out, so it never holds a skip.
func (d *Doc) AppendDiff(dst []byte, v Version, sv StateVector) []byte {
	fs := d.missingFrom(sv)
	if v == V1 {
		e := encoderV1{buf: d.appendFromV1(slices.Grow(dst, d.roomV1(fs)), fs)}
		d.writeAllDeletes(&e)
		return e.buf
	}
	e := newEncoder(v, dst)
	d.writeFrom(e, fs)
	d.writeAllDeletes(e)
	return e.finish()
}

// roomV1 is about how many bytes a diff takes in V1.
func (d *Doc) roomV1(fs []from) int {
	n := 64
	for _, f := range fs {
		cl := d.clients[f.client]
		if blocks := cl.blocks.lenFrom(cl.blocks.find(f.clock)); blocks == cl.blocks.len() {
			n += 15*blocks + (len(d.arena.buf)-int(d.arena.dead))/len(d.clients)
		} else {
			n += 32 * blocks
		}
	}
	for i := range d.clients {
		n += 5 * len(d.clients[i].deleted.settled())
	}
	return n
}

// AppendUpdate appends the integrated blocks that sv lacks, and only these
// deletes. It never holds a skip.
func (d *Doc) AppendUpdate(dst []byte, v Version, sv StateVector, deletes IDSet) []byte {
	e := newEncoder(v, dst)
	d.writeFrom(e, d.missingFrom(sv))
	writeIDSet(e, &deletes)
	return e.finish()
}

// AppendState appends the whole document with what is pending, byte for byte
// as Yjs does (encodeStateAsUpdate). With pending blocks it may hold skips,
// which clients must not be sent. A pending block that meanwhile became known in
// another form can stand in it for the known one, as in Yjs: what is to be
// loaded again comes from AppendStored.
func (d *Doc) AppendState(dst []byte, v Version) []byte {
	return d.AppendStateDiff(dst, v, StateVector{})
}

// AppendStateDiff is AppendState without the blocks that sv knows
// (Yjs: encodeStateAsUpdate with a state vector).
func (d *Doc) AppendStateDiff(dst []byte, v Version, sv StateVector) []byte {
	if d.pending.empty() {
		return d.AppendDiff(dst, v, sv)
	}
	return d.appendWithPending(dst, v, sv, sv)
}

// AppendStored appends the whole document with what is pending, for storage: an
// empty document that applies it knows and waits for the same. It is
// AppendState without the pending blocks that are known: one that stands in for
// a collected block may name what nobody has, and everything after it would
// wait when the state is loaded. It may hold skips.
func (d *Doc) AppendStored(dst []byte, v Version) []byte {
	if d.pending.empty() {
		return d.AppendDiff(dst, v, StateVector{})
	}
	return d.appendWithPending(dst, v, StateVector{}, d.StateVector())
}

// StateVector is the state of every client that has integrated blocks.
func (d *Doc) StateVector() StateVector {
	cs := make([]clientClock, 0, len(d.clients))
	for _, c := range d.clients[1:] {
		if c.state > 0 {
			cs = append(cs, clientClock{c.id, Clock(c.state)})
		}
	}
	return newStateVector(cs)
}

// State is what StateVector tells of one client, at the cost of a look-up.
func (d *Doc) State(c ClientID) Clock { return Clock(d.state(c)) }

// Deletes is the whole delete set.
func (d *Doc) Deletes() IDSet {
	var s IDSet
	for i := range d.clients[1:] {
		c := d.clients[1+i]
		deleted := c.deleted.settled()
		if len(deleted) == 0 {
			continue
		}
		s.clients = append(s.clients, idSetClient{c.id, pack(slices.Clone(deleted))})
	}
	s.sort()
	return s
}
