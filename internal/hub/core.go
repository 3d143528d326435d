package hub

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/invariant"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/syncproto"
)

// coreOptions are what a core needs to know of the hub.
type coreOptions struct {
	limits           *Limits
	count            *counters
	snapshotInterval time.Duration // 0: not by time
	segmentInterval  time.Duration
	idleUnload       time.Duration
}

// counters are the metrics that a core counts, looked up once.
type counters struct {
	applied, known, pending, refused, discarded prometheus.Counter
	updateBytes, frames, acks, catchUps         prometheus.Counter
	deferred                                    prometheus.Counter
	ackSeconds                                  prometheus.Observer
	presence                                    prometheus.Gauge
	// unstored is how many documents are open whose newest snapshot or segment
	// could not be stored.
	unstored                  atomic.Int64
	presenceRefused, identity *prometheus.CounterVec
}

func newCounters(m *metrics.Metrics) *counters {
	return &counters{
		applied:     m.UpdatesTotal.WithLabelValues(metrics.UpdateApplied),
		known:       m.UpdatesTotal.WithLabelValues(metrics.UpdateKnown),
		pending:     m.UpdatesTotal.WithLabelValues(metrics.UpdatePending),
		refused:     m.UpdatesTotal.WithLabelValues(metrics.UpdateRefused),
		discarded:   m.UpdatesTotal.WithLabelValues(metrics.UpdateDiscarded),
		updateBytes: m.UpdateBytes,
		frames:      m.UpdateFramesTotal,
		acks:        m.AcksTotal,
		catchUps:    m.CatchUpsTotal,
		ackSeconds:  m.AckSeconds,
		presence:    m.PresenceStates,

		deferred:        m.DeferredSyncsTotal,
		presenceRefused: m.PresenceRefusedTotal,
		identity:        m.IdentityRefusedTotal,
	}
}

// core is one document as a value: step takes commands in and gives effects
// out. It has no goroutine, lock, clock or socket, and nothing in it depends on
// the order of a map, so the same inputs give the same effects.
//
// Invariants: committed ≤ version. Every version between them is one entry
// that the log was given and has not confirmed. A member is in subs exactly
// until its ending was put out or it detached.
type core struct {
	opt    coreOptions
	limits *Limits

	doc      *crdt.Doc
	presence *awareness.Presence
	// record is what the log knows of the document, as far as heard.
	record persistence.Record

	// version counts the updates that the log must hold; it is the position of
	// the newest one. committed is the newest one that the log has confirmed.
	version, committed persistence.Position
	// open are the entries between committed and version, openBytes their size.
	open      []openEntry
	openBytes int
	lastTime  time.Time // of the newest entry
	// logged counts the bytes of all entries of this load.
	logged int

	// unshown are members that were kept, and are to be shown who is there.
	unshown []*Subscription

	subs   []*Subscription
	groups []*Subscription // of subs, those that stand for a group
	echoes int             // of subs, how many take updates after the commit only
	// acking, chasing and deferred are members with outstanding
	// acknowledgements, with content to be asked for, with a SyncStep1 that
	// waits for its allowance.
	acking   []*Subscription
	chasing  []*Subscription
	deferred []*Subscription
	pendings int // members whose content is pending
	// seenPending are digests of logged updates that left something pending
	// and changed nothing. It is only looked up in.
	seenPending map[[sha256.Size]byte]struct{}

	// owners are the subjects that client IDs belong to. It is only looked up in.
	owners map[crdt.ClientID]owner

	changes []waitingChange // by the server, until they are committed; in order of version

	held []heldFrame // in order of version; for those who take updates after the commit
	lag  lagState
	full *shared
	// laggards are members whose queues at other nodes turned out to be full.
	laggards []*Subscription
	diffs    int // bytes of large diffs held for single readers
	step1    cachedFrame

	stored storedState

	// retired are the clients of the generations before, ascending; none in the
	// first. resetting is an order to begin the next one.
	retired   []crdt.ClientID
	resetting *resetOrder

	// draining: the process stops; nothing more is taken in.
	draining bool
	// releases wait until the document is given up; nothing more is taken in.
	// released: the log was asked to end the claim.
	releases []*request
	released bool
	// discarding: updates are set aside unread.
	discarding bool
	// over is why the document was dropped; nil while it lives.
	over *EndError
	// owned: the newest claim is this process's. claiming: it was asked for.
	owned, claiming bool

	// Of the step under way.
	now   time.Time
	fx    *effects
	batch batch
	said  said
}

// openEntry is an entry that the log has not confirmed.
type openEntry struct {
	bytes int
	at    time.Time
}

// cachedFrame is an encoding that holds for one version.
type cachedFrame struct {
	version persistence.Position
	frame   []byte
}

// heldFrame waits for the commit of its version.
type heldFrame struct {
	version persistence.Position
	sub     *Subscription // nil: every member that takes updates after the commit
	item    item
}

// maxPendingBytes is what the engine itself refuses to let wait. It is far
// above Limits.PendingBytes, because it judges an update by trying it on a copy
// of the document; a session that passes the lower bound is ended afterwards.
const maxPendingBytes = 64 << 20

// newCore returns the core of a document that was just loaded.
func newCore(opt coreOptions, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail, now time.Time) *core {
	c := &core{
		opt: opt, limits: opt.limits, doc: doc,
		record: rec, version: rec.Head, committed: rec.Head, lastTime: rec.Updated,
	}
	doc.SetLimits(crdt.Limits{PendingBytes: maxPendingBytes})
	c.presence = awareness.NewPresence(awareness.Options{
		Grace: opt.limits.PresenceGrace, MaxStateBytes: opt.limits.PresenceStateBytes,
		MaxPerSession: opt.limits.PresencePerSession, MaxEntries: opt.limits.PresenceEntries,
		MaxTotalBytes: opt.limits.PresenceTotalBytes,
	})
	c.stored.init(rec, tail, now)
	c.lag = lagState{seq: 1, tidyAt: maxPresenceChanges, maxRanges: maxDeletes}
	return c
}

// step takes a batch of commands in. Effects must be carried out in the order
// of their fields before the next step.
func (c *core) step(in input, fx *effects) {
	c.now, c.fx = in.now, fx
	c.discarding = in.readOnly || in.full || c.windowClosed() || c.resetting != nil
	fx.logFrom = c.version
	c.batch.begin(c, in.commands)
	for i := range in.commands {
		if c.over != nil {
			c.turnAway(&in.commands[i])
			continue
		}
		c.handle(&in.commands[i])
	}
	if c.over != nil {
		return
	}
	c.relay()
	c.relayPresence()
	c.heedLaggards()
	c.chase()
	c.answerDeferred()
	c.keepAlive()
	c.plan()
	fx.hurry = c.awaited()
	if invariant.Enabled {
		c.check()
	}
}

func (c *core) handle(cmd *command) {
	s := cmd.sub
	if s != nil && s.gone() && cmd.kind != cmdSubscribe {
		return
	}
	switch cmd.kind {
	case cmdSubscribe:
		c.subscribe(s, cmd.payload)
	case cmdDetach:
		c.leave(s)
	case cmdMessage:
		c.message(s, cmd.message, cmd.payload)
	case cmdDrained:
		c.drained(s)
	case cmdLag:
		c.lagLater(s)
	case cmdAllow:
		c.allowWrites(s)
	case cmdForbid:
		s.at.writes = false
	case cmdSlow:
		c.end(s, endSlow)
	case cmdCommitted:
		c.commit(cmd.record)
	case cmdFenced:
		c.drop(endMoved)
	case cmdErased:
		c.drop(endErased)
		c.turnAway(cmd)
	case cmdJobDone:
		c.jobDone(cmd.job)
	case cmdRead:
		c.read(cmd.request)
	case cmdSnapshot:
		c.snapshotWanted(cmd.request)
	case cmdInspect:
		c.inspect(cmd.request)
	case cmdChange:
		c.change(cmd.request)
	case cmdRelease:
		c.releases = append(c.releases, cmd.request)
		c.discarding = true
	case cmdReleased:
		c.drop(endHandedOver)
	case cmdReset:
		c.reset(cmd.request)
	case cmdDrain:
		c.draining, c.discarding = true, true
	case cmdTick:
	}
}

func (c *core) message(s *Subscription, kind syncproto.Kind, payload []byte) {
	switch kind {
	case syncproto.KindSyncStep1:
		c.syncStep1(s, payload)
	case syncproto.KindSyncStep2, syncproto.KindUpdate:
		c.update(s, kind, payload)
	case syncproto.KindAwareness:
		c.awareness(s, payload)
	case syncproto.KindQueryAwareness:
		c.showPresence(s)
	case syncproto.KindAck:
		c.wantAck(s, payload)
	}
}

// subscribe makes s a member, asks for what its client has and shows it who is
// there. vector comes with one that stands for a group.
func (c *core) subscribe(s *Subscription, vector []byte) {
	switch {
	case c.draining || c.resetting != nil && c.resetting.begun:
		c.fx.ends = append(c.fx.ends, ending{s, endRestart})
		return
	case s.relayed() && s.group.self.gone():
		// Why its group ended tells the other node which of its sessions come again.
		c.fx.ends = append(c.fx.ends, ending{s, endRestart})
		return
	case c.otherGeneration(&s.peer):
		c.fx.ends = append(c.fx.ends, ending{s, endReset})
		return
	}
	s.at.index = int32(len(c.subs))
	s.at.writes = s.peer.CanWrite
	c.subs = append(c.subs, s)
	if s.peer.Echo {
		c.echoes++
	}
	s.at.creditAt = c.now
	s.at.credit = c.allowance()
	switch {
	case s.isGroup():
		c.joinGroup(s, vector)
		return
	case s.peer.Join&JoinKept != 0:
		c.resume(s)
		return
	}
	c.hears(s)
	if s.at.writes {
		if s.peer.Join&JoinOwes != 0 {
			s.at.owes = true
			c.chaseLater(s)
		}
		c.ask(s)
	}
	if c.presence.Len() > 0 && s.peer.CanPresence {
		c.showPresence(s)
	}
}

// allowWrites lets a reader write. Its client may have edits that were refused,
// so it is asked what it has, and nothing is acknowledged before.
func (c *core) allowWrites(s *Subscription) {
	if s.at.writes {
		return
	}
	s.at.writes, s.at.refused = true, false
	s.at.owes, s.at.tries = true, 0
	c.chaseLater(s)
}

// leave takes s out. Its presence stays for the grace period.
func (c *core) leave(s *Subscription) {
	i := s.at.index
	last := c.subs[len(c.subs)-1]
	c.subs[i] = last
	last.at.index = i
	c.subs[len(c.subs)-1] = nil
	c.subs = c.subs[:len(c.subs)-1]
	s.at.index = -1
	if s.isGroup() {
		c.groups = slices.DeleteFunc(c.groups, func(g *Subscription) bool { return g == s })
	}
	if s.peer.Echo {
		c.echoes--
	}
	if s.at.pending {
		c.pendings--
	}
	c.diffs -= s.at.holds
	c.unlag(s)
	s.at.acks, s.at.wantSync, s.at.gaps = nil, nil, nil
	c.presence.Leave(s.peer.Session, c.now)
	if len(c.subs) == 0 {
		c.stored.idle = c.now
	}
}

// end ends s for a reason.
func (c *core) end(s *Subscription, why *EndError) {
	if s.gone() {
		return
	}
	c.leave(s)
	c.fx.ends = append(c.fx.ends, ending{s, why})
}

// drop ends everything: the log refuses this owner. What it holds beyond the
// log is with the clients that sent it, and they will send it again.
func (c *core) drop(why *EndError) {
	c.noteKnown()
	for len(c.subs) > 0 {
		c.end(c.subs[len(c.subs)-1], why)
	}
	c.stored.fail(c, why)
	c.failChanges(why)
	for _, r := range c.releases {
		c.fx.answers = append(c.fx.answers, answer{r, nil})
	}
	c.releases = nil
	if o := c.resetting; o != nil {
		c.resetting = nil
		c.fx.answers = append(c.fx.answers, answer{o.request, why})
	}
	c.fx.log, c.fx.out = c.fx.log[:0], c.fx.out[:0]
	c.fx.drop, c.over = why, why
}

// turnAway answers a command that came too late.
func (c *core) turnAway(cmd *command) {
	switch {
	case cmd.kind == cmdSubscribe:
		c.fx.ends = append(c.fx.ends, ending{cmd.sub, c.over.toNewcomers()})
	case cmd.kind == cmdRelease:
		c.fx.answers = append(c.fx.answers, answer{cmd.request, nil})
	case cmd.request != nil:
		c.fx.answers = append(c.fx.answers, answer{cmd.request, c.over})
	}
}

// read answers a request for a copy.
func (c *core) read(r *request) {
	if c.version == 0 && !c.record.Exists() {
		c.fx.answers = append(c.fx.answers, answer{r, ErrNotFound})
		return
	}
	r.state = State{Position: c.version, Update: c.doc.AppendStored(nil, crdt.V2)}
	c.fx.answers = append(c.fx.answers, answer{r, nil})
}

// put puts a frame that tells of the document up to version into an outbox: at
// once, or after the commit for those who take the frame for an
// acknowledgement.
func (c *core) put(s *Subscription, it item, version persistence.Position) {
	if s.peer.Echo && version > c.committed {
		c.held = append(c.held, heldFrame{version, s, it})
		return
	}
	c.fx.out = append(c.fx.out, delivery{sub: s, item: it})
}

// control puts a frame that is not about the document's content into an outbox.
func (c *core) control(s *Subscription, frame []byte) {
	c.fx.out = append(c.fx.out, delivery{sub: s, item: item{frame: frame, class: classControl}})
}

// check verifies the invariants of the type comment.
func (c *core) check() {
	invariant.Assert(c.committed <= c.version, "committed is ahead of version")
	invariant.Assert(len(c.open) == int(c.version-c.committed), "the open entries are not those between committed and version")
	invariant.Assert(len(c.fx.log) == int(c.version-c.fx.logFrom), "versions and entries have parted")
	bytes := 0
	for _, e := range c.open {
		bytes += e.bytes
	}
	invariant.Assert(bytes == c.openBytes, "openBytes is wrong")
	for i, s := range c.subs {
		invariant.Assert(int(s.at.index) == i, "a member has a wrong index")
		invariant.Assert(len(s.at.acks) == 0 || s.at.waiting, "a member with acknowledgements is not in acking")
	}
}
