package simtest

import (
	"flag"
	"os"
	"testing"
	"time"
)

var (
	fromFlag  = flag.Uint64("from", 1, "the first seed")
	seedsFlag = flag.Int("seeds", 0, "how many seeds")
	liveFlag  = flag.Bool("live", false, "print the trace as it comes")
	traceFlag = flag.Bool("trace", false, "print the trace")
)

func TestOne(t *testing.T) {
	if *liveFlag {
		live = os.Stderr
	}
	for i := range max(*seedsFlag, 1) {
		start := time.Now()
		r := Run(t, Config{Seed: *fromFlag + uint64(i), Faults: 20, Trace: *traceFlag})
		t.Logf("seed %d: %v, virtual %v, healed %v, %v", r.Seed, time.Since(start), r.Virtual, r.Healed, r.Counts)
		for _, v := range r.Violations {
			t.Error(v)
		}
		for _, l := range r.Trace {
			t.Log(l)
		}
	}
}
