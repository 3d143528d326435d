package pebble_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	planted "ysync/internal/fault"
	"ysync/persistence"
	"ysync/persistence/persistencetest"
)

// pausedOwners plays trials on a log on a file system in memory. Its cache of
// records is far too small for them all.
func pausedOwners(t *testing.T, trials int) error {
	t.Helper()
	o := small("log")
	o.FS = vfs.NewMem()
	log, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	seed := uint64(time.Now().UnixNano())
	counts, err := persistencetest.PausedOwners([]persistence.Log{log}, trials, seed)
	t.Logf("%d trials from seed %d; overtaken before: %v; %v", trials, seed, counts, err)
	return err
}

func TestPausedOwners(t *testing.T) {
	if err := pausedOwners(t, 1000); err != nil {
		t.Error(err)
	}
}

// TestPausedOwnersFindsPlantedBugs: without the check of the epoch the trials
// find a split write.
func TestPausedOwnersFindsPlantedBugs(t *testing.T) {
	t.Setenv(planted.Variable, string(planted.IgnoreEpoch))
	if err := pausedOwners(t, 20); (err != nil) != planted.Enabled {
		t.Error(err)
	}
}
