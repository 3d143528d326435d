package hub

import (
	"testing"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// Planted bug "acknowledge before the commit".
func TestNoAcknowledgementBeforeTheCommit(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("x"))
	a.ack(1)
	r.read()
	if b.text() != "x" {
		t.Error("the update was not relayed at once")
	}
	if len(a.acks) != 0 {
		t.Fatal("acknowledged before the commit")
	}
	a.update(a.write("y"))
	a.ack(2)
	r.commit(1)
	r.read()
	if len(a.acks) != 1 || a.acks[0] != 1 {
		t.Fatalf("after the first commit %v is acknowledged", a.acks)
	}
	r.commit(1)
	r.read()
	if len(a.acks) != 2 || a.acks[1] != 2 {
		t.Fatalf("after the second commit %v is acknowledged", a.acks)
	}
}

// What is known in memory is not yet durable: another session's copy of the
// same update waits for the same commit.
func TestKnownIsNotDurable(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	u := a.write("x")
	a.update(u)
	b.update(u)
	b.ack(1)
	r.read()
	if len(r.entries) != 1 {
		t.Errorf("%d entries for one change", len(r.entries))
	}
	if len(b.acks) != 0 {
		t.Error("a copy of an uncommitted update was acknowledged")
	}
	r.commit(0)
	r.read()
	if len(b.acks) != 1 {
		t.Error("a copy of a committed update was not acknowledged")
	}
}

// Planted bug "acknowledge while pending".
func TestNoAcknowledgementWhilePending(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	first, second := a.write("x"), a.write("y")
	a.update(second)
	a.ack(1)
	r.commit(0)
	r.read(b)
	if b.text() != "" || b.updates != 0 {
		t.Error("a pending update was relayed")
	}
	if a.sub.out.control == 0 && len(a.acks) > 0 {
		t.Fatal("acknowledged while pending")
	}
	r.pass(500 * time.Millisecond)
	if n := drainAcks(a); n != 0 {
		t.Fatal("acknowledged while pending")
	}
	// The gap closes; the acknowledgement waits for that commit.
	a.update(first)
	if n := drainAcks(a); n != 0 {
		t.Fatal("acknowledged before what was missing was committed")
	}
	r.read(b)
	if b.text() != "xy" {
		t.Errorf("b has %q: the completed update is relayed as a whole", b.text())
	}
	r.commit(0)
	if n := drainAcks(a); n != 1 {
		t.Fatalf("%d acknowledgements after the gap was closed and committed", n)
	}
	if got := r.durable(); got != "xy" {
		t.Errorf("the log has %q", got)
	}
}

// drainAcks takes frames without answering them and counts acknowledgements.
func drainAcks(c *peer) int {
	n := len(c.acks)
	for {
		frame, _, _, ok := c.sub.out.next()
		if !ok {
			return len(c.acks) - n
		}
		c.receive(frame)
	}
}

// The sender of an update with a gap is asked for what it lacks, and only it.
func TestTheSenderFillsTheGap(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	asked := b.asked
	a.write("lost")
	a.update(a.write("y"))
	r.pass(2 * time.Second)
	r.read()
	r.commit(0)
	r.read()
	r.converged()
	if b.text() != "losty" || b.asked != asked {
		t.Errorf("b has %q and was asked %d times", b.text(), b.asked-asked)
	}
	if p := r.core.doc.Pending(); !p.Empty() {
		t.Errorf("still pending: %+v", p)
	}
}

// A session that passes on what it does not have itself cannot fill the gap: its
// SyncStep2 changes nothing about what waits.
func TestAnEmptyAnswerFillsNoGap(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	lost := a.write("lost")
	a.update(a.write("y"))
	a.ack(1)
	r.do(a.message(syncproto.KindSyncStep2, []byte{0, 0}))
	r.commit(0)
	if len(a.sub.at.acks) != 1 {
		t.Fatal("acknowledged while the gap is open")
	}
	a.update(lost)
	r.commit(0)
	if len(a.sub.at.acks) != 0 {
		t.Error("not acknowledged after the gap was closed and committed")
	}
}

// What another session left pending for ever keeps nobody else waiting.
func TestForeignPendingBlocksNobody(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	b.write("lost")
	b.update(b.write("garbage"))
	r.do(command{kind: cmdDetach, sub: b.sub})
	a.update(a.write("fine"))
	a.ack(1)
	r.commit(0)
	if r.read(a); len(a.acks) != 1 {
		t.Error("an update that is whole waits for another session's gap")
	}
	a.write("gap")
	a.update(a.write("y"))
	a.ack(2)
	r.commit(0)
	r.pass(2 * time.Second)
	r.read(a)
	r.commit(0)
	if r.read(a); len(a.acks) != 2 || r.core.doc.Pending().Empty() {
		t.Error("a gap that was filled waits for another session's gap")
	}
}

// The same pending update again grows neither the log nor the chase.
func TestPendingIsLoggedOnce(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.write("lost")
	u := a.write("y")
	for range 50 {
		a.update(u)
	}
	if len(r.entries) != 1 {
		t.Errorf("%d entries", len(r.entries))
	}
	asked := a.asked
	r.pass(10 * time.Second)
	drainAcks(a)
	if n := a.asked - asked; n < 1 || n > 4 {
		t.Errorf("asked %d times in 10 s", n)
	}
}

// Deletions that wait may join into one range; each has to be in the log.
func TestEveryPendingDeletionIsLogged(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	text := a.write("abcdef")
	if _, err := b.doc.Apply(nil, crdt.V1, text); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.update(b.erase(1, 1))
	}
	a.update(text)
	b.ack(1)
	r.commit(0)
	r.read()
	if len(b.acks) != 1 || r.durable() != "aef" {
		t.Errorf("%d acknowledgements, the log has %q", len(b.acks), r.durable())
	}
}

func TestKeepaliveWhileAnAcknowledgementIsLate(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("x"))
	a.ack(1)
	r.pass(1400 * time.Millisecond)
	if r.read(); a.keepalive != 0 {
		t.Error("a keepalive although nothing is late")
	}
	r.pass(8600 * time.Millisecond)
	if r.read(); a.keepalive < 4 || a.keepalive > 5 || b.keepalive != 0 {
		t.Errorf("%d keepalives in 10 s, %d for one who waits for nothing", a.keepalive, b.keepalive)
	}
	r.commit(0)
	n := a.keepalive
	r.pass(10 * time.Second)
	if r.read(); a.keepalive != n || len(a.acks) != 1 {
		t.Errorf("after the commit %d keepalives and %d acknowledgements", a.keepalive-n, len(a.acks))
	}
}

func TestAcknowledgementsAreBoundedAndCumulative(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	for n := range uint64(5000) {
		a.ack(n)
	}
	if n := len(a.sub.at.acks); n > maxAcks {
		t.Errorf("%d acknowledgements wait", n)
	}
	r.commit(0)
	r.read()
	if n := len(a.acks); n == 0 || a.acks[n-1] != 4999 {
		t.Error("the newest request was not answered")
	}
}

// A session that may not write is never told that its own edits are saved.
func TestAReadersEditsAreNotAcknowledged(t *testing.T) {
	r := newRig(t, Limits{})
	w := r.join(1)
	w.update(w.write("shared"))
	w.update(w.erase(0, 1))
	r.commit(0)
	r.read()
	a := r.joinAs(Peer{Session: 2})
	a.rig.do(a.message(syncproto.KindSyncStep2, a.state()))
	a.ack(1)
	r.read()
	if len(a.acks) != 1 {
		t.Error("a reader that sent nothing new got no acknowledgement")
	}
	if a.asked != 0 {
		t.Error("a reader was asked for its state")
	}
	a.update(a.write("mine"))
	a.ack(2)
	r.commitNothing()
	r.read()
	if len(a.acks) != 1 {
		t.Error("a reader's refused edit was acknowledged")
	}
	if len(r.entries) != 2 || r.core.doc.Text("t").String() != "hared" {
		t.Error("a reader's edit was taken in")
	}
}

// commitNothing steps without entries.
func (r *rig) commitNothing() { r.do(command{kind: cmdTick}) }

// An echo-acknowledged session hears of its own edit only after the commit, by
// whatever frame.
func TestEchoComesAfterTheCommit(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.joinAs(Peer{Session: 1, CanWrite: true, Echo: true})
	b := r.join(2)
	knows := func() bool {
		have := a.last != nil
		if !have {
			return false
		}
		sv, err := crdt.StateVectorOf(crdt.V1, a.last)
		return err == nil && sv.Get(1) > 0
	}
	a.update(a.write("x"))
	r.read()
	if knows() || b.text() != "x" {
		t.Fatal("an echo before the commit, or no relay")
	}
	// The same client again, on a new connection, asks for everything.
	a2 := r.attach(newReplica(t, 1), Peer{Session: 3, CanWrite: true, Echo: true})
	a2.sync()
	b.update(b.write("z"))
	r.read()
	if a2.text() != "" || a2.synced != 0 || knows() {
		t.Fatal("an answer before the commit holds what is not committed")
	}
	r.commit(1)
	r.read()
	if !knows() || a.updates != 1 {
		t.Fatalf("no echo after the commit; %d updates", a.updates)
	}
	if a2.synced != 1 || a2.text() != "x" {
		t.Errorf("after the first commit the second connection has %q", a2.text())
	}
	r.commit(1)
	r.read()
	if a2.text() != "xz" || a.text() != "xz" {
		t.Errorf("after both commits: %q and %q", a.text(), a2.text())
	}
}

// A session that takes updates after the commit and fell behind gets what waited
// for its commit then as well as what came after.
func TestAnEchoSessionThatLaggedMissesNothing(t *testing.T) {
	r := newRig(t, Limits{})
	a, e := r.join(1), r.joinAs(Peer{Session: 2, CanWrite: true, Echo: true})
	a.update(a.write("first "))
	r.core.lagging(e.sub)
	a.update(a.write("second "))
	r.do(command{kind: cmdDrained, sub: e.sub})
	a.update(a.write("third"))
	r.read(a, e)
	if got := e.text(); got != "" {
		t.Errorf("before the commit it has %q", got)
	}
	r.commit(1)
	r.commit(0)
	r.read(a, e)
	r.converged()
}

// Nor does it when it catches up in the step in which something is deleted: what
// that step relays it is taken to have.
func TestAnEchoSessionThatCatchesUpDuringADeletion(t *testing.T) {
	r := newRig(t, Limits{})
	a, e := r.join(1), r.joinAs(Peer{Session: 2, CanWrite: true, Echo: true})
	a.update(a.write("first second"))
	r.core.lagging(e.sub)
	r.do(a.message(syncproto.KindUpdate, a.erase(0, 6)), command{kind: cmdDrained, sub: e.sub})
	r.commit(0)
	r.read(a, e)
	r.converged()
}
