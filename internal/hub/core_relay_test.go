package hub

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// One update alone is passed on as the bytes that came in, in one frame that
// all share.
func TestOneUpdateIsOneSharedFrame(t *testing.T) {
	r := newRig(t, Limits{})
	a, b, c := r.join(1), r.join(2), r.join(3)
	u := a.write("x")
	a.update(u)
	fb, _, _, _ := b.sub.out.next()
	fc, _, _, _ := c.sub.out.next()
	if len(fb) == 0 || &fb[0] != &fc[0] {
		t.Error("the frame is not shared")
	}
	if !bytes.Equal(fb, syncproto.AppendUpdate(nil, u)) {
		t.Errorf("the frame % x is not the update % x", fb, u)
	}
	if _, _, _, ok := a.sub.out.next(); ok {
		t.Error("the sender hears itself")
	}
}

// A batch is one frame for those who sent nothing; each author gets what the
// others sent and nothing of its own.
func TestABatchIsOneFrame(t *testing.T) {
	r := newRig(t, Limits{})
	a, b, c := r.join(1), r.join(2), r.join(3)
	var cmds []command
	for i := range 5 {
		cmds = append(cmds, a.message(syncproto.KindUpdate, a.write(fmt.Sprint("a", i))))
		cmds = append(cmds, b.message(syncproto.KindUpdate, b.write(fmt.Sprint("b", i))))
	}
	cmds = append(cmds, a.message(syncproto.KindUpdate, a.erase(0, 1)))
	r.do(cmds...)
	r.read()
	if len(r.entries) != 11 {
		t.Errorf("%d entries for 11 updates: each is a transaction of its own", len(r.entries))
	}
	for _, p := range []*peer{a, b, c} {
		if p.updates != 1 {
			t.Errorf("session %d got %d frames", p.sub.peer.Session, p.updates)
		}
	}
	// a and b know two clients now; what they got of the batch tells of one.
	if has(t, a.last, 1) || !has(t, a.last, 2) || !has(t, b.last, 1) || has(t, b.last, 2) {
		t.Error("an author got its own edits back")
	}
	r.commit(0)
	r.converged()
}

// has tells whether an update has blocks of a client, which started at 0.
func has(t *testing.T, update []byte, client crdt.ClientID) bool {
	t.Helper()
	sv, err := crdt.StateVectorOf(crdt.V1, update)
	if err != nil {
		t.Fatal(err)
	}
	return sv.Get(client) > 0
}

// Two sessions of one client ID in one batch can't be told apart by state; the
// frames are still whole.
func TestABatchWithTwoSessionsOfOneClient(t *testing.T) {
	r := newRig(t, Limits{})
	a, b, c := r.join(1), r.join(2), r.join(3)
	twin := r.attach(a.replica, Peer{Session: 9, CanWrite: true})
	r.do(a.message(syncproto.KindUpdate, a.write("1")), twin.message(syncproto.KindUpdate, a.write("2")),
		a.message(syncproto.KindUpdate, a.write("3")), b.message(syncproto.KindUpdate, b.write("b")),
		b.message(syncproto.KindUpdate, b.write("b")))
	r.commit(0)
	a.gaps = true
	r.read(b, c, a)
	if c.updates != 1 {
		t.Errorf("c got %d frames", c.updates)
	}
	r.converged()
}

// Planted bug "log the no-op": a joiner sends all it has, deletes included,
// and nothing of it is new.
func TestANoOpIsNeitherLoggedNorRelayed(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("hello"))
	a.update(a.erase(1, 2))
	r.commit(0)
	r.read()
	n, heard := len(r.entries), a.updates
	for range 10 {
		b.rig.do(b.message(syncproto.KindSyncStep2, b.state()))
		b.update([]byte{0, 0})
	}
	r.read()
	if len(r.entries) != n || a.updates != heard {
		t.Errorf("%d entries and %d frames for nothing new", len(r.entries)-n, a.updates-heard)
	}
	b.ack(1)
	if r.read(); len(b.acks) != 1 {
		t.Error("nothing new was not acknowledged")
	}
}

// A reader that falls behind gets one diff with the deletes since, and then
// goes on with frames; nothing is lost and nothing grows.
func TestASlowReaderCatchesUp(t *testing.T) {
	r := newRig(t, Limits{OutboxBytes: 4096, PresenceBytes: 2048})
	a, slow, fast := r.join(1), r.join(2), r.join(3)
	most := 0
	for i := range 2000 {
		if i%7 == 3 {
			a.update(a.erase(i%5, 1))
		} else {
			a.update(a.write(fmt.Sprintf("%d,", i)))
		}
		r.read(fast)
		most = max(most, slow.sub.out.bytes)
		if i%500 == 250 {
			// A few frames at a time, so that it is still behind.
			for range 10 {
				slow.readOne()
			}
		}
	}
	if most > 4096+512 {
		t.Errorf("the outbox held %d bytes", most)
	}
	r.read()
	r.commit(0)
	r.converged()
	if slow.updates >= 1000 {
		t.Errorf("the slow reader got %d frames", slow.updates)
	}
	a.update(a.write("after"))
	r.read()
	r.converged()
	if n := len(r.core.lag.marks); n != 0 || r.core.lag.lagging != 0 || len(r.core.lag.deletes) != 0 {
		t.Errorf("%d marks, %d lagging, %d deletes are left", n, r.core.lag.lagging, len(r.core.lag.deletes))
	}
}

// Readers that fell behind at the same place share one mark and one diff.
func TestSlowReadersShareADiff(t *testing.T) {
	r := newRig(t, Limits{OutboxBytes: 2048})
	a := r.join(1)
	var slow []*peer
	for i := range 20 {
		slow = append(slow, r.join(uint64(10+i)))
	}
	for range 200 {
		a.update(a.write("0123456789"))
	}
	if n := len(r.core.lag.marks); n != 1 || r.core.lag.marks[0].refs != 20 {
		t.Fatalf("%d marks", n)
	}
	var diffs [][]byte
	for _, s := range slow {
		for s.updates == 0 || s.text() != a.text() {
			if !s.readOne() {
				t.Fatal("a slow reader got stuck")
			}
		}
		diffs = append(diffs, s.last)
	}
	for _, d := range diffs[1:] {
		if &d[0] != &diffs[0][0] {
			t.Fatal("the diff is not shared")
		}
	}
	r.commit(0)
	r.converged()
}

// One that was made in the middle of a step has what that step had deleted, also
// for those who need it later.
func TestADiffSharedAfterADeletion(t *testing.T) {
	r := newRig(t, Limits{})
	a, first, second := r.join(1), r.join(2), r.join(3)
	a.update(a.write("first second"))
	r.core.lagging(first.sub)
	r.core.lagging(second.sub)
	r.do(a.message(syncproto.KindUpdate, a.erase(0, 6)), command{kind: cmdDrained, sub: first.sub})
	r.do(command{kind: cmdDrained, sub: second.sub})
	r.read()
	r.converged()
}

// With too many deletes to keep, the diff has the whole delete set.
func TestTooManyDeletesForTheMark(t *testing.T) {
	r := newRig(t, Limits{OutboxBytes: 2048})
	a := r.join(1)
	const max = 64
	r.core.lag.maxRanges = max
	a.update(a.write(strings.Repeat("x", 3*max)))
	r.commit(0)
	slow := r.join(2)
	for i := 0; r.core.lag.lagging == 0; i++ {
		a.update(a.write("0123456789"))
	}
	// Every second character: one range each.
	text := a.doc.Text("t")
	a.update(a.edit(func(tx *crdt.Txn) {
		for i := range max + 10 {
			text.Delete(tx, i, 1)
		}
	}))
	if r.core.lag.floor != r.core.version {
		t.Fatal("the deletes were kept")
	}
	a.update(a.erase(0, 1))
	r.read(slow)
	r.commit(0)
	r.converged()
}

// What is dropped with the oldest mark makes room for as much.
func TestDeletesAreCountedOutAsIn(t *testing.T) {
	r := newRig(t, Limits{})
	a, first, second := r.join(1), r.join(2), r.join(3)
	a.update(a.write("0123456789"))
	r.core.lagging(first.sub)
	text := a.doc.Text("t")
	a.update(a.edit(func(tx *crdt.Txn) {
		for i := range 4 {
			text.Delete(tx, i, 1)
		}
	}))
	r.core.lagging(second.sub)
	a.update(a.erase(0, 1))
	r.do(command{kind: cmdDrained, sub: first.sub})
	if l := &r.core.lag; len(l.deletes) != 1 || l.ranges != 1 {
		t.Errorf("%d sets of deletes with %d ranges are kept", len(l.deletes), l.ranges)
	}
}

// Presence: the newest state of each client, not what they went through.
func TestPresenceOfASlowReader(t *testing.T) {
	r := newRig(t, Limits{PresenceBytes: 1024})
	a, slow := r.join(1), r.join(2)
	for i := range 500 {
		r.do(a.message(syncproto.KindAwareness, presence(1, uint64(i+1), fmt.Sprintf(`{"at":%d}`, i))))
	}
	if n := slow.sub.out.bytes; n > 1024+256 {
		t.Errorf("%d bytes of presence wait", n)
	}
	r.read(slow)
	n := len(slow.presence)
	if n == 0 || n > 100 || !bytes.Contains(slow.presence[n-1], []byte(`{"at":499}`)) {
		t.Errorf("%d presence messages, the last is %q", n, slow.presence[n-1])
	}
	if len(a.presence) != 0 {
		t.Error("the sender hears itself")
	}
	// Who left while the reader lagged is removed for it too.
	for i := range 500 {
		r.do(a.message(syncproto.KindAwareness, presence(1, uint64(i+501), fmt.Sprintf(`{"at":%d}`, i))))
	}
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.pass(10 * time.Second)
	r.read(slow)
	if last := slow.presence[len(slow.presence)-1]; !bytes.Contains(last, []byte("null")) {
		t.Errorf("the removal did not come: %q", last)
	}
}

// presence is an awareness update of one client.
func presence(client, clock uint64, state string) []byte {
	b := append([]byte{1}, ackRequest(client)...)
	b = append(b, ackRequest(clock)...)
	b = append(b, byte(len(state)))
	return append(b, state...)
}

func TestPresenceIsShownKeptAndRemoved(t *testing.T) {
	r := newRig(t, Limits{PresenceGrace: 3 * time.Second})
	a := r.join(1)
	r.do(a.message(syncproto.KindAwareness, presence(1, 1, `{"n":1}`)))
	b := r.join(2)
	if len(b.presence) != 1 || !bytes.Contains(b.presence[0], []byte(`{"n":1}`)) {
		t.Fatalf("the joiner was shown %q", b.presence)
	}
	// A reflection goes nowhere.
	r.do(b.message(syncproto.KindAwareness, presence(1, 1, `{"n":1}`)))
	r.read()
	if len(a.presence) != 0 {
		t.Error("a reflection was relayed")
	}
	r.do(b.message(syncproto.KindQueryAwareness, nil))
	if r.read(); len(b.presence) != 2 {
		t.Error("a query was not answered")
	}
	r.do(command{kind: cmdDetach, sub: a.sub})
	r.pass(2 * time.Second)
	if r.read(b); len(b.presence) != 2 {
		t.Error("the presence went without grace")
	}
	r.pass(2 * time.Second)
	if r.read(b); len(b.presence) != 3 || !bytes.Contains(b.presence[2], []byte("null")) {
		t.Error("the presence did not go")
	}
	// Those who have no right to presence show none.
	c := r.joinAs(Peer{Session: 3, CanWrite: true})
	r.do(c.message(syncproto.KindAwareness, presence(3, 1, `{}`)))
	if r.read(b); len(b.presence) != 3 {
		t.Error("presence without the right to it")
	}
}

// Random sessions that write, delete, read late, leave and come back converge.
func TestRandomSessionsConverge(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		r := newRig(t, Limits{OutboxBytes: 600, PresenceBytes: 300, ChunkBytes: 400, SyncDiffBytes: 2000})
		id := uint64(0)
		var live []*peer
		for range 4 {
			id++
			live = append(live, r.joinAs(Peer{Session: id, CanWrite: true, CanPresence: true, Echo: id%4 == 0}))
		}
		for range 300 {
			p := live[rng.IntN(len(live))]
			switch n := rng.IntN(20); {
			case n < 9:
				r.batch = append(r.batch, p.message(syncproto.KindUpdate, p.write(fmt.Sprint(rng.IntN(1000), " "))))
			case n < 11 && p.doc.Text("t").Len() > 3:
				r.batch = append(r.batch, p.message(syncproto.KindUpdate, p.erase(rng.IntN(p.doc.Text("t").Len()-2), 2)))
			case n < 12:
				r.batch = append(r.batch, p.message(syncproto.KindSyncStep1, p.vector()))
			case n < 15:
				r.step()
			case n < 16 && r.committed < len(r.entries):
				r.commit(1 + rng.IntN(len(r.entries)-r.committed))
			case n < 18:
				for range rng.IntN(5) {
					p.readOne()
				}
			case n < 19:
				r.pass(time.Duration(rng.IntN(3)) * time.Second)
			case p.sub.peer.Session != live[0].sub.peer.Session:
				// A reconnect with what it has: the rest comes by the handshake.
				r.do(command{kind: cmdDetach, sub: p.sub})
				id++
				again := r.attach(p.replica, Peer{Session: id, CanWrite: true, Echo: p.sub.peer.Echo})
				again.sync()
				for i := range live {
					if live[i] == p {
						live[i] = again
					}
				}
			}
		}
		r.step()
		for range 4 {
			if r.committed < len(r.entries) {
				r.commit(0)
			}
			r.read(live...)
			r.pass(5 * time.Second)
		}
		for _, p := range live {
			p.sync()
		}
		r.pass(5 * time.Second)
		r.read(live...)
		if r.committed < len(r.entries) {
			r.commit(0)
		}
		r.read(live...)
		r.converged()
		if got, want := r.durable(), r.core.doc.Text("t").String(); got != want {
			t.Errorf("seed %d: the log has %q, want %q", seed, short(got), short(want))
		}
		if n := len(r.core.lag.marks); n > 1 {
			t.Errorf("seed %d: %d marks are left", seed, n)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
