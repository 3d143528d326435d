package crdt

// run reads and places blocks as long as they are text or deleted and their
// place is a plain one. If the first other block has been read by then, it is in
// b, and run returns true.
func (l *loader) run(b *rawBlock) bool {
	if l.r.isV1 {
		for l.quickV1(); l.runV1(); l.quickV1() {
		}
		return false
	}
	return l.runV2(b)
}

// plainInfo tells whether the first byte of a block is that of a text or deleted
// block with an origin.
func plainInfo(info uint8) bool {
	k := contentKind(info & 0x1f)
	return info&0xa0 == 0x80 && (k == kindString || k == kindDeleted)
}

// runV1 reads and places one block, or returns false before it.
func (l *loader) runV1() bool {
	r := &l.r
	v1 := &r.v1
	if r.blocks == 0 || v1.pos >= len(v1.b) || !plainInfo(v1.b[v1.pos]) {
		return false
	}
	start, info := v1.pos, v1.b[v1.pos]
	v1.pos++
	var right ID
	origin := v1.leftID()
	if info&0x40 != 0 {
		right = v1.leftID()
	}
	var data []byte
	var n uint64
	if contentKind(info&0x1f) == kindString {
		var units int
		data, units = v1.text()
		n = uint64(units)
	} else {
		n = v1.uvarint()
	}
	if v1.bad != nil || !l.placePlain(info, origin, right, n, data) {
		v1.pos = start
		return false
	}
	return true
}

func (l *loader) runV2(b *rawBlock) bool {
	r := &l.r
	v2 := r.v2
	for r.blocks > 0 {
		info := v2.infos.Read()
		if !plainInfo(info) {
			return r.took(b, r.readAfter(info, b))
		}
		var right ID
		origin := v2.leftID()
		if info&0x40 != 0 {
			right = v2.rightID()
		}
		var data []byte
		var n uint64
		if contentKind(info&0x1f) == kindString {
			var units int
			data, units = v2.strings.Read()
			n = uint64(units)
		} else {
			n = v2.lens.Read()
		}
		if !l.placePlain(info, origin, right, n, data) {
			b.reset(r.client, r.clock, contentKind(info&0x1f))
			b.hasOrigin, b.origin = true, origin
			b.hasRight, b.right = info&0x40 != 0, right
			b.length, b.data = n, data
			return r.took(b, r.valid(b, info))
		}
	}
	return false
}

// placePlain places the next block, if it is of the client whose blocks come in,
// with its origins, and nothing is wrong with it.
func (l *loader) placePlain(info uint8, origin, right ID, n uint64, data []byte) bool {
	r := &l.r
	p := placing{
		clock: uint32(r.clock), length: uint32(n), kind: contentKind(info & 0x1f),
		origin: uint32(origin.Clock), right: uint32(right.Clock), hasRight: info&0x40 != 0,
	}
	if origin.Client != r.client || uint64(origin.Clock) >= r.clock || p.hasRight && (right.Client != r.client || uint64(right.Clock) >= r.clock) ||
		n == 0 || n > maxClock || r.clock+n > maxClock || !l.place(&p) {
		return false
	}
	if p.kind == kindString {
		l.d.putText(&l.items[l.d.slab.next-1], data)
	}
	r.blocks--
	r.total++
	r.clock += n
	return true
}

// placeRaw places a block.
func (l *loader) placeRaw(b *rawBlock) bool {
	p := placing{
		clock: uint32(b.clock), length: uint32(b.length), kind: b.kind,
		origin: uint32(b.origin.Clock), right: uint32(b.right.Clock), hasRight: b.hasRight,
	}
	if !b.hasOrigin || b.origin.Client != b.client || b.kind == kindGC || b.hasRight && b.right.Client != b.client || !l.place(&p) {
		return false
	}
	if b.kind != kindDeleted {
		r := l.d.slab.next - 1
		l.d.storeRaw(&l.items[r], b, 0)
		l.tx.integrateContent(r, &l.items[r])
	}
	return true
}

// placing is what the place of a block depends on. Its origin, and its right
// origin if it has one, are known and of its own client.
type placing struct {
	clock, length uint32
	origin, right uint32
	hasRight      bool
	kind          contentKind
}

// place integrates a block whose place is the plain one: in the sequence of a
// living type, right after its origin, where its right origin or nothing
// follows, both with block borders there. So there is no conflict, and nothing
// to cut. It does nothing and returns false for any other, as one whose origin
// is in a gc block, which has no sequence. The content is left to the caller.
func (l *loader) place(p *placing) bool {
	d, items := l.d, l.items
	r := d.slab.next
	if int(r) >= len(items) {
		return false
	}
	left := r - 1
	if p.origin+1 != p.clock {
		left = l.index.find(l.entries, p.origin, p.clock, r)
	}
	lt := &items[left]
	right := lt.right
	if lt.end() != p.origin+1 || (right != 0) != p.hasRight || lt.chain == 0 || lt.chain != l.chain && !l.plain(lt.chain) {
		return false
	}
	var rightOrigin unitID
	if p.hasRight {
		rt := &items[right]
		if rt.clock != p.right {
			return false
		}
		rt.left = r
		rightOrigin = unitID{l.c, p.right}
	}
	lt.right = r
	it := &items[r]
	d.slab.next++
	d.slab.live++
	it.clock, it.length, it.client, it.kind = p.clock, p.length, l.c, p.kind
	it.left, it.right, it.chain = left, right, lt.chain
	it.origin, it.rightOrigin = unitID{l.c, p.origin}, rightOrigin
	if left == r-1 && lt.kind == p.kind && lt.rightOrigin == rightOrigin {
		l.joints = append(l.joints, r)
	}
	cl := d.clients[l.c]
	cl.blocks.append(blockEntry{p.clock, r})
	cl.state = p.clock + p.length
	l.index.add(r, p.clock, cl.state)
	switch {
	case p.kind == kindDeleted:
		it.flags = flagDeleted
		if l.noted {
			l.tx.noteDeleted(it)
		}
		cl.deleted.add(p.clock, cl.state)
	case p.kind.countable():
		d.branches[l.branch].length += p.length
	}
	if l.tx.tracked {
		l.tx.markChanged(d.chain(l.chain))
	}
	return true
}

// plain tells whether a chain, not that of a gc block, is the sequence of a living type without a
// position index.
func (l *loader) plain(c chainRef) bool {
	d := l.d
	ch := d.chain(c)
	parent := d.branch(ch.branch)
	if ch.key != 0 || parent.flags&branchIndexed != 0 || parent.item != 0 && d.item(parent.item).deleted() {
		return false
	}
	l.chain, l.branch = c, ch.branch
	return true
}

// runsOn tells whether some block may merge with the one before it.
func (l *loader) runsOn() bool {
	d := l.d
	for _, r := range l.joints {
		if d.merges(r-1, r) {
			return true
		}
	}
	if !l.general {
		return false
	}
	for r := itemRef(2); r < d.slab.next; r++ {
		if left, it := d.item(r-1), d.item(r); left.isGC() && it.isGC() || it.left == r-1 && d.merges(r-1, r) {
			return true
		}
	}
	return false
}
