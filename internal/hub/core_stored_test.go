package hub

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
)

func TestASnapshotIsDueByBytes(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	for range 10 {
		a.update(a.write(strings.Repeat("x", 120_000)))
	}
	if r.core.stored.frozen != nil {
		t.Fatal("a snapshot right after the load, of a document that is being written")
	}
	r.pass(dueRest)
	if r.job != nil {
		t.Fatal("a snapshot of what is not committed")
	}
	if r.core.stored.frozen == nil {
		t.Fatal("no snapshot is due")
	}
	at := r.core.stored.frozen.position
	a.update(a.write("later"))
	r.commit(int(at) - 1)
	if r.job != nil {
		t.Fatal("a snapshot of what is not committed")
	}
	r.commit(0)
	if r.job == nil || r.job.kind != jobSnapshot || r.job.position != at || r.job.record.Epoch == 0 {
		t.Fatalf("the job is %+v", r.job)
	}
	doc := crdt.New(crdt.Options{})
	if _, err := doc.Apply(nil, crdt.V2, r.job.state); err != nil {
		t.Fatal(err)
	}
	if got := doc.Text("t").Len(); got != 120_000*int(at) {
		t.Errorf("the state at %d has %d characters", at, got)
	}
}

// A log that has grown very long is stored however short the last time is ago.
func TestAHugeTailDoesNotRest(t *testing.T) {
	r := newRig(t, Limits{DocumentUncommittedBytes: 1 << 30})
	a := r.join(1)
	for range hugeTimes + 1 {
		a.update(a.write(strings.Repeat("x", dueBytes)))
	}
	if r.core.stored.frozen == nil {
		t.Fatal("no snapshot is due")
	}
}

// Planted bug "clear the dirty flag late": what comes while a snapshot is
// written is not part of it and stays to be stored.
func TestEditsDuringASnapshotStayDue(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("before"))
	r.commit(0)
	req := &request{done: make(chan struct{}), label: "l"}
	r.do(command{kind: cmdSnapshot, request: req})
	if r.job == nil || r.job.position != 1 || r.job.label != "l" {
		t.Fatalf("the job is %+v", r.job)
	}
	for range unloadEntries {
		a.update(a.write("during"))
	}
	r.commit(0)
	r.finishJob(nil)
	if err, answered := r.answers[req]; !answered || err != nil || req.pointer.Position != 1 {
		t.Errorf("the request got %v, %+v", err, req.pointer)
	}
	if n := r.core.stored.tail.Entries; n != unloadEntries {
		t.Errorf("%d entries are beyond the snapshot, want %d", n, unloadEntries)
	}
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.pass(31 * time.Second)
	if r.job == nil || r.job.kind != jobSnapshot || r.job.position != unloadEntries+1 {
		t.Fatalf("the unload stores %+v", r.job)
	}
	if r.unload {
		t.Fatal("unloaded before it was stored")
	}
	r.finishJob(nil)
	if !r.unload {
		t.Error("not unloaded after it was stored")
	}
}

func TestSegmentsByTime(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	r.commit(0)
	r.pass(59 * time.Second)
	if r.job != nil {
		t.Fatal("a segment too early")
	}
	r.pass(2 * time.Second)
	if r.job == nil || r.job.kind != jobSegment || r.job.position != 1 {
		t.Fatalf("the job is %+v", r.job)
	}
	a.update(a.write("y"))
	r.commit(0)
	r.finishJob(nil)
	r.pass(61 * time.Second)
	if r.job == nil || r.job.position != 2 {
		t.Fatalf("the second job is %+v", r.job)
	}
	// A store that fails is tried again, not all the time.
	r.finishJob(errors.New("the store is down"))
	unstored := &r.opt.count.unstored
	if unstored.Load() != 1 {
		t.Errorf("%d documents count as not stored after a failure", unstored.Load())
	}
	r.pass(retryStored / 2)
	if r.job != nil {
		t.Error("tried again at once")
	}
	r.pass(retryStored)
	if r.job == nil || r.job.position != 2 {
		t.Error("not tried again")
	}
	r.finishJob(nil)
	if unstored.Load() != 0 {
		t.Errorf("%d documents count as not stored after a success", unstored.Load())
	}
	r.pass(10 * time.Minute)
	if r.job != nil {
		t.Error("a segment of nothing")
	}
}

func TestASmallDocumentUnloadsWithASegment(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.pass(time.Hour)
	r.do(command{kind: cmdTick})
	if r.unload || r.job != nil {
		t.Fatal("unloaded with uncommitted entries")
	}
	r.commit(0)
	r.pass(time.Minute)
	if r.job == nil || r.job.kind != jobSegment {
		t.Fatalf("the unload stores %+v", r.job)
	}
	// The store being down does not keep the document in memory: the log has it.
	for n := 0; r.job != nil && n < 2; n++ {
		r.finishJob(errors.New("down"))
	}
	if !r.unload {
		t.Error("not unloaded")
	}
}

// Someone who comes back while the last snapshot is written finds the document
// as it was.
func TestAReturnDuringTheUnload(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	r.commit(0)
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.pass(31 * time.Second)
	if r.job == nil {
		t.Fatal("nothing is stored")
	}
	b := r.join(2)
	r.finishJob(nil)
	r.pass(time.Hour)
	if r.unload || b.text() != "x" {
		t.Errorf("unloaded %v under a session that has %q", r.unload, b.text())
	}
}

// A document that another process wrote and this one only opened is claimed
// before its history is completed.
func TestMaintenanceClaimsFirst(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	r.commit(0)
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.members = nil
	epoch := r.record.Epoch
	r.load()
	b := r.join(2)
	r.do(command{kind: cmdDetach, sub: b.sub})
	r.pass(31 * time.Second)
	r.step()
	if r.record.Epoch != epoch+1 {
		t.Fatalf("the epoch is %d", r.record.Epoch)
	}
	if r.job == nil || r.job.record.Epoch != epoch+1 {
		t.Errorf("the job is %+v", r.job)
	}
}

// While the log does not answer a claim, what waits for it is not looked at
// without a pause.
func TestAClaimIsWaitedForAtRest(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("x"))
	r.commit(0)
	r.members = nil
	r.load()
	r.join(2)
	r.now = r.now.Add(2 * time.Minute)
	for range 3 {
		r.step()
		r.batch = r.batch[:0] // no answer to the claim
		if r.core.owned || !r.core.claiming {
			t.Fatal("nothing was to be claimed")
		}
		if !r.fx.wake.After(r.now) {
			t.Fatalf("it wants to be woken %v ago", r.now.Sub(r.fx.wake))
		}
	}
}

func TestDrain(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("x"))
	a.ack(1)
	r.do(command{kind: cmdDrain})
	if len(r.ended) != 0 {
		t.Fatal("ended before the commit")
	}
	a.update(a.write("late"))
	a.ack(2)
	r.commit(0)
	if n := drainAcks(a); n != 1 || a.acks[0] != 1 {
		t.Errorf("acknowledged %v: what came after the drain is not taken in", a.acks)
	}
	for _, p := range []*peer{a, b} {
		if end := r.ended[p.sub]; end == nil || end.Code != CodeRestart {
			t.Errorf("a session ended with %v", end)
		}
	}
	if r.job == nil || r.unload {
		t.Fatal("unloaded without its history")
	}
	r.finishJob(nil)
	if !r.unload {
		t.Error("not unloaded")
	}
}
