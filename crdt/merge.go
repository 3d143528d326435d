package crdt

import (
	"cmp"
	"slices"

	"ysync/internal/invariant"
	"ysync/internal/lib0"
)

// The functions of this file work on the bytes of updates, without a Doc
// (Yjs: updates.js).

// writeRaw writes a block as it was read (Yjs: Item.write on a block that was
// not integrated).
func writeRaw(e updateEncoder, b *rawBlock) {
	switch b.kind {
	case kindGC:
		e.info(uint8(kindGC))
		e.length(b.length)
		return
	case kindSkip:
		e.info(uint8(kindSkip))
		e.uvarint(b.length)
		return
	}
	info := uint8(b.kind)
	if b.hasOrigin {
		info |= 0x80
	}
	if b.hasRight {
		info |= 0x40
	}
	if b.hasKey {
		info |= 0x20
	}
	e.info(info)
	if b.hasOrigin {
		e.leftID(b.origin)
	}
	if b.hasRight {
		e.rightID(b.right)
	}
	if !b.hasOrigin && !b.hasRight {
		if b.hasRoot {
			e.parentInfo(1)
			e.text(b.root, -1)
		} else {
			e.parentInfo(0)
			e.leftID(b.parent)
		}
		if b.hasKey {
			e.text(b.key, -1)
		}
	}
	writeRawContent(e, b)
}

func writeRawContent(e updateEncoder, b *rawBlock) {
	switch b.kind {
	case kindDeleted:
		e.length(b.length)
	case kindJSON:
		e.length(b.length)
		r := lib0.NewReader(b.data)
		var value, text []byte
		for range b.length {
			s := r.Bytes()
			if string(s) != "undefined" {
				value = appendFromJSON(value[:0], s)
				read := lib0.NewWTF8Reader(value)
				text = stringifyAny(text[:0], &read)
				s = text
			}
			e.text(s, -1)
		}
	case kindBinary:
		e.bytes(b.data)
	case kindString:
		e.text(b.data, int(b.length))
	case kindEmbed:
		e.json(appendEmbedded(nil, b))
	case kindFormat:
		e.key(b.name)
		e.json(appendEmbedded(nil, b))
	case kindType:
		e.typeRef(uint64(b.typeKind))
		if b.typeKind.named() {
			e.key(b.name)
		}
	case kindAny:
		e.length(b.length)
		r := lib0.NewReader(b.data)
		var buf []byte
		for range b.length {
			buf = appendCanonical(buf, &r)
		}
		e.any(buf)
	case kindDoc:
		guid, opts := splitNamed(appendSubdoc(nil, b.name, b.data))
		e.text(guid, -1)
		e.any(opts)
	}
}

// rawWriter writes blocks in the order given; how many each client has is only
// known at its end (Yjs: LazyStructWriter).
type rawWriter struct {
	e       updateEncoder
	client  ClientID
	written uint64
	// counts are the blocks of each section and marks where their counts belong.
	counts []uint64
	marks  []int

	// joins says that blocks that continue one another are joined; then held
	// is the block that may still grow, if holds. (Compact)
	joins bool
	holds bool
	owned bool
	held  rawBlock
}

// mark is implemented by both encoders: the length of the rest so far, and the
// insertion of numbers into it afterwards.
type restEditor interface {
	restLen() int
	insertRest(marks []int, counts []uint64)
}

func (w *rawWriter) write(b *rawBlock) {
	if !w.joins {
		w.put(b)
		return
	}
	if w.holds && w.held.continues(b) {
		if !w.owned {
			w.held, w.owned = *w.held.clone(), true
		}
		w.held.extend(b)
		return
	}
	w.release()
	w.held, w.holds, w.owned = *b, true, false
}

// release writes the held block.
func (w *rawWriter) release() {
	if w.holds {
		w.put(&w.held)
	}
	w.holds = false
}

func (w *rawWriter) put(b *rawBlock) {
	if w.written == 0 || w.client != b.client {
		w.client = b.client
		w.marks = append(w.marks, w.e.(restEditor).restLen())
		w.counts = append(w.counts, 0)
		w.e.client(b.client)
		w.e.uvarint(b.clock)
	}
	writeRaw(w.e, b)
	w.written++
	w.counts[len(w.counts)-1]++
}

// finish puts the counts in place; the delete set follows.
func (w *rawWriter) finish() {
	w.release()
	w.e.(restEditor).insertRest(w.marks, w.counts)
}

// insertCounts rebuilds buf with the number of sections first and before each
// mark its count.
func insertCounts(buf []byte, marks []int, counts []uint64) []byte {
	var word [10]byte
	size := func(n uint64) int { return len(lib0.AppendUvarint(word[:0], n)) }
	grow := size(uint64(len(marks)))
	for _, n := range counts {
		grow += size(n)
	}
	end := len(buf)
	buf = slices.Grow(buf, grow)[:end+grow]
	to := len(buf)
	for i, m := range slices.Backward(marks) {
		to -= end - m
		copy(buf[to:], buf[m:end])
		end = m
		to -= size(counts[i])
		lib0.AppendUvarint(buf[:to], counts[i])
	}
	lib0.AppendUvarint(buf[:0], uint64(len(marks)))
	return buf
}

func (e *encoderV1) restLen() int { return len(e.buf) }
func (e *encoderV1) insertRest(marks []int, counts []uint64) {
	e.buf = insertCounts(e.buf, marks, counts)
}
func (e *encoderV2) restLen() int { return len(e.rest) }
func (e *encoderV2) insertRest(marks []int, counts []uint64) {
	e.rest = insertCounts(e.rest, marks, counts)
}

// Merge joins updates into one with the same effect, byte for byte as Yjs does
// (mergeUpdates): blocks are not joined, holes become skips. A single update is
// returned as it is; of none comes an empty one. The result may hold skips and
// then is not for clients. The error is the *UpdateError of an update that cannot be
// read; its offset counts from the start of that one.
func Merge(v Version, updates ...[]byte) ([]byte, error) {
	if len(updates) == 1 {
		r, err := newUpdateReader(v, updates[0], 0)
		if err != nil {
			return nil, err
		}
		return updates[0], r.drain()
	}
	if v == V1 {
		// Little is said twice: what is written takes about what was read.
		size := 0
		for _, u := range updates {
			size += len(u)
		}
		return mergeUpdates(v, updates, rawWriter{e: &encoderV1{buf: make([]byte, 0, size)}})
	}
	return mergeUpdates(v, updates, rawWriter{e: newEncoder(v, nil)})
}

// drain reads an update to its end.
func (r *updateReader) drain() error {
	var b rawBlock
	for r.next(&b) {
	}
	var run deleteRun
	for r.nextDelete(&run) {
	}
	return r.check()
}

// appendWithPending appends the blocks that sv lacks merged with what waits.
// Waiting blocks are left out as far as known has them.
func (d *Doc) appendWithPending(dst []byte, v Version, sv, known StateVector) []byte {
	parts := [][]byte{d.AppendDiff(nil, v, sv)}
	p := d.pending
	if len(p.deletes) > 0 {
		e := newEncoder(v, nil)
		e.uvarint(0)
		deletes := p.deleteSet()
		writeIDSet(e, &deletes)
		parts = append(parts, e.finish())
	}
	if p.blocks > 0 {
		part, err := Diff(v, p.update(v), known)
		if err != nil {
			invariant.Assert(false, err.Error())
			return dst
		}
		parts = append(parts, part)
	}
	merged, err := Merge(v, parts...)
	if err != nil {
		invariant.Assert(false, err.Error())
	}
	return append(dst, merged...)
}

// update encodes the waiting blocks, with skips for the holes.
func (p *pending) update(v Version) []byte {
	ids := make([]ClientID, 0, len(p.clients))
	for c := range p.clients {
		ids = append(ids, c)
	}
	slices.SortFunc(ids, func(a, b ClientID) int { return cmp.Compare(b, a) })
	w := rawWriter{e: newEncoder(v, nil)}
	var room rawBlock
	for _, c := range ids {
		list := p.clients[c]
		for i := range list {
			if i > 0 && list[i-1].end() < list[i].clock {
				end := list[i-1].end()
				w.write(&rawBlock{client: c, clock: uint64(end), length: uint64(list[i].clock - end), kind: kindSkip})
			}
			w.write(list[i].raw(c, &room))
		}
	}
	w.finish()
	w.e.uvarint(0)
	return w.e.finish()
}
