//go:build faults

package simtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ysync/internal/fault"
)

// planted are bugs that others had, by their number in the list of those, and
// the six that a cluster may have besides. want are the invariants of which
// one at least has to fail: they were there before the bug was.
var planted = []struct {
	bug  fault.Name
	like string
	want []string
}{
	{fault.NoAskOnPending, "D1: a lost update leaves later ones pending for ever", []string{"I2", "I11"}},
	{fault.DropPending, "D2: what is pending is not in the snapshot", []string{"I6", "I2", "I1"}},
	{fault.SkipEqualVectors, "D5: equal state vectors are taken for equal documents", []string{"I2"}},
	{fault.RelayRaw, "D6, D15: what a client cannot place is sent to it", []string{"I2", "D6"}},
	{fault.ClearLate, "D8: what came during the write is taken for written", []string{"I1", "I3", "I11"}},
	{fault.SwallowErrors, "D10: a failed write is taken for a good one", []string{"I1", "I3"}},
	{fault.AdmitRetired, "D11: what was before a reset comes back", []string{"I14"}},
	{fault.SkipVerify, "D17: a snapshot that was cut short is pointed at", []string{"I6"}},
	{fault.RetryBlind, "D19: an append of unknown outcome is done twice", []string{"I4", "I3", "I1"}},
	{fault.ReverseKept, "D20: messages of one session change their order", []string{"I1"}},
	{fault.IgnoreEpoch, "no epoch check", []string{"I3"}},
	{fault.AckBeforeCommit, "acknowledged before the commit", []string{"I1"}},
	{fault.NoResync, "no resynchronisation after a failover", []string{"I1", "I2", "I11"}},
	{fault.StaleRoute, "a stale route is kept", []string{"I11", "I2"}},
	{fault.NoPresence, "presence is not shown to the next owner", []string{"I12"}},
}

// elsewhere are the bugs that no cluster is needed for, and the tests that find
// them.
var elsewhere = []struct {
	number string
	bug    fault.Name
	where  string // a package
	test   string
}{
	{"D3", fault.AdmitForks, "../hub", "TestForksAreRefused"},
	{"D4", fault.AdmitGhosts, "../hub", "TestClocksOutOfProportion"},
	{"D7", fault.TrimTooEarly, "../crashtest", "TestPowerLoss"},
	{"D9", fault.UnloadBusy, "../hub", "TestACommandKeepsTheDocument"},
	{"D12", fault.CleanFormats, "../../crdt", "TestDeltaDeletesRedundantFormat"},
	{"D13", fault.DropDelete, "../../crdt", "TestIDSetAgainstTwin"},
	{"D14", fault.CutPairs, "../../crdt", "TestConformanceFuzz/surrogates"},
	{"D16", fault.SkipCollected, "../../crdt", "TestConformanceGC/hist"},
	{"D18", fault.CutDamage, "../../persistence/pebble", "TestFlippedBitsOfANewFolder"},
	{"the wall clock for the lease", fault.WallClock, "../cluster", "TestLeaseIsNotByTheWallClock"},
}

// mostSeeds is how many seeds may be needed to find a bug.
const mostSeeds = 240

// hunted is the variable that has a process look for the planted bug alone.
const hunted = "YSYNC_HUNT"

// hunt looks for the bug that is planted in this process, and prints the seed
// and what was violated.
func hunt(t *testing.T, want []string) {
	t.Helper()
	for seed := uint64(1); seed <= mostSeeds; seed++ {
		fmt.Printf("seed %d\n", seed)
		r := Run(t, Config{Seed: seed, Faults: faults})
		for _, v := range r.Violations {
			if slices.ContainsFunc(want, func(i string) bool { return strings.Contains(v, ": "+i+": ") }) {
				fmt.Printf("found: %.300s\n", v)
				return
			}
			fmt.Printf("besides: %.300s\n", v)
		}
	}
}

// caught runs a process with a bug, which is found by what is violated or by its
// panic: a node that finds its state broken dies. It returns the seed and what
// was found, "" for nothing.
func caught(t *testing.T, bug fault.Name) (seed uint64, by string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSimulationFindsPlantedBugs$")
	cmd.Env = append(os.Environ(), fault.Variable+"="+string(bug), hunted+"=1")
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		number, isSeed := strings.CutPrefix(line, "seed ")
		switch {
		case isSeed:
			if seed, err = strconv.ParseUint(strings.TrimSpace(number), 10, 64); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		case strings.HasPrefix(line, "found: "), strings.HasPrefix(line, "panic: "):
			return seed, strings.TrimSpace(line)
		}
	}
	return seed, ""
}

// Every planted bug is found, by an invariant that should not hold with it. Each
// has a process, so that one that makes a node panic does not hide the others.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	if os.Getenv(hunted) != "" {
		for _, p := range planted {
			if fault.Active(p.bug) {
				hunt(t, p.want)
			}
		}
		return
	}
	for _, p := range planted {
		t.Run(string(p.bug), func(t *testing.T) {
			seed, by := caught(t, p.bug)
			if by == "" {
				t.Fatalf("%s: not found in %d seeds", p.like, seed)
			}
			if sound := Run(t, Config{Seed: seed, Faults: faults}); len(sound.Violations) > 0 {
				t.Errorf("without the bug, too: %s", sound.Violations[0])
			}
			t.Logf("%s: seed %d, %s", p.like, seed, by)
		})
	}
	found := map[string]int{}
	for _, p := range planted {
		for number := range strings.FieldsFuncSeq(p.like, func(r rune) bool { return strings.ContainsRune(" :,", r) }) {
			found[number]++
		}
	}
	for _, e := range elsewhere {
		found[e.number]++
	}
	for i := range 20 {
		if number := fmt.Sprintf("D%d", i+1); found[number] != 1 {
			t.Errorf("%s is planted %d times", number, found[number])
		}
	}
}

// Each of the other bugs makes the test fail that is for it, which passes without.
func TestTheirOwnTestFindsPlantedBugs(t *testing.T) {
	folder := t.TempDir()
	run := func(where string, bug fault.Name, name string, args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = where
		cmd.Env = append(os.Environ(), fault.Variable+"="+string(bug))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, e := range elsewhere {
		binary := filepath.Join(folder, filepath.Base(e.where)+".test")
		if _, err := os.Stat(binary); err != nil {
			if out, err := run(e.where, "", "go", "test", "-c", "-tags", "faults", "-o", binary); err != nil {
				t.Fatalf("%s: %v: %s", e.where, err, out)
			}
		}
		t.Run(string(e.bug), func(t *testing.T) {
			top, _, _ := strings.Cut(e.test, "/")
			args := []string{"-test.v", "-test.run", "^" + strings.ReplaceAll(e.test, "/", "$/")}
			if out, err := run(e.where, "", binary, args...); err != nil || !strings.Contains(out, "--- PASS: "+top) {
				t.Fatalf("%s fails without the bug: %v: %s", e.test, err, out)
			}
			if out, err := run(e.where, e.bug, binary, args...); err == nil || !strings.Contains(out, "--- FAIL: "+top) && !strings.Contains(out, "panic: ") {
				t.Errorf("%s: not found by %s: %v: %s", e.number, e.test, err, out)
			}
		})
	}
}
