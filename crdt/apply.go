package crdt

import (
	"maps"
	"math"
	"slices"

	"ysync/internal/fault"
)

// Apply integrates an update of another replica, entirely or not at all: after
// an error, an *UpdateError, the document is as it was. What depends on
// something unknown is kept and waits (Doc.Pending); it is part of the commit
// that completes it. Apply keeps nothing of the slice. It must not be called
// within a transaction. (Yjs: applyUpdate, readUpdateV2.)
func (d *Doc) Apply(origin any, v Version, update []byte) (*Commit, error) {
	if len(update) >= loadFrom {
		if c := d.load(origin, v, update); c != nil {
			return c, nil
		}
	}
	return d.take(origin, v, update)
}

// take is Apply for any document: the update is checked whole, then integrated.
func (d *Doc) take(origin any, v Version, update []byte) (*Commit, error) {
	in := incomings.Get().(*incoming)
	defer in.release()
	if err := in.read(v, update, d.limits); err != nil {
		return nil, err
	}
	if err := d.admit(v, update, in); err != nil {
		return nil, err
	}
	fresh := d.fresh()
	whole := in.skips == 0 && in.rest == 0
	tx := d.begin(origin)
	ap := applier{tx: tx, d: d, in: in}
	if fresh || !in.small {
		d.reserve(in)
	}
	waited := d.pending.blocks > 0
	ap.mayStop = fresh || d.rehearsal
	if !ap.integrate() {
		d.reset()
		return nil, errDepth(d.limits.TypeDepth)
	}
	retry := d.pending.ready || waited && ap.due()
	in.eachDelete(ap.deleteOrWait)
	ap.keepDeletes()
	ap.retryDeletes()
	if retry {
		ap.retryBlocks()
		ap.retryDeletes()
	}
	if ap.mayStop {
		if err := d.tooMuch(); err != nil {
			d.reset()
			return nil, err
		}
	}
	tx.commit.leftPending = ap.rest != nil || ap.leftDeletes
	tx.commit.relayable = whole && !ap.known && !ap.retried && !tx.commit.leftPending
	d.tx = nil
	d.finish(tx)
	if fresh && len(d.work.cleanups) == 0 {
		d.settleDown()
	}
	return &tx.commit, nil
}

// settleDown gives back what a document took for loading: many are only read
// afterwards.
func (d *Doc) settleDown() {
	d.work = nil
	for _, c := range d.clients[1:] {
		c.deleted.clip()
	}
	d.chains, d.branches, d.keys = fit(d.chains), fit(d.branches), fit(d.keys)
}

// fit copies a slice that has much room to spare.
func fit[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/8 {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}

// fresh tells whether nothing was ever integrated: then a refused update is
// undone by emptying the document.
func (d *Doc) fresh() bool { return d.slab.next == 0 && d.pending.empty() }

// reset empties a document that was fresh when its open transaction began. Roots
// that were asked for stay.
func (d *Doc) reset() {
	tx := d.tx
	d.slab, d.arena, d.seam = slab{}, arena{}, seam{}
	clear(d.clients[1:])
	d.clients, d.lastClient = d.clients[:1], 0
	d.chains = d.chains[:1]
	if x := d.index; x != nil {
		x.chains = refTable{}
	}
	b := d.firstRoot
	d.firstRoot, d.lastRoot = 0, 0
	for b != 0 {
		br := &d.branches[b]
		next := br.nextRoot
		if b < tx.firstBranch {
			*br = branch{kind: br.kind, flags: br.flags & branchIndexed, name: br.name}
			d.linkRoot(b)
		} else if x := d.index; x != nil && x.roots.built() {
			x.roots.remove(uint32(b), d.hashRoot)
		}
		b = next
	}
	d.branches = d.branches[:tx.firstBranch]
	d.conflicts, d.maxDepth = nil, 0
	d.pending = &nothingWaits
	d.tx, d.work.cleanups = nil, d.work.cleanups[:0]
}

// rehearse applies an update that may exceed a limit to a copy of the document,
// and tells whether it does. What the document holds already is not held against
// the update.
func (d *Doc) rehearse(v Version, update []byte) error {
	lim := *d.limits
	lim.TypeDepth, lim.PendingBytes = max(lim.TypeDepth, int(d.maxDepth)), math.MaxInt
	copied := New(Options{KeepDeleted: d.keepDeleted, NoFormatCleanup: true, RetryAll: d.retryAll, Limits: lim})
	copied.rehearsal = true
	if _, err := copied.Apply(nil, V1, d.AppendStored(nil, V1)); err != nil {
		return err
	}
	lim.PendingBytes = max(d.limits.PendingBytes, copied.pending.bytes)
	copied.SetLimits(lim)
	_, err := copied.Apply(nil, v, update)
	return err
}

// reserve makes room for a large update, whose blocks were counted.
func (d *Doc) reserve(in *incoming) {
	d.arena.buf = slices.Grow(d.arena.buf, in.payload)
	if d.fresh() {
		clients, blocks := in.starting()
		d.slab.reserve(blocks)
		d.branches = slices.Grow(d.branches, in.types)
		d.clients = slices.Grow(d.clients, clients)
		d.tx.touched = slices.Grow(d.tx.touched, clients)
	}
	for _, s := range in.sections {
		if s.left > smallUpdate || len(in.sections) == 1 {
			d.clients[d.clientFor(s.client)].blocks.reserve(int(s.left))
		}
	}
}

// applier integrates one update.
type applier struct {
	tx *Txn
	d  *Doc
	in *incoming

	// stack are the sections whose next block waits for one that comes first.
	stack []int32

	// mayStop says that the document can be emptied, or is of no further use,
	// when it turns out to nest too deep.
	mayStop bool

	known       bool // the update holds something known before
	retried     bool // pending things were integrated
	rest        leftover
	restDeletes IDSet
	leftDeletes bool
}

// integrate integrates the blocks of the update, those of the highest client
// first, taking dependencies within the update before what needs them. Blocks
// that lack one are left for later (Yjs: integrateStructs). It tells whether
// it came to the end, and stops where types nest too deep, if it may.
func (ap *applier) integrate() bool {
	in, d := ap.in, ap.d
	for cur := len(in.sections) - 1; cur >= 0; cur-- {
		for in.sections[cur].left > 0 && !in.sections[cur].done {
			b, at := in.next(cur), cur
			for b != nil {
				b, at = ap.step(b, at)
			}
			if ap.tooDeep() {
				return false
			}
		}
		for in.sections[cur].left > 0 {
			ap.leave(in.next(cur))
		}
	}
	if ap.rest != nil {
		clients := ap.left()
		d.waits().merge(ap.rest)
		for _, c := range clients {
			d.pending.watchFirst(d, c)
		}
	}
	return true
}

func (ap *applier) tooDeep() bool { return ap.mayStop && int(ap.d.maxDepth) > ap.d.limits.TypeDepth }

// step integrates b, the last block read of section at, or goes to what it
// needs. It returns the next block to try: that one, or what waits for b; nil
// when nothing waits any more.
func (ap *applier) step(b *rawBlock, at int) (*rawBlock, int) {
	in, d := ap.in, ap.d
	if b.kind != kindSkip {
		state := uint64(d.state(b.client))
		if state < b.clock {
			ap.wait(b.client, b.clock-1)
			ap.giveUp(b, at)
		} else if c, lacks := d.lacks(b); lacks {
			if i := ap.find(c); i >= 0 {
				in.unread(at, b)
				in.sections[at].open = true
				ap.stack = append(ap.stack, int32(at))
				return in.next(i), i
			}
			ap.wait(c, uint64(d.state(c)))
			ap.giveUp(b, at)
		} else if state < b.end() {
			ap.known = ap.known || state > b.clock
			ap.tx.integrateRaw(b, uint32(state-b.clock))
		} else {
			ap.known = true
			ap.tx.recut(b)
		}
	}
	n := len(ap.stack) - 1
	if n < 0 {
		return nil, 0
	}
	at = int(ap.stack[n])
	ap.stack = ap.stack[:n]
	in.sections[at].open = false
	return in.next(at), at
}

// left are the clients of whose blocks some have to wait, if all that they wait
// for is to be noted.
func (ap *applier) left() []ClientID {
	if !ap.d.retryAll {
		return nil
	}
	return slices.AppendSeq(make([]ClientID, 0, len(ap.rest)), maps.Keys(ap.rest))
}

// waitingClients is about how many clients of the update have to wait.
func (ap *applier) waitingClients() int {
	starting, _ := ap.in.starting()
	return len(ap.in.sections) - starting
}

// wait notes that something of the update waits for a unit.
func (ap *applier) wait(c ClientID, clock uint64) {
	p := ap.d.waits()
	if p.missing == nil {
		p.missing = make(map[ClientID]uint64, ap.waitingClients())
	}
	p.wait(c, clock)
}

// find returns the section in which something of a client may come; -1 if none.
func (ap *applier) find(c ClientID) int {
	in := ap.in
	i, ok := slices.BinarySearchFunc(in.sections, section{client: c}, compareSections)
	if !ok || in.sections[i].done || in.sections[i].open || in.sections[i].left == 0 {
		return -1
	}
	return i
}

// giveUp leaves b, what follows it in its section, and the sections that wait for it.
func (ap *applier) giveUp(b *rawBlock, at int) {
	ap.in.sections[at].done = true
	ap.leave(b)
	for _, i := range ap.stack {
		s := &ap.in.sections[i]
		s.done, s.open = true, false
	}
	ap.stack = ap.stack[:0]
}

// leave keeps a block that has to wait.
func (ap *applier) leave(b *rawBlock) {
	if b.kind == kindSkip {
		return
	}
	if ap.rest == nil {
		ap.rest = make(leftover, max(ap.waitingClients(), len(ap.stack)+1))
	}
	list := ap.rest[b.client]
	if list == nil {
		list = make([]waitingBlock, 0, ap.in.leftOf(b.client)+1)
	}
	ap.rest[b.client] = append(list, keep(b))
}

// lacks finds the client of a unit that a block depends on and that is not
// known (Yjs: getMissing).
func (d *Doc) lacks(b *rawBlock) (ClientID, bool) {
	switch {
	case b.hasOrigin && d.unknown(b, b.origin):
		return b.origin.Client, true
	case b.hasRight && d.unknown(b, b.right):
		return b.right.Client, true
	case b.hasParent && d.unknown(b, b.parent):
		return b.parent.Client, true
	}
	return 0, false
}

func (d *Doc) unknown(b *rawBlock, id ID) bool {
	return id.Client != b.client && id.Clock >= Clock(d.state(id.Client))
}

// internID turns the ID of a known unit into an interned one.
func (d *Doc) internID(id ID) unitID {
	return unitID{d.findClient(id.Client), uint32(id.Clock)}
}

// recut does what Yjs does before it looks whether it knows a block: cut where
// the block says that its neighbours were cut.
func (tx *Txn) recut(b *rawBlock) {
	if b.hasOrigin {
		tx.recutAt(b.origin.Client, uint32(b.origin.Clock)+1)
	}
	if b.hasRight {
		tx.recutAt(b.right.Client, uint32(b.right.Clock))
	}
}

// recutAt cuts before a clock. The commit would undo most cuts, so that only its
// attempt to merge there is wanted, which can reach further to both sides. But an
// item that was redone never merges again, and a cut inside a surrogate pair
// changes the text.
func (tx *Txn) recutAt(client ClientID, clock uint32) {
	d := tx.doc
	c := d.findClient(client)
	if clock >= d.clients[c].state {
		return
	}
	u := unitID{c, clock}
	switch it := d.item(d.blockAt(u)); {
	case it.clock == clock || it.isGC():
	case it.flags&flagRedone != 0 || it.kind == kindString && it.size > it.length:
		tx.cleanStart(u)
	default:
		tx.mergeLater(u)
	}
}

// integrateRaw integrates a received block from its unit offset on; everything
// that it depends on is known (Yjs: Item.getMissing, Item.integrate,
// GC.integrate).
func (tx *Txn) integrateRaw(b *rawBlock, offset uint32) {
	d := tx.doc
	c := d.clientFor(b.client)
	clock := uint32(b.clock) + offset
	length := uint32(b.length) - offset
	if b.kind == kindGC {
		tx.addGC(c, clock, length)
		return
	}
	var left, right itemRef
	var origin, rightOrigin unitID
	var ch chainRef
	gone := false // next to or below collected content
	if b.hasOrigin {
		origin = d.internID(b.origin)
		left = tx.cleanEnd(origin)
		gone = d.item(left).isGC()
	}
	if b.hasRight {
		rightOrigin = d.internID(b.right)
		right = tx.cleanStart(rightOrigin)
		gone = gone || d.item(right).isGC()
	}
	if gone && fault.Active(fault.SkipCollected) {
		return
	}
	switch {
	case gone:
	case left != 0:
		ch = d.item(left).chain
	case right != 0:
		ch = d.item(right).chain
	default:
		ch = d.parentChain(b)
	}
	if offset > 0 && ch != 0 {
		origin = unitID{c, clock - 1}
		// The place of the units known before decides. A sound update says the
		// same; Yjs would believe the update and spoil its links.
		left = tx.cleanEnd(origin)
		ch = d.item(left).chain
	}
	if ch == 0 {
		tx.addGC(c, clock, length)
		return
	}
	r := d.slab.alloc()
	it := d.item(r)
	it.clock, it.length, it.client, it.kind = clock, length, c, b.kind
	it.left, it.right, it.chain = left, right, ch
	it.origin, it.rightOrigin = origin, rightOrigin
	d.storeRaw(it, b, offset)
	tx.integrate(r)
}

// parentChain is the chain that a block names itself; 0 if its parent was
// collected or is no type.
func (d *Doc) parentChain(b *rawBlock) chainRef {
	var parent branchRef
	if b.hasRoot {
		parent = d.rootByKey(d.internBytes(b.root), KindUndefined)
	} else {
		parent = d.item(d.blockAt(d.internID(b.parent))).branch()
	}
	switch {
	case parent == 0:
		return 0
	case b.hasKey:
		return d.keyChain(parent, d.internBytes(b.key))
	}
	return d.seqChain(parent)
}

// addGC adds a gc block.
func (tx *Txn) addGC(c clientRef, clock, length uint32) {
	d := tx.doc
	tx.touch(c)
	r := d.slab.alloc()
	*d.item(r) = item{clock: clock, length: length, client: c, kind: kindGC, flags: flagDeleted}
	d.appendBlock(r)
	d.clients[c].deleted.add(clock, clock+length)
}

// deleteOrWait applies a range of the delete set; what is beyond the known
// clocks waits (Yjs: readAndApplyDeleteSet).
func (ap *applier) deleteOrWait(run deleteRun) {
	if rest := ap.delete(run); rest.From < rest.To {
		ap.restDeletes.push(deleteRun{run.client, rest})
	}
}

// keepDeletes puts the deletes that wait to those that do already, all at once: one
// by one they would cost the square of their number.
func (ap *applier) keepDeletes() {
	if !ap.restDeletes.Empty() {
		ap.leftDeletes = true
		ap.restDeletes.normalise()
		ap.d.waits().addDeletes(&ap.restDeletes)
	}
}

// delete deletes what is known of a range and returns what is not.
func (ap *applier) delete(run deleteRun) Range {
	d, tx := ap.d, ap.tx
	c := d.findClient(run.client)
	cl := d.clients[c]
	if run.From >= Clock(cl.state) {
		return run.Range
	}
	from, to := uint32(run.From), uint32(min(run.To, Clock(cl.state)))
	x := &cl.blocks
	p := x.find(from)
	if r := x.at(p).ref; d.item(r).clock < from && !d.item(r).deleted() {
		tx.splitAt(r, p, from-d.item(r).clock)
		p = x.find(from)
	}
	for more := true; more; p, more = x.next(p) {
		e := *x.at(p)
		if e.clock >= to {
			break
		}
		it := d.item(e.ref)
		if it.deleted() {
			ap.known = true
			continue
		}
		if to < it.end() {
			tx.splitAt(e.ref, p, to-it.clock)
			tx.deleteItem(e.ref)
			break
		}
		tx.deleteItem(e.ref)
	}
	return Range{Clock(to), run.To}
}

// retryDeletes applies the pending deletes that are now known: those of the
// clients that got blocks, in descending order.
func (ap *applier) retryDeletes() {
	d := ap.d
	p := d.pending
	if len(p.deletes) == 0 {
		return
	}
	var grown []ClientID
	for _, t := range ap.tx.touched {
		c := d.clients[t.client]
		if rs := p.deletes[c.id]; len(rs) > 0 && rs[0].from < c.state {
			grown = append(grown, c.id)
		}
	}
	slices.Sort(grown)
	for _, c := range slices.Backward(grown) {
		ap.retried = true
		rest, state := p.deletes[c], d.state(c)
		for len(rest) > 0 && rest[0].from < state {
			if left := ap.delete(deleteRun{c, rest[0].public()}); left.From < left.To {
				rest[0] = left.span()
				break
			}
			rest = rest[1:]
		}
		p.setDeletes(c, rest)
	}
}

// due tells whether a client that is waited for has made progress.
func (ap *applier) due() bool {
	d := ap.d
	for _, t := range ap.tx.touched {
		c := d.clients[t.client]
		if clock, ok := d.pending.missing[c.id]; ok && clock < uint64(c.state) {
			return true
		}
		if clock, ok := d.pending.watched[c.id]; ok && clock < uint64(c.state) {
			return true
		}
	}
	return false
}

// retryBlocks integrates the pending blocks that now can be, in the order in which
// Yjs does, which takes all of them as a new update whenever a client that is
// waited for makes progress: those of the highest client first, and before a block
// that needs another client that client's, up to what is needed.
func (ap *applier) retryBlocks() {
	d, p := ap.d, ap.d.pending
	gaveUp := make(map[ClientID]bool, len(p.clients)) // or are on the stack
	var stack []ClientID
	var room rawBlock
	for _, c := range slices.Backward(slices.Sorted(maps.Keys(p.clients))) {
		for len(p.clients[c]) > 0 && !gaveUp[c] {
			on, _, held := d.heldUp(p.clients[c][0].raw(c, &room))
			switch {
			case held && on != c && !gaveUp[on] && len(p.clients[on]) > 0:
				gaveUp[c] = true
				stack = append(stack, c)
				c = on
			case held:
				gaveUp[c] = true
				if len(stack) > 0 {
					c = stack[0] // all on the stack have given up
					stack = stack[:0]
				}
			default:
				ap.retryFirst(c, &room)
				if n := len(stack) - 1; n >= 0 {
					c = stack[n]
					stack = stack[:n]
					gaveUp[c] = false
				}
			}
		}
	}
	p.note(d)
}

// retryFirst integrates the first pending block of a client.
func (ap *applier) retryFirst(c ClientID, room *rawBlock) {
	p := ap.d.pending
	list := p.clients[c]
	b := list[0].raw(c, room)
	if state := uint64(ap.d.state(c)); state < b.end() {
		ap.tx.integrateRaw(b, uint32(state-b.clock))
	} else {
		ap.tx.recut(b)
	}
	ap.retried = true
	p.count(list[0], -1)
	list[0] = waitingBlock{}
	if p.clients[c] = list[1:]; len(list) == 1 {
		delete(p.clients, c)
	}
}
