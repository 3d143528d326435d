package hub

import (
	"time"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
)

const (
	// A snapshot is due when a load would have to replay this much: bytes, or
	// a quarter of the state if that is more, or entries.
	dueBytes   = 1 << 20
	dueEntries = 10_000
	// A document that is written to without a pause is stored no more often
	// than every dueRest, or storing it would cost more than serving it; but
	// the log never grows beyond hugeTimes of the bytes above, or hugeEntries,
	// which take about two seconds to replay.
	dueRest     = 15 * time.Second
	hugeTimes   = 32
	hugeEntries = 1_000_000
	// Before an unload less is worth one.
	unloadBytes   = 64 << 10
	unloadEntries = 500
	// retryStored is how long to wait after a snapshot or segment failed.
	retryStored = 30 * time.Second
)

// storedState is what a core knows of its document's snapshots and history.
// Everything is judged by positions, never by a flag: what is applied while a
// snapshot is written is beyond the snapshot's position, so it stays due.
type storedState struct {
	// tail is the log beyond the newest snapshot.
	tail      persistence.Tail
	stateSize int // of the newest state encoded

	// frozen is a state that waits until the log has committed all of it.
	frozen *job
	// running was handed out and has not been reported done.
	running *job
	wanted  []*request // snapshots asked for, after frozen and running

	snapshotAt time.Time // when the newest snapshot, or the load, was
	// unsegmented is when the oldest committed entry that no segment holds was
	// received; the zero time if there is none.
	unsegmented time.Time
	retryAt     time.Time // after a failure
	failing     bool      // the newest one failed; counted as unstored

	idle time.Time // since when nobody is subscribed
	// last: the snapshot or segment before the unload was tried at this
	// version.
	last persistence.Position
}

func (st *storedState) init(rec persistence.Record, tail persistence.Tail, now time.Time) {
	st.tail = tail
	st.snapshotAt, st.idle = now, now
	if rec.Head > rec.Segmented {
		st.unsegmented = now
	}
}

// grow notes an entry.
func (st *storedState) grow(bytes int) {
	st.tail.Entries++
	st.tail.Bytes += bytes
}

// committed notes that the log has entries, the oldest from `oldest`.
func (st *storedState) committed(c *core, oldest time.Time) {
	if st.unsegmented.IsZero() {
		st.unsegmented = oldest
	}
}

// snapshotWanted takes in a request for a snapshot.
func (c *core) snapshotWanted(r *request) {
	if c.version == 0 && !c.record.Exists() {
		c.fx.answers = append(c.fx.answers, answer{r, ErrNotFound})
		return
	}
	c.stored.wanted = append(c.stored.wanted, r)
}

// jobDone takes in the outcome of a job.
func (c *core) jobDone(j *job) {
	st := &c.stored
	st.running = nil
	st.note(c.opt.count, j.err != nil)
	if j.kind == jobReset && (j.generation > 0 || j.unclear) {
		c.resetDone(j)
		return
	}
	if j.pointer.Position > c.record.Snapshot.Position {
		c.record.Previous, c.record.Snapshot = c.record.Snapshot, j.pointer
		st.tail.Entries -= j.tail.Entries
		st.tail.Bytes -= j.tail.Bytes
		st.snapshotAt = c.now
	}
	if j.segmented > c.record.Segmented {
		c.record.Segmented = j.segmented
		st.unsegmented = time.Time{}
		if c.committed > j.segmented {
			st.unsegmented = c.now
		}
	}
	if j.trimmed > c.record.Trimmed {
		c.record.Trimmed = j.trimmed
	}
	if j.err != nil {
		st.retryAt = c.now.Add(retryStored)
	}
	if j.kind == jobReset {
		c.resetDone(j)
	}
	if j.request != nil {
		j.request.pointer = j.pointer
		err := j.err
		if !j.pointer.IsZero() {
			err = nil
		}
		c.fx.answers = append(c.fx.answers, answer{j.request, err})
	}
}

// note says whether the newest snapshot or segment failed. A document that is
// forgotten has none.
func (st *storedState) note(n *counters, failing bool) {
	switch {
	case failing && !st.failing:
		n.unstored.Add(1)
	case !failing && st.failing:
		n.unstored.Add(-1)
	}
	st.failing = failing
}

// fail turns away who waits for a snapshot.
func (st *storedState) fail(c *core, why error) {
	for _, r := range st.wanted {
		c.fx.answers = append(c.fx.answers, answer{r, why})
	}
	if st.frozen != nil && st.frozen.request != nil {
		c.fx.answers = append(c.fx.answers, answer{st.frozen.request, why})
	}
	if st.running != nil && st.running.request != nil {
		c.fx.answers = append(c.fx.answers, answer{st.running.request, why})
	}
	st.wanted, st.frozen = nil, nil
}

// abandon answers, after the last step, who waits for a snapshot.
func (st *storedState) abandon(why error) {
	for _, r := range st.wanted {
		r.finish(why)
	}
	for _, j := range []*job{st.frozen, st.running} {
		if j != nil && j.request != nil {
			j.request.finish(why)
		}
	}
}

// due tells whether a snapshot is due by what the log holds beyond the newest.
func (c *core) due() bool {
	st := &c.stored
	if c.now.Before(st.retryAt) {
		return false
	}
	since := c.now.Sub(st.snapshotAt)
	return c.tailIsLong() && (since >= dueRest || c.tailIsHuge()) ||
		c.opt.snapshotInterval > 0 && st.tail.Entries > 0 && since >= c.opt.snapshotInterval
}

func (c *core) tailIsLong() bool {
	st := &c.stored
	return st.tail.Entries >= dueEntries || st.tail.Bytes >= max(dueBytes, st.stateSize/4)
}

func (c *core) tailIsHuge() bool {
	st := &c.stored
	return st.tail.Entries >= hugeEntries || st.tail.Bytes >= hugeTimes*max(dueBytes, st.stateSize/4)
}

// wanted takes the first request for a snapshot. One without a label is
// answered by the newest snapshot when nothing has come since.
func (c *core) wanted() {
	st := &c.stored
	r := st.wanted[0]
	st.wanted = st.wanted[1:]
	if newest := c.record.Snapshot; r.label == "" && !newest.IsZero() && newest.Position == c.version {
		r.pointer = newest
		c.fx.answers = append(c.fx.answers, answer{r, nil})
		return
	}
	c.freeze(r)
}

// freeze encodes the state for a snapshot of the present version.
func (c *core) freeze(r *request) {
	st := &c.stored
	state := c.doc.AppendStored(nil, crdt.V2)
	if fault.Active(fault.DropPending) {
		state = c.doc.AppendDiff(nil, crdt.V2, crdt.StateVector{})
	}
	st.stateSize = len(state)
	st.frozen = &job{
		kind: jobSnapshot, position: c.version, at: c.lastTime, state: state, tail: st.tail, request: r,
	}
	if r != nil {
		st.frozen.label = r.label
	}
}

// plan ends a step: it decides on snapshots, segments, the end of a drain,
// unloading, and when to be woken.
func (c *core) plan() {
	st := &c.stored
	if len(c.releases) > 0 && c.resetting == nil {
		c.giveUp()
		return
	}
	if c.full != nil && c.now.Sub(c.full.used) >= fullKept {
		c.dropFull()
	}
	alone := c.planReset()
	if !alone && st.frozen == nil && st.running == nil && c.version > 0 {
		switch {
		case len(st.wanted) > 0 && c.own():
			c.wanted()
		case c.due() && !c.draining && c.own():
			c.freeze(nil)
		}
	}
	if !alone && st.running == nil && st.frozen != nil && st.frozen.position <= c.committed {
		st.frozen, st.running = nil, st.frozen
		c.start()
	}
	if !alone && st.running == nil && !st.unsegmented.IsZero() && !c.now.Before(st.retryAt) &&
		c.now.Sub(st.unsegmented) >= c.opt.segmentInterval && c.own() {
		c.segment()
	}
	if c.draining && c.committed == c.version {
		c.noteSent()
		for len(c.subs) > 0 {
			c.end(c.subs[len(c.subs)-1], endRestart)
		}
	}
	if !c.unload() {
		c.fx.wake = c.nextWake()
		if !c.fx.wake.IsZero() && !c.fx.wake.After(c.now) {
			// What is due and was not done waits for something that will wake, such as
			// a claim that the log does not answer. To look again at once would go on
			// without a pause until then.
			c.fx.wake = c.now.Add(overdueRest)
		}
	}
}

// overdueRest is after how long what is overdue is looked at again.
const overdueRest = 250 * time.Millisecond

// giveUp asks for the end of the claim as soon as everything is committed. A
// snapshot or segment under way is not waited for: the log refuses it then, and
// the next owner makes its own.
func (c *core) giveUp() {
	if c.committed < c.version || c.released {
		return
	}
	c.released = true
	epoch := persistence.Epoch(0)
	if c.owned {
		epoch = c.record.Epoch
	}
	c.fx.release = &epoch
}

// own tells whether this process is the writer, whom alone the log lets change
// pointers. If not, it asks for the claim, as the first update would.
func (c *core) own() bool {
	if !c.owned && !c.claiming {
		c.claiming, c.fx.claim = true, true
	}
	return c.owned
}

// start hands out the running job.
func (c *core) start() {
	j := c.stored.running
	j.record = c.record
	c.fx.job = j
}

// segment starts a job that stores history up to what is committed.
func (c *core) segment() {
	c.stored.running = &job{kind: jobSegment, position: c.committed, at: c.lastTime}
	c.start()
}

// mayUnload tells whether nobody has used the document for long enough: at once
// when it was never written, or the process stops.
func (c *core) mayUnload() bool {
	st := &c.stored
	if len(c.subs) > 0 || c.resetting != nil || c.committed < c.version || st.running != nil || st.frozen != nil || len(st.wanted) > 0 {
		return false
	}
	if c.draining {
		return true
	}
	if c.presence.Len() > 0 {
		return false
	}
	return c.version == 0 && !c.record.Exists() || c.now.Sub(st.idle) >= c.opt.idleUnload
}

// unload forgets the document when it may, after storing what is worth it. It
// tells whether it asked for that.
func (c *core) unload() bool {
	st := &c.stored
	if !c.mayUnload() {
		return false
	}
	worth := st.tail.Bytes >= unloadBytes || st.tail.Entries >= unloadEntries
	if st.last != c.version && (worth || c.record.Head > c.record.Segmented) {
		if !c.own() {
			return false
		}
		st.last = c.version
		if worth {
			c.freeze(nil)
			st.frozen, st.running = nil, st.frozen
			c.start()
		} else {
			c.segment()
		}
		return false
	}
	c.fx.unload = true
	return true
}

// nextWake is when something is due although no command comes in.
func (c *core) nextWake() time.Time {
	var wake time.Time
	at := func(t time.Time) {
		if wake.IsZero() || t.Before(wake) {
			wake = t
		}
	}
	st := &c.stored
	if t := c.presence.NextExpiry(); !t.IsZero() {
		at(t)
	}
	if c.said.count > 0 || len(c.unshown) > 0 {
		at(c.said.due)
	}
	if c.full != nil {
		at(c.full.used.Add(fullKept))
	}
	if len(c.subs) > 0 {
		at(c.now.Add(c.limits.SlowReader / 4))
	} else if st.running == nil && c.committed == c.version {
		at(st.idle.Add(c.opt.idleUnload))
	}
	if len(c.acking) > 0 {
		at(c.now.Add(keepaliveAfter / 3))
	}
	if len(c.deferred) > 0 {
		at(c.now.Add(100 * time.Millisecond))
	}
	if len(c.chasing) > 0 {
		if c.discarding {
			at(c.now.Add(250 * time.Millisecond))
		} else {
			at(c.now.Add(chaseEvery))
		}
	}
	if st.running != nil {
		return wake
	}
	if !st.unsegmented.IsZero() {
		at(later(st.unsegmented.Add(c.opt.segmentInterval), st.retryAt))
	}
	if st.frozen != nil {
		return wake // the commit wakes
	}
	if c.tailIsLong() {
		at(later(st.snapshotAt.Add(dueRest), st.retryAt))
	}
	if c.opt.snapshotInterval > 0 && st.tail.Entries > 0 {
		at(later(st.snapshotAt.Add(c.opt.snapshotInterval), st.retryAt))
	}
	return wake
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
