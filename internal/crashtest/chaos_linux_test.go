package crashtest

import (
	"testing"
	"time"

	"ysync/internal/s3test"
	"ysync/internal/testnet"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
)

// needSite ends a test where a site cannot be started.
func needSite(t *testing.T) {
	t.Helper()
	testpg.Need(t)
	testredis.Need(t)
	s3test.Need(t)
}

// TestChaos lets one fault of each kind happen to three nodes, Redis, PostgreSQL
// and a bucket on machines of their own, under a hundred writers.
func TestChaos(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, err := chaos{
		config: config{
			binary: buildServer(t), data: t.TempDir(), seed: seed, documents: 8, writers: 96, withholders: 4,
			manner: manner{pause: time.Second},
		},
		mishaps: 18, calm: 1500 * time.Millisecond, hurry: 2, together: 3, progress: t.Logf,
	}.play(t.Context())
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.faults {
		t.Error(f)
	}
}
