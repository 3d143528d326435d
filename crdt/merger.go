package crdt

import (
	"cmp"
	"slices"
	"sort"
)

func mergeUpdates(v Version, updates [][]byte, w rawWriter) ([]byte, error) {
	m := merger{w: w, v: v}
	if err := m.queue(updates); err != nil {
		return nil, err
	}
	m.run()
	if m.err != nil {
		return nil, m.err
	}
	m.w.finish()
	m.deletes.normalise()
	writeIDSet(m.w.e, &m.deletes)
	return m.w.e.finish(), nil
}

// source is an update of a merge with its next block.
type source struct {
	r    updateReader
	head rawBlock
}

// next advances past skips; false at the end.
func (s *source) next() bool {
	for s.r.next(&s.head) {
		if s.head.kind != kindSkip {
			return true
		}
	}
	return false
}

// merger is a k-way merge of updates by descending client and ascending clock
// (Yjs: mergeUpdatesV2). An update is opened when its turn comes, so that what
// a merge holds is in proportion to the updates that overlap.
type merger struct {
	v       Version
	updates [][]byte
	// closed are the updates that were not opened, in the order of their first
	// blocks.
	closed []firstBlock
	// open are the sources that are not at their end, the first one last. All
	// but the first are sorted; of two that start at the same clock the one that
	// was first more recently comes first.
	open []*source
	// sources are all of them, the first one first, once they are so few that
	// Yjs sorts them differently.
	sources []*source
	spare   *source
	short   updateReader // of updates that need no source
	// stays says that the source that was first is not at its end and may have
	// to move.
	stays bool

	w       rawWriter
	cur     rawBlock // read, not yet written
	has     bool
	next    rawBlock // typesOn: read, not yet current
	deletes IDSet
	err     error
}

// firstBlock is where the blocks of an update start.
type firstBlock struct {
	client ClientID
	clock  uint64
	update uint32
	at     uint32 // in V1: where the block is
}

// queue reads where each update starts, and sorts.
func (m *merger) queue(updates [][]byte) error {
	m.closed = make([]firstBlock, 0, len(updates))
	sorted := true
	m.updates = updates
	for i, u := range updates {
		if m.v == V1 && len(u) > 0 && u[0] == 0 {
			if err := m.onlyDeletes(u); err != nil {
				return err
			}
			continue
		}
		f, ok := startV1(m.v, u)
		if !ok {
			s, err := m.start(u)
			if err != nil {
				return err
			}
			if !s.next() {
				if err := m.end(s); err != nil {
					return err
				}
				continue
			}
			f = firstBlock{client: s.head.client, clock: s.head.clock}
			m.spare = s
		}
		f.update = uint32(i)
		if n := len(m.closed); n > 0 && compareFirst(m.closed[n-1], f) > 0 {
			sorted = false
		}
		m.closed = append(m.closed, f)
	}
	if !sorted && len(m.closed) >= fewSources {
		slices.SortStableFunc(m.closed, compareFirst)
	}
	return nil
}

// startV1 reads where an update starts that is in V1 and starts with a block
// that is no skip.
func startV1(v Version, update []byte) (firstBlock, bool) {
	if v != V1 {
		return firstBlock{}, false
	}
	d := decoderV1{b: update}
	sections, n := d.uvarint(), d.uvarint()
	f := firstBlock{client: ClientID(d.uvarint()), clock: d.uvarint()}
	f.at = uint32(d.pos)
	info := contentKind(d.info() & 0x1f)
	return f, d.bad == nil && sections > 0 && n > 0 && info != kindSkip
}

// onlyDeletes takes the deletes of an update in V1 that has nothing else.
func (m *merger) onlyDeletes(update []byte) error {
	r := &m.short
	if !r.isV1 {
		if err := r.start(V1, update, 0); err != nil {
			return err
		}
	} else {
		r.again(update)
	}
	return m.takeDeletes(r)
}

// start opens an update.
func (m *merger) start(update []byte) (*source, error) {
	s := m.spare
	if m.spare = nil; s == nil {
		s = new(source)
	}
	return s, s.r.start(m.v, update, 0)
}

// openFirst opens the first of the closed updates.
func (m *merger) openFirst() *source {
	s, err := m.start(m.updates[m.closed[0].update])
	m.closed = m.closed[1:]
	if err == nil && !s.next() {
		err = m.end(s)
	}
	if err != nil {
		m.fail(err)
	}
	return s
}

// end takes the deletes of an update whose blocks are read.
func (m *merger) end(s *source) error {
	m.spare = s
	return m.takeDeletes(&s.r)
}

func (m *merger) takeDeletes(r *updateReader) error {
	var run deleteRun
	for r.nextDelete(&run) {
		m.deletes.push(run)
	}
	return r.check()
}

func (m *merger) fail(err error) {
	m.err = err
	m.closed, m.open, m.sources = nil, nil, nil
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

// fewSources is how many sources V8 sorts in one go; of more it merges runs,
// which comes to a stable sort unless the comparison contradicts itself.
const fewSources = 64

// first is the source whose turn it is, nil at the end. Only the one that was
// first before has changed since the last time.
func (m *merger) first() *source {
	if m.sources == nil {
		if len(m.open)+len(m.closed) >= fewSources {
			return m.firstOfMany()
		}
		m.openRest()
	}
	if len(m.sources) == 0 {
		return nil
	}
	if len(m.sources) > 1 {
		sortLikeV8(m.sources)
	}
	return m.sources[0]
}

func (m *merger) firstOfMany() *source {
	a := m.open
	if n := len(a) - 1; n > 0 {
		s := a[n]
		// Those from i on come before s.
		i := sort.Search(n, func(i int) bool { return compareStarts(a[i], s) < 0 })
		copy(a[i+1:], a[i:n])
		a[i] = s
	}
	if len(m.closed) > 0 && (len(a) == 0 || m.closed[0].before(a[len(a)-1])) {
		if s := m.openFirst(); m.err == nil {
			m.open = append(m.open, s)
		}
	}
	if m.err != nil {
		return nil
	}
	return m.open[len(m.open)-1]
}

// openRest opens what is closed and puts all sources in one list. The one that
// was first stays there.
func (m *merger) openRest() {
	m.sources = make([]*source, 0, len(m.open)+len(m.closed))
	for len(m.closed) > 0 {
		// Of those that start at one place, the open ones come first.
		for n := len(m.open) - 1; n >= 0 && (m.stays || !m.closed[0].before(m.open[n])); n-- {
			m.stays = false
			m.sources = append(m.sources, m.open[n])
			m.open = m.open[:n]
		}
		s := m.openFirst()
		if m.err != nil {
			return
		}
		m.sources = append(m.sources, s)
	}
	for _, s := range slices.Backward(m.open) {
		m.sources = append(m.sources, s)
	}
	m.open = nil
}

func (f firstBlock) before(s *source) bool {
	return f.client > s.head.client || f.client == s.head.client && f.clock < s.head.clock
}

// compareFirst is compareStarts for updates that are not open.
func compareFirst(a, b firstBlock) int {
	if c := cmp.Compare(b.client, a.client); c != 0 {
		return c
	}
	return cmp.Compare(a.clock, b.clock)
}

// compareStarts is compareSources for so many sources that what it says of gc
// blocks does not show.
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
func (m *merger) settle(s *source, alive bool) {
	if m.stays = alive; alive {
		return
	}
	if m.sources != nil {
		m.sources = slices.Delete(m.sources, 0, 1)
	} else {
		m.open = slices.Delete(m.open, len(m.open)-1, len(m.open))
	}
	if err := m.end(s); err != nil {
		m.fail(err)
	}
}

func (m *merger) flush() {
	if m.has {
		m.w.write(&m.cur)
	}
	m.has = false
}

// run writes all blocks. The order of the steps decides about the bytes and
// follows Yjs.
func (m *merger) run() {
	for {
		for m.typesOn() {
		}
		s := m.first()
		if s == nil {
			break
		}
		client := s.head.client
		alive := true
		if m.has {
			iterated := false
			for alive && s.head.end() <= m.cur.end() && s.head.client >= m.cur.client {
				alive = s.next()
				iterated = true
			}
			if !alive || s.head.client != client || iterated && s.head.clock > m.cur.end() {
				m.settle(s, alive)
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
		m.settle(s, alive)
	}
	m.flush()
}

// typesOn takes the first of the closed updates if it is a keystroke in V1 that
// follows the current block: its one block is of the same client, starts where
// that one ends, and is of a kind that never joins with it. Then the steps of
// run come to writing that one and going on with this, whatever the others are;
// so nothing has to be opened.
func (m *merger) typesOn() bool {
	if !m.has || m.v != V1 || m.sources != nil || len(m.open) > 0 || len(m.closed) < fewSources ||
		m.closed[0].client != m.cur.client || m.closed[0].clock != m.cur.end() {
		return false
	}
	r := &m.short
	update := m.updates[m.closed[0].update]
	if !r.isV1 {
		if r.start(V1, update, 0) != nil {
			return false
		}
	} else {
		r.again(update)
	}
	if r.sections != 1 || update[1] != 1 {
		return false
	}
	r.v1.pos = int(m.closed[0].at)
	r.client, r.clock = m.cur.client, m.closed[0].clock
	if r.v1.usual != r.client || r.v1.usualLen == 0 {
		r.v1.expect(r.client)
	}
	if !r.read(&m.next) || m.next.kind == kindGC || m.next.kind == kindSkip {
		return false
	}
	if err := m.takeDeletes(r); err != nil {
		return false // the same error is found again
	}
	m.closed = m.closed[1:]
	m.w.write(&m.cur)
	m.cur = m.next
	return true
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
