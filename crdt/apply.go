package crdt

import (
	"fmt"
	"slices"
)

// Apply integrates an update of another replica, entirely or not at all: after
// an error, an *UpdateError, the document is as it was. What depends on
// something unknown is kept and waits (Doc.Pending); it is part of the commit
// that completes it. Apply keeps nothing of the slice. It must not be called
// within a transaction. (Yjs: applyUpdate, readUpdateV2.)
func (d *Doc) Apply(origin any, v Version, update []byte) (*Commit, error) {
	sum, err := d.validate(v, update)
	if err != nil {
		return nil, err
	}
	sections, err := d.readSections(v, update, sum)
	if err != nil {
		return nil, err
	}
	r, err := newUpdateReader(v, update, d.limits.BlocksPerUpdate)
	if err != nil {
		return nil, err
	}
	tx := d.begin(origin)
	ap := applier{tx: tx, d: d}
	ap.integrate(sections)
	ap.deletes(r)
	ap.retryDeletes()
	if ap.retry {
		ap.retryBlocks()
		ap.retryDeletes()
	}
	tx.commit.leftPending = ap.leftBlocks || ap.leftDeletes
	tx.commit.relayable = sum.skips == 0 && !ap.known && !ap.retried && !tx.commit.leftPending && sum.rest == 0
	d.tx = nil
	d.finish(tx)
	return &tx.commit, nil
}

// summary is what validation learnt about an update.
type summary struct {
	blocks, skips, types, payload int
	// rest is how many bytes follow the update.
	rest int
}

// validate decodes a whole update and checks it against the limits, without
// changing anything and nearly without allocating.
func (d *Doc) validate(v Version, update []byte) (summary, error) {
	var sum summary
	r, err := newUpdateReader(v, update, d.limits.BlocksPerUpdate)
	if err != nil {
		return sum, err
	}
	var b rawBlock
	for r.next(&b) {
	}
	var run deleteRun
	for r.nextDelete(&run) {
	}
	if err := r.check(); err != nil {
		return sum, err
	}
	sum = summary{blocks: r.total, skips: r.skips, types: r.types, payload: r.payload, rest: r.dec.rest().Len()}
	if len(d.arena.buf)+4*sum.payload > maxArena {
		return sum, &UpdateError{-1, fmt.Errorf("%w: document beyond %d bytes", ErrLimit, maxArena)}
	}
	deep := d.maxDepth+sum.types+d.pending.types > d.limits.TypeDepth
	full := d.pending.bytes+4*len(update) > d.limits.PendingBytes
	if deep || full {
		return sum, d.rehearse(v, update)
	}
	return sum, nil
}

// rehearse applies an update that may exceed a limit to a copy of the document,
// and tells whether it does.
func (d *Doc) rehearse(v Version, update []byte) error {
	lim := d.limits
	lim.TypeDepth, lim.PendingBytes = 1<<30, 1<<60
	copied := New(Options{KeepDeleted: d.opts.KeepDeleted, NoFormatCleanup: true, Limits: lim})
	if _, err := copied.Apply(nil, V1, d.AppendState(nil, V1)); err != nil {
		return err
	}
	if _, err := copied.Apply(nil, v, update); err != nil {
		return err
	}
	if copied.maxDepth > d.limits.TypeDepth {
		return &UpdateError{-1, fmt.Errorf("%w: types nested deeper than %d", ErrLimit, d.limits.TypeDepth)}
	}
	if n := copied.pending.bytes; n > d.limits.PendingBytes && n > d.pending.bytes {
		return &UpdateError{-1, fmt.Errorf("%w: %d bytes wait for dependencies", ErrLimit, n)}
	}
	return nil
}

// section is what an update holds of one client.
type section struct {
	client ClientID
	blocks []rawBlock
	i      int // next block to integrate
	done   bool
}

// readSections decodes the blocks of a valid update.
func (d *Doc) readSections(v Version, update []byte, sum summary) ([]section, error) {
	r, err := newUpdateReader(v, update, d.limits.BlocksPerUpdate)
	if err != nil {
		return nil, err
	}
	blocks := make([]rawBlock, 0, sum.blocks)
	var out []section
	var b rawBlock
	at := 0
	for r.next(&b) {
		if r.section != at {
			at = r.section
			out = append(out, section{client: b.client})
		}
		blocks = append(blocks, b)
		s := &out[len(out)-1]
		s.i++ // counts for now
	}
	at = 0
	for i := range out {
		out[i].blocks = blocks[at : at+out[i].i : at+out[i].i]
		at += out[i].i
		out[i].i = 0
	}
	slices.SortStableFunc(out, compareSections)
	for i := 1; i < len(out); i++ {
		if out[i].client == out[i-1].client {
			return nil, &UpdateError{-1, malformed("two sections of one client")}
		}
	}
	return out, nil
}

func compareSections(a, b section) int {
	switch {
	case a.client < b.client:
		return -1
	case a.client > b.client:
		return 1
	}
	return 0
}

// applier integrates one update.
type applier struct {
	tx *Txn
	d  *Doc

	known       bool // the update holds something known before
	retry       bool // pending blocks may be complete
	retried     bool // pending things were integrated
	leftBlocks  bool
	leftDeletes bool
}

// integrate integrates the blocks of sections, which are in ascending order of
// their clients, taking dependencies within the update first; blocks that lack
// one go to the pending blocks (Yjs: integrateStructs).
func (ap *applier) integrate(sections []section) {
	d := ap.d
	hadPending := d.pending.blocks > 0
	defer func() {
		if hadPending && d.due() {
			ap.retry = true
		}
	}()
	type entry struct{ section, block int }
	var stack []entry
	cur := len(sections) - 1
	find := func(c ClientID) int {
		i, ok := slices.BinarySearchFunc(sections, section{client: c}, compareSections)
		if !ok || sections[i].done || sections[i].i == len(sections[i].blocks) {
			return -1
		}
		return i
	}
	giveUp := func() {
		for _, e := range stack {
			s := &sections[e.section]
			if s.done && s.i <= e.block {
				continue
			}
			s.done, s.i = true, e.block
		}
		stack = stack[:0]
	}
	for cur >= 0 {
		s := &sections[cur]
		if s.done || s.i == len(s.blocks) {
			cur--
			continue
		}
		head := entry{cur, s.i}
		s.i++
		for {
			hs := &sections[head.section]
			b := &hs.blocks[head.block]
			if b.kind != kindSkip {
				state := uint64(d.state(b.client))
				if state < b.clock {
					stack = append(stack, head)
					d.pending.wait(b.client, b.clock-1, b.clock-1)
					giveUp()
				} else if c, clock, lacks := d.lacks(b); lacks {
					stack = append(stack, head)
					if i := find(c); i >= 0 {
						head = entry{i, sections[i].i}
						sections[i].i++
						continue
					}
					d.pending.wait(c, clock, uint64(d.state(c)))
					giveUp()
				} else if state < b.end() {
					if state > b.clock {
						ap.known = true
					}
					ap.tx.integrateRaw(b, uint32(state-b.clock))
				} else {
					ap.known = true
				}
			}
			if len(stack) == 0 {
				break
			}
			head = stack[len(stack)-1]
			stack = stack[:len(stack)-1]
		}
	}
	for i := range sections {
		s := &sections[i]
		if !s.done {
			continue
		}
		for j := s.i; j < len(s.blocks); j++ {
			if s.blocks[j].kind != kindSkip {
				ap.leftBlocks = true
				d.pending.add(&s.blocks[j])
			}
		}
	}
}

// lacks finds a unit that a block depends on and that is not known
// (Yjs: getMissing).
func (d *Doc) lacks(b *rawBlock) (ClientID, uint64, bool) {
	for _, dep := range [...]struct {
		set bool
		id  ID
	}{{b.hasOrigin, b.origin}, {b.hasRight, b.right}, {b.hasParent, b.parent}} {
		if dep.set && dep.id.Client != b.client && uint64(dep.id.Clock) >= uint64(d.state(dep.id.Client)) {
			return dep.id.Client, uint64(dep.id.Clock), true
		}
	}
	return 0, 0, false
}

// known turns the ID of a known unit into an interned one.
func (d *Doc) internID(id ID) unitID {
	return unitID{d.findClient(id.Client), uint32(id.Clock)}
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
		left = tx.cleanEnd(origin)
		if d.item(left).isGC() {
			ch = 0
		}
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

// deletes applies the delete set of an update; what is beyond the known clocks
// waits (Yjs: readAndApplyDeleteSet).
func (ap *applier) deletes(r *updateReader) {
	var b rawBlock
	for r.next(&b) {
	}
	var run deleteRun
	for r.nextDelete(&run) {
		if rest := ap.delete(run); rest.From < rest.To {
			ap.leftDeletes = true
			ap.d.pending.deletes.Add(run.client, rest)
		}
	}
}

// delete deletes what is known of a range and returns what is not.
func (ap *applier) delete(run deleteRun) Range {
	d, tx := ap.d, ap.tx
	c := d.findClient(run.client)
	cl := &d.clients[c]
	if run.From >= Clock(cl.state) {
		return run.Range
	}
	from, to := uint32(run.From), uint32(min(run.To, Clock(cl.state)))
	i := cl.find(from)
	r := cl.blocks[i].ref
	if it := d.item(r); it.clock < from && !it.deleted() {
		tx.splitAt(r, i, from-it.clock)
		i++
	}
	for ; i < len(d.clients[c].blocks); i++ {
		e := d.clients[c].blocks[i]
		if e.clock >= to {
			break
		}
		it := d.item(e.ref)
		if it.deleted() {
			ap.known = true
			continue
		}
		if to < it.end() {
			tx.splitAt(e.ref, i, to-it.clock)
		}
		tx.deleteItem(e.ref)
	}
	return Range{Clock(to), run.To}
}

// retryDeletes applies the pending deletes that are now known.
func (ap *applier) retryDeletes() {
	d := ap.d
	p := &d.pending.deletes
	for i := 0; i < len(p.clients); {
		c := &p.clients[i]
		if c.ranges[0].From >= Clock(d.state(c.client)) {
			i++
			continue
		}
		ap.retried = true
		var rest []Range
		for _, r := range c.ranges {
			if left := ap.delete(deleteRun{c.client, r}); left.From < left.To {
				rest = append(rest, left)
			}
		}
		if c.ranges = rest; len(rest) > 0 {
			i++
			continue
		}
		p.clients = slices.Delete(p.clients, i, i+1)
	}
}

// retryBlocks integrates the pending blocks again.
func (ap *applier) retryBlocks() {
	ap.retried = true
	left := ap.leftBlocks
	waiting := ap.d.pending.take()
	sections := make([]section, 0, len(waiting))
	for c, blocks := range waiting {
		sections = append(sections, section{client: c, blocks: blocks})
	}
	slices.SortFunc(sections, compareSections)
	ap.integrate(sections)
	ap.leftBlocks = left
}
