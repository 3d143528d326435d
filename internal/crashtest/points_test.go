package crashtest

import (
	"testing"
	"time"
)

// pointed is a run that dies at the steps of snapshots and trims, each as often
// as the others.
func pointed(binary, data string, seed uint64, kills int) config {
	cfg := smoke(binary, data, seed)
	cfg.kills, cfg.damage, cfg.points = kills, 0, storedPoints
	return cfg
}

// TestKillAtPoints kills a server once at every step of a snapshot and a trim.
func TestKillAtPoints(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, err := run(t.Context(), pointed(buildServer(t, "-tags", "faults"), t.TempDir(), seed, len(storedPoints)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.faults {
		t.Error(f)
	}
	t.Log(r)
	if r.crashes < len(storedPoints) || r.acked < 100 || r.moments < len(storedPoints) {
		t.Errorf("the run did too little: %v", r)
	}
}
