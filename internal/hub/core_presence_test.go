package hub

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/syncproto"
)

// In a crowd, what many say is told together and at once to nobody; the last
// word of everyone arrives.
func TestPresenceOfACrowdComesTogether(t *testing.T) {
	r := newRig(t, Limits{})
	const crowd = 200
	peers := make([]*peer, crowd)
	for i := range peers {
		peers[i] = r.join(uint64(i + 1))
	}
	watcher := peers[0]
	for round := range 50 {
		for i, p := range peers[1:] {
			r.do(p.message(syncproto.KindAwareness, presence(uint64(i+2), uint64(round+1), fmt.Sprintf(`{"r":%d}`, round))))
		}
		r.pass(10 * time.Millisecond)
	}
	r.pass(time.Second)
	r.read(watcher)
	// Half a second, told every 40 ms.
	if n := len(watcher.presence); n < 10 || n > 20 {
		t.Errorf("%d messages of presence for half a second", n)
	}
	last := map[uint64]string{}
	for _, message := range watcher.presence {
		d := awareness.NewDecoder(message)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			last[e.ClientID] = string(e.State)
		}
	}
	for id := uint64(2); id <= crowd; id++ {
		if last[id] != `{"r":49}` {
			t.Errorf("of %d the last word is %q", id, last[id])
		}
	}
}

// Few hear of each other at once.
func TestPresenceOfFewIsToldAtOnce(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	for i := range 5 {
		r.do(a.message(syncproto.KindAwareness, presence(1, uint64(i+1), "{}")))
		if r.read(b); len(b.presence) != i+1 {
			t.Fatalf("after %d states %d messages", i+1, len(b.presence))
		}
	}
}

// keptPeer was kept while the document came here from an owner that may have known
// of others, or of fewer.
func keptPeer(id uint64, how Join) Peer {
	return Peer{Session: id, CanWrite: true, CanPresence: true, Join: JoinKept | how}
}

// shown is the newest state that a peer was sent of each client.
func (c *peer) shown() map[uint64]string {
	states := map[uint64]string{}
	for _, message := range c.presence {
		d := awareness.NewDecoder(message)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			states[e.ClientID] = string(e.State)
		}
	}
	return states
}

// Who was kept is shown those who were here before, whom the owner before may not
// have known, or whose last word it took with it.
func TestWhoWasKeptIsShownWhoIsThere(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	r.do(a.message(syncproto.KindAwareness, presence(1, 1, `{"n":1}`)))
	b := r.attach(newReplica(t, 2), keptPeer(2, JoinShow))
	r.do(b.message(syncproto.KindAwareness, presence(2, 1, `{"n":2}`)))
	deaf := r.attach(newReplica(t, 3), Peer{Session: 3, CanWrite: true, Join: JoinKept | JoinShow})
	f := r.far(nil)
	late := f.join(keptPeer(4, JoinShow), newReplica(t, 4))
	f.carry()
	r.read(a, b, deaf)
	for _, want := range []struct {
		who    *peer
		states string
	}{
		{a, `map[2:{"n":2}]`},
		{b, `map[1:{"n":1}]`},
		{deaf, `map[]`},
		{late, `map[1:{"n":1} 2:{"n":2}]`},
	} {
		if got := fmt.Sprint(want.who.shown()); got != want.states {
			t.Errorf("%d was shown %s, want %s", want.who.sub.peer.Session, got, want.states)
		}
	}
	gone := r.attach(newReplica(t, 5), keptPeer(5, JoinShow))
	r.do(command{kind: cmdDetach, sub: gone.sub})
	if n := len(r.core.unshown); n != 0 {
		t.Errorf("%d are to be shown who is there for ever", n)
	}
}

// A crowd that was kept comes one after the other: everyone is shown everybody, and
// that is put together a few times, not for each.
func TestACrowdThatWasKeptIsShownWhoIsThere(t *testing.T) {
	r := newRig(t, Limits{})
	const crowd = 300
	for id := uint64(1); id <= crowd; id++ {
		p := r.attach(newReplica(t, crdt.ClientID(id)), keptPeer(id, JoinShow))
		r.do(p.message(syncproto.KindAwareness, presence(id, 1, fmt.Sprint(id))))
		if id > presenceCrowd && id%10 == 0 {
			r.pass(time.Millisecond)
		}
	}
	// The last one comes right after something was told, and says nothing itself.
	r.pass(time.Second)
	r.do(r.members[0].message(syncproto.KindAwareness, presence(1, 2, "1")))
	r.attach(newReplica(t, crowd+1), keptPeer(crowd+1, JoinShow))
	r.pass(time.Second)
	r.read()
	for i, p := range r.members {
		shown := p.shown()
		delete(shown, uint64(i+1))
		if len(shown) != crowd && i == crowd || len(shown) != crowd-1 && i < crowd {
			t.Fatalf("%d was shown %d of %d", i+1, len(shown), crowd)
		}
		if n := len(p.presence); i >= presenceCrowd && n > 6 {
			t.Errorf("%d was shown that in %d messages", i+1, n)
		}
	}
}

var cycles = flag.Int("cycles", 20_000, "sessions that come and go in TestJoinAndLeave")

// Sessions that come, show themselves and go leave nothing behind.
func TestJoinAndLeave(t *testing.T) {
	r := newRig(t, Limits{})
	alive := func() uint64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	watcher := r.join(1)
	cycle := func(i int) {
		s := &Subscription{peer: Peer{Session: uint64(i + 10), CanWrite: true, CanPresence: true}, wake: func() {}}
		s.at.index = -1
		r.do(command{kind: cmdSubscribe, sub: s})
		r.do(command{kind: cmdMessage, message: syncproto.KindAwareness, sub: s, payload: presence(uint64(i+10), 1, `{"name":"somebody"}`)})
		r.do(command{kind: cmdDetach, sub: s})
		r.pass(20 * time.Millisecond)
		for {
			if _, ok := watcher.sub.Next(); !ok {
				break
			}
		}
	}
	const warm = 5_000 // more than are remembered for a minute
	for i := range warm {
		cycle(i)
	}
	before := alive()
	for i := range *cycles {
		cycle(warm + i)
	}
	after := alive()
	t.Logf("%d cycles: %d KiB before, %d KiB after", *cycles, before>>10, after>>10)
	if after > before+1<<20 {
		t.Errorf("%d bytes more after %d cycles", after-before, *cycles)
	}
}
