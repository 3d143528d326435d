package hub

import (
	"testing"

	"ysync/crdt"
	"ysync/syncproto"
)

// TestPendingOfEqualSizeIsLogged sends two pairs of updates, each the second
// half first. What waits of the second pair has the size of what waited of the
// first, and is something else: it has to be in the log too.
func TestPendingOfEqualSizeIsLogged(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		for _, pair := range [][2]string{{"one ", "two "}, {"uno ", "due "}} {
			first, second := a.write(pair[0]), a.write(pair[1])
			a.send(syncproto.KindUpdate, second)
			a.send(syncproto.KindUpdate, first)
		}
		settle(a)
		a.send(syncproto.KindAck, ackRequest(1))
		settle(a)
		if len(a.acks) != 1 {
			t.Fatalf("acknowledged: %v", a.acks)
		}
		if got, want := w.durable("d"), a.text(); got != want {
			t.Errorf("the log holds %q, acknowledged was %q", got, want)
		}
	})
}

// Who sends what others waited for gets what waited: its client does not have it.
func TestWhoCompletesGetsWhatWaited(t *testing.T) {
	r := newRig(t, Limits{})
	a, b, c := r.join(1), r.join(2), r.join(3)
	first := a.write("first ")
	if _, err := b.doc.Apply(nil, crdt.V1, first); err != nil {
		t.Fatal(err)
	}
	b.update(b.write("second "))
	if r.core.doc.Pending().Empty() {
		t.Fatal("nothing waits")
	}
	a.update(first)
	r.read(a, b, c)
	r.converged()
	// The same when it comes in one step with something else of its.
	first, other := a.write("third "), a.write("fourth ")
	if _, err := b.doc.Apply(nil, crdt.V1, first); err != nil {
		t.Fatal(err)
	}
	b.update(b.write("fifth "))
	r.do(a.message(syncproto.KindUpdate, first), a.message(syncproto.KindUpdate, other), c.message(syncproto.KindUpdate, c.write("sixth")))
	r.read(a, b, c)
	r.converged()
}
