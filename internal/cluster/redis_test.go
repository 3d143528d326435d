//go:build unix

package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/testredis"
)

// is waits until the first line of a server's answer to a command is as wanted.
func is(t *testing.T, s *testredis.Server, want string, words ...string) {
	t.Helper()
	answers(t, s.Do, func(got string) bool { return got == want }, words...)
}

// contains waits until a server's answer of text contains something.
func contains(t *testing.T, s *testredis.Server, want string, words ...string) {
	t.Helper()
	answers(t, s.Text, func(got string) bool { return strings.Contains(got, want) }, words...)
}

func answers(t *testing.T, ask func(...string) (string, error), want func(string) bool, words ...string) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := ask(words...)
		if err == nil && want(got) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%v: %q, %v", words, got, err)
		}
	}
}

// redisCluster is three servers with a third of the slots each, and a fourth
// that is the replica of the one with the members' keys, which comes first.
func redisCluster(t *testing.T) (servers []*testredis.Server) {
	t.Helper()
	for range 4 {
		servers = append(servers, testredis.StartCluster(t))
	}
	for i, s := range servers[:3] {
		is(t, s, "+OK", "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		is(t, s, "+OK", "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*16384/3), fmt.Sprint((i+1)*16384/3-1))
	}
	for _, s := range servers[1:] {
		is(t, servers[0], "+OK", "CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(s.Port), fmt.Sprint(s.Bus))
	}
	slot, err := servers[0].Do("CLUSTER", "KEYSLOT", "{ysync}:live")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimPrefix(slot, ":"))
	if err != nil {
		t.Fatal(err)
	}
	first := n * 3 / 16384
	servers[0], servers[first] = servers[first], servers[0]
	name, err := servers[0].Text("CLUSTER", "MYID")
	if err != nil {
		t.Fatal(err)
	}
	is(t, servers[3], "+OK", "CLUSTER", "REPLICATE", name)
	for _, s := range servers {
		contains(t, s, "cluster_state:ok", "CLUSTER", "INFO")
		contains(t, s, "cluster_known_nodes:4", "CLUSTER", "INFO")
	}
	// The replica is one when it has what there is.
	contains(t, servers[3], "master_link_status:up", "INFO", "replication")
	for _, s := range servers[1:3] {
		contains(t, s, "slave "+name, "CLUSTER", "NODES")
	}
	return servers
}

// Members see one another through a Redis Cluster, and go on when the server with
// their keys dies and its replica takes its place.
func TestRedisCluster(t *testing.T) {
	s := newSite(t)
	servers := redisCluster(t)
	s.redisURL = servers[1].URL() + "?addr=" + servers[2].Addr()
	s.failsOver(servers[0], servers[3])
}

// Sentinels name the Redis that is to be used, also after it has died.
func TestRedisSentinel(t *testing.T) {
	s := newSite(t)
	replica := testredis.Start(t, "--replicaof", "127.0.0.1", fmt.Sprint(s.redis.Port))
	contains(t, replica, "master_link_status:up", "INFO", "replication")
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 500\n", s.redis.Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := testredis.StartSentinel(t, config)
	contains(t, sentinel, "slaves=1", "INFO", "sentinel")
	s.redisURL = sentinel.URL() + "?master_set=main"
	s.failsOver(s.redis, replica)
}

// failsOver joins two nodes, kills the Redis that they use and waits until they
// use its replica. Nobody is missed meanwhile, and who comes then is seen.
func (s *site) failsOver(first, second *testredis.Server) {
	s.Helper()
	s.ttl = 12 * time.Second // so that a busy machine is not taken for a missing node
	a, b := s.join("a"), s.join("b")
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	is(s.T, first, ":2", "ZCARD", "{ysync}:live")
	changed := a.Changed()
	if err := first.Kill(); err != nil {
		s.Fatal(err)
	}
	contains(s.T, second, "role:master", "INFO", "replication")
	// What it has of the one before does not count.
	is(s.T, second, ":1", "DEL", "{ysync}:live")
	is(s.T, second, ":2", "ZCARD", "{ysync}:live")
	select {
	case <-changed:
		s.Errorf("while Redis failed over, the members became %q", boots(a.Members()))
	default:
	}
	s.join("c")
	s.sees(a, "a", "b", "c")
	s.sees(b, "a", "b", "c")
	is(s.T, second, ":3", "ZCARD", "{ysync}:live")
	for _, n := range []*node{a, b} {
		if st := n.Status(); !st.Redis.Up || len(st.Degraded) > 0 {
			s.Errorf("the status is %+v", st)
		}
	}
}
