package crashtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ysync/internal/teststores"
)

func TestMain(m *testing.M) { os.Exit(teststores.Run(m)) }

// buildServer builds the binary under test.
func buildServer(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ysync")
	cmd := exec.Command("go", append(append([]string{"build", "-o", binary}, flags...), "ysync/cmd/ysync")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// smoke is a short run: everything that a long one does, five times.
func smoke(binary, data string, seed uint64) config {
	return config{
		binary: binary, data: data, seed: seed,
		kills: 5, documents: 4, writers: 40, withholders: 5,
		longest: 1500 * time.Millisecond, damage: 60,
	}
}

// TestKill kills the server five times under fifty connections.
func TestKill(t *testing.T) {
	binary := buildServer(t)
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		cfg := smoke(binary, t.TempDir(), seed)
		cfg.stores = s
		r, err := run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.faults {
			t.Error(f)
		}
		t.Log(r)
		if r.crashes < 5 || r.acked < 100 {
			t.Errorf("the run did too little: %v", r)
		}
	})
}
