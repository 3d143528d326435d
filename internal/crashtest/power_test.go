package crashtest

import (
	"testing"
	"time"
)

// TestPowerLoss fails the power 200 times under the workload.
func TestPowerLoss(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, err := lights(seed).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.faults {
		t.Error(f)
	}
	t.Log(r)
	if r.acked < 100 {
		t.Errorf("the run did too little: %v", r)
	}
}

func lights(seed uint64) *blackout {
	return &blackout{config: config{seed: seed, documents: 3, writers: 12, withholders: 3}, losses: 200}
}
