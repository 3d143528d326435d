package memory_test

import (
	"testing"
	"time"

	"ysync/internal/fault"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/persistence/persistencetest"
)

// TestPausedOwners: 10,000 trials, no split write.
func TestPausedOwners(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	counts, err := persistencetest.PausedOwners([]persistence.Log{memory.New()}, 10_000, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seeds %d to %d; overtaken before: %v", seed, seed+9_999, counts)
	for _, step := range persistencetest.AllSteps() {
		if counts[step] < 100 {
			t.Errorf("only %d owners were overtaken before the step %q", counts[step], step)
		}
	}
}

// TestPausedOwnersFindsPlantedBugs: without the check of the epoch the trials
// find a split write.
func TestPausedOwnersFindsPlantedBugs(t *testing.T) {
	t.Setenv(fault.Variable, string(fault.IgnoreEpoch))
	seed := uint64(time.Now().UnixNano())
	_, err := persistencetest.PausedOwners([]persistence.Log{memory.New()}, 100, seed)
	if (err != nil) != fault.Enabled {
		t.Errorf("from seed %d: %v", seed, err)
	}
	t.Log(err)
}
