package crdt

import "sync"

// This file is the short way into an empty document, which most large updates
// take: a stored state, or all that a peer has. A refused update is undone by
// emptying the document again, so blocks become items as they are decoded, in
// one pass. What is out of the ordinary gives up, and Apply goes the long way.

const (
	// loadFrom is how many bytes an update has, and on average for a client, that is
	// worth the short way.
	loadFrom = 1024
	// bytesPerLoaded is how many bytes an update must have for each of its
	// blocks, so that what it makes the document allocate before it turns out to
	// be damaged stays in proportion to its size; smallUpdate blocks are free.
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
	// entries are those of the blocks in the index of their client, which is one
	// piece of memory.
	entries []blockEntry
	index   loadIndex
	chain   chainRef // of the block placed last, when known to be plain
	branch  branchRef

	gone ranges // becomes the deleted clocks of first
	// noted says that Txn.deletes has the deletes of the blocks so far. They are
	// taken from gone, at the end or before there is a gc block: those are in gone
	// only.
	noted bool

	// joints are blocks that continue the one before them unless something comes
	// between; general says that there may be others.
	joints  []itemRef
	general bool
	known   bool // a delete of the update was in its blocks already
}

var loaders = sync.Pool{New: func() any { return new(loader) }}

func (l *loader) release() {
	l.r.forget()
	*l = loader{r: l.r, text: l.text[:0], deletes: l.deletes[:0], joints: l.joints[:0], gone: l.gone[:0], index: l.index}
	if cap(l.text) <= keepLoaded {
		loaders.Put(l)
	}
}

// load applies an update to an empty document. It returns nil, and leaves the
// document empty, if the update is refused or has to go the long way.
func (d *Doc) load(origin any, v Version, update []byte) *Commit {
	if len(update) > maxArena/8 || !d.fresh() || d.work != nil && len(d.work.cleanups) > 0 {
		return nil
	}
	l := loaders.Get().(*loader)
	defer l.release()
	if l.r.start(v, update, d.limits.BlocksPerUpdate) != nil {
		return nil
	}
	if l.r.sections > uint64(smallUpdate+len(update)/loadFrom) {
		return nil
	}
	l.r.maxBlocks = min(l.r.maxBlocks, smallUpdate+len(update)/bytesPerLoaded)
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
	if len(d.work.cleanups) == 0 {
		d.settleDown()
	}
	return &tx.commit
}

// settle gives the document memory of its own in place of the loader's.
func (l *loader) settle() {
	d, tx := l.d, l.tx
	l.text, d.arena.buf = d.arena.buf, exact(d.arena.buf)
	if l.first == 0 {
		return
	}
	l.note()
	l.deletes, tx.deletes = tx.deletes, exact(tx.deletes)
	gone := &d.clients[l.first].deleted
	l.gone, gone.list = gone.list, exact(gone.list)
}

// note puts the deleted blocks of the first client into Txn.deletes, before what
// others of the update deleted.
func (l *loader) note() {
	if l.noted {
		return
	}
	l.noted = true
	tx := l.tx
	var rest []deleteRange
	for _, r := range tx.deletes {
		if r.client != l.first || tx.condemned {
			rest = append(rest, r)
		}
	}
	tx.deletes = tx.deletes[:0]
	for _, s := range l.d.clients[l.first].deleted.list {
		tx.deletes = append(tx.deletes, deleteRange{l.first, s.from, s.to - s.from})
	}
	tx.deletes = append(tx.deletes, rest...)
}

func exact[S ~[]T, T any](s S) S { return append(make(S, 0, len(s)), s...) }

// blocks integrates the blocks of the update.
func (l *loader) blocks() bool {
	r, d := &l.r, l.d
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
		for more := true; more; more = l.direct && l.run(&b) {
			if !l.take(&b) {
				return false
			}
		}
	}
	return !r.failed()
}

// take integrates a block. It returns false if that is not possible yet.
func (l *loader) take(b *rawBlock) bool {
	d := l.d
	if uint64(d.clients[l.c].state) != b.clock || b.kind == kindSkip {
		return false
	}
	if l.direct && l.placeRaw(b) {
		return true
	}
	if _, lacks := d.lacks(b); lacks {
		return false
	}
	if l.c == l.first && !b.hasRoot {
		l.note() // it may become a gc block
	}
	l.tx.integrateRaw(b, 0)
	l.placed(b)
	return int(d.maxDepth) <= d.limits.TypeDepth
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
		l.entries = d.clients[l.c].blocks.tail[:n]
		d.clients[l.c].deleted.list = l.gone
		l.first = l.c
		l.index.start(max(cap(l.text)/8, 2))
	}
}

// placed says that a block was integrated in the general way.
func (l *loader) placed(b *rawBlock) {
	r := l.d.slab.next - 1
	l.general, l.chain = l.general || r > 1, 0
	l.direct = l.direct && len(l.tx.mergeIDs) == 0 && int(r) < len(l.items) && l.items[r].clock == uint32(b.clock)
	if l.direct {
		l.index.add(r, uint32(b.clock), uint32(b.end()))
	}
	if b.kind == kindDeleted {
		l.d.clients[l.c].deleted.add(uint32(b.clock), uint32(b.end()))
	}
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
