//go:build unix

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/internal/cluster"
	"ysync/internal/metrics"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
	"ysync/persistence"
	"ysync/persistence/postgres"
)

var pg *testpg.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if testpg.Missing() == "" {
		s, err := testpg.New("", "fsync=on")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		pg = s
		defer func() { _ = s.Remove() }()
	}
	return m.Run()
}

// site is a cluster's Redis and database.
type site struct {
	*testing.T
	redis *testredis.Server
	// redisURL is where nodes find Redis; empty for redis itself.
	redisURL string
	url      string
	ttl      time.Duration
}

func newSite(t *testing.T) *site {
	testpg.Need(t)
	return &site{T: t, redis: testredis.Start(t), url: pg.Database(t), ttl: time.Second}
}

func (s *site) log() *postgres.Log {
	s.Helper()
	log, err := postgres.Open(s.Context(), postgres.Options{URL: s.url, ConnectTimeout: time.Minute, Patience: 2 * time.Second})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = log.Close() })
	return log
}

// node is a member with a log of its own.
type node struct {
	*cluster.Member
	log *postgres.Log
}

func (s *site) join(boot string) *node {
	s.Helper()
	log := s.log()
	redis := s.redisURL
	if redis == "" {
		redis = s.redis.URL()
	}
	m, err := cluster.Join(s.Context(), cluster.Options{
		Self:  cluster.Node{Boot: boot, Name: boot, Relay: "127.0.0.1:1", Weight: 1},
		Redis: redis, Log: log, TTL: s.ttl, Logger: zap.NewNop(), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = m.Close(ctx)
	})
	return &node{m, log}
}

func boots(nodes []cluster.Node) []string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Boot)
	}
	return names
}

// patience bounds every wait, on a machine that does other things too.
const patience = 30 * time.Second

// sees waits until a node knows exactly these members, and returns how long it took.
func (s *site) sees(n *node, want ...string) time.Duration {
	s.Helper()
	start := time.Now()
	late := time.After(patience)
	for {
		changed := n.Changed()
		if slices.Equal(boots(n.Members()), want) {
			return time.Since(start)
		}
		select {
		case <-changed:
		case <-late:
			s.Fatalf("members are %q, want %q", boots(n.Members()), want)
		}
	}
}

func (s *site) owner(n *node, document string) string {
	s.Helper()
	o, err := n.Owner(s.Context(), document)
	if err != nil {
		s.Fatalf("owner of %q: %v", document, err)
	}
	return o.Boot
}

// A node that joins, leaves or drains is seen by the others at once, as Redis
// pushes it: much sooner than they would look by themselves.
func TestChangesArePushed(t *testing.T) {
	s := newSite(t)
	s.ttl = 30 * time.Second // beats every 10 s
	a := s.join("a")
	b := s.join("b")
	if took := s.sees(a, "a", "b"); took > 5*time.Second {
		t.Errorf("the other one was seen after %v", took)
	}
	s.sees(b, "a", "b")
	start := time.Now()
	b.Keep(&openDocuments{log: b.log, boot: "b"})
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for changed := a.Changed(); ; changed = a.Changed() {
		if m := a.Members(); len(m) == 2 && m[1].Draining {
			break
		}
		<-changed
	}
	for i := range 20 {
		if got := s.owner(b, fmt.Sprint("d", i)); got != "a" {
			t.Fatalf("a node that drains places a document at %q", got)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.sees(a, "a")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("draining and leaving was seen after %v", took)
	}
}

// A node that dies without a word is gone after the TTL and a beat.
func TestSilenceExpires(t *testing.T) {
	s := newSite(t)
	a, b := s.join("a"), s.join("b")
	s.sees(a, "a", "b")
	b.Silence()
	start := time.Now()
	s.sees(a, "a")
	if took := time.Since(start); took < s.ttl/3 || took > 3*s.ttl {
		t.Errorf("a dead node was gone after %v, want about %v", took, s.ttl)
	}
}

// A port that refuses ends a node's membership at once, everywhere. If it lives
// after all, it is back with its next beat.
func TestRefusedIsGoneAtOnce(t *testing.T) {
	s := newSite(t)
	s.ttl = 30 * time.Second
	a, c := s.join("a"), s.join("c")
	dead := s.join("b")
	s.sees(a, "a", "b", "c")
	s.sees(c, "a", "b", "c")
	dead.Silence()
	start := time.Now()
	a.Refused(a.Members()[1])
	s.sees(a, "a", "c")
	s.sees(c, "a", "c")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("gone after %v", took)
	}
	s.ttl = time.Second
	d := s.join("d")
	s.sees(a, "a", "c", "d")
	a.Refused(d.Self())
	s.sees(a, "a", "c")
	s.sees(a, "a", "c", "d")
}

// With Redis killed, frozen, flushed or restarted empty nobody disappears, and
// who dies then is missed all the same.
func TestRedisMayGo(t *testing.T) {
	s := newSite(t)
	a, b := s.join("a"), s.join("b")
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	stays := func(what string) {
		t.Helper()
		late := time.After(2 * s.ttl)
		for {
			select {
			case <-a.Changed():
				t.Fatalf("%s: members are %q", what, boots(a.Members()))
			case <-b.Changed():
				t.Fatalf("%s: members are %q", what, boots(b.Members()))
			case <-late:
				return
			}
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.redis.Do("FLUSHALL")
	check(err)
	stays("flushed")
	check(s.redis.Freeze())
	stays("frozen")
	check(s.redis.Thaw())
	stays("thawed")
	check(s.redis.Kill())
	stays("killed")
	if st := a.Status(); len(st.Degraded) != 1 || st.Redis.Up || !st.Postgres.Up || !st.Leased {
		t.Errorf("without Redis the status is %+v", st)
	}
	c := s.join("c")
	s.sees(a, "a", "b", "c")
	s.sees(b, "a", "b", "c")
	c.Silence()
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	check(s.redis.Start())
	stays("restarted empty")
	if st := a.Status(); len(st.Degraded) != 0 || !st.Redis.Up {
		t.Errorf("after Redis came back the status is %+v", st)
	}
}

// A document is at the node that holds it, wherever it should be; else where
// the placement says, which is the same for all.
func TestOwnerGoesByTheRecordFirst(t *testing.T) {
	s := newSite(t)
	a, b := s.join("a"), s.join("b")
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	placed := map[string]int{}
	for i := range 40 {
		document := fmt.Sprint("d", i)
		at := s.owner(a, document)
		placed[at]++
		if other := s.owner(b, document); other != at {
			t.Fatalf("%s is at %s for one and at %s for the other", document, at, other)
		}
		holder := map[string]string{"a": "b", "b": "a"}[at]
		if _, err := a.log.Claim(t.Context(), document, holder, 0); err != nil {
			t.Fatal(err)
		}
		if one, other := s.owner(a, document), s.owner(b, document); one != holder || other != holder {
			t.Fatalf("%s, held by %s, is at %s for one and at %s for the other", document, holder, one, other)
		}
	}
	if placed["a"] < 5 || placed["b"] < 5 {
		t.Errorf("placed %v", placed)
	}
	b.Silence()
	s.sees(a, "a")
	if got := s.owner(a, "d0"); got != "a" {
		t.Errorf("the only one left finds the document at %s", got)
	}
}

// Of several nodes that open a document of a dead owner at once, one claims it.
func TestTakeoverHasOneWinner(t *testing.T) {
	s := newSite(t)
	nodes := []*node{s.join("a"), s.join("b"), s.join("c")}
	for _, n := range nodes {
		s.sees(n, "a", "b", "c")
	}
	for round := range 10 {
		document := fmt.Sprint("d", round)
		dead, err := nodes[0].log.Claim(t.Context(), document, "gone", 0)
		if err != nil {
			t.Fatal(err)
		}
		var opened sync.Map
		var all sync.WaitGroup
		for _, n := range nodes {
			for range 4 {
				all.Go(func() {
					switch claim, err := n.Open(t.Context(), document); {
					case err == nil && claim != 0 && claim != dead.Epoch+1:
						t.Errorf("claimed as %d", claim)
					case err == nil:
						opened.Store(n.Self().Boot, true)
					case !errors.Is(err, persistence.ErrFenced):
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		count := 0
		opened.Range(func(any, any) bool { count++; return true })
		r, err := nodes[0].log.Open(t.Context(), document)
		if err != nil || count != 1 || r.Epoch != dead.Epoch+1 || r.Owner == "gone" {
			t.Fatalf("round %d: %d nodes opened it; the record is %+v, %v", round, count, r, err)
		}
		if _, ok := opened.Load(r.Owner); !ok {
			t.Fatalf("round %d: %s holds it and did not open it", round, r.Owner)
		}
	}
}

// Without the database, documents are where they were.
func TestOwnersAreRememberedWithoutTheLog(t *testing.T) {
	s := newSite(t)
	a, b := s.join("a"), s.join("b")
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	for i := range 10 {
		if _, err := a.log.Claim(t.Context(), fmt.Sprint("d", i), "b", 0); err != nil {
			t.Fatal(err)
		}
		s.owner(a, fmt.Sprint("d", i))
	}
	if err := a.log.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if got := s.owner(a, fmt.Sprint("d", i)); got != "b" {
			t.Errorf("d%d is at %s", i, got)
		}
	}
}
