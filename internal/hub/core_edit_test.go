package hub

import (
	"errors"
	"testing"

	"ysync/crdt"
	"ysync/persistence"
)

func (r *rig) order(c change) *request {
	r.t.Helper()
	req := &request{done: make(chan struct{}), change: &c}
	r.do(command{kind: cmdChange, request: req})
	return req
}

func insert(at int, s string) func(*crdt.Txn) {
	return func(tx *crdt.Txn) { tx.Doc().Text("t").Insert(tx, at, s) }
}

func TestAChangeIsLoggedRelayedAndAnsweredAfterTheCommit(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("ab"))
	req := r.order(change{terms: Terms{Author: "admin"}, edit: insert(1, "X")})
	r.read()
	if a.text() != "aXb" || b.text() != "aXb" {
		t.Errorf("the sessions have %q and %q", a.text(), b.text())
	}
	if last := r.entries[len(r.entries)-1]; last.Author != "admin" {
		t.Errorf("the author is %q", last.Author)
	}
	if _, answered := r.answers[req]; answered {
		t.Fatal("answered before the commit")
	}
	if !r.fx.hurry {
		t.Error("the log is not told that somebody waits")
	}
	r.commit(1)
	if _, answered := r.answers[req]; answered {
		t.Fatal("answered by the commit of what came before")
	}
	r.commit(1)
	if err, answered := r.answers[req]; !answered || err != nil || req.outcome != (Outcome{Position: 2, Changed: true, Added: 1}) {
		t.Errorf("answered %v: %v, %+v", answered, err, req.outcome)
	}
	r.converged()
	if got := r.durable(); got != "aXb" {
		t.Errorf("the log holds %q", got)
	}
}

// A change in one step with updates of sessions reaches their authors too.
func TestAChangeInABatch(t *testing.T) {
	r := newRig(t, Limits{})
	a, b, c := r.join(1), r.join(2), r.join(3)
	a.update(a.write("x"))
	r.read()
	req := &request{done: make(chan struct{}), change: &change{edit: insert(0, "S")}}
	r.do(
		a.message(2, a.write("1")), command{kind: cmdChange, request: req},
		a.message(2, a.write("2")),
	)
	r.read()
	r.converged()
	r.do(a.message(2, a.write("3")), b.message(2, b.write("4")), command{kind: cmdChange, request: &request{
		done: make(chan struct{}), change: &change{update: newReplica(t, 77).write("5")},
	}})
	r.read()
	r.converged()
	if n := c.doc.Text("t").Len(); n != 7 {
		t.Errorf("%d characters: %q", n, c.text())
	}
	if len(r.entries) != 7 {
		t.Errorf("%d entries", len(r.entries))
	}
}

// What changes nothing is judged against what may not be durable yet.
func TestAChangeThatChangesNothingWaitsToo(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	update := a.write("x")
	a.update(update)
	req := r.order(change{update: update})
	if _, answered := r.answers[req]; answered {
		t.Fatal("answered before what it holds is durable")
	}
	r.commit(0)
	if err, answered := r.answers[req]; !answered || err != nil || req.outcome.Changed || len(r.entries) != 1 {
		t.Errorf("answered %v: %v, %+v; %d entries", answered, err, req.outcome, len(r.entries))
	}
}

func TestTermsOfChanges(t *testing.T) {
	r := newRig(t, Limits{})
	for _, c := range []change{{terms: Terms{New: true}, edit: insert(0, "a")}, {terms: Terms{At: new(persistence.Position)}, edit: insert(0, "a")}} {
		if req := r.order(c); r.answers[req] != nil {
			t.Errorf("%+v of a new document: %v", c.terms, r.answers[req])
		}
		r.load()
	}
	r.order(change{edit: insert(0, "a")})
	r.commit(0)
	for _, c := range []struct {
		change
		want error
	}{
		{change{terms: Terms{New: true}, edit: insert(0, "a")}, ErrExists},
		{change{terms: Terms{At: new(persistence.Position)}, edit: insert(0, "a")}, ErrChanged},
		{change{seed: "k", update: newReplica(t, 9).write("s")}, ErrExists},
		{change{update: []byte{1, 2, 3}}, crdt.ErrMalformed},
	} {
		if req := r.order(c.change); !errors.Is(r.answers[req], c.want) {
			t.Errorf("got %v, want %v", r.answers[req], c.want)
		}
	}
	r.in.readOnly = true
	if req := r.order(change{edit: insert(0, "a")}); !errors.Is(r.answers[req], ErrNotCommitting) {
		t.Errorf("got %v while the log is read-only", r.answers[req])
	}
	if len(r.entries) != 1 {
		t.Errorf("%d entries", len(r.entries))
	}
}

func TestADocumentAtItsSizeLimitTakesNoUpdate(t *testing.T) {
	r := newRig(t, Limits{DocumentBytes: 1})
	req := r.order(change{update: newReplica(t, 9).write("s")})
	if !errors.Is(r.answers[req], ErrTooLarge) {
		t.Errorf("got %v", r.answers[req])
	}
}

// A transaction that fails half way is not undone, so the log must have its
// first half.
func TestAFailedEditIsInTheLog(t *testing.T) {
	r := newRig(t, Limits{})
	req := r.order(change{edit: func(tx *crdt.Txn) {
		insert(0, "half")(tx)
		tx.Doc().Array("a").Delete(tx, 1000, 1)
	}})
	r.commit(0)
	if !errors.Is(r.answers[req], crdt.ErrRange) {
		t.Errorf("got %v", r.answers[req])
	}
	if got := r.durable(); got != "half" || got != r.core.doc.Text("t").String() {
		t.Errorf("the log holds %q", got)
	}
}

// The key stays on record from the entry that it was given with.
func TestSeedTwice(t *testing.T) {
	r := newRig(t, Limits{})
	first := r.order(change{seed: "k", update: newReplica(t, 9).write("s")})
	if r.fx.seed != "k" || len(r.fx.log) != 1 {
		t.Fatalf("seed %q, %d entries", r.fx.seed, len(r.fx.log))
	}
	again := r.order(change{seed: "k", update: newReplica(t, 10).write("another")})
	other := r.order(change{seed: "other", update: newReplica(t, 10).write("another")})
	if _, answered := r.answers[again]; answered {
		t.Error("told of a seed that is not durable")
	}
	if !errors.Is(r.answers[other], ErrExists) {
		t.Errorf("another key: %v", r.answers[other])
	}
	r.commit(0)
	if r.answers[first] != nil || r.answers[again] != nil || !first.outcome.Changed || again.outcome.Changed {
		t.Errorf("%v %+v, %v %+v", r.answers[first], first.outcome, r.answers[again], again.outcome)
	}
	if got := r.durable(); got != "s" {
		t.Errorf("the log holds %q", got)
	}
}

func TestChangesFailWhenTheDocumentIsDropped(t *testing.T) {
	r := newRig(t, Limits{})
	req := r.order(change{edit: insert(0, "a")})
	r.do(command{kind: cmdFenced})
	if !errors.Is(r.answers[req], ErrEnded) || r.dropped != endMoved {
		t.Errorf("got %v, dropped: %v", r.answers[req], r.dropped)
	}
}

// A server-made edit has a client ID that no earlier load had.
func TestEveryLoadEditsAsAnotherClient(t *testing.T) {
	r := newRig(t, Limits{})
	seen := map[crdt.ClientID]bool{}
	for range 8 {
		r.order(change{edit: insert(0, "a")})
		id := r.core.doc.ClientID()
		if seen[id] {
			t.Fatalf("client %d again", id)
		}
		seen[id] = true
		r.commit(0)
		r.load()
	}
	if got := r.durable(); got != "aaaaaaaa" {
		t.Errorf("the log holds %q", got)
	}
}
