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
