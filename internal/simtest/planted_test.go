//go:build faults

package simtest

import (
	"fmt"
	"os"
	"os/exec"
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

// elsewhere are those of the list that no cluster is needed for, and the tests
// that find them.
var elsewhere = map[string][2]string{
	"D3":  {"../hub/core_identity_test.go", "func TestForksAreRefused("},
	"D4":  {"../hub/core_identity_test.go", "func TestClocksOutOfProportion("},
	"D7":  {"../crashtest/power_faults_test.go", "fault.TrimTooEarly"},
	"D9":  {"../hub/driver_test.go", "func TestACommandKeepsTheDocument("},
	"D12": {"../../crdt/differential/differential_test.go", "func TestDifferential("},
	"D13": {"../../crdt/idset_test.go", "func TestIDSetAgainstTwin("},
	"D14": {"../../crdt/conformance_test.go", "func TestConformanceFuzz("},
	"D16": {"../../crdt/conformance_test.go", "func TestConformanceGC("},
	"D18": {"../../persistence/pebble/corrupt_test.go", "func TestFlippedBits("},
}

// mostSeeds is how many seeds may be needed to find a bug.
const mostSeeds = 60

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
	found := map[string]bool{}
	for _, p := range planted {
		for number := range strings.FieldsFuncSeq(p.like, func(r rune) bool { return strings.ContainsRune(" :,", r) }) {
			found[number] = true
		}
	}
	for _, number := range strings.Fields("D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12 D13 D14 D15 D16 D17 D18 D19 D20") {
		where, there := elsewhere[number]
		if there == found[number] {
			t.Errorf("%s is planted: %v, elsewhere: %v", number, found[number], there)
		}
		if !there {
			continue
		}
		text, err := os.ReadFile(where[0])
		if err != nil || !strings.Contains(string(text), where[1]) {
			t.Errorf("%s: no %s in %s: %v", number, where[1], where[0], err)
		}
	}
}
