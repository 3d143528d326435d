//go:build crash

package crashtest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/fault"
	"ysync/internal/teststores"
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

// manyKills kills the server CRASH_KILLS times (200), in runs of at most
// killsPerRun whose seeds begin with CRASH_SEED. configure says how each is done,
// given how many kills came before.
func manyKills(t *testing.T, configure func(seed uint64, kills, before int) config) (kills int, total report) {
	t.Helper()
	kills = int(number(t, "CRASH_KILLS", 200))
	seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	for done := 0; done < kills; done += killsPerRun {
		r, err := run(t.Context(), configure(seed, min(killsPerRun, kills-done), done))
		if err != nil {
			t.Fatal(err)
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
	t.Logf("in all: %v", total)
	return kills, total
}

// TestManyKills kills the server on one data folder.
func TestManyKills(t *testing.T) {
	binary, data := buildServer(t), t.TempDir()
	kills, total := manyKills(t, func(seed uint64, kills, _ int) config {
		cfg := smoke(binary, data, seed)
		cfg.kills, cfg.damage = kills, 30
		return cfg
	})
	if kills >= 100 && total.fallbacks == 0 {
		t.Errorf("no damaged snapshot was ever noticed: %v", total)
	}
}

// TestManyKillsAtPoints kills the server at the steps of snapshots and trims.
func TestManyKillsAtPoints(t *testing.T) {
	binary := buildServer(t, "-tags", "faults")
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		manyKills(t, func(seed uint64, kills, before int) config {
			cfg := pointed(binary, t.TempDir(), seed, kills)
			cfg.stores = s
			// Every point comes first in some run.
			first := before / killsPerRun % len(storedPoints)
			cfg.points = append(storedPoints[first:len(storedPoints):len(storedPoints)], storedPoints[:first]...)
			return cfg
		})
	})
}

// TestPlantedBugsAreCaughtAtPoints: the audit of what is stored finds loss, within
// 24 kills. That a server stands still counts for nothing.
func TestPlantedBugsAreCaughtAtPoints(t *testing.T) {
	seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	binary := buildServer(t, "-tags", "faults")
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		cfg := pointed(binary, t.TempDir(), seed, 3*len(storedPoints))
		cfg.stores, cfg.env = s, []string{fmt.Sprintf("%s=%s", fault.Variable, fault.TrimTooEarly)}
		r, err := run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		loss := slices.IndexFunc(r.faults, func(f string) bool { return strings.HasPrefix(f, "after kill ") })
		if loss < 0 {
			t.Fatalf("not caught: %v %q", r, r.faults)
		}
		t.Logf("seed %d: caught after %d kills: %s", seed, r.crashes, r.faults[loss])
	})
}

// TestPlantedBugsAreCaught runs servers with a known bug until the audit finds
// fault, which it has to within 80 kills.
func TestPlantedBugsAreCaught(t *testing.T) {
	binary := buildServer(t, "-tags", "faults")
	for _, bug := range []fault.Name{fault.AckBeforeCommit, fault.TrimTooEarly, fault.DropPending} {
		t.Run(string(bug), func(t *testing.T) {
			seed := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
			untilCaught(t, seed, 8, "kills", func(seed uint64) (int, []string, error) {
				cfg := smoke(binary, t.TempDir(), seed)
				cfg.kills, cfg.damage = 10, 0
				cfg.env = planted(bug)
				r, err := run(t.Context(), cfg)
				return r.crashes, r.faults, err
			})
		})
	}
}

// planted is the environment of a server with a bug.
func planted(bug fault.Name) []string { return []string{fmt.Sprintf("%s=%s", fault.Variable, bug)} }

// untilCaught plays a planted bug with one seed after the other until the audit finds
// fault, at most runs times. play tells how many mishaps there were.
func untilCaught(t *testing.T, seed uint64, runs int, mishaps string, play func(seed uint64) (int, []string, error)) {
	t.Helper()
	sum := 0
	for range runs {
		n, faults, err := play(seed)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
		if len(faults) > 0 {
			t.Logf("seed %d: caught after %d %s: %s", seed, sum, mishaps, faults[0])
			return
		}
		seed++
	}
	t.Errorf("not caught in %d %s", sum, mishaps)
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
