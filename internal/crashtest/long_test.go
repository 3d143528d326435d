//go:build crash

package crashtest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"ysync/internal/fault"
)

// killsPerRun is how often one set of documents is killed before its writers
// are drained and the next set begins: audits read whole documents.
const killsPerRun = 20

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestManyKills kills the server CRASH_KILLS times (200) on one data folder,
// beginning with the seed CRASH_SEED.
func TestManyKills(t *testing.T) {
	kills, seed := int(number(t, "CRASH_KILLS", 200)), number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	binary, data := buildServer(t), t.TempDir()
	var total report
	for done := 0; done < kills; done += killsPerRun {
		cfg := smoke(binary, data, seed)
		cfg.kills, cfg.damage = min(killsPerRun, kills-done), 30
		r, err := run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %v", seed, r)
		for _, f := range r.faults {
			t.Error(f)
		}
		if t.Failed() {
			return
		}
		total.add(r)
		seed++
	}
	t.Logf("in all: %v", total)
	if kills >= 100 && total.fallbacks == 0 {
		t.Errorf("no damaged snapshot was ever noticed: %v", total)
	}
}

// TestManyKillsAtPoints kills the server CRASH_KILLS times (200) at the steps of
// snapshots and trims, beginning with the seed CRASH_SEED.
func TestManyKillsAtPoints(t *testing.T) {
	kills, seed := int(number(t, "CRASH_KILLS", 200)), number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	binary := buildServer(t, "-tags", "faults")
	var total report
	for done := 0; done < kills; done += killsPerRun {
		cfg := pointed(binary, t.TempDir(), seed, min(killsPerRun, kills-done))
		// Every point comes first in some run.
		first := done / killsPerRun % len(storedPoints)
		cfg.points = append(storedPoints[first:len(storedPoints):len(storedPoints)], storedPoints[:first]...)
		r, err := run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %v", seed, r)
		for _, f := range r.faults {
			t.Error(f)
		}
		if t.Failed() {
			return
		}
		total.add(r)
		seed++
	}
	t.Logf("in all: %v", total)
}

// TestPlantedBugsAreCaughtAtPoints: so does the audit of the disk, within 24 kills.
func TestPlantedBugsAreCaughtAtPoints(t *testing.T) {
	seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	cfg := pointed(buildServer(t, "-tags", "faults"), t.TempDir(), seed, 3*len(storedPoints))
	cfg.env = []string{fmt.Sprintf("%s=%s", fault.Variable, fault.TrimTooEarly)}
	r, err := run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.faults) == 0 {
		t.Fatalf("not caught: %v", r)
	}
	t.Logf("seed %d: caught after %d kills: %s", seed, r.crashes, r.faults[0])
}

// TestPlantedBugsAreCaught runs servers with a known bug until the audit finds
// fault, which it has to within 80 kills.
func TestPlantedBugsAreCaught(t *testing.T) {
	binary := buildServer(t, "-tags", "faults")
	for _, bug := range []fault.Name{fault.AckBeforeCommit, fault.TrimTooEarly, fault.DropPending} {
		t.Run(string(bug), func(t *testing.T) {
			seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
			kills := 0
			for range 8 {
				cfg := smoke(binary, t.TempDir(), seed)
				cfg.kills, cfg.damage = 10, 0
				cfg.env = []string{fmt.Sprintf("%s=%s", fault.Variable, bug)}
				r, err := run(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				kills += r.crashes
				if len(r.faults) > 0 {
					t.Logf("seed %d: caught after %d kills: %s", seed, kills, r.faults[0])
					return
				}
				seed++
			}
			t.Errorf("not caught in %d kills", kills)
		})
	}
}

// add sums up reports.
func (r *report) add(o report) {
	r.crashes += o.crashes
	r.starts += o.starts
	r.edits += o.edits
	r.acked += o.acked
	r.damaged += o.damaged
	r.fallbacks += o.fallbacks
	r.moments += o.moments
	r.faults = append(r.faults, o.faults...)
}
