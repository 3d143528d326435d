package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/metrics"
	"ysync/internal/session"
	"ysync/syncproto"
)

// pipes is a listener without sockets, so that time can be virtual. A write on
// its connections waits until the other side reads.
type pipes struct {
	accept chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes {
	return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.accept:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func startVirtual(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	l := newPipes()
	r := startOn(t, l, change)
	r.dial = l.dial
	return r
}

// A lone idle client stays connected for 90 s: stock clients give up when no
// data message came for 30 s.
func TestIdleClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		c := r.connect("/notes")
		c.sync()
		begun, last, longest := time.Now(), time.Now(), time.Duration(0)
		for time.Since(begun) < 90*time.Second {
			m := c.next()
			longest = max(longest, time.Since(last))
			last = time.Now()
			if m.Kind == syncproto.KindAwareness && !bytes.Equal(m.Payload, []byte{0}) {
				t.Errorf("not a keepalive: % x", m.Payload)
			}
		}
		if longest >= 25*time.Second {
			t.Errorf("silent for %v", longest)
		}
		c.send(syncproto.AppendAck(nil, []byte{1}))
		c.until(syncproto.KindAck)
	})
}

// Some clients wait for the server to begin.
func TestServerBeginsAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		c := r.connect("/notes")
		begun := time.Now()
		c.until(syncproto.KindSyncStep1)
		if waited := time.Since(begun); waited < 5*time.Second || waited > 6500*time.Millisecond {
			t.Errorf("the server spoke after %v", waited)
		}
	})
}

// A handshake that does not come to its end is cut off.
func TestSlowHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		raw := r.raw()
		request := raw.request("/notes")
		raw.write([]byte(request[:len(request)-2]))
		begun := time.Now()
		_, err := io.ReadAll(raw.r)
		if waited := time.Since(begun); err != nil || waited > headerTimeout+time.Second {
			t.Errorf("cut off after %v: %v", waited, err)
		}
	})
}

// A reader that takes nothing for 30 s is closed; one that takes a byte now
// and then is not.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		dead, slow := r.raw(), r.raw()
		for _, c := range []*raw{dead, slow} {
			if err := c.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			c.upgrade("/notes")
			c.write(masked(fin|opBinary, hello))
		}
		begun := time.Now()
		for time.Since(begun) < 5*time.Minute {
			<-time.After(20 * time.Second)
			// Unbuffered, so that no more than one byte is taken.
			if _, err := slow.Conn.Read(make([]byte, 1)); err != nil {
				t.Fatalf("the slow reader was closed after %v: %v", time.Since(begun), err)
			}
		}
		if n := r.value("ysync_closes_total", "4508"); n != 1 {
			t.Errorf("%v closed as slow readers", n)
		}
		if n := r.connections.count.Load(); n != 1 {
			t.Errorf("%d connections left", n)
		}
	})
}

// A client that does not read its pongs is no reason to close it, as long as
// it takes other bytes.
func TestPingsOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		c := r.raw()
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		c.upgrade("/notes")
		for range 20 {
			c.write(masked(fin|opPing, []byte("?")))
			<-time.After(time.Second)
		}
		if got := c.until(framePong); string(got) != "?" {
			t.Fatalf("%q", got)
		}
	})
}

// Large messages share a budget: who holds a part of it must keep a rate, and
// who finds it taken waits a bounded time.
func TestLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, func(o *Options) {
			o.Session.MessageBytes = 4 << 20
			o.LargeBudget = 4 << 20
		})
		half := masked(fin|opBinary, append([]byte{99}, make([]byte, 3<<20)...))
		idler, waiter := r.connect("/a"), r.connect("/b")
		idler.sync()
		waiter.sync()

		stuck := r.raw()
		stuck.upgrade("/c")
		stuck.write(half[:2<<20])
		synctest.Wait()
		begun := time.Now()
		// Small messages do not wait.
		idler.send(syncproto.AppendAck(nil, []byte{1}))
		idler.until(syncproto.KindAck)
		// A second large one waits for the first, which is too slow.
		waiter.send(append([]byte{99}, make([]byte, 3<<20)...))
		waiter.send(syncproto.AppendAck(nil, []byte{1}))
		waiter.until(syncproto.KindAck)
		if waited := time.Since(begun); waited < 10*time.Second || waited > largeWait {
			t.Errorf("waited %v", waited)
		}
		if n := r.value("ysync_closes_total", "4509"); n != 1 {
			t.Errorf("%v closed as slow senders", n)
		}
	})
}

// A long message is slowed down as it comes, so that who connects anew for each has
// no more than a burst of each; and it is paid for once.
func TestALongMessageIsPaidForAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, func(o *Options) { o.Session.BytesPerSecond = 100 << 10 }) // and 500 KiB at once
		c := r.connect("/a")
		c.sync()
		begun := time.Now()
		c.send(append([]byte{99}, make([]byte, 1500<<10)...))
		c.send(syncproto.AppendAck(nil, []byte{1}))
		c.until(syncproto.KindAck)
		if took := time.Since(begun); took < 10*time.Second || took > 12*time.Second {
			t.Errorf("taken after %v", took)
		}

		before := r.value("ysync_limited_messages_total", metrics.LimitSessionBytes)
		cut := r.raw()
		cut.upgrade("/b")
		cut.write(masked(fin|opBinary, append([]byte{99}, make([]byte, 1500<<10)...))[:1200<<10])
		synctest.Wait()
		if r.value("ysync_limited_messages_total", metrics.LimitSessionBytes) == before {
			t.Error("most of another was read without a wait")
		}
	})
}

// While the budget is held by those who keep the rate, the next one is told to
// try later.
func TestLargeMessagesBeyondTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, func(o *Options) {
			o.Session.MessageBytes = 4 << 20
			o.LargeBudget = 4 << 20
		})
		last := &r.budget.tiers[2]
		if !last.free.TryAcquire(last.total) {
			t.Fatal("the budget is not free")
		}
		defer last.free.Release(last.total)
		c := r.raw()
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		c.upgrade("/a")
		begun := time.Now()
		go func() { _, _ = c.Write(masked(fin|opBinary, append([]byte{99}, make([]byte, 3<<20)...))) }()
		if code := c.closeCode(); code != session.CloseTryLater {
			t.Errorf("closed with %d", code)
		}
		if waited := time.Since(begun); waited != largeWait {
			t.Errorf("waited %v", waited)
		}
	})
}

// Half of the keepalives may not come in the same moment.
func TestSweepIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, nil)
		at := map[time.Duration]int{}
		var mu sync.Mutex
		var clients sync.WaitGroup
		begun := time.Now()
		const n = 64
		for range n {
			c := r.connect("/notes")
			c.sync()
			clients.Go(func() {
				for {
					_, frame, err := c.ws.Read(context.Background())
					if err != nil {
						return
					}
					if bytes.Equal(frame, syncproto.Keepalive) {
						mu.Lock()
						at[time.Since(begun)]++
						mu.Unlock()
						_ = c.ws.Close(websocket.StatusNormalClosure, "")
						return
					}
				}
			})
		}
		clients.Wait()
		for moment, count := range at {
			if count > n/4 {
				t.Errorf("%d of %d keepalives at %v", count, n, moment)
			}
		}
	})
}
