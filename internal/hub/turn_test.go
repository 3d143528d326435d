package hub

import (
	"testing"

	"ysync/syncproto"
)

// A turn is taken by the sender when nobody waits, and by a runner otherwise;
// either way everything that was sent is applied, once and in order.
func TestTurns(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, b := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, b)
		send := func(turn *Turn, s string) {
			t.Helper()
			m := syncproto.Message{Kind: syncproto.KindUpdate, Payload: a.write(s)}
			if err := a.sub.SendInTurn(t.Context(), m, turn); err != nil {
				t.Fatal(err)
			}
		}
		var turn Turn
		if turn.Begin() {
			t.Fatal("a turn without a message")
		}
		send(&turn, "1")
		send(&turn, "2")
		if !turn.Begin() {
			t.Fatal("an idle document is not the sender's to step")
		}
		turn.Step()
		if b.drain(); b.text() != a.text() {
			t.Errorf("after a step by the sender: %q, want %q", b.text(), a.text())
		}

		// The guest's place is taken.
		w.hub.guest.mu.Lock()
		send(&turn, "3")
		begun := turn.Begin()
		w.hub.guest.mu.Unlock()
		if begun {
			t.Error("two guests at a time")
		}
		settle(a, b)
		if b.text() != a.text() {
			t.Errorf("after a turn of a runner: %q, want %q", b.text(), a.text())
		}

		// A turn that is held keeps other senders from queueing the document.
		send(&turn, "4")
		m := syncproto.Message{Kind: syncproto.KindUpdate, Payload: b.write("5")}
		if err := b.sub.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if !turn.Begin() {
			t.Fatal("another sender took the turn")
		}
		turn.Step()
		settle(a, b)
		if b.text() != a.text() || len(a.text()) != 5 {
			t.Errorf("%q and %q", a.text(), b.text())
		}

		// A document of many is a runner's.
		for id := uint64(3); id <= guestMembers+1; id++ {
			join(t, w.hub, "d", id)
		}
		settle(a, b)
		send(&turn, "6")
		if turn.Begin() {
			t.Error("a guest steps a document of many")
			turn.Step()
		}
		settle(a, b)
		if b.text() != a.text() {
			t.Errorf("%q and %q", a.text(), b.text())
		}
	})
}
