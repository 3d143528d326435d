package relay

import (
	"strings"
	"testing"

	"ysync/internal/hub"
)

func TestEditsCrossBothWays(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	a, b, c := w.client(w.nodes[0], "d", 1), w.client(w.nodes[1], "d", 2), w.client(w.nodes[2], "d", 3)
	w.until("all are synced", func() bool { return a.synced > 0 && b.synced > 0 && c.synced > 0 }, a, b, c)
	a.write("one ")
	w.converge(4, a, b, c)
	b.write("two ")
	w.converge(8, a, b, c)
	c.write("three ")
	w.converge(14, a, b, c)
	if n := w.nodes[1].relay.Links(); n != 1 {
		t.Errorf("%d links, want one to the owner", n)
	}
}

func TestAcknowledgementsCrossAfterTheCommit(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	b := w.client(w.nodes[1], "d", 2)
	w.until("synced and asked", func() bool { return b.synced > 0 && b.asked > 0 }, b)
	b.write("x")
	b.ack(7)
	w.until("the acknowledgement is there", func() bool { return len(b.acks) == 1 && b.acks[0] == 7 }, b)
	rec, err := w.log.Open(t.Context(), "d")
	if err != nil || rec.Head == 0 {
		t.Fatalf("acknowledged, but the log has %+v, %v", rec, err)
	}
	w.until("nothing is kept", func() bool {
		b.seat.route.mu.Lock()
		defer b.seat.route.mu.Unlock()
		return len(b.seat.kept.messages) == 0 && b.seat.kept.bytes == 0
	}, b)
}

func TestOneCrossingPerNodeAndEdit(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	author := w.client(w.nodes[1], "d", 1)
	all := []*client{author}
	for i := range uint64(20) {
		p := hub.Peer{Session: 100 + i}
		all = append(all, w.clientAs(w.nodes[1], "d", p), w.clientAs(w.nodes[2], "d", p))
	}
	w.until("all are synced", func() bool {
		for _, c := range all {
			if c.synced == 0 {
				return false
			}
		}
		return true
	}, all...)
	before := w.nodes[0].casts()
	const edits = 10
	for i := range edits {
		author.write("x")
		w.converge(i+1, all...)
	}
	if n := w.nodes[0].casts() - before; n != 2*edits {
		t.Errorf("%v crossings for %d edits to two nodes", n, edits)
	}
	if author.frames > 3+edits {
		t.Errorf("the author was sent %d frames", author.frames)
	}
}

func TestLargeStateComesInChunks(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	a := w.client(w.nodes[0], "d", 1)
	w.until("synced", func() bool { return a.synced > 0 }, a)
	const parts, size = 64, 8 << 10
	for range parts {
		a.write(strings.Repeat("y", size))
	}
	a.ack(1)
	w.until("acknowledged", func() bool { return len(a.acks) == 1 }, a)
	b := w.client(w.nodes[1], "d", 2)
	w.converge(parts*size, a, b)
	w.until("synced", func() bool { return b.synced == 1 }, b)
	if b.frames < 10 {
		t.Errorf("the state came in %d frames", b.frames)
	}
	a.write("z")
	w.converge(parts*size+1, a, b)
}

func TestSlowReaderElsewhereCatchesUp(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	a, slow, quick := w.client(w.nodes[0], "d", 1), w.client(w.nodes[1], "d", 2), w.client(w.nodes[1], "d", 3)
	w.until("synced", func() bool { return a.synced > 0 && slow.synced > 0 && quick.synced > 0 }, a, slow, quick)
	slow.paused = true
	frames, length := slow.frames, 0
	for range 200 {
		a.write(strings.Repeat("x", 1000))
		length += 1000
		w.converge(length, a, quick)
	}
	slow.paused = false
	w.converge(length, a, quick, slow)
	if n := slow.frames - frames; n > 100 {
		t.Errorf("the slow reader was sent %d frames, so it did not skip any", n)
	}
	a.write("!")
	w.converge(length+1, a, quick, slow)
}

func TestStaleRouteIsRefused(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	a := w.client(w.nodes[0], "d", 1)
	w.until("synced", func() bool { return a.synced > 0 }, a)
	// Node 2 believes that node 1 has the document; node 1 knows better.
	stale := w.nodes[2]
	stale.relay.opt.Directory = lying{directory{w, stale}, w.nodes[1], &w.moved}
	b := w.client(stale, "d", 2)
	b.write("x")
	w.converge(1, a, b)
	if w.nodes[1].hub.Stats().Documents != 0 {
		t.Error("the node that is not the owner opened the document")
	}
}

// Stock clients send back every presence that they are told. None of that
// crosses, and everything else does: a goodbye, a client that comes back under
// the clock that it had, and one that was removed.
func TestReflectionsDoNotCross(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	a, b, c := w.client(w.nodes[0], "d", 1), w.client(w.nodes[1], "d", 2), w.client(w.nodes[1], "d", 3)
	all := []*client{a, b, c}
	for _, p := range all {
		p.show(`{"n":0}`)
	}
	w.until("all see all", func() bool { return a.sees(2) && a.sees(3) && b.sees(1) && b.sees(3) && c.sees(1) && c.sees(2) }, all...)
	w.until("all were asked", func() bool { return b.asked > 0 && c.asked > 0 }, all...)
	b.write("b")
	c.write("c")
	w.converge(2, all...) // so all that was sent before has arrived
	came := w.nodes[0].value("relay_messages_total")
	// What each is told goes back at once, several in one message and one by one.
	for _, p := range []*client{b, c} {
		p.reflect(1)
		p.reflect(5-p.presence.ClientID(), 1)
	}
	if n := w.nodes[1].value("relay_reflections_total"); n != 4 {
		t.Errorf("%v of 4 reflections were found", n)
	}
	b.show(`{"n":1}`)
	w.until("a change arrives", func() bool { return a.state(2) == `{"n":1}` && c.state(2) == `{"n":1}` }, all...)
	c.reflect(2)
	b.write("x")
	w.converge(3, all...)
	if n := w.nodes[0].value("relay_messages_total") - came; n != 2 {
		t.Errorf("%v messages crossed, want the change and the edit", n)
	}
	// The connection of b ends, and b comes back with the state that it had.
	b.seat.Close()
	again := w.client(w.nodes[1], "d", 2)
	again.presence = b.presence
	again.reflect(2)
	w.until("b is there again for good", func() bool {
		if again.sees(2) && again.state(2) == "" {
			return false
		}
		again.show(`{"n":2}`)
		return a.state(2) == `{"n":2}` && c.state(2) == `{"n":2}`
	}, a, c, again)
	again.leave()
	w.until("b is gone", func() bool { return !a.sees(2) && !c.sees(2) }, a, c, again)
}
