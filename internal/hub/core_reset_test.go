package hub

import (
	"errors"
	"testing"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/syncproto"
)

// renewedRig is a document in its second generation, with the text "new"; old
// is the replica of a client of the first, which is retired.
func renewedRig(t *testing.T) (r *rig, old *replica) {
	r = newRig(t, Limits{})
	old = newReplica(t, 77)
	old.write("old")
	r.core.doc = crdt.New(crdt.Options{NoFormatCleanup: true, ClientID: 5})
	if _, err := r.core.doc.Transact(nil, func(tx *crdt.Txn) { r.core.doc.Text("t").Insert(tx, 0, "new") }); err != nil {
		t.Fatal(err)
	}
	r.core.record.Generation = 2
	r.core.retired = []crdt.ClientID{12, 77, 9000}
	return r, old
}

func (r *rig) wantEnd(c *peer, code int, what string) {
	r.t.Helper()
	if why := r.ended[c.sub]; why == nil || why.Code != code {
		r.t.Errorf("%s: ended by %v, want %d", what, why, code)
	}
}

var someone = Peer{Session: 1, CanWrite: true, CanPresence: true}

// TestRetiredHistoryIsRefused brings something of the old generation in every
// way there is.
func TestRetiredHistoryIsRefused(t *testing.T) {
	in := func(r *rig) *peer { return r.joinAs(someone) }
	for name, c := range map[string]struct {
		join func(r *rig) *peer
		send func(old *replica, c *peer) command
	}{
		"its state vector": {
			func(r *rig) *peer { return r.attach(newReplica(r.t, 1), someone) },
			func(old *replica, c *peer) command { return c.message(syncproto.KindSyncStep1, old.vector()) },
		},
		"its blocks": {in, func(old *replica, c *peer) command {
			return c.message(syncproto.KindSyncStep2, old.state())
		}},
		"a deletion of its blocks": {in, func(old *replica, c *peer) command {
			return c.message(syncproto.KindUpdate, old.erase(0, 1))
		}},
		"a block beside its blocks": {in, func(old *replica, c *peer) command {
			fresh := newReplica(c.t, 78)
			if _, err := fresh.doc.Apply(nil, crdt.V1, old.state()); err != nil {
				c.t.Fatal(err)
			}
			return c.message(syncproto.KindUpdate, fresh.write("x"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, old := renewedRig(t)
			p := c.join(r)
			r.do(c.send(old, p))
			r.wantEnd(p, CodeReset, name)
			if got := r.core.doc.Text("t").String(); got != "new" || len(r.entries) > 0 || !r.core.doc.Pending().Empty() {
				t.Errorf("the document holds %q, the log got %d entries", got, len(r.entries))
			}
		})
	}
}

func TestAReaderOfTheOldGenerationIsRefused(t *testing.T) {
	r, old := renewedRig(t)
	c := r.attach(old, Peer{Session: 1, CanPresence: true})
	c.sync()
	r.wantEnd(c, CodeReset, "a reader")
}

// What comes before the first SyncStep1 is set aside, and comes again.
func TestNothingIsAppliedBeforeItIsJudged(t *testing.T) {
	r, _ := renewedRig(t)
	r.record.Generation, r.record.Epoch = 2, 1
	rep := newReplica(t, 3)
	c := r.attach(rep, someone)
	c.update(c.write("early "))
	c.ack(1)
	if len(r.entries) > 0 {
		t.Fatal("an update was taken of a client that has not said what it holds")
	}
	c.sync()
	r.pass(2 * chaseEvery)
	r.pass(2e9)
	r.read(c)
	r.commit(0)
	r.read(c)
	if got := r.core.doc.Text("t").String(); got != "early new" && got != "newearly " {
		t.Errorf("the document holds %q", got)
	}
	if len(c.acks) != 1 {
		t.Errorf("acknowledged: %v", c.acks)
	}
	r.converged()
}

// A client that was kept while the document changed its owner, and of which
// nobody knows what it has, has to say so itself.
func TestAKeptClientIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		vector func(old *replica) []byte
		code   int
	}{
		"unknown":    {func(*replica) []byte { return []byte{0} }, CodeUnavailable},
		"of before":  {(*replica).vector, CodeReset},
		"of the new": {func(*replica) []byte { return []byte{1, 5, 3} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, old := renewedRig(t)
			p := someone
			p.Join = JoinKept
			kept := r.attach(newReplica(t, 1), p)
			r.do(kept.message(syncproto.KindSyncStep1, c.vector(old)))
			if why := r.ended[kept.sub]; c.code == 0 && why != nil || c.code != 0 && (why == nil || why.Code != c.code) {
				t.Errorf("ended by %v, want %d", why, c.code)
			}
		})
	}
}

func TestAFreshClientIsWelcomeAfterAReset(t *testing.T) {
	r, _ := renewedRig(t)
	c := r.join(3)
	c.update(c.write("er"))
	r.read(c)
	if got := r.core.doc.Text("t").String(); got != "newer" || len(r.ended) > 0 {
		t.Errorf("the document holds %q, ended: %v", got, r.ended)
	}
	r.converged()
}

// A server's own change is judged like a client's.
func TestAChangeOfTheOldGenerationIsRefused(t *testing.T) {
	r, old := renewedRig(t)
	req := &request{change: &change{update: old.state()}}
	r.do(command{kind: cmdChange, request: req})
	if err := r.answers[req]; !errors.Is(err, ErrRetired) {
		t.Errorf("answered %v", err)
	}
	if got := r.core.doc.Text("t").String(); got != "new" {
		t.Errorf("the document holds %q", got)
	}
}

func TestAGrantForAnotherGenerationIsRefused(t *testing.T) {
	r, _ := renewedRig(t)
	for generation, ends := range map[uint64]bool{0: false, 1: true, 2: false, 3: true} {
		p := someone
		p.Session, p.Generation = 10+generation, generation
		c := r.attach(newReplica(t, crdt.ClientID(p.Session)), p)
		if why := r.ended[c.sub]; (why == endReset) != ends {
			t.Errorf("generation %d: ended by %v", generation, why)
		}
	}
}

func orderReset(r *rig) *request {
	req := &request{reset: &resetOrder{author: "ann"}}
	r.do(command{kind: cmdReset, request: req})
	return req
}

// resetDone reports the job of a reset done.
func (r *rig) resetDone(generation persistence.Generation, err error) {
	r.t.Helper()
	j := r.job
	if j == nil || j.kind != jobReset {
		r.t.Fatalf("the job is %+v", j)
	}
	r.job = nil
	j.generation, j.err, j.unclear = generation, err, err != nil
	r.do(command{kind: cmdJobDone, job: j})
}

// TestResetWaitsForWhatWasTakenIn: the job begins when everything is committed;
// nothing is taken in from the order on.
func TestResetWaitsForWhatWasTakenIn(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("before"))
	r.read()
	req := orderReset(r)
	if r.job != nil {
		t.Fatal("the reset began with an entry that is not committed")
	}
	a.update(a.write(" after"))
	if len(r.entries) != 1 {
		t.Fatal("an edit was taken in after the order")
	}
	r.commit(0)
	if r.job == nil || r.job.position != 1 || r.job.by.Author != "ann" {
		t.Fatalf("the job is %+v", r.job)
	}
	c := r.attach(newReplica(t, 3), Peer{Session: 3, CanWrite: true})
	r.wantEnd(c, CodeRestart, "who comes while it is under way")
	r.resetDone(2, nil)
	r.wantEnd(a, CodeReset, "a writer")
	r.wantEnd(b, CodeReset, "a reader")
	if err, answered := r.answers[req]; !answered || err != nil || req.record.Generation != 2 {
		t.Errorf("answered %v %v, %+v", answered, err, req.record)
	}
	if r.dropped != endReset {
		t.Errorf("dropped because of %v", r.dropped)
	}
}

// Who was given nothing yet comes back; who comes too late, too.
func TestNewcomersOfAResetComeBack(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	c := r.attach(newReplica(t, 2), Peer{Session: 2, CanWrite: true})
	orderReset(r)
	r.commit(0)
	late := &Subscription{peer: Peer{Session: 3}, wake: func() {}}
	late.at.index = -1
	r.job.generation = 2
	j := r.job
	r.job = nil
	r.do(command{kind: cmdJobDone, job: j}, command{kind: cmdSubscribe, sub: late})
	r.wantEnd(a, CodeReset, "a writer")
	r.wantEnd(c, CodeRestart, "who was told nothing")
	if why := r.ended[late]; why != endRestart {
		t.Errorf("who came too late: %v", why)
	}
}

// A reset that failed on the way makes everybody load the document again.
func TestAFailedResetDropsTheDocument(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	req := orderReset(r)
	r.commit(0)
	fault := errors.New("no bucket")
	r.resetDone(0, fault)
	if err := r.answers[req]; !errors.Is(err, fault) {
		t.Errorf("answered %v", err)
	}
	r.wantEnd(a, CodeRestart, "a writer")
	if r.dropped != endMoved {
		t.Errorf("dropped because of %v", r.dropped)
	}
}

// One that could not even store what was before leaves everything as it was.
func TestAResetWithoutHistoryGoesOn(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	req := orderReset(r)
	r.commit(0)
	j := r.job
	r.job, j.err = nil, errors.New("no bucket")
	r.do(command{kind: cmdJobDone, job: j})
	if err := r.answers[req]; !errors.Is(err, j.err) {
		t.Errorf("answered %v", err)
	}
	if len(r.ended) > 0 || r.dropped != nil {
		t.Fatalf("ended %v, dropped %v", r.ended, r.dropped)
	}
	a.update(a.write("y"))
	r.commit(0)
	if got := r.durable(); got != "xy" {
		t.Errorf("the log holds %q", got)
	}
}

func TestResetRefusals(t *testing.T) {
	r := newRig(t, Limits{})
	if err := r.answers[orderReset(r)]; !errors.Is(err, ErrNotFound) {
		t.Errorf("a document that was never written: %v", err)
	}
	a := r.join(1)
	a.update(a.write("x"))
	first := orderReset(r)
	if err := r.answers[orderReset(r)]; !errors.Is(err, ErrNotCommitting) {
		t.Errorf("a second one: %v", err)
	}
	r.do(command{kind: cmdDrain})
	if err := r.answers[first]; err != endRestart {
		t.Errorf("one that waits while the process stops: %v", err)
	}
	if err := r.answers[orderReset(r)]; err != endRestart {
		t.Errorf("one while the process stops: %v", err)
	}
}
