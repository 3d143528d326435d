package hub

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ysync/syncproto"
)

// Crashes at any moment lose nothing that was acknowledged, and clients that
// come back bring the rest.
func TestCrashesLoseNothingAcknowledged(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			w := &world{t: t, opt: Options{Logger: zap.NewNop(), Limits: Limits{DocumentUncommittedBytes: 300}}}
			w.start()
			replicas := []*replica{newReplica(t, 1), newReplica(t, 2), newReplica(t, 3)}
			session := uint64(0)
			words, acked := map[string]bool{}, map[string]bool{}
			for life := range 6 {
				var cs []*connected
				asked := map[*connected][]string{}
				for _, r := range replicas {
					session++
					r.acks = nil
					c := subscribe(t, w.hub, "d", r, Peer{Session: session, CanWrite: true})
					c.send(syncproto.KindSyncStep1, c.vector())
					cs = append(cs, c)
				}
				settle(cs...)
				for n := range 60 {
					c := cs[rng.IntN(len(cs))]
					switch rng.IntN(8) {
					case 0:
						w.log.stall()
					case 1:
						pass(time.Duration(rng.IntN(2000)) * time.Millisecond)
					case 2:
						w.log.unstall()
						settle(cs...)
					default:
						word := fmt.Sprintf("<%d.%d.%d>", life, n, rng.IntN(100))
						words[word] = true
						c.send(syncproto.KindUpdate, c.write(word))
						asked[c] = append(asked[c], word)
						c.send(syncproto.KindAck, ackRequest(uint64(len(asked[c]))))
					}
					for _, c := range cs {
						c.drain()
					}
				}
				w.log.unstall()
				synctest.Wait()
				w.kill()
				for _, c := range cs {
					c.takeRest()
					for _, n := range c.acks {
						acked[asked[c][n-1]] = true
					}
				}
				w.start()
				durable := w.durable("d")
				for word := range acked {
					if !strings.Contains(durable, word) {
						t.Fatalf("seed %d: %s was acknowledged and is lost", seed, word)
					}
				}
			}
			var cs []*connected
			for _, r := range replicas {
				session++
				c := subscribe(t, w.hub, "d", r, Peer{Session: session, CanWrite: true})
				c.send(syncproto.KindSyncStep1, c.vector())
				cs = append(cs, c)
			}
			settle(cs...)
			for range 3 {
				pass(3 * time.Second)
				settle(cs...)
			}
			durable := w.durable("d")
			for word := range words {
				if strings.Count(durable, word) != 1 {
					t.Errorf("seed %d: %s is there %d times", seed, word, strings.Count(durable, word))
				}
			}
			if len(acked) == 0 {
				t.Errorf("seed %d: nothing was acknowledged", seed)
			}
			w.stop()
		})
	}
}

// takeRest takes what waits without answering: the connection is gone.
func (c *connected) takeRest() {
	for frame, ok := c.sub.Next(); ok; frame, ok = c.sub.Next() {
		c.receive(frame)
	}
}
