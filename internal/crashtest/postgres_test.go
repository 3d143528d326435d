package crashtest

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/testpg"
)

// The database of a server's update log is restarted, killed and frozen under
// fifty connections. The server lives on: no session ends, no acknowledged edit is
// lost, and what was made meanwhile is acknowledged when the database is back.
func TestPostgresRestarts(t *testing.T) {
	database := testpg.Start(t)
	cfg := smoke(buildServer(t), t.TempDir(), uint64(time.Now().UnixNano()))
	cfg.env = []string{"YSYNC_LOG=" + database.Database(t)}
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
	ways := []struct {
		name      string
		end, back func() error
	}{
		{"stopped", database.Stop, database.Start},
		{"killed", database.Kill, database.Start},
		{"frozen", database.Freeze, database.Thaw},
	}
	pause := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-s.done:
			t.Fatalf("the server ended:\n%s", s.tail(30))
		}
	}
	acked := func() int { return h.ledger.report().acked }
	for round := range 2 * len(ways) {
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
		settled := acked()
		for quiet := 0; quiet < 5; quiet++ {
			pause(200 * time.Millisecond)
			if n := acked(); n != settled {
				settled, quiet = n, 0
			}
		}
		if err := how.back(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for acked() == settled && time.Since(start) < drainTimeout {
			pause(10 * time.Millisecond)
		}
		t.Logf("%s: %d acknowledged; again %v after the database was back", how.name, settled, time.Since(start))
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
	t.Log(r)
}
