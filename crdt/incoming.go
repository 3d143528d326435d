package crdt

import (
	"cmp"
	"slices"
	"sync"

	"ysync/internal/invariant"
)

// incoming is a validated update on its way into a document. A small one is
// held decoded. Of a large one only the places of its sections are: its blocks
// are decoded again as they are integrated, so that decoding hostile bytes
// costs no memory in proportion to what they claim.
type incoming struct {
	r        updateReader
	v        Version
	update   []byte
	sections []section

	// small says that blocks and runs hold everything.
	small  bool
	blocks []rawBlock
	runs   []deleteRun

	deletes int // offset of the delete set, not in columns
	rest    int // bytes after the update
	skips   int
	types   int
	total   int // blocks
	ranges  int // of the delete set
	payload int // bytes of content
	current int // large: the section that r stands in
	last    int // large, V1: offset of the block read last
	block   rawBlock
}

// smallUpdate is how many blocks and how many deletes an update may have to be
// held decoded.
const smallUpdate = 64

// section is what an update holds of one client.
type section struct {
	client ClientID
	clock  uint32 // of the next block
	end    uint32 // the clock after the last block
	left   uint32 // blocks still to read
	// at is where the next block is: an index into blocks in a small update, an
	// offset in V1, the number of the section in V2.
	at   uint32
	done bool // what is left waits, or is waited for in vain
	open bool // its next block is on the stack
	// first says that the section starts at clock 0.
	first bool
}

var incomings = sync.Pool{New: func() any { return new(incoming) }}

// release gives the memory back.
func (in *incoming) release() {
	clear(in.blocks)
	in.block = rawBlock{}
	if cap(in.sections) > 1024 {
		in.sections = nil
	}
	in.update = nil
	in.r.forget()
	incomings.Put(in)
}

// read decodes a whole update and checks all that can be checked without a
// document. It changes nothing.
func (in *incoming) read(v Version, update []byte, lim *Limits) error {
	in.v, in.update, in.small = v, update, true
	in.sections, in.blocks, in.runs = in.sections[:0], in.blocks[:0], in.runs[:0]
	r := &in.r
	if err := r.start(v, update, lim.BlocksPerUpdate); err != nil {
		return err
	}
	r.maxDeletes = lim.DeletesPerUpdate
	if n := r.likelySections(); n > cap(in.sections) {
		in.sections = make([]section, 0, n)
	}
	for b := in.slot(); r.next(b); b = in.slot() {
		if r.section != len(in.sections) {
			in.beginSection(b)
		}
		in.sections[len(in.sections)-1].end = uint32(b.end())
	}
	in.small = r.total < smallUpdate
	in.deletes = r.dec.offset()
	var run deleteRun
	for r.nextDelete(&run) {
		if len(in.runs) == smallUpdate {
			in.small = false
			break
		}
		in.runs = append(in.runs, run)
	}
	for r.nextDelete(&run) {
	}
	if err := r.check(); err != nil {
		return err
	}
	in.rest, in.skips, in.total, in.types = r.dec.remaining(), r.skips, r.total, r.types
	in.payload, in.ranges = r.payload, r.deletes
	return in.arrange()
}

// beginSection notes the section of which b is the first block, and was just read.
func (in *incoming) beginSection(b *rawBlock) {
	in.sections = append(in.sections, section{
		client: b.client, clock: uint32(b.clock), left: uint32(in.r.blocks) + 1, at: uint32(in.r.origin), first: b.clock == 0,
	})
}

// slot is where the next block is decoded to: the first ones are kept.
func (in *incoming) slot() *rawBlock {
	if n := len(in.blocks); n < smallUpdate {
		if n == cap(in.blocks) {
			in.blocks = append(in.blocks, rawBlock{})
		} else {
			in.blocks = in.blocks[:n+1]
		}
		return &in.blocks[n]
	}
	return &in.blocks[smallUpdate-1]
}

// arrange puts the sections in ascending order of their clients, which Yjs
// takes from the end.
func (in *incoming) arrange() error {
	at := uint32(0)
	for i := range in.sections {
		s := &in.sections[i]
		switch {
		case in.small:
			s.at = at
		case in.v == V2:
			s.at = uint32(i)
		}
		at += s.left
	}
	slices.Reverse(in.sections)
	if !slices.IsSortedFunc(in.sections, compareSections) {
		slices.SortStableFunc(in.sections, compareSections)
	}
	for i := 1; i < len(in.sections); i++ {
		if in.sections[i].client == in.sections[i-1].client {
			return &UpdateError{-1, malformed("two sections of one client")}
		}
	}
	in.current = -1
	if !in.small && in.v == V2 {
		return in.rewindV2()
	}
	return nil
}

func compareSections(a, b section) int { return cmp.Compare(a.client, b.client) }

// rewindV2 starts a second walk. The columns can only be read in the order of
// the update: when sections are wanted in another, it is turned into V1.
func (in *incoming) rewindV2() error {
	n := len(in.sections)
	for i := range in.sections {
		if in.sections[i].at != uint32(n-1-i) {
			return in.toV1()
		}
	}
	return in.r.start(V2, in.update, in.total)
}

// toV1 turns a large V2 update into V1 and goes on where the sections stand.
func (in *incoming) toV1() error {
	var r updateReader
	if err := r.start(V2, in.update, in.total); err != nil {
		return err
	}
	n := len(in.sections)
	w := rawWriter{
		e: &encoderV1{own: true, buf: make([]byte, 0, 2*len(in.update))}, marks: make([]int, 0, n), counts: make([]uint64, 0, n),
	}
	if err := w.copy(&r); err != nil {
		return err
	}
	type progress struct {
		left       uint32
		done, open bool
	}
	was := make([]progress, n)
	for i, s := range in.sections {
		was[i] = progress{s.left, s.done, s.open}
	}
	if err := in.readOwn(w.e.finish()); err != nil {
		return err
	}
	for i := range in.sections {
		s := &in.sections[i]
		for s.left > was[i].left {
			in.next(i)
		}
		s.done, s.open = was[i].done, was[i].open
	}
	return nil
}

// readOwn reads V1 that was written here.
func (in *incoming) readOwn(update []byte) error {
	in.sections = in.sections[:0]
	in.v, in.update, in.small = V1, update, false
	r := &in.r
	if err := r.start(V1, update, 0); err != nil {
		return err
	}
	r.v1.own = true
	var b rawBlock
	for r.next(&b) {
		if r.section != len(in.sections) {
			in.beginSection(&b)
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	in.deletes = r.dec.offset()
	return in.arrange()
}

// next reads the next block of section i, which must have one left; in V2 it must
// be the next of the update. The block is valid until the next call.
func (in *incoming) next(i int) *rawBlock {
	s := &in.sections[i]
	s.left--
	if in.small {
		s.at++
		return &in.blocks[s.at-1]
	}
	r, b := &in.r, &in.block
	if in.v == V2 {
		r.next(b)
		return b
	}
	if in.current != i {
		if c := in.current; c >= 0 {
			in.sections[c].at = uint32(r.v1.pos)
		}
		in.current = i
		r.v1.pos = int(s.at)
		r.client = s.client
		r.v1.expect(s.client)
	}
	r.clock, in.last = uint64(s.clock), r.v1.pos
	r.read(b)
	s.clock = uint32(b.end())
	return b
}

// unread puts a block back, the one read last, which is of section i. What is in
// columns cannot be read again, so V2 is turned into V1.
func (in *incoming) unread(i int, b *rawBlock) {
	s := &in.sections[i]
	s.left++
	switch {
	case in.small:
		s.at--
	case in.v == V1:
		s.at, s.clock, in.current = uint32(in.last), uint32(b.clock), -1
	default:
		err := in.toV1()
		invariant.Assert(err == nil, "an update that was read cannot be read again")
	}
}

// starting is how many clients the update has from clock 0 on, and how many
// blocks of these are still to read.
func (in *incoming) starting() (clients, blocks int) {
	for i := range in.sections {
		if s := &in.sections[i]; s.first {
			clients++
			blocks += int(s.left)
		}
	}
	return clients, blocks
}

// leftOf is how many blocks of a client are still to read.
func (in *incoming) leftOf(c ClientID) int {
	i, ok := slices.BinarySearchFunc(in.sections, section{client: c}, compareSections)
	if !ok {
		return 0
	}
	return int(in.sections[i].left)
}

// eachDelete calls fn with the ranges of the delete set.
func (in *incoming) eachDelete(fn func(deleteRun)) {
	if in.small {
		for _, run := range in.runs {
			fn(run)
		}
		return
	}
	r := &in.r
	r.rewindDeletes(in.deletes)
	var run deleteRun
	for r.nextDelete(&run) {
		fn(run)
	}
}
