//go:build unix

package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ysync/internal/testredis"
)

// answers waits until a server's answer to a command is as wanted.
func answers(t *testing.T, s *testredis.Server, want func(string) bool, words ...string) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := s.Do(words...)
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

// Members see one another through a Redis Cluster.
func TestRedisCluster(t *testing.T) {
	s := newSite(t)
	s.redis = testredis.Start(t, "--cluster-enabled", "yes")
	answers(t, s.redis, func(got string) bool { return got == "+OK" }, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	// PUBLISH is answered as soon as the slots are served.
	answers(t, s.redis, func(got string) bool { return got == ":0" }, "DEL", "{ysync}:none")
	s.ttl = 30 * time.Second // so that only what Redis pushes is in time
	a, b := s.join("a"), s.join("b")
	if took := s.sees(a, "a", "b"); took > 5*time.Second {
		t.Errorf("the other one was seen after %v", took)
	}
	s.sees(b, "a", "b")
	if st := a.Status(); !st.Redis.Up {
		t.Errorf("the status is %+v", st)
	}
}

// Sentinels name the Redis that is to be used.
func TestRedisSentinel(t *testing.T) {
	s := newSite(t)
	master := s.redis
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\n", master.Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := testredis.StartSentinel(t, config)
	answers(t, sentinel, func(got string) bool { return strings.HasPrefix(got, "*") }, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
	s.redisURL = sentinel.URL() + "?master_set=main"
	s.ttl = 30 * time.Second
	a, b := s.join("a"), s.join("b")
	if took := s.sees(a, "a", "b"); took > 5*time.Second {
		t.Errorf("the other one was seen after %v", took)
	}
	s.sees(b, "a", "b")
	if st := a.Status(); !st.Redis.Up {
		t.Errorf("the status is %+v", st)
	}
}
