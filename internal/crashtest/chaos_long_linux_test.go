//go:build crash

package crashtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/fault"
	"ysync/internal/testnet"
)

// mishapsPerRun is how many faults one site lives through before everything is
// compared and the next begins.
const mishapsPerRun = 25

// TestManyFaults lets CHAOS_FAULTS (300) faults happen, in runs whose seeds
// begin with CHAOS_SEED.
func TestManyFaults(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	faults, seed := int(number(t, "CHAOS_FAULTS", 300)), number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
	total := chaosReport{kinds: map[string]int{}, partitions: map[string]int{}, ends: map[websocket.StatusCode]int{}}
	binary := buildServer(t)
	for total.mishaps < faults {
		r, err := chaos{
			config: config{
				binary: binary, data: t.TempDir(), seed: seed, documents: 8, writers: 96, withholders: 4,
				manner: manner{pause: 500 * time.Millisecond},
			},
			mishaps: min(mishapsPerRun, faults-total.mishaps), calm: 4 * time.Second, hurry: 1, together: 3, deep: true,
			progress: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		}.play(t.Context())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %v", seed, r)
		for _, f := range r.faults {
			t.Error(f)
		}
		if t.Failed() {
			t.FailNow()
		}
		total.add(r)
		seed++
	}
	t.Logf("in all: %v\n%v\n%v", total, total.kinds, total.partitions)
}

// add sums up reports.
func (r *chaosReport) add(o chaosReport) {
	r.report.add(o.report)
	r.mishaps += o.mishaps
	r.dials += o.dials
	r.epochs += o.epochs
	r.looks += o.looks
	for k, n := range o.kinds {
		r.kinds[k] += n
	}
	for k, n := range o.partitions {
		r.partitions[k] += n
	}
	for k, n := range o.ends {
		r.ends[k] += n
	}
}

// TestPlantedBugsAreCaughtInChaos: so does the audit of a site.
func TestPlantedBugsAreCaughtInChaos(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	binary := buildServer(t, "-tags", "faults")
	// An owner that is overtaken is one that slept, or did not reach the database.
	overtaken := func(m mishap) bool {
		return m.kind == "pause past the lease" || m.kind == "partition" && strings.HasSuffix(m.name, databaseMachine)
	}
	for bug, only := range map[fault.Name]func(mishap) bool{fault.AckBeforeCommit: nil, fault.IgnoreEpoch: overtaken} {
		t.Run(string(bug), func(t *testing.T) {
			seed := number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
			happened := 0
			for range 12 {
				r, err := chaos{
					config: config{
						binary: binary, data: t.TempDir(), seed: seed, documents: 8, writers: 40,
						manner: manner{pause: 500 * time.Millisecond},
						env:    []string{fmt.Sprintf("%s=%s", fault.Variable, bug)},
					},
					mishaps: mishapsPerRun, calm: 3 * time.Second, hurry: 1, together: 3, deep: true, only: only,
					progress: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
				}.play(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				happened += r.mishaps
				if len(r.faults) > 0 {
					t.Logf("seed %d: caught after %d faults: %s", seed, happened, r.faults[0])
					return
				}
				seed++
			}
			t.Errorf("not caught in %d faults", happened)
		})
	}
}
