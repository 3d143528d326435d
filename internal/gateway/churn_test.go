package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"ysync/syncproto"
)

// Connections that come and go in every way leave nothing behind: no
// connection, no subscription, no goroutine, no part of the budget.
func TestChurn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var at clock
	r := start(t, func(o *Options) { o.Now = at.now; o.Session.MessageBytes = 4 << 20 })
	var clients sync.WaitGroup
	for worker := range 8 {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		clients.Go(func() {
			for i := range 25 {
				r.visit(random, byte(worker+1), byte(i))
				if random.IntN(8) == 0 {
					at.advance(parkAfter)
				}
			}
		})
	}
	clients.Wait()
	waitFor(t, func() bool { return r.connections.count.Load() == 0 })
	waitFor(t, func() bool { return r.hub.Stats().Subscriptions == 0 })
	if n := r.value("ysync_connections", ""); n != 0 {
		t.Errorf("the gauge says %v", n)
	}
	if !r.budgetIsFree() {
		t.Error("a part of the budget for large messages is lost")
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// visit is one client's whole life.
func (r *rig) visit(random *rand.Rand, id, clock byte) {
	raw := r.raw()
	defer raw.Close()
	raw.upgrade(fmt.Sprintf("/churn-%d", random.IntN(4)))
	raw.write(masked(fin|opBinary, hello))
	if random.IntN(2) == 0 {
		raw.until(frameBinary)
	}
	raw.write(masked(fin|opBinary, syncproto.AppendAwareness(nil, []byte{1, id, clock + 1, 2, '{', '}'})))
	raw.write(masked(fin|opBinary, syncproto.AppendUpdate(nil, insert(id, 0, "a"))))
	switch random.IntN(7) {
	case 0: // a goodbye, and a wait for the answer
		raw.write(masked(fin|opClose, []byte{0x03, 0xe8}))
		raw.until(frameClose)
	case 1: // a goodbye without one
		raw.write(masked(fin|opClose, []byte{0x03, 0xe9}))
	case 2: // lost
	case 3: // lost inside a large message
		raw.write(masked(fin|opBinary, append([]byte{99}, make([]byte, 2<<20)...))[:3<<19])
	case 4: // reset
		_ = raw.Conn.(*net.TCPConn).SetLinger(0)
	case 5: // thrown out
		raw.write(masked(fin|opBinary|0x70, hello))
		if code := raw.closeCode(); code != int(websocket.StatusProtocolError) {
			r.t.Errorf("closed with %d", code)
		}
	case 6: // pings, and an acknowledgement
		raw.write(masked(fin|opPing, []byte("?")))
		raw.write(masked(fin|opBinary, syncproto.AppendAck(nil, []byte{id})))
		raw.until(framePong)
	}
}
