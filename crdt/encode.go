package crdt

import (
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
		return &encoderV2{dst: dst}
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

// writeContent writes the payload of the units from offset up to to.
func (d *Doc) writeContent(e updateEncoder, it *item, offset, to uint32) {
	data := d.data(it)
	switch it.kind {
	case kindDeleted:
		e.length(uint64(to - offset))
	case kindJSON:
		e.length(uint64(to - offset))
		r := lib0.NewReader(skipValues(data, offset))
		for range to - offset {
			if v := readAny(&r); v.IsUndefined() {
				e.str("undefined")
			} else {
				e.text(appendStringify(nil, v), -1)
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
		values := skipValues(data, offset)
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

// skipValues cuts n encoded values off the front.
func skipValues(b []byte, n uint32) []byte {
	if n == 0 {
		return b
	}
	r := lib0.NewReader(b)
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
		cl := &d.clients[c]
		if known := sv.Get(cl.id); Clock(cl.state) > known {
			out = append(out, from{clientRef(c), uint32(known)})
		}
	}
	d.sortDescending(out)
	return out
}

func (d *Doc) sortDescending(fs []from) {
	slices.SortFunc(fs, func(a, b from) int {
		if d.clients[a.client].id > d.clients[b.client].id {
			return -1
		}
		return 1
	})
}

// writeFrom writes the blocks of each client from a clock on
// (Yjs: writeStructs).
func (d *Doc) writeFrom(e updateEncoder, fs []from) {
	e.uvarint(uint64(len(fs)))
	for _, f := range fs {
		cl := &d.clients[f.client]
		i := cl.find(f.clock)
		e.uvarint(uint64(len(cl.blocks) - i))
		e.client(cl.id)
		e.uvarint(uint64(f.clock))
		d.writeBlock(e, d.item(cl.blocks[i].ref), f.clock-cl.blocks[i].clock)
		for _, b := range cl.blocks[i+1:] {
			d.writeBlock(e, d.item(b.ref), 0)
		}
	}
}

// writeAllDeletes writes the delete set of the document (Yjs: writeDeleteSet of
// createDeleteSetFromStructStore).
func (d *Doc) writeAllDeletes(e updateEncoder) {
	fs := make([]from, 0, len(d.clients))
	for c := 1; c < len(d.clients); c++ {
		if len(d.clients[c].deleted) > 0 {
			fs = append(fs, from{client: clientRef(c)})
		}
	}
	d.sortDescending(fs)
	e.uvarint(uint64(len(fs)))
	for _, f := range fs {
		cl := &d.clients[f.client]
		e.resetDeletes()
		e.uvarint(uint64(cl.id))
		e.uvarint(uint64(len(cl.deleted)))
		for _, s := range cl.deleted {
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
		e.uvarint(uint64(len(c.ranges)))
		for _, r := range c.ranges {
			e.deleteClock(uint64(r.From))
			e.deleteLength(uint64(r.Len()))
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
	e := newEncoder(v, dst)
	d.writeFrom(e, d.missingFrom(sv))
	d.writeAllDeletes(e)
	return e.finish()
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

// Deletes is the whole delete set.
func (d *Doc) Deletes() IDSet {
	var s IDSet
	for _, c := range d.clients[1:] {
		if len(c.deleted) == 0 {
			continue
		}
		rs := make([]Range, len(c.deleted))
		for i, r := range c.deleted {
			rs[i] = Range{Clock(r.from), Clock(r.to)}
		}
		s.clients = append(s.clients, idSetClient{c.id, rs})
	}
	s.sort()
	return s
}
