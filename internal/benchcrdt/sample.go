package main

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// sample is what one engine showed in one round of a row. Times are in
// milliseconds.
type sample struct {
	Median  float64 `json:"median"`
	Min     float64 `json:"min"`
	CPU     float64 `json:"cpu,omitempty"` // of the process, a run
	Samples int     `json:"samples"`

	// What it ended with: digests of what is read from the document, from the
	// second document of the row, of the state in V1, of the bytes that the row
	// makes; and the size of all updates.
	Shown string `json:"shown,omitempty"`
	Again string `json:"again,omitempty"`
	State string `json:"state,omitempty"`
	Out   string `json:"out,omitempty"`
	Bytes int    `json:"bytes,omitempty"`
}

// differs tells what of two samples should be the same and is not.
func (s sample) differs(t sample) string {
	for _, c := range []struct{ what, a, b string }{
		{"what is read", s.Shown, t.Shown},
		{"what the second document reads", s.Again, t.Again},
		{"the state", s.State, t.State},
		{"the bytes made", s.Out, t.Out},
	} {
		if c.a != c.b && c.b != "" {
			return c.what
		}
	}
	if s.Bytes != t.Bytes {
		return fmt.Sprintf("the size of the updates, %d and %d,", s.Bytes, t.Bytes)
	}
	return ""
}

// job is a row as one engine does it. A run is timed, setup and check are not.
type job struct {
	setup func()
	run   func()
	check func(*sample)
}

// measure runs a job until the budget is spent or the samples are taken.
func (j job) measure(budget time.Duration, samples int) sample {
	var s sample
	var wall []float64
	var spent, cpu time.Duration
	runtime.GC()
	for len(wall) < samples && (len(wall) == 0 || spent < budget) {
		if j.setup != nil {
			j.setup()
		}
		used, start := cpuTime(), time.Now()
		j.run()
		took := time.Since(start)
		cpu += cpuTime() - used
		spent += took
		wall = append(wall, ms(took))
		if len(wall) == 1 && j.check != nil {
			j.check(&s)
		}
	}
	slices.Sort(wall)
	s.Median, s.Min, s.Samples = wall[len(wall)/2], wall[0], len(wall)
	s.CPU = ms(cpu) / float64(len(wall))
	return s
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// cpuTime is what this process used, garbage collection included.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// together is the median of the rounds' medians and the least of their minima.
func together(rounds []sample) sample {
	s := rounds[0]
	var medians, cpus []float64
	for _, r := range rounds {
		medians, cpus = append(medians, r.Median), append(cpus, r.CPU)
		s.Min = min(s.Min, r.Min)
	}
	s.Median, s.CPU = median(medians), median(cpus)
	return s
}
