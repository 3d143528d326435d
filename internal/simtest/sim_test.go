package simtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

var (
	seedsFlag    = flag.Int("seeds", 60, "how many seeds to run")
	fromFlag     = flag.Uint64("from", 1, "the first seed")
	traceFlag    = flag.Bool("trace", false, "print what happens, as it happens")
	progressFlag = flag.String("progress", "", "file that gets a line of progress about every minute")
)

// faults is how many faults a run has.
const faults = 20

// One event at a time: then a seed has, but for a few, one outcome.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	flag.Parse()
	os.Exit(m.Run())
}

// simulate runs a seed. When an invariant does not hold, it fails with the trace
// of a second run.
func simulate(t *testing.T, seed uint64) Result {
	t.Helper()
	config := Config{Seed: seed, Faults: faults, Dump: seed%100 == dumped}
	if *traceFlag {
		config.Live = os.Stdout
	}
	r := Run(t, config)
	if len(r.Violations) == 0 {
		return r
	}
	for _, v := range r.Violations {
		t.Error(v)
	}
	config.Trace = true
	again := Run(t, config)
	t.Logf("seed %d again: %d of %d violations", seed, len(again.Violations), len(r.Violations))
	for _, line := range again.Trace[max(0, len(again.Trace)-traceLines):] {
		t.Log(line)
	}
	return r
}

// Of every hundredth seed the logs are replayed in real Yjs.
const dumped = 7

// replay has real Yjs replay logs. Without it, which is a failure with CI=true,
// they are not replayed.
func replay(t *testing.T, histories []History) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("../../crdt/differential/node_modules/yjs/package.json")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Error(err)
		}
		t.Logf("not replayed in real Yjs: %v", err)
		return
	}
	var in bytes.Buffer
	for i := range histories {
		if err := json.NewEncoder(&in).Encode(&histories[i]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), node, "replay.mjs")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if want := fmt.Sprintf("replayed %d\n", len(histories)); err != nil || string(out) != want {
		t.Errorf("real Yjs says %.2000s, %v; want %s", out, err, want)
	}
}

// traceLines is how much of a trace is printed; -trace prints all of it.
const traceLines = 3000

// Twenty faults, and every invariant holds.
func TestSimulation(t *testing.T) {
	progress := io.Discard
	if *progressFlag != "" {
		f, err := os.OpenFile(*progressFlag, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		progress = f
	}
	var seeds []uint64
	for i := range *seedsFlag {
		seeds = append(seeds, *fromFlag+uint64(i))
	}
	t.Logf("%d seeds from %d on", *seedsFlag, *fromFlag)
	counts, replayed := map[string]int{}, 0
	failed, healed, reported := 0, time.Duration(0), time.Now()
	report := func(done int, seed uint64) {
		_, _ = fmt.Fprintf(progress, "%s seeds %d to %d: %d run, %d with violations, %d faults, slowest to heal %v, %d logs replayed in Yjs\n",
			time.Now().UTC().Format(time.RFC3339), *fromFlag, seed, done, failed, done*faults, healed, replayed)
	}
	for i, seed := range seeds {
		r := simulate(t, seed)
		total(counts, r.Counts)
		if len(r.Histories) > 0 {
			replay(t, r.Histories)
			replayed += len(r.Histories)
		}
		healed = max(healed, r.Healed)
		if len(r.Violations) > 0 {
			failed++
			_, _ = fmt.Fprintln(progress, r.Violations[0])
		}
		if time.Since(reported) > time.Minute || i+1 == len(seeds) {
			reported = time.Now()
			report(i+1, seed)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		_, _ = fmt.Fprintf(progress, "  %-50s %d\n", what, counts[what])
		t.Logf("%-50s %d", what, counts[what])
	}
	if len(seeds) >= 60 {
		for _, k := range allKinds {
			if counts["fault "+k.name] == 0 {
				t.Errorf("in no run: %s", k.name)
			}
		}
		for _, what := range []string{"acks", "echoes", "claims", "releases", "snapshots", "trims", "resets", "answer lost", "upload cut short"} {
			if counts[what] == 0 {
				t.Errorf("in no run: %s", what)
			}
		}
	}
}
