package crashtest

import (
	"testing"
	"time"

	"ysync/internal/teststores"
)

// pointed is a run that dies at the steps of snapshots and trims, each as often
// as the others.
func pointed(binary, data string, seed uint64, kills int) config {
	cfg := smoke(binary, data, seed)
	cfg.kills, cfg.damage, cfg.points, cfg.latest = kills, 0, storedPoints, 3
	return cfg
}

// TestKillAtPoints kills a server once at every step of a snapshot and a trim.
func TestKillAtPoints(t *testing.T) {
	binary := buildServer(t, "-tags", "faults")
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		cfg := pointed(binary, t.TempDir(), seed, len(storedPoints))
		if cfg.stores = s; s != (teststores.Stores{}) {
			cfg.latest = 1
		}
		r, err := run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.faults {
			t.Error(f)
		}
		t.Log(r)
		if r.crashes < cfg.kills || r.acked < 100 || r.moments < cfg.kills {
			t.Errorf("the run did too little: %v", r)
		}
	})
}
