package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"ysync/crdt"
	"ysync/syncproto"
)

func endCode(c *connected) int {
	var end *EndError
	if errors.As(c.sub.End(), &end) {
		return end.Code
	}
	return 0
}

// rejoin connects a replica again.
func rejoin(t *testing.T, w *world, r *replica, session uint64) *connected {
	c := subscribe(t, w.hub, "d", r, Peer{Session: session, CanWrite: true, CanPresence: true})
	c.send(syncproto.KindSyncStep1, c.vector())
	synctest.Wait()
	if c.sub.End() == nil {
		settle(c)
	}
	return c
}

// TestReset resets a document twice, with clients that are there, that were
// away, and that come anew.
func TestReset(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, away := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, away)
		a.send(syncproto.KindUpdate, a.write("first"))
		settle(a, away)
		away.sub.Close()
		settle(a)
		a.send(syncproto.KindUpdate, a.write(" second"))
		settle(a)
		generation, err := w.hub.Reset(context.Background(), "d", "ann", nil)
		if err != nil || generation != 2 {
			t.Fatalf("Reset: %d, %v", generation, err)
		}
		settle()
		if code := endCode(a); code != CodeReset {
			t.Errorf("who was there ended with %d", code)
		}
		if rec := w.record("d"); rec.Generation != 2 || rec.Head != 1 || rec.Epoch != 2 {
			t.Errorf("the record is %+v", rec)
		}
		for _, old := range []*connected{a, away} {
			old.write(" offline")
			if code := endCode(rejoin(t, w, old.replica, 10)); code != CodeReset {
				t.Errorf("an old replica ended with %d", code)
			}
		}

		b := rejoin(t, w, newReplica(t, 3), 11)
		if b.text() != "first second" || b.doc.StateVector().Len() != 1 || b.doc.StateVector().Get(1) != 0 {
			t.Fatalf("a new client has %q, %v", b.text(), b.doc.StateVector())
		}
		b.send(syncproto.KindUpdate, b.write(" third"))
		settle(b)
		w.stop()
		w.start()
		b = rejoin(t, w, b.replica, 12)
		if b.text() != "first second third" || b.sub.End() != nil {
			t.Errorf("after a restart %q, %v", b.text(), b.sub.End())
		}
		if code := endCode(rejoin(t, w, away.replica, 13)); code != CodeReset {
			t.Errorf("after a restart an old replica ended with %d", code)
		}

		past := crdt.New(crdt.Options{})
		if _, err := past.Transact(nil, func(tx *crdt.Txn) { past.Text("t").Insert(tx, 0, "chosen") }); err != nil {
			t.Fatal(err)
		}
		if generation, err = w.hub.Reset(context.Background(), "d", "bob", past); err != nil || generation != 3 {
			t.Fatalf("second Reset: %d, %v", generation, err)
		}
		settle()
		for i, old := range []*replica{a.replica, away.replica, b.replica} {
			if code := endCode(rejoin(t, w, old, 20+uint64(i))); code != CodeReset {
				t.Errorf("replica %d of an old generation ended with %d", i, code)
			}
		}
		c := rejoin(t, w, newReplica(t, 4), 30)
		if c.text() != "chosen" {
			t.Errorf("a new client has %q", c.text())
		}
		if retired, err := w.keep.Retired(context.Background(), w.record("d")); err != nil || len(retired) != 4 {
			t.Errorf("retired are %v, %v; want 1, 3, the server's own and that of the moment", retired, err)
		}
		c.sub.Close()
		settle()
	})
}

// TestResetOfAFailingLog: when the record does not move, nothing is lost.
func TestResetOfAFailingLog(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("x"))
		settle(a)
		pass(2 * w.hub.opt.SegmentInterval)
		w.log.refuse(errors.New("away"))
		if _, err := w.hub.Reset(context.Background(), "d", "", nil); err == nil {
			t.Error("a reset without a log")
		}
		w.log.refuse(nil)
		settle()
		if code := endCode(a); code != CodeRestart {
			t.Errorf("ended with %d", code)
		}
		b := rejoin(t, w, a.replica, 2)
		if b.text() != "x" || b.sub.End() != nil || w.record("d").Generation != 1 {
			t.Errorf("then %q, %v, %+v", b.text(), b.sub.End(), w.record("d"))
		}
		w.log.loseAnswer(true)
		if generation, err := w.hub.Reset(context.Background(), "d", "", nil); err != nil || generation != 2 {
			t.Errorf("a reset whose answer was lost: %d, %v", generation, err)
		}
		settle()
		if code := endCode(b); code != CodeReset {
			t.Errorf("ended with %d", code)
		}
	})
}
