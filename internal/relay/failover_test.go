package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/syncproto"
)

// synced waits until all have had an answer to their first question.
func (w *world) synced(cs ...*client) {
	w.t.Helper()
	w.until("all are synced", func() bool {
		for _, c := range cs {
			if c.synced == 0 {
				return false
			}
		}
		return true
	}, cs...)
}

func TestOwnerIsKilled(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	b, b2, c := w.client(w.nodes[1], "d", 2), w.client(w.nodes[1], "d", 3), w.client(w.nodes[2], "d", 4)
	reader := w.clientAs(w.nodes[2], "d", hub.Peer{Session: 5})
	w.synced(b, b2, c, reader)
	b.write("before ")
	b.ack(1)
	w.until("acknowledged", func() bool { return len(b.acks) == 1 }, b, b2, c, reader)
	w.converge(7, b, b2, c, reader)
	w.nodes[0].kill()
	// What is sent while nobody owns the document is kept.
	c.write("during ")
	c.ack(2)
	b.write("too ")
	w.own("d", w.nodes[1])
	w.converge(18, b, b2, c, reader)
	w.until("acknowledged", func() bool { return len(c.acks) == 1 && c.acks[0] == 2 }, b, b2, c, reader)
	for i, c := range []*client{b, b2, c, reader} {
		if c.ended != nil {
			t.Errorf("client %d was ended: %v", i, c.ended)
		}
	}
	b2.write("after")
	w.converge(23, b, b2, c, reader)
}

func TestEditsRelayedButLostComeBack(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	// a is at the owner and dies with it: only the others saw what it wrote.
	a, b, c := w.client(w.nodes[0], "d", 1), w.client(w.nodes[1], "d", 2), w.client(w.nodes[2], "d", 3)
	w.synced(a, b, c)
	a.write("seen by all")
	w.converge(11, a, b, c)
	w.nodes[0].kill()
	w.own("d", w.nodes[2])
	b.ack(1)
	w.until("acknowledged", func() bool { return len(b.acks) == 1 }, b, c)
	d := w.client(w.nodes[1], "d", 4)
	w.converge(11, b, c, d)
}

func TestDocumentMovesRound(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	var cs []*client
	for i := range uint64(6) {
		cs = append(cs, w.client(w.nodes[i%3], "d", i+1))
	}
	w.synced(cs...)
	length := 0
	for round := range 4 {
		for i, c := range cs {
			c.write(fmt.Sprint(round, i, " "))
			length += len(fmt.Sprint(round, i, " "))
			if i == 2 {
				w.own("d", w.nodes[(round+1)%3])
				w.release("d", w.nodes[round%3])
			}
		}
		cs[round].ack(uint64(round))
		w.until("acknowledged", func() bool { return len(cs[round].acks) == 1 }, cs...)
		w.converge(length, cs...)
	}
	for i, c := range cs {
		if c.ended != nil {
			t.Errorf("client %d was ended: %v", i, c.ended)
		}
	}
}

func TestReadersAreNotAskedAgain(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	var cs []*client
	for i := range uint64(30) {
		cs = append(cs, w.client(w.nodes[1], "d", i+1))
	}
	w.synced(cs...)
	cs[0].write("one")
	w.converge(3, cs...)
	w.until("all were asked once", func() bool {
		for _, c := range cs {
			if c.asked == 0 {
				return false
			}
		}
		return true
	}, cs...)
	for _, c := range cs {
		c.asked, c.synced, c.frames = 0, 0, 0
		c.send(syncproto.KindAck, []byte{1})
	}
	w.until("all are acknowledged", func() bool {
		for _, c := range cs {
			if len(c.acks) == 0 {
				return false
			}
		}
		return true
	}, cs...)
	w.nodes[0].kill()
	w.own("d", w.nodes[2])
	cs[1].write("two")
	w.converge(6, cs...)
	asked, answered := 0, 0
	for _, c := range cs {
		asked += c.asked
		answered += c.synced
	}
	if asked == 0 || asked > 3 || answered > 3 {
		t.Errorf("%d were asked and %d got an answer of their own", asked, answered)
	}
}

func TestPresenceComesBackWithTheSessions(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	b, c := w.client(w.nodes[1], "d", 2), w.client(w.nodes[2], "d", 3)
	w.synced(b, c)
	for _, x := range []*client{b, c} {
		x.show(`{"at":1}`)
	}
	w.until("both see each other", func() bool { return b.sees(3) && c.sees(2) }, b, c)
	w.nodes[0].kill()
	w.own("d", w.nodes[1])
	late := w.client(w.nodes[2], "d", 9)
	w.until("one who comes later sees both", func() bool { return late.sees(2) && late.sees(3) }, b, c, late)
}

// Who stays connected while its document gets another owner sees those whom the owner
// before did not tell it of: they came when that one was gone already, or it died
// with what they said.
func TestWhoStaysSeesWhoCameMeanwhile(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	b := w.client(w.nodes[1], "d", 2)
	w.synced(b)
	b.show(`{"at":1}`)
	w.own("d", nil)
	w.nodes[0].kill()
	c := w.client(w.nodes[2], "d", 3)
	c.show(`{"at":2}`)
	// Its own node is the next owner, and it is the last one to come there.
	w.until("it is without an owner", func() bool { b.seat.route.mu.Lock(); defer b.seat.route.mu.Unlock(); return b.seat.leg == legNone }, b)
	b.seat.route.mu.Lock()
	w.own("d", w.nodes[1])
	late := w.client(w.nodes[2], "d", 4)
	w.until("the next owner knows who came", func() bool { return late.sees(3) }, c, late)
	b.seat.route.mu.Unlock()
	w.until("all see each other", func() bool { return b.sees(3) && c.sees(2) && late.sees(2) }, b, c, late)

	// One that is sent away alone, and comes back over the same channel, may have
	// missed what was said meanwhile.
	late.presence = awareness.New(4, late.now)
	t2 := late.seat.route
	t2.mu.Lock()
	t2.receive(&frame{kind: frameEnd, session: late.seat.id, a: hub.CodeRestart})
	t2.mu.Unlock()
	w.until("it sees all again", func() bool { return late.sees(2) && late.sees(3) }, b, c, late)
}

func TestHalfOpenLinkIsGivenUp(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	b := w.client(w.nodes[1], "d", 2)
	w.synced(b)
	// From here on nothing that node 1 sends arrives, and no one says so.
	for _, c := range w.nodes[1].conns {
		c.hold()
	}
	b.write("x")
	b.ack(1)
	w.own("d", w.nodes[2])
	w.until("acknowledged by another owner", func() bool { return len(b.acks) == 1 }, b)
	c := w.client(w.nodes[2], "d", 3)
	w.converge(1, b, c)
}

// Two nodes that dialed each other at once have two links. What is on the older
// one finds out, too, that the other end says nothing any more.
func TestOlderLinkIsGivenUpToo(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	b := w.client(w.nodes[1], "d", 2)
	w.synced(b)
	r := w.nodes[1].relay
	if _, err := r.dial(w.nodes[0].self); err != nil {
		t.Fatal(err)
	}
	old := r.living()
	if len(old) != 2 {
		t.Fatalf("%d links", len(old))
	}
	for _, c := range w.nodes[1].conns {
		c.hold()
	}
	w.until("both links are given up", func() bool {
		for _, l := range old {
			select {
			case <-l.done:
			default:
				return false
			}
		}
		return true
	}, b)
}

// Those that have what was before a reset are sent away, and not who came after
// it to the same node.
func TestResetWhileWithoutAnOwner(t *testing.T) {
	w := newWorld(t, 3)
	w.own("d", w.nodes[0])
	b := w.client(w.nodes[1], "d", 2)
	w.synced(b)
	b.write("old ")
	b.ack(1)
	w.until("acknowledged", func() bool { return len(b.acks) == 1 }, b)
	// The owner tells it from time to time.
	b.seat.route.mu.Lock()
	b.seat.route.vector = crdt.AppendStateVector(nil, b.doc.StateVector())
	b.seat.route.mu.Unlock()
	w.own("d", nil)
	w.nodes[0].kill()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if _, err := w.nodes[2].hub.Reset(ctx, "d", "operator", nil); err != nil {
		t.Fatal(err)
	}
	c := w.client(w.nodes[1], "d", 3)
	c.write("new")
	c.ack(1)
	w.own("d", w.nodes[2])
	w.until("one is sent away, the other acknowledged", func() bool { return b.ended != nil && (c.ended != nil || len(c.acks) == 1) }, b, c)
	var why *hub.EndError
	if !errors.As(b.ended, &why) || why.Code != hub.CodeReset {
		t.Errorf("who has what was before: %v", b.ended)
	}
	if c.ended != nil {
		t.Fatalf("who came after the reset: %v", c.ended)
	}
	w.until("it has both", func() bool { return len(c.text()) == len("old new") }, c)
}
