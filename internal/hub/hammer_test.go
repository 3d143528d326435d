package hub

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// Sessions come, write, wait for their acknowledgement or not, and go, all at
// once, on documents that unload whenever nobody looks, until the hub closes
// under them. What was acknowledged is in the log, and nobody is left hanging.
func TestSessionsThatComeAndGo(t *testing.T) {
	run(t, Options{IdleUnload: time.Millisecond, Limits: Limits{PresenceGrace: time.Millisecond}}, func(t *testing.T, w *world) {
		var mu sync.Mutex
		acked := map[string][]string{}
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 5))
				for n := range 60 {
					d := fmt.Sprint("d", rng.IntN(3))
					id := uint64(g*1000 + n + 1)
					woken := make(chan struct{}, 1)
					s, err := w.hub.Subscribe(d, Peer{Session: id, CanWrite: true, CanPresence: true}, func() {
						select {
						case woken <- struct{}{}:
						default:
						}
					})
					if errors.Is(err, ErrClosed) {
						return
					}
					r := newReplica(t, crdt.ClientID(id))
					word := fmt.Sprintf("<%d>", id)
					sent := true
					for _, m := range []syncproto.Message{
						{Kind: syncproto.KindSyncStep1, Payload: r.vector()},
						{Kind: syncproto.KindAwareness, Payload: presence(id, 1, "{}")},
						{Kind: syncproto.KindUpdate, Payload: r.write(word)},
						{Kind: syncproto.KindAck, Payload: ackRequest(1)},
					} {
						sent = sent && s.Send(context.Background(), m) == nil
					}
					for wait := sent && rng.IntN(3) > 0; wait && len(r.acks) == 0; {
						<-woken
						for frame, ok := s.Next(); ok; frame, ok = s.Next() {
							r.receive(frame)
						}
						wait = s.End() == nil
					}
					if len(r.acks) > 0 {
						mu.Lock()
						acked[d] = append(acked[d], word)
						mu.Unlock()
					}
					s.Close()
					s.Close()
					if rng.IntN(4) == 0 {
						<-time.After(time.Duration(rng.IntN(5)) * time.Millisecond)
					}
				}
			})
		}
		<-time.After(40 * time.Millisecond)
		if err := w.hub.Close(context.Background()); err != nil {
			t.Error(err)
		}
		all.Wait()
		synctest.Wait()
		n := 0
		for d, words := range acked {
			text := w.durable(d)
			for _, word := range words {
				n++
				if !strings.Contains(text, word) {
					t.Errorf("%s was acknowledged and is lost", word)
				}
			}
		}
		if s := w.hub.Stats(); n == 0 || s.Documents != 0 || s.Subscriptions != 0 || s.UncommittedBytes != 0 {
			t.Errorf("%d acknowledged, left over: %+v", n, s)
		}
	})
}

// The same commands give the same effects: nothing hangs on the order of a map
// or on the clock of the machine.
func TestTheCoreIsDeterministic(t *testing.T) {
	history := func() uint64 {
		h := fnv.New64a()
		rng := rand.New(rand.NewPCG(11, 12))
		r := newRig(t, Limits{OutboxBytes: 2000, PresenceBytes: 500, ChunkBytes: 700, DocumentUncommittedBytes: 3000})
		var ps []*peer
		for i := range 8 {
			ps = append(ps, r.join(uint64(i+1)))
		}
		for i := range 2000 {
			p := ps[rng.IntN(len(ps))]
			switch n := rng.IntN(12); {
			case n < 6:
				r.batch = append(r.batch, p.message(syncproto.KindUpdate, p.write(fmt.Sprint(i, ","))))
			case n < 7:
				r.batch = append(r.batch, p.message(syncproto.KindAwareness, presence(p.sub.peer.Session, uint64(i+1), "{}")))
			case n < 8:
				r.batch = append(r.batch, p.message(syncproto.KindAck, ackRequest(uint64(i))))
			case n < 9:
				r.pass(time.Duration(rng.IntN(900)) * time.Millisecond)
			case n < 10 && r.committed < len(r.entries):
				r.commit(1 + rng.IntN(len(r.entries)-r.committed))
			case n < 11:
				for range 6 {
					p.readOne()
				}
			default:
				r.step()
			}
			fmt.Fprintf(h, "%d %d %d %v;", r.core.version, len(r.fx.out), len(r.core.lag.marks), r.fx.wake)
			for _, d := range r.fx.out {
				h.Write(d.item.frame)
			}
		}
		return h.Sum64()
	}
	if a, b := history(), history(); a != b {
		t.Errorf("%x and %x", a, b)
	}
}
