package crdt

import "sync"

// This file is the short way into an empty document, which most large updates
// take: a stored state, or all that a peer has. A refused update is undone by
// emptying the document again, so blocks become items as they are decoded, in
// one pass. What is out of the ordinary gives up, and Apply goes the long way.

const (
	// loadFrom is how many bytes an update has that is worth the short way.
	loadFrom = 1024
	// bytesPerLoaded is how many bytes an update must have for each of its
	// blocks, so that what it makes the document allocate before it turns out to
	// be damaged stays in proportion to its size.
	bytesPerLoaded = 12
	// keepLoaded is how many bytes of text a loader keeps for the next time.
	keepLoaded = 1 << 20
	// loadShift is the logarithm of the distance of clocks in a loadIndex, unless
	// there are too many.
	loadShift = 4
)

// loader is what loading needs besides the document.
type loader struct {
	d  *Doc
	tx *Txn
	r  updateReader

	text    []byte        // becomes the arena
	deletes []deleteRange // becomes Txn.deletes

	// direct says that blocks can be placed directly: all are of client c, and
	// each is in items at its number, one after the other from the first on.
	direct bool
	c      clientRef
	first  clientRef // the first of the update
	items  []item
	index  loadIndex
	chain  chainRef // of the block placed last, when known to be plain
	branch branchRef

	gone ranges // becomes the deleted clocks of c, for the first c

	// joints are blocks that continue the one before them unless something comes
	// between; general says that there may be others.
	joints  []itemRef
	general bool
	known   bool // a delete of the update was in its blocks already
}

var loaders = sync.Pool{New: func() any { return new(loader) }}

func (l *loader) release() {
	l.r.forget()
	*l = loader{r: l.r, text: l.text[:0], deletes: l.deletes[:0], joints: l.joints[:0], gone: l.gone[:0], index: loadIndex{at: l.index.at[:0]}}
	if cap(l.text) <= keepLoaded {
		loaders.Put(l)
	}
}

// load applies an update to an empty document. It returns nil, and leaves the
// document empty, if the update is refused or has to go the long way.
func (d *Doc) load(origin any, v Version, update []byte) *Commit {
	if len(update) < loadFrom || len(update) > maxArena/8 || !d.fresh() || len(d.cleanups) > 0 {
		return nil
	}
	l := loaders.Get().(*loader)
	defer l.release()
	if l.r.start(v, update, d.limits.BlocksPerUpdate) != nil {
		return nil
	}
	l.r.maxBlocks = min(l.r.maxBlocks, len(update)/bytesPerLoaded)
	tx := d.begin(origin)
	l.d, l.tx = d, tx
	if cap(l.text) < len(update) {
		l.text = make([]byte, 0, len(update))
	}
	d.arena.buf, tx.deletes = l.text[:0], l.deletes[:0]
	ok := l.blocks() && l.deleted()
	l.settle()
	if !ok {
		d.reset()
		return nil
	}
	tx.commit.relayable = !l.known && l.r.dec.remaining() == 0
	tx.tidy = !tx.condemned && len(tx.mergeIDs) == 0 && len(tx.touched) == 1 && !l.runsOn()
	d.tx = nil
	d.finish(tx)
	if len(d.cleanups) == 0 {
		d.settleDown()
	}
	return &tx.commit
}

// settle gives the document memory of its own in place of the loader's.
func (l *loader) settle() {
	d, tx := l.d, l.tx
	gone := &d.clients[l.first].deleted
	l.text, d.arena.buf = d.arena.buf, exact(d.arena.buf)
	l.deletes, tx.deletes = tx.deletes, exact(tx.deletes)
	l.gone, gone.sorted = gone.sorted, exact(gone.sorted)
}

func exact[S ~[]T, T any](s S) S { return append(make(S, 0, len(s)), s...) }

// blocks integrates the blocks of the update.
func (l *loader) blocks() bool {
	r, d, tx := &l.r, l.d, l.tx
	var b rawBlock
	section := 0
	for r.next(&b) {
		if r.section != section {
			section = r.section
			if l.c != 0 && d.clients[l.c].id <= b.client {
				return false
			}
			l.begin(b.client, int(r.blocks)+1)
		}
		if uint64(d.clients[l.c].state) != b.clock || b.kind == kindSkip {
			return false
		}
		if !l.direct || !l.placeRaw(&b) {
			if _, lacks := d.lacks(&b); lacks {
				return false
			}
			tx.integrateRaw(&b, 0)
			if d.maxDepth > d.limits.TypeDepth {
				return false
			}
			l.placed(&b)
		}
		if l.direct && r.isV1 {
			l.run()
		}
	}
	return !r.failed()
}

// begin prepares for n blocks of a client.
func (l *loader) begin(client ClientID, n int) {
	d := l.d
	l.c = d.clientFor(client)
	l.tx.touch(l.c)
	l.direct = d.slab.next == 0
	if l.direct {
		l.items = d.slab.reserve(n)
		d.clients[l.c].blocks.reserve(n)
		d.clients[l.c].deleted.sorted = l.gone
		l.first = l.c
		l.index.limit, l.index.shift = cap(l.text)/8, loadShift
	}
}

// placed says that a block was integrated in the general way.
func (l *loader) placed(b *rawBlock) {
	r := l.d.slab.next - 1
	l.general, l.chain = l.general || r > 1, 0
	l.direct = l.direct && len(l.tx.mergeIDs) == 0 && int(r) < len(l.items) && l.items[r].clock == uint32(b.clock)
	if l.direct {
		l.index.add(r, uint32(b.end()))
	}
	if b.kind == kindDeleted {
		l.d.clients[l.c].deleted.add(uint32(b.clock), uint32(b.end()))
	}
}

// run reads and places blocks in V1 as long as they are text or deleted and
// their place is a plain one. It leaves the first other block unread.
func (l *loader) run() {
	r := &l.r
	v1, arena := &r.v1, &l.d.arena
	for r.blocks > 0 && v1.pos < len(v1.b) {
		at := v1.pos
		info := v1.b[at]
		p := placing{clock: uint32(r.clock), kind: contentKind(info & 0x1f)}
		if info&0xa0 != 0x80 || p.kind != kindString && p.kind != kindDeleted {
			return
		}
		v1.pos++
		origin := v1.leftID()
		right := ID{Client: r.client}
		if info&0x40 != 0 {
			right = v1.leftID()
			p.hasRight, p.right = true, uint32(right.Clock)
		}
		var data []byte
		var n uint64
		if p.kind == kindString {
			var units int
			data, units = v1.text()
			n = uint64(units)
		} else {
			n = v1.uvarint()
		}
		p.origin, p.length = uint32(origin.Clock), uint32(n)
		known := origin.Client == r.client && right.Client == r.client && max(uint64(origin.Clock), uint64(right.Clock)) < r.clock
		if !known || v1.bad != nil || n == 0 || n > maxClock || r.clock+n > maxClock || !l.place(&p) {
			v1.pos = at
			return
		}
		if p.kind == kindString {
			it := &l.items[l.d.slab.next-1]
			it.off, it.size = arena.put(data), uint32(len(data))
		}
		r.blocks--
		r.total++
		r.clock += n
	}
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
// to cut. It does nothing and returns false for any other. The content is left
// to the caller.
func (l *loader) place(p *placing) bool {
	d, items := l.d, l.items
	r := d.slab.next
	if int(r) >= len(items) {
		return false
	}
	left := r - 1
	if p.origin+1 != p.clock {
		left = l.index.find(items, p.origin, r)
	}
	lt := &items[left]
	right := lt.right
	if lt.end() != p.origin+1 || (right != 0) != p.hasRight || lt.chain != l.chain && !l.plain(lt.chain) {
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
	cl := &d.clients[l.c]
	cl.blocks.append(blockEntry{p.clock, r})
	cl.state = p.clock + p.length
	l.index.add(r, cl.state)
	switch {
	case p.kind == kindDeleted:
		it.flags = flagDeleted
		l.tx.noteDeleted(it)
		cl.deleted.add(p.clock, cl.state)
	case p.kind.countable():
		d.branches[l.branch].length += p.length
	}
	if l.tx.tracked {
		l.tx.markChanged(d.chain(l.chain))
	}
	return true
}

// plain tells whether a chain is the sequence of a living type without a
// position index.
func (l *loader) plain(c chainRef) bool {
	d := l.d
	ch := d.chain(c)
	parent := d.branch(ch.branch)
	if c == 0 || ch.key != 0 || parent.flags&branchIndexed != 0 || parent.item != 0 && d.item(parent.item).deleted() {
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

// deleted applies the delete set. Nearly all of it is in the blocks already.
func (l *loader) deleted() bool {
	r, d := &l.r, l.d
	ap := applier{tx: l.tx, d: d}
	var run deleteRun
	var c clientRef
	var gone ranges
	for r.nextDelete(&run) {
		if c == 0 || d.clients[c].id != run.client {
			c = d.findClient(run.client)
			gone = d.clients[c].deleted.settled()
		}
		if run.To > Clock(d.clients[c].state) {
			return false
		}
		s := span{uint32(run.From), uint32(run.To)}
		for len(gone) > 0 && gone[0].to <= s.from {
			gone = gone[1:]
		}
		if len(gone) > 0 && gone[0].from <= s.from && s.to <= gone[0].to {
			l.known = true
			continue
		}
		ap.delete(run)
	}
	l.known = l.known || ap.known
	return r.check() == nil
}

// loadIndex finds the block of a clock among those of one client that come one
// after the other.
type loadIndex struct {
	at    []itemRef // the block that holds each clock that is a multiple of 1<<shift
	next  uint64    // the first such clock that is not in at
	limit int       // of the length of at
	shift uint8
}

// add says that a block ends before a clock, where the next one begins.
func (x *loadIndex) add(r itemRef, end uint32) {
	if x.next < uint64(end) {
		x.fill(r, uint64(end))
	}
}

func (x *loadIndex) fill(r itemRef, end uint64) {
	for x.next < end {
		if len(x.at) >= x.limit {
			half := (len(x.at) + 1) / 2
			for i := range half {
				x.at[i] = x.at[2*i]
			}
			x.at = x.at[:half]
			x.shift++
			x.next = uint64(half) << x.shift
			continue
		}
		x.at = append(x.at, r)
		x.next += 1 << x.shift
	}
}

// find returns the block that holds a clock; next is the number after the last
// block.
func (x *loadIndex) find(items []item, clock uint32, next itemRef) itemRef {
	i := clock >> x.shift
	lo, hi := x.at[i], next
	if int(i)+1 < len(x.at) {
		hi = x.at[i+1] + 1
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if items[mid].clock <= clock {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
