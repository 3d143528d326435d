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
		for range b.length {
			s := r.Bytes()
			if string(s) != "undefined" {
				v, _ := parseJSON(s)
				s = appendStringify(nil, v)
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
	out := make([]byte, 0, len(buf)+8+3*len(marks))
	out = lib0.AppendUvarint(out, uint64(len(marks)))
	for i, m := range marks {
		end := len(buf)
		if i+1 < len(marks) {
			end = marks[i+1]
		}
		out = lib0.AppendUvarint(out, counts[i])
		out = append(out, buf[m:end]...)
	}
	return out
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
// returned as it is. The result may hold skips and then is not for clients.
func Merge(v Version, updates ...[]byte) ([]byte, error) {
	if len(updates) == 1 {
		r, err := newUpdateReader(v, updates[0], 0)
		if err != nil {
			return nil, err
		}
		return updates[0], r.drain()
	}
	return mergeUpdates(v, updates, rawWriter{e: newEncoder(v, nil)})
}

func mergeUpdates(v Version, updates [][]byte, w rawWriter) ([]byte, error) {
	m := merger{w: w}
	readers := make([]*updateReader, 0, len(updates))
	for _, u := range updates {
		r, err := newUpdateReader(v, u, 0)
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
		m.push(r)
	}
	m.run()
	m.w.finish()
	var deletes IDSet
	for _, r := range readers {
		var run deleteRun
		for r.nextDelete(&run) {
			deletes.push(run)
		}
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	deletes.normalise()
	writeIDSet(m.w.e, &deletes)
	return m.w.e.finish(), nil
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

// source is an update of a merge with its next block, or a list of blocks.
type source struct {
	r    *updateReader
	list []*rawBlock // if r is nil; no skips
	head rawBlock
}

// next advances past skips; false at the end.
func (s *source) next() bool {
	if s.r == nil {
		if len(s.list) == 0 {
			return false
		}
		s.head, s.list = *s.list[0], s.list[1:]
		return true
	}
	for s.r.next(&s.head) {
		if s.head.kind != kindSkip {
			return true
		}
	}
	return false
}

// merger is a k-way merge of updates by descending client and ascending clock
// (Yjs: mergeUpdatesV2).
type merger struct {
	// sources that are not at their end. Before each step they are sorted as
	// Yjs sorts them: of two that start at the same clock the order decides
	// which block is written whole.
	sources []*source
	sorted  bool // all but the first
	ended   *source
	w       rawWriter
	blocks  []*rawBlock // written instead, without skips, if list
	list    bool
	cur     rawBlock // read, not yet written
	has     bool
}

func (m *merger) push(r *updateReader) {
	if s := (&source{r: r}); s.next() {
		m.sources = append(m.sources, s)
	}
}

// compareSources is the comparison that Yjs sorts by. It contradicts itself
// where a gc block and an item start at the same clock: either comes before the
// other. What JavaScript's sort makes of that shows in the result.
func compareSources(a, b *source) int {
	if c := compareStarts(a, b); c != 0 {
		return c
	}
	if (a.head.kind == kindGC) == (b.head.kind == kindGC) {
		return 0
	}
	return -1
}

// sort orders the sources, of which only the first has changed since the last
// time.
func (m *merger) sort() {
	a := m.sources
	switch {
	case len(a) < 2:
	case len(a) < 64:
		sortLikeV8(a)
	case !m.sorted:
		slices.SortStableFunc(a, compareStarts)
	default:
		n, _ := slices.BinarySearchFunc(a[1:], a[0], compareStarts)
		s := a[0]
		copy(a, a[1:n+1])
		a[n] = s
	}
	m.sorted = true
}

// compareStarts is compareSources for so many sources that V8 merges runs of
// them, which comes to a stable sort unless the comparison contradicts itself.
func compareStarts(a, b *source) int {
	if c := cmp.Compare(b.head.client, a.head.client); c != 0 {
		return c
	}
	return cmp.Compare(a.head.clock, b.head.clock)
}

// sortLikeV8 is what the sort of V8 does with fewer than 64 elements: find the
// run at the front, turn it round if it descends, insert the rest by bisection.
func sortLikeV8(a []*source) {
	run := 2
	descends := compareSources(a[1], a[0]) < 0
	for run < len(a) && (compareSources(a[run], a[run-1]) < 0) == descends {
		run++
	}
	if descends {
		slices.Reverse(a[:run])
	}
	for i := run; i < len(a); i++ {
		s := a[i]
		low, high := 0, i
		for low < high {
			mid := int(uint(low+high) >> 1)
			if compareSources(s, a[mid]) < 0 {
				high = mid
			} else {
				low = mid + 1
			}
		}
		copy(a[low+1:i+1], a[low:i])
		a[low] = s
	}
}

// settle removes the first source if it is at its end.
func (m *merger) settle(alive bool) {
	if !alive {
		m.ended, m.sources[0] = m.sources[0], nil
		m.sources = m.sources[1:]
	}
}

func (m *merger) flush() {
	switch {
	case !m.has:
	case !m.list:
		m.w.write(&m.cur)
	case m.cur.kind != kindSkip:
		b := m.cur
		m.blocks = append(m.blocks, &b)
	}
	m.has = false
}

// run writes all blocks. The order of the steps decides about the bytes and
// follows Yjs.
func (m *merger) run() {
	for len(m.sources) > 0 {
		m.sort()
		s := m.sources[0]
		client := s.head.client
		alive := true
		if m.has {
			iterated := false
			for alive && s.head.end() <= m.cur.end() && s.head.client >= m.cur.client {
				alive = s.next()
				iterated = true
			}
			if !alive || s.head.client != client || iterated && s.head.clock > m.cur.end() {
				m.settle(alive)
				continue
			}
			switch {
			case client != m.cur.client:
				m.flush()
				m.take(s, &alive)
			case m.cur.end() < s.head.clock:
				end := m.cur.end()
				m.flush()
				m.cur = rawBlock{client: client, clock: end, length: s.head.clock - end, kind: kindSkip}
				m.has = true
			default:
				m.join(s, &alive)
			}
		} else {
			m.take(s, &alive)
		}
		for alive && s.head.client == client && s.head.clock == m.cur.end() {
			m.flush()
			m.take(s, &alive)
		}
		m.settle(alive)
	}
	m.flush()
}

// take makes the head of a source the current block.
func (m *merger) take(s *source, alive *bool) {
	m.cur, m.has = s.head, true
	*alive = s.next()
}

// join continues the current block with the head of a source that starts at or
// before its end.
func (m *merger) join(s *source, alive *bool) {
	over := m.cur.end() - s.head.clock
	head := s.head
	if over > 0 {
		if m.cur.kind == kindSkip {
			m.cur.length -= over
		} else {
			head.slice(over)
		}
	}
	if m.cur.kind == kindGC && head.kind == kindGC {
		m.cur.length += head.length
		return
	}
	m.flush()
	m.cur, m.has = head, true
	*alive = s.next()
}

// appendWithPending appends the blocks that sv lacks merged with what waits.
// Waiting blocks are left out as far as known has them.
func (d *Doc) appendWithPending(dst []byte, v Version, sv, known StateVector) []byte {
	parts := [][]byte{d.AppendDiff(nil, v, sv)}
	p := &d.pending
	if !p.deletes.Empty() {
		e := newEncoder(v, nil)
		e.uvarint(0)
		writeIDSet(e, &p.deletes)
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
	slices.SortFunc(ids, func(a, b ClientID) int {
		if a > b {
			return -1
		}
		return 1
	})
	w := rawWriter{e: newEncoder(v, nil)}
	for _, c := range ids {
		list := p.clients[c]
		for i := range list {
			if i > 0 && list[i-1].end() < list[i].clock {
				end := list[i-1].end()
				w.write(&rawBlock{client: c, clock: end, length: list[i].clock - end, kind: kindSkip})
			}
			w.write(list[i])
		}
	}
	w.finish()
	w.e.uvarint(0)
	return w.e.finish()
}
