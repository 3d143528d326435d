package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ysync/internal/fault"
	"ysync/internal/invariant"
	"ysync/internal/metrics"
	"ysync/persistence"
)

// logState is how far a document is on the way to its log. Entries that may be
// appended are those of documents that are claimed and ready.
type logState uint8

const (
	// logIdle: nothing to append.
	logIdle logState = iota
	// logClaiming: the claim is under way.
	logClaiming
	// logReady: in committer.ready.
	logReady
	// logBusy: an append is under way.
	logBusy
	// logWaiting: in committer.later, after a failure.
	logWaiting
	// logDead: another owner has claimed the document, or it was forgotten.
	logDead
)

// docLog is what one document has on its way to the log. Guarded by
// committer.mu. While an append is under way it reads the entries that were
// there when it began; they change only after it.
type docLog struct {
	state   logState
	claimed bool
	// seed is the idempotency key that must be on record before the first
	// entry is appended; empty for none.
	seed string
	// unknown: an append may or may not have happened; read back first.
	unknown bool
	// record is the log's record as this process knows it; its Head is the
	// newest committed position.
	record persistence.Record
	// entries follow record.Head, in order.
	entries []persistence.NewEntry
	bytes   int
}

// maxAppendBytes bounds one commit, so that a flood in one document does not
// make all others wait for one huge write.
const maxAppendBytes = 16 << 20

// maxClaims bounds claims under way.
const maxClaims = 32

// committer appends the entries of all documents to the log: one loop, one
// append at a time. What comes in while an append is under way makes the next
// one, so groups form by themselves. What somebody waits for is appended as
// soon as the append before it has ended; what nobody waits for, commitPause after
// that one began.
type committer struct {
	hub *Hub

	uncommitted atomic.Int64 // bytes, over all documents
	// stalled: the newest append failed. readOnly: because the store takes no
	// writes now.
	stalled, readOnly atomic.Bool

	claims chan struct{} // a slot per claim

	mu     sync.Mutex
	urgent bool        // somebody waits for what is ready, or is about to be
	ready  []*document // with entries to append, in order of coming
	later  []*document // to be tried again when the back-off is over
	poke   chan struct{}
	delay  time.Duration // the newest back-off
	due    time.Time     // when later is to be tried

	// Owned by the loop.
	rng     *rand.Rand
	began   time.Time // the newest append
	group   []grouped
	batches []persistence.Batch // of group, by index
}

// grouped is a document whose entries are in the append under way.
type grouped struct {
	doc     *document
	head    persistence.Position // before the append
	unknown bool                 // an earlier append may have happened
}

// commitPause is the least time between the beginnings of two appends that nobody
// waits for. A client that asks for no acknowledgement can't tell when its edit
// becomes durable, and a sync costs as much as a dozen deliveries.
const commitPause = 10 * time.Millisecond

// commitPauseBytes is how much may wait because of it.
const commitPauseBytes = 1 << 20

const (
	firstDelay = 20 * time.Millisecond
	lastDelay  = time.Second
)

func (c *committer) init(h *Hub) {
	c.hub = h
	c.claims = make(chan struct{}, maxClaims)
	c.poke = make(chan struct{}, 1)
	c.rng = rand.New(rand.NewPCG(h.opt.Seed, 1))
}

func (c *committer) full() bool {
	return c.uncommitted.Load() >= int64(c.hub.limits.NodeUncommittedBytes)
}

// loaded notes a document's record, and whether its newest claim is this
// process's, made for this load. It is not used before the first entry.
func (c *committer) loaded(d *document, rec persistence.Record, claimed bool) {
	c.mu.Lock()
	d.log = docLog{record: rec, claimed: claimed}
	c.mu.Unlock()
}

// add queues entries; the first one is to get position from+1.
func (c *committer) add(d *document, from persistence.Position, entries []persistence.NewEntry) {
	n := 0
	for i := range entries {
		n += len(entries[i].Update)
	}
	c.uncommitted.Add(int64(n))
	c.hub.opt.Metrics.UncommittedBytes.Add(float64(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &d.log
	if l.state == logDead {
		c.settle(n)
		return
	}
	if invariant.Enabled {
		invariant.Assert(l.record.Head+persistence.Position(len(l.entries)) == from, "entries and versions have parted")
	}
	l.entries = append(l.entries, entries...)
	l.bytes += n
	if l.state != logIdle {
		return
	}
	if !l.claimed {
		c.beginClaim(d)
		return
	}
	c.enqueue(d)
}

// seed notes the idempotency key of a document that has no entry, before the
// first is added. Such a document is not claimed yet.
func (c *committer) seed(d *document, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.log.state == logDead {
		return
	}
	if invariant.Enabled {
		invariant.Assert(d.log.state == logIdle && !d.log.claimed && d.log.record.Head == 0, "a seed that is not first")
	}
	d.log.seed = key
}

// own claims a document that has nothing to append.
func (c *committer) own(d *document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.log.state == logIdle && !d.log.claimed {
		c.beginClaim(d)
	}
}

func (c *committer) beginClaim(d *document) {
	d.log.state = logClaiming
	rec, seed := d.log.record, d.log.seed
	c.hub.work.Go(func() { c.claim(d, rec, seed) })
}

// enqueue makes a document's entries part of the next append. mu is held.
func (c *committer) enqueue(d *document) {
	d.log.state = logReady
	c.ready = append(c.ready, d)
	if len(c.ready) == 1 {
		c.wake()
	}
}

// hurry has the next append begin as soon as the one under way has ended.
func (c *committer) hurry() {
	c.mu.Lock()
	before := c.urgent
	c.urgent = true
	c.mu.Unlock()
	if !before {
		c.wake()
	}
}

func (c *committer) wake() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

func (c *committer) settle(n int) {
	c.uncommitted.Add(-int64(n))
	c.hub.opt.Metrics.UncommittedBytes.Sub(float64(n))
}

// forget drops what a document has queued. An append under way is not undone;
// its outcome is ignored.
func (c *committer) forget(d *document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill(d)
}

func (c *committer) kill(d *document) {
	c.settle(d.log.bytes)
	d.log = docLog{state: logDead}
}

// refuse tells a document that it may not write any more.
func (c *committer) refuse(d *document, why commandKind) {
	c.mu.Lock()
	dead := d.log.state == logDead
	c.kill(d)
	c.mu.Unlock()
	if !dead {
		d.post(command{kind: why})
	}
}

// pause waits and tells whether the hub still works.
func (c *committer) pause(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run is the loop.
func (c *committer) run() {
	h := c.hub
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for h.ctx.Err() == nil {
		wait := c.again()
		rest := c.rest()
		if rest <= 0 && c.gather() {
			c.append()
			continue
		}
		if rest > 0 && (wait <= 0 || rest < wait) {
			wait = rest
		}
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-c.poke:
		case <-timer.C:
			c.began = time.Time{}
		case <-h.ctx.Done():
		}
		timer.Stop()
	}
}

// rest is how long the next append has to wait; 0 or less for not at all.
func (c *committer) rest() time.Duration {
	c.mu.Lock()
	now := c.urgent || len(c.ready) == 0
	c.mu.Unlock()
	if now || c.uncommitted.Load() >= commitPauseBytes {
		return 0
	}
	return commitPause - c.hub.opt.Now().Sub(c.began)
}

// gather makes batches of what is ready.
func (c *committer) gather() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) > 0 {
		c.urgent = false
	}
	size, n := 0, 0
	for _, d := range c.ready {
		if l := &d.log; l.state == logReady {
			if size > 0 && size+l.bytes > maxAppendBytes {
				c.urgent = true
				break
			}
			size += l.bytes
			l.state = logBusy
			c.group = append(c.group, grouped{d, l.record.Head, l.unknown})
			// What comes in meanwhile is appended behind this slice's end.
			n := len(l.entries)
			c.batches = append(c.batches, persistence.Batch{
				Document: d.name, Generation: l.record.Generation, Epoch: l.record.Epoch,
				Entries: l.entries[:n:n],
			})
		}
		n++
	}
	left := copy(c.ready, c.ready[n:])
	clear(c.ready[left:])
	c.ready = c.ready[:left]
	return len(c.group) > 0
}

// append commits the batches and handles the outcome of each.
func (c *committer) append() {
	h := c.hub
	n := 0
	for i, g := range c.group {
		if !g.unknown || fault.Active(fault.RetryBlind) || c.readBack(g, &c.batches[i]) {
			c.group[n], c.batches[n] = g, c.batches[i]
			n++
		}
	}
	group, batches := c.group[:n], c.batches[:n]
	if n > 0 {
		start := h.opt.Now()
		c.began = start
		results := h.opt.Log.Append(h.ctx, batches)
		took := since(h, start)
		result := metrics.OK
		entries := 0
		for i, r := range results {
			entries += len(batches[i].Entries)
			if r.Err != nil {
				result = metrics.Failed
			}
			c.outcome(group[i].doc, len(batches[i].Entries), r)
		}
		h.opt.Metrics.CommitSeconds.WithLabelValues(result).Observe(took)
		h.opt.Metrics.CommitDocuments.Observe(float64(n))
		h.opt.Metrics.CommitEntries.Observe(float64(entries))
	}
	clear(c.group)
	clear(c.batches)
	c.group, c.batches = c.group[:0], c.batches[:0]
}

// outcome handles the result of n entries of a document.
func (c *committer) outcome(d *document, n int, r persistence.Result) {
	if fault.Active(fault.SwallowErrors) && r.Err != nil && !errors.Is(r.Err, persistence.ErrFenced) {
		c.mu.Lock()
		r = persistence.Result{Last: d.log.record.Head + persistence.Position(n)}
		c.mu.Unlock()
	}
	switch {
	case r.Err == nil:
		c.working()
		c.committed(d, n, r.Last)
	case errors.Is(r.Err, persistence.ErrFenced):
		c.refuse(d, cmdFenced)
	case errors.Is(r.Err, persistence.ErrErased):
		c.refuse(d, cmdErased)
	case c.hub.ctx.Err() != nil:
	default:
		c.hub.opt.Logger.Error("the commit failed", zap.String("document", d.name), zap.Int("entries", n), zap.Error(r.Err))
		c.failing(r.Err)
		c.retry(d, errors.Is(r.Err, persistence.ErrUnknown))
	}
}

// committed takes the first n entries off a document's queue.
func (c *committer) committed(d *document, n int, last persistence.Position) {
	c.mu.Lock()
	l := &d.log
	if l.state == logDead {
		c.mu.Unlock()
		return
	}
	if invariant.Enabled {
		invariant.Assert(last == l.record.Head+persistence.Position(n), "the log gave another position than the version")
	}
	if fault.Active(fault.ClearLate) {
		n = len(l.entries)
	}
	bytes := 0
	for i := range n {
		bytes += len(l.entries[i].Update)
	}
	left := copy(l.entries, l.entries[n:])
	clear(l.entries[left:])
	l.entries = l.entries[:left]
	if left == 0 && cap(l.entries) > 64 {
		l.entries = nil
	}
	l.bytes -= bytes
	l.unknown = false
	l.record.Head = last
	l.state = logIdle
	if left > 0 {
		c.enqueue(d)
	}
	rec := l.record
	c.mu.Unlock()
	c.settle(bytes)
	d.post(command{kind: cmdCommitted, record: &rec})
}

// retry puts a document off until the back-off is over. Its entries stay in
// front of those that come after them.
func (c *committer) retry(d *document, unknown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.log.state == logDead {
		return
	}
	d.log.state, d.log.unknown = logWaiting, unknown
	if len(c.later) == 0 {
		c.delay = min(max(2*c.delay, firstDelay), lastDelay)
		c.due = c.hub.opt.Now().Add(c.delay + time.Duration(c.rng.Int64N(int64(c.delay)/4)))
	}
	c.later = append(c.later, d)
}

// failing and working keep the state of the log as a whole.
func (c *committer) failing(err error) {
	c.stalled.Store(true)
	c.readOnly.Store(errors.Is(err, persistence.ErrReadOnly))
	c.hub.opt.Metrics.LogStalled.Set(1)
}

func (c *committer) working() {
	if c.stalled.Load() {
		c.mu.Lock()
		c.settleState()
		c.mu.Unlock()
	}
}

func (c *committer) settleState() {
	c.delay = 0
	c.stalled.Store(false)
	c.readOnly.Store(false)
	c.hub.opt.Metrics.LogStalled.Set(0)
}

// again makes the documents that failed ready when the back-off is over. It
// returns how long that is from now; 0 when there is nothing to wait for.
func (c *committer) again() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.later) == 0 {
		return 0
	}
	if wait := c.due.Sub(c.hub.opt.Now()); wait > 0 {
		return wait
	}
	tried := false
	for _, d := range c.later {
		if d.log.state == logWaiting {
			c.urgent = true
			c.enqueue(d)
			tried = true
		}
	}
	clear(c.later)
	c.later = c.later[:0]
	if !tried {
		// Those that failed are gone, so nothing shows any more that the log
		// does; the next append will tell.
		c.settleState()
	}
	return 0
}

// readBack finds out what became of an append whose outcome is unknown. It
// returns false when the batch must not be appended: it happened, or the
// document is not ours any more, or nothing can be said yet.
func (c *committer) readBack(g grouped, b *persistence.Batch) bool {
	h, d := c.hub, g.doc
	rec, err := h.opt.Log.Open(h.ctx, d.name)
	if err != nil {
		c.failing(err)
		c.retry(d, true)
		return false
	}
	switch {
	case !rec.Tombstone.IsZero():
		c.refuse(d, cmdErased)
		return false
	case rec.Epoch != b.Epoch:
		c.refuse(d, cmdFenced)
		return false
	case rec.Head == g.head:
		c.mu.Lock()
		d.log.unknown = false
		c.mu.Unlock()
		return true
	}
	// The epoch is ours, so what is new is what we appended, all of it: one
	// append is there or not. The bytes are compared all the same. More
	// entries may have come in behind the unknown ones since.
	n := 0
	for e, err := range h.opt.Log.Read(h.ctx, d.name, g.head) {
		if err != nil {
			c.failing(err)
			c.retry(d, true)
			return false
		}
		if n == len(b.Entries) || string(e.Update) != string(b.Entries[n].Update) {
			c.refuse(d, cmdFenced)
			return false
		}
		n++
	}
	c.committed(d, n, g.head+persistence.Position(n))
	return false
}
