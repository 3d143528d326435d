//go:build faults

package crashtest

import (
	"testing"
	"time"

	"ysync/internal/fault"
)

// TestPowerLossFindsPlantedBugs has the audit judge a hub and a log with a known
// bug. A kill leaves the page cache alone; only this test can find a commit that
// was reported before it was synced.
func TestPowerLossFindsPlantedBugs(t *testing.T) {
	for _, bug := range []fault.Name{fault.AckBeforeCommit, fault.AckBeforeSync, fault.TrimTooEarly, fault.DropPending} {
		t.Run(string(bug), func(t *testing.T) {
			t.Setenv(fault.Variable, string(bug))
			seed := uint64(time.Now().UnixNano())
			r, err := lights(seed).run(t.Context())
			if len(r.faults) == 0 {
				t.Fatalf("seed %d: not caught: %v, %v", seed, r, err)
			}
			t.Logf("seed %d: caught: %s", seed, r.faults[0])
		})
	}
}
