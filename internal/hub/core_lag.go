package hub

import (
	"slices"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/syncproto"
)

// A reader whose outbox is full is not sent updates any more: it lags. What it
// is known to have is a mark, a version and the state vector then, which it
// shares with all who fell behind there. When its outbox is empty it gets one
// diff from the mark to the present, and is sent updates again from there on.
// Deletes are not in a state vector, so those since the oldest mark are kept.

// mark is what readers that fell behind are known to have. It is a value of the
// core, shared by those readers.
type mark struct {
	version persistence.Position
	state   crdt.StateVector
	refs    int
	// The diff from here to a version, for the next one who needs it.
	diff   []byte
	diffTo persistence.Position
	frames [2][]byte // of diff: as Update, as SyncStep2
}

// lagState is what a core keeps for readers that lag.
type lagState struct {
	marks []*mark // in order of version
	// deletes since the oldest mark, in order. Those up to floor were dropped:
	// who is marked before it gets the whole delete set.
	deletes   []deletesOf
	ranges    int // in deletes, at most maxRanges
	floor     persistence.Position
	maxRanges int

	// lagging is how many members lag. While any does, changes are noted: the
	// newest of a client ID is the last one. seq is that of the newest change;
	// 0 is before the first.
	lagging int
	seq     uint64
	changes []presenceChange
	tidyAt  int // length at which outdated changes are taken out
}

type deletesOf struct {
	version persistence.Position
	set     crdt.IDSet
}

// maxDeletes bounds the deleted ranges kept for readers that lag.
const maxDeletes = 1 << 15

// markNow returns the mark of the present version.
func (c *core) markNow() *mark {
	l := &c.lag
	if n := len(l.marks); n > 0 && l.marks[n-1].version == c.version {
		return l.marks[n-1]
	}
	m := &mark{version: c.version, state: c.doc.StateVector()}
	if len(l.marks) == 0 {
		l.deletes, l.ranges, l.floor = nil, 0, c.version
	}
	l.marks = append(l.marks, m)
	return m
}

// usable tells whether all deletes since m are known.
func (c *core) usable(m *mark) bool { return m.version >= c.lag.floor }

// unmark takes one reader off a mark.
func (c *core) unmark(m *mark) {
	m.refs--
	if m.refs > 0 {
		return
	}
	l := &c.lag
	if i := slices.Index(l.marks, m); i >= 0 {
		l.marks = slices.Delete(l.marks, i, i+1)
	}
	if len(l.marks) == 0 {
		l.deletes, l.ranges = nil, 0
		return
	}
	oldest := l.marks[0].version
	n := 0
	for n < len(l.deletes) && l.deletes[n].version <= oldest {
		l.ranges -= countRanges(&l.deletes[n].set)
		n++
	}
	l.deletes = slices.Delete(l.deletes, 0, n)
}

// noteDeletes keeps what a batch deleted for those who lag.
func (c *core) noteDeletes(set *crdt.IDSet) {
	l := &c.lag
	if len(l.marks) == 0 || set.Empty() {
		return
	}
	l.deletes = append(l.deletes, deletesOf{c.version, set.Clone()})
	l.ranges += countRanges(set)
	if l.ranges > l.maxRanges {
		l.deletes, l.ranges, l.floor = nil, 0, c.version
	}
}

func countRanges(set *crdt.IDSet) (n int) {
	for range set.All() {
		n++
	}
	return n
}

// lagging notes, right after a step, that a member's outbox became full. What
// was put into it still goes out: the reader has everything up to now.
func (c *core) lagging(s *Subscription) {
	if c.over != nil || s.gone() || s.at.lag != nil {
		return
	}
	m, presence := c.lagMark(s)
	c.lagFrom(s, m)
	s.at.presenceLag = presence
}

// lagFrom makes s lag from m on.
func (c *core) lagFrom(s *Subscription, m *mark) {
	m.refs++
	if s.at.lag != nil {
		c.unmark(s.at.lag)
	} else {
		c.lag.lagging++
		s.at.presenceLag = c.lag.seq
	}
	s.at.lag = m
	c.hears(s)
}

// unlag makes s a reader that keeps up.
func (c *core) unlag(s *Subscription) {
	if s.at.lag == nil {
		return
	}
	m := s.at.lag
	s.at.lag = nil
	c.unmark(m)
	c.lag.lagging--
	if c.lag.lagging == 0 {
		c.lag.changes = nil
	}
	c.hears(s)
}

// catchUp sends one diff from the reader's mark to now. At the end of a sync it
// goes out as the SyncStep2 that completes it, even when it is empty.
func (c *core) catchUp(s *Subscription) {
	m := s.at.lag
	if m.version == c.version && !s.at.final {
		c.unlag(s)
		return
	}
	c.carryHeld(s, m)
	diff := c.diffFrom(m)
	if len(diff) > c.limits.ChunkBytes {
		if c.diffs+len(diff) > c.limits.SyncDiffBytes {
			f := c.fullState()
			if f.single == nil {
				f.used = c.now
				c.stream(s, f.frames, f.mark)
				return
			}
		} else {
			s.at.holds = len(diff)
			c.diffs += len(diff)
			c.stream(s, c.chunks(m.state), c.markNow())
			return
		}
	}
	c.opt.count.catchUps.Inc()
	kind := 0
	if s.at.final {
		kind = 1
	}
	s.at.from = c.version
	frame := m.frames[kind]
	if frame == nil {
		if s.at.final {
			frame = syncproto.AppendSyncStep2(make([]byte, 0, len(diff)+12), diff)
		} else {
			frame = c.updateFrame(diff)
		}
		m.frames[kind] = frame
	}
	s.at.final = false
	c.unlag(s)
	c.put(s, item{frame: frame}, c.version)
}

// carryHeld keeps for a session that takes updates after the commit what waits
// for it of before the mark: it is about to be taken for one that has all until
// now, and what follows is only what came after the mark.
func (c *core) carryHeld(s *Subscription, m *mark) {
	if !s.peer.Echo {
		return
	}
	for i := range c.held {
		if h := &c.held[i]; h.sub == nil && h.version > s.at.from && h.version <= m.version {
			c.held = append(c.held, heldFrame{c.version, s, h.item})
		}
	}
}

// diffFrom encodes what changed since m. It is kept for others who lag from m. The
// step under way may have deleted already what is noted only at its end.
func (c *core) diffFrom(m *mark) []byte {
	if m.diff != nil && m.diffTo == c.version {
		return m.diff
	}
	m.diffTo, m.frames = c.version, [2][]byte{}
	if !c.usable(m) {
		m.diff = c.doc.AppendDiff(nil, crdt.V1, m.state)
		return m.diff
	}
	var deletes crdt.IDSet
	for i := range c.lag.deletes {
		if d := &c.lag.deletes[i]; d.version > m.version {
			deletes.Union(&d.set)
		}
	}
	deletes.Union(&c.batch.deletes)
	m.diff = c.doc.AppendUpdate(nil, crdt.V1, m.state, deletes)
	return m.diff
}
