package hub

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/syncproto"
)

// rig steps a core by hand: it is the driver, the log and all sockets. Nothing
// is committed, and no outbox is read, before the test says so.
type rig struct {
	t     testing.TB
	core  *core
	opt   coreOptions
	now   time.Time
	in    input
	fx    effects
	batch []command

	record persistence.Record
	// entries are what the log was given; the first committed of them are in.
	entries   []persistence.NewEntry
	committed int

	members []*peer
	ended   map[*Subscription]*EndError
	job     *job
	answers map[*request]error
	refused []refusal
	dropped *EndError
	unload  bool
	frames  int // put out by the newest step
}

// peer is a replica with a subscription at the rig.
type peer struct {
	*replica
	rig *rig
	sub *Subscription
}

func newRig(t testing.TB, limits Limits) *rig {
	l := limits.withDefaults()
	r := &rig{
		t: t, now: time.UnixMilli(1_700_000_000_000).UTC(),
		ended: map[*Subscription]*EndError{}, answers: map[*request]error{},
		opt: coreOptions{
			limits: &l, count: newCounters(metrics.New(prometheus.NewRegistry())),
			segmentInterval: time.Minute, idleUnload: 30 * time.Second,
		},
	}
	r.record = persistence.Record{Document: "d"}
	r.load()
	return r
}

// load makes the core anew from what is committed.
func (r *rig) load() {
	r.t.Helper()
	r.entries = r.entries[:r.committed]
	doc := crdt.New(crdt.Options{NoFormatCleanup: true})
	tail := persistence.Tail{}
	for _, e := range r.entries {
		if _, err := doc.Apply(nil, crdt.V1, e.Update); err != nil {
			r.t.Fatal(err)
		}
		tail.Entries++
		tail.Bytes += len(e.Update)
	}
	r.core = newCore(r.opt, doc, r.record, tail, r.now)
}

// step steps the core with what is in the batch.
func (r *rig) step() {
	r.t.Helper()
	r.in.now, r.in.commands = r.now, r.batch
	r.fx.reset()
	r.core.step(r.in, &r.fx)
	r.batch = r.batch[:0]
	if len(r.fx.log) > 0 && r.fx.logFrom != persistence.Position(len(r.entries)) {
		r.t.Fatalf("entries from %d on, the log has %d", r.fx.logFrom, len(r.entries))
	}
	r.entries = append(r.entries, r.fx.log...)
	r.refused = append(r.refused, r.fx.quarantine...)
	r.frames = len(r.fx.out)
	for i := 0; i < len(r.fx.out); i++ {
		d := &r.fx.out[i]
		if d.sub.group != nil {
			if d.sub.group.put(d, r.core.version, r.opt.limits) {
				r.core.lagging(d.sub)
			}
			continue
		}
		if _, full := d.sub.out.push(d.item, r.opt.limits); full {
			r.core.lagging(d.sub)
		}
	}
	for _, e := range r.fx.ends {
		if r.ended[e.sub] != nil {
			r.t.Fatal("a subscription ended twice")
		}
		r.ended[e.sub] = e.why
		e.sub.out.close(e.why)
	}
	for _, a := range r.fx.answers {
		r.answers[a.request] = a.err
	}
	if r.fx.job != nil {
		if r.job != nil {
			r.t.Fatal("two jobs at a time")
		}
		r.job = r.fx.job
	}
	if r.fx.claim {
		r.claim()
	}
	if r.fx.drop != nil {
		r.dropped = r.fx.drop
	}
	r.unload = r.fx.unload
}

func (r *rig) claim() {
	r.record.Generation, r.record.Owner = 1, "boot"
	r.record.Epoch++
	rec := r.record
	r.batch = append(r.batch, command{kind: cmdCommitted, record: &rec})
}

// commit makes n more entries durable; all with n 0.
func (r *rig) commit(n int) {
	r.t.Helper()
	if n == 0 {
		n = len(r.entries) - r.committed
	}
	if r.record.Epoch == 0 {
		r.record.Epoch, r.record.Generation, r.record.Owner = 1, 1, "boot"
	}
	r.committed += n
	r.record.Head = persistence.Position(r.committed)
	rec := r.record
	r.do(command{kind: cmdCommitted, record: &rec})
}

// do puts commands into the batch and steps.
func (r *rig) do(cs ...command) {
	r.t.Helper()
	r.batch = append(r.batch, cs...)
	r.step()
}

// pass lets time go by in steps, with a tick whenever the core asked for it.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	until := r.now.Add(d)
	for n := 0; ; n++ {
		if len(r.batch) > 0 {
			r.step() // the answer to a claim
		}
		wake := r.fx.wake
		if wake.IsZero() || wake.After(until) || r.unload || r.dropped != nil {
			r.now = until
			return
		}
		if n > 100_000 {
			r.t.Fatal("the core wants to be woken all the time")
		}
		if wake.After(r.now) {
			r.now = wake
		}
		r.do(command{kind: cmdTick})
	}
}

// finishJob reports the job done.
func (r *rig) finishJob(err error) {
	r.t.Helper()
	j := r.job
	if j == nil {
		r.t.Fatal("there is no job")
	}
	r.job = nil
	j.err = err
	if err == nil {
		if j.kind == jobSnapshot {
			j.pointer = persistence.Pointer{Position: j.position, Key: "k"}
			if j.position > r.record.Snapshot.Position {
				r.record.Previous, r.record.Snapshot = r.record.Snapshot, j.pointer
			}
		}
		j.segmented = j.position
		r.record.Segmented = j.segmented
	}
	j.state = nil
	r.do(command{kind: cmdJobDone, job: j})
}

func (r *rig) join(id uint64) *peer {
	return r.joinAs(Peer{Session: id, CanWrite: true, CanPresence: true})
}

// joinAs subscribes a fresh replica and takes it through the handshake.
func (r *rig) joinAs(p Peer) *peer {
	r.t.Helper()
	c := r.attach(newReplica(r.t, crdt.ClientID(p.Session)), p)
	c.sync()
	r.read(c)
	return c
}

func (r *rig) attach(rep *replica, p Peer) *peer {
	s := &Subscription{peer: p, wake: func() {}}
	s.at.index = -1
	c := &peer{replica: rep, rig: r, sub: s}
	r.members = append(r.members, c)
	r.do(command{kind: cmdSubscribe, sub: s})
	return c
}

func (c *peer) message(kind syncproto.Kind, payload []byte) command {
	return command{kind: cmdMessage, message: kind, sub: c.sub, payload: payload}
}

// sync sends SyncStep1.
func (c *peer) sync() {
	c.t.Helper()
	c.rig.do(c.message(syncproto.KindSyncStep1, c.vector()))
}

// update sends an update in a step of its own.
func (c *peer) update(u []byte) {
	c.t.Helper()
	c.rig.do(c.message(syncproto.KindUpdate, u))
}

func (c *peer) ack(n uint64) {
	c.t.Helper()
	c.rig.do(c.message(syncproto.KindAck, ackRequest(n)))
}

// read takes in what waits for the peer, answering what it is asked, until
// nothing more comes.
func (r *rig) read(cs ...*peer) {
	r.t.Helper()
	if len(cs) == 0 {
		cs = r.members
	}
	for busy := true; busy; {
		busy = false
		for _, c := range cs {
			for c.readOne() {
				busy = true
			}
		}
	}
}

// readOne takes in one frame.
func (c *peer) readOne() bool {
	c.t.Helper()
	frame, _, drained, ok := c.sub.out.next()
	if !ok {
		return false
	}
	m := c.receive(frame)
	if drained {
		c.rig.do(command{kind: cmdDrained, sub: c.sub})
	}
	if m.Kind == syncproto.KindSyncStep1 && c.sub.peer.CanWrite && !c.sub.gone() {
		sv, err := crdt.DecodeStateVector(m.Payload)
		if err != nil {
			c.t.Fatal(err)
		}
		c.rig.do(c.message(syncproto.KindSyncStep2, c.doc.AppendDiff(nil, crdt.V1, sv)))
	}
	return true
}

// durable is the text of what is committed.
func (r *rig) durable() string {
	r.t.Helper()
	doc := crdt.New(crdt.Options{})
	for _, e := range r.entries[:r.committed] {
		if _, err := doc.Apply(nil, crdt.V1, e.Update); err != nil {
			r.t.Fatal(err)
		}
	}
	return doc.Text("t").String()
}

// converged checks that all peers and the core hold the same.
func (r *rig) converged() {
	r.t.Helper()
	want := r.core.doc.Text("t").String()
	deletes := r.core.doc.Deletes()
	for i, c := range r.members {
		if c.sub.gone() {
			continue
		}
		if got := c.text(); got != want {
			r.t.Errorf("peer %d has %q, want %q", i, short(got), short(want))
		}
		if !c.doc.StateVector().Equal(r.core.doc.StateVector()) {
			r.t.Errorf("peer %d has another state vector", i)
		}
		if d := c.doc.Deletes(); !d.Equal(&deletes) {
			r.t.Errorf("peer %d has another delete set", i)
		}
	}
}

func short(s string) string {
	if len(s) > 80 {
		return s[:40] + "…" + s[len(s)-40:]
	}
	return s
}
