package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ysync/internal/cluster"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
)

// nodes are servers of one cluster.
type nodes struct {
	*testing.T
	redis    *testredis.Server
	database *testpg.Server
	url      string
	store    *s3test.Server
	bucket   string
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	store, database := s3test.Start(t), testpg.Start(t)
	n := &nodes{T: t, redis: testredis.Start(t), database: database, url: database.Database(t), store: store}
	n.bucket = "s3://" + store.Bucket(t, "cluster") + "/ysync?endpoint=" + store.Endpoint
	return n
}

func (n *nodes) start(name string, args ...string) *server {
	n.Helper()
	return n.startAt(name, n.redis.URL(), n.url, args...)
}

// startAt is start with a Redis and a database that are somewhere else.
func (n *nodes) startAt(name, redis, database string, args ...string) *server {
	n.Helper()
	cmd := commandFor(n.T, 5*bound, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", filepath.Join(n.TempDir(), name), "--node-name", name,
	}, args...)...)
	cmd.Env = append(cmd.Env, "YSYNC_CLUSTER="+redis)
	return startServer(n.T, withLog(withBucket(cmd, n.bucket), database))
}

// three starts three nodes and waits until each of them knows the others.
func (n *nodes) three() (a, b, c *server) {
	n.Helper()
	a, b, c = n.start("a"), n.start("b"), n.start("c")
	for _, s := range []*server{a, b, c} {
		s.until("three nodes", members("a", "b", "c"))
	}
	return a, b, c
}

// status is a part of /status.
type status struct {
	Draining bool
	Degraded []string
	Cluster  cluster.Status
}

func (s *server) status() (st status) {
	s.t.Helper()
	s.readStatus(&st)
	return st
}

// until asks for the status until it is as wanted.
func (s *server) until(what string, want func(status) bool) status {
	s.t.Helper()
	late := time.After(bound)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st := s.status()
		if want(st) {
			return st
		}
		select {
		case <-tick.C:
		case <-late:
			s.t.Fatalf("%s: the status is %+v", what, st)
		}
	}
}

func members(names ...string) func(status) bool {
	return func(st status) bool {
		var have []string
		for _, m := range st.Cluster.Members {
			have = append(have, m.Name)
		}
		for _, name := range names {
			if !strings.Contains(strings.Join(have, " ")+" ", name+" ") {
				return false
			}
		}
		return len(have) == len(names)
	}
}

// Nodes see one another come, die and leave, and say what is gone.
func TestNodesSeeOneAnother(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	a, b, c := n.start("a"), n.start("b", "--node-weight", "2"), n.start("c")
	for _, s := range []*server{a, b, c} {
		s.until("three nodes", members("a", "b", "c"))
	}
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.until("one was killed", members("a", "c"))
	if code, log := c.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
	a.until("one left", members("a"))
	if err := n.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	st := a.until("Redis is gone", func(st status) bool { return len(st.Degraded) == 1 })
	if !strings.Contains(st.Degraded[0], "Redis") || !st.Cluster.Leased {
		t.Errorf("without Redis: %+v", st)
	}
	a.join("team/plan").edit("hey")
	if err := n.redis.Start(); err != nil {
		t.Fatal(err)
	}
	a.until("Redis is back", func(st status) bool { return len(st.Degraded) == 0 })
	if code, log := a.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}

func TestClusterUsage(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	redis, log, bucket := "--cluster=redis://127.0.0.1:1", "--log=postgres://u@127.0.0.1:1/d", "--snapshots=s3://b/p"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{redis}, "--cluster needs --log"},
		{[]string{redis, log}, "--cluster needs --snapshots"},
		{[]string{redis, log, bucket, "--relay-listen=0.0.0.0:0"}, "without --relay-secret or --relay-cert nodes are on loopback only"},
		{[]string{"--node-weight=0"}, "--node-weight"},
		{[]string{"--drain-time=-1s"}, "--drain-time"},
		{[]string{"--relay-cert=x"}, "go together"},
	} {
		_, errs, code := ysync(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, c.args...)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
	}
}
