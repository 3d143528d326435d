package hub

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"ysync/awareness"
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
