package crashtest

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/testpg"
)

// outage is one way for a database to go and to come back.
type outage struct {
	name      string
	end, back func() error
}

// recovery bounds the time from a database's return to the acknowledgement of all
// that was made before it. On a machine with nothing else to do it is under 2 s;
// tests do not have one.
const recovery = 4 * time.Second

// The database of a server's update log is restarted, killed and frozen, its
// connections are ended, and the answers to commits are cut off, under fifty
// connections. The server lives on: no session ends, no acknowledged edit is
// lost, and what was made meanwhile is acknowledged when the database is back.
func TestPostgresOutages(t *testing.T) {
	database := testpg.Start(t)
	url := database.Database(t)
	cut := newCutter(t, database.Addr())
	admin := func(statements ...string) func() error {
		return func() error {
			testpg.Exec(t, database.URL("postgres"), statements...)
			return nil
		}
	}
	h := endure(t, database, cut.url(url), 2, []outage{
		{"stopped", database.Stop, database.Start},
		{"killed", database.Kill, database.Start},
		{"frozen", database.Freeze, database.Thaw},
		{
			"connections ended",
			admin("ALTER DATABASE test1 ALLOW_CONNECTIONS false", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test1'"),
			admin("ALTER DATABASE test1 ALLOW_CONNECTIONS true"),
		},
		{
			"answers cut off",
			func() error { cut.cutting.Store(true); return nil },
			func() error { cut.cutting.Store(false); return nil },
		},
	})
	t.Log(h.ledger.report(), cut.cuts.Load(), "answers cut off")
	if cut.cuts.Load() < 2 {
		t.Errorf("%d answers were cut off", cut.cuts.Load())
	}
}

// endure lets the writers work on a server while its database goes and comes
// back, in each way, and audits at the end.
func endure(t *testing.T, database *testpg.Server, url string, rounds int, ways []outage) *harness {
	t.Helper()
	cfg := smoke(buildServer(t), t.TempDir(), uint64(time.Now().UnixNano()))
	cfg.env = []string{"YSYNC_LOG=" + url}
	t.Logf("seed %d", cfg.seed)
	h := newHarness(cfg)
	s, err := startServer(t.Context(), cfg.binary, cfg.data, cfg.env)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()

	drain := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := startWriters(ctx, cfg, h.names, h.ledger, h.gate, drain)
	defer func() {
		cancel()
		<-done
	}()
	var dialled atomic.Int64
	h.gate.lift(func(ctx context.Context, document string) (*link, error) {
		dialled.Add(1)
		return dial(s.addr)(ctx, document)
	})
	defer h.gate.shut()
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-s.done:
			t.Fatalf("the server ended:\n%s", s.tail(30))
		}
	}
	acked := func() int { return h.ledger.report().acked }
	for round := range rounds * len(ways) {
		before := acked()
		pause(time.Second + rand.N(time.Second))
		if acked() == before {
			t.Errorf("round %d: nothing was acknowledged", round)
		}
		how := ways[round%len(ways)]
		if err := how.end(); err != nil {
			t.Fatal(err)
		}
		// What the database has answered is still passed on for a moment.
		settled, since := acked(), time.Now()
		for quiet := 0; quiet < 5; quiet++ {
			pause(200 * time.Millisecond)
			if n := acked(); n != settled {
				settled, quiet = n, 0
			}
			if time.Since(since) > drainTimeout {
				t.Fatalf("%s: acknowledgements go on for %v", how.name, drainTimeout)
			}
		}
		if err := how.back(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		waiting := h.ledger.unacknowledged(cfg.writers)
		if len(waiting) == 0 {
			t.Errorf("%s: nothing waits for the database", how.name)
		}
		for h.ledger.outstanding(waiting) > 0 && time.Since(start) < drainTimeout {
			pause(5 * time.Millisecond)
		}
		took := time.Since(start)
		t.Logf("%s: %d acknowledged; the %d that waited are, %v after the database was back", how.name, settled, len(waiting), took.Round(time.Millisecond))
		if took > recovery {
			t.Errorf("%s: it took %v until all was committed that waited, want at most %v", how.name, took, recovery)
		}
	}
	if want := int64(cfg.writers + 2*cfg.withholders); dialled.Load() != want {
		t.Errorf("%d connections were made, want %d: sessions have ended", dialled.Load(), want)
	}

	// Both die, the database first: whatever was acknowledged falsely exists in
	// the clients alone, who are kept away until the audit is over.
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	pause(time.Second)
	h.gate.shut()
	s.kill()
	if err := database.Start(); err != nil {
		t.Fatal(err)
	}
	next, err := startServer(t.Context(), cfg.binary, cfg.data, cfg.env)
	if err != nil {
		t.Fatal(err)
	}
	defer next.kill()
	if err := h.audit(t.Context(), next, acknowledged); err != nil {
		t.Fatal(err)
	}
	close(drain)
	h.gate.lift(dial(next.addr))
	select {
	case <-done:
	case <-time.After(drainTimeout):
		t.Fatalf("not every edit was acknowledged within %v:\n%s", drainTimeout, next.tail(10))
	}
	if err := h.audit(t.Context(), next, everything); err != nil {
		t.Fatal(err)
	}
	r := h.ledger.report()
	for _, f := range r.faults {
		t.Error(f)
	}
	return h
}
