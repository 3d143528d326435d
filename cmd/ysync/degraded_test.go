package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"ysync/internal/testpg"
	"ysync/syncproto"
)

// cable leads to a server, and can be cut.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, to: to, conns: map[net.Conn]struct{}{}}
	t.Cleanup(func() {
		_ = l.Close()
		c.switchTo(true)
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(near)
		}
	}()
	return c
}

// through is a URL of the server by way of the cable.
func (c *cable) through(url string) string {
	return strings.Replace(url, c.to, c.listener.Addr().String(), 1)
}

// switchTo cuts the cable, or mends it.
func (c *cable) switchTo(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	for conn := range c.conns {
		if cut {
			_ = conn.Close()
		}
	}
}

// keep notes a connection; not ok when the cable is cut.
func (c *cable) keep(conn net.Conn) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cut {
		c.conns[conn] = struct{}{}
	}
	return !c.cut
}

func (c *cable) pass(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !c.keep(near) || !c.keep(far) {
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) // however it ends, both have ended
			_ = near.Close()
			_ = far.Close()
		})
	}
	both.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, near)
	delete(c.conns, far)
}

// gone is something that a server works with and that is gone.
type gone struct {
	what       string
	end, mend  func() error
	line       string // in /status
	metric     string
	acceptable func(value float64) bool
	// silent: what is written then is not acknowledged.
	silent bool
}

func exactly(want float64) func(float64) bool { return func(got float64) bool { return got == want } }
func some(got float64) bool                   { return got > 0 }

// owns makes a document whose owner the server is, and has it open.
func (s *server) owns(prefix string) *peer {
	s.t.Helper()
	self := s.status().Cluster.Self.Boot
	for i := range 64 {
		name := fmt.Sprintf("%s/%d", prefix, i)
		p := s.join(name)
		p.edit("before ")
		// A server alone has all. How many documents a node has does not tell: others
		// may come to it meanwhile.
		out, errs, code := ysync(s.t, "doc", "explain", name, "--json", "--server", "http://"+s.ops())
		var of struct{ Owner string }
		if err := json.Unmarshal([]byte(out), &of); code != 0 || err != nil {
			s.t.Fatalf("exit code %d, %v: %s", code, err, errs)
		}
		if self == "" || of.Owner == self {
			return p
		}
		_ = p.ws.CloseNow()
	}
	s.t.Fatal("the server owns none of 64 documents")
	return nil
}

// degrades lets something be gone, with an edit under way, and requires a line and
// a metric of it, and that both are as before when it is back.
func (s *server) degrades(g gone) {
	t := s.t
	t.Helper()
	p := s.owns(g.what)
	if err := g.end(); err != nil {
		t.Fatalf("%s: %v", g.what, err)
	}
	p.write("meanwhile ")
	st := s.until(g.what, func(st status) bool {
		return strings.Contains(strings.Join(st.Degraded, "\n"), g.line) && g.acceptable(s.metric(g.metric))
	})
	t.Logf("%s: %q, %s %v", g.what, st.Degraded, g.metric, s.metric(g.metric))
	p.write("still ")
	var mended atomic.Bool
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		p.until(syncproto.KindAck)
		p.until(syncproto.KindAck)
		if g.silent && !mended.Load() {
			t.Errorf("%s: an edit was acknowledged", g.what)
		}
	}()
	if !g.silent {
		<-answered
	}
	mended.Store(true)
	if err := g.mend(); err != nil {
		t.Fatalf("%s: %v", g.what, err)
	}
	<-answered
	s.until("the end of: "+g.what, func(st status) bool { return len(st.Degraded) == 0 })
	p.edit("after ")
	if err := p.ws.CloseNow(); err != nil {
		t.Log(err)
	}
}

// Whatever a node works with may be gone: a line of /status and a metric say so,
// and no longer when it is back.
func TestDegradedModes(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	redis, database := newCable(t, n.redis.Addr()), newCable(t, n.database.Addr())
	a := n.start("a", "--segment-interval", "500ms", "--snapshot-interval", "500ms")
	c := n.startAt("c", redis.through(n.redis.URL()), database.through(n.url))
	for _, s := range []*server{a, c} {
		s.until("two nodes", members("a", "c"))
	}
	switches := func(cables ...*cable) (cut, mend func() error) {
		turn := func(cut bool) func() error {
			return func() error {
				for _, c := range cables {
					c.switchTo(cut)
				}
				return nil
			}
		}
		return turn(true), turn(false)
	}
	nothing := func() error { return nil }
	flush := func() error { _, err := n.redis.Do("FLUSHALL"); return err }
	stopStore := func() error { return n.store.Stop() }
	a.degrades(gone{"what Redis held", flush, nothing, "Redis has lost what it held", "ysync_cluster_redis_emptied_total", some, false})
	a.degrades(gone{"Redis", n.redis.Kill, n.redis.Start, "Redis does not answer", `ysync_cluster_degraded{what="redis"}`, exactly(1), false})
	a.degrades(gone{"the database", n.database.Kill, n.database.Start, "the database does not answer", `ysync_cluster_degraded{what="postgres"}`, exactly(1), true})
	a.degrades(gone{"the database, with edits", n.database.Kill, n.database.Start, "the update log does not commit", "ysync_log_stalled", exactly(1), true})
	a.degrades(gone{"the bucket", stopStore, n.store.Restart, "snapshots and history can't be stored", `ysync_segment_seconds_count{result="failed"}`, some, false})
	cut, mend := switches(database)
	c.degrades(gone{"the database, for one node", cut, mend, "the database has not answered this node", `ysync_cluster_degraded{what="postgres"}`, exactly(1), true})
	cut, mend = switches(database, redis)
	c.degrades(gone{"both, for one node", cut, mend, "neither Redis nor the database has heard of this node", "ysync_cluster_lease", exactly(0), true})
	for _, s := range []*server{a, c} {
		if s.metric("ysync_cluster_lease") != 1 || s.metric("ysync_log_stalled") != 0 || s.metric(`ysync_cluster_degraded{what="postgres"}`) != 0 {
			t.Error("a metric stays where it was while something was gone")
		}
	}
}

// A server alone whose disk is nearly full says so, and goes on when there is room.
func TestDiskOfAServerIsFull(t *testing.T) {
	disk := testpg.SmallDisk(t, 160<<20)
	s := startServer(t, commandFor(t, 5*bound, "serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", filepath.Join(disk, "data")))
	var ballast string
	s.degrades(gone{
		"room on the disk",
		func() (err error) {
			ballast, err = testpg.FillUp(disk, 24<<20)
			// The log looks at the disk now and then.
			s.until("nothing is written any more", func(status) bool {
				p := s.join("more")
				p.write("x")
				_ = p.ws.CloseNow()
				return s.metric("ysync_log_stalled") == 1
			})
			return err
		},
		func() error { return os.Remove(ballast) },
		"the update log does not commit", "ysync_log_stalled", exactly(1), true,
	})
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}
