package main

import (
	"os"
	"testing"
	"time"

	"ysync/internal/e2e"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
)

// The test binary is the attackers, too.
func TestMain(m *testing.M) {
	if os.Getenv(attackersHere) != "" {
		if err := attackerMain(os.Args[2:]); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// startServer builds and starts the server, on any core.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	bin, err := e2e.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := e2e.Start(bin, t.TempDir(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := s.Stop(); code != 0 || err != nil {
			t.Errorf("the server ended with %d, %v\n%s", code, err, s.Log())
		}
	})
	return &server{name: "ysync", addr: s.Addr, pid: s.PID(), stop: s.Kill}
}

// Honest clients beside hostile ones: nobody is disconnected, every edit is seen
// by all, the memory stays bounded and the server goes on. What it costs in time
// is for the long run on a quiet machine.
func TestHonestBesideHostile(t *testing.T) {
	srv := startServer(t, "--log-level", "error")
	o := ordeal{
		documents: 6, clients: 5, attacked: 3, attackers: 66,
		quiet: time.Second, loud: 8 * time.Second, every: 250 * time.Millisecond, settle: 0,
	}
	got, err := o.run(srv)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("attackers did: %s; memory %d MiB, at most %d MiB", got.did, got.baseline>>20, got.peak>>20)
	if len(got.lost) > 0 || got.unseen > 0 {
		t.Errorf("honest clients were disconnected: %v; %d edits were not seen by all", got.lost, got.unseen)
	}
	if got.peak > got.baseline+256<<20 {
		t.Errorf("%d MiB, %d MiB before", got.peak>>20, got.baseline>>20)
	}
	for i := range got.loud {
		if got.loud[i].Deliveries == 0 || got.loud[i].Failures > 0 {
			t.Errorf("documents of kind %d: %d deliveries, %d messages that cannot be read", i, got.loud[i].Deliveries, got.loud[i].Failures)
		}
	}
}

// Clients that send back all presence that they see do so once: states and edits
// arrive everywhere and nobody is lost.
func TestMirrorsOfPresence(t *testing.T) {
	srv := startServer(t)
	g := gathering{mirrors: 100, real: 3, script: "../e2e/crowd.mjs", measure: 3 * time.Second}
	got, err := g.run(srv)
	if err != nil {
		t.Fatal(err)
	}
	if got.seen < 103 || len(got.lost) > 0 || got.edits.Deliveries < 100 || got.edits.Failures > 0 {
		t.Errorf("%+v", got)
	}
}

// Each edit goes once to each other node, however many read it there, and all of
// them see it. What that costs is for the job.
func TestReadersOfACluster(t *testing.T) {
	testpg.Need(t)
	testredis.Need(t)
	s3test.Need(t)
	bin, err := e2e.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := startSite(bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	nodes, err := s.start(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stopAll(nodes)
	got, err := audience{readers: 20, editsPerSecond: 10, measure: 2 * time.Second}.run(nodes)
	if err != nil {
		t.Fatal(err)
	}
	if got.casts == 0 || got.casts > 2*got.edits || len(got.relayed) != 2 {
		t.Errorf("%d update frames between nodes for %d edits, %d other nodes", got.casts, got.edits, len(got.relayed))
	}
	for _, r := range append(got.relayed, got.local) {
		if r.Deliveries == 0 || r.Failures > 0 {
			t.Errorf("%+v", r)
		}
	}
}
