package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// stats counts deliveries in a window of time.
type stats struct {
	mu        sync.Mutex
	on        bool
	count     int
	latencies []int32 // microseconds
	failures  int
	// parts: when each of the latencies was counted is kept, for sample.Parts.
	parts bool
	begin time.Time
	came  []int32 // milliseconds since begin
}

func (s *stats) delivered(latencies ...time.Duration) {
	s.mu.Lock()
	if s.on {
		s.count += len(latencies)
		for _, d := range latencies {
			s.latencies = append(s.latencies, int32(min(d.Microseconds(), 1<<31-1)))
			if s.parts {
				s.came = append(s.came, int32(time.Since(s.begin).Milliseconds()))
			}
		}
	}
	s.mu.Unlock()
}

func (s *stats) fail(err error) {
	s.mu.Lock()
	s.failures++
	if s.failures <= 3 {
		fmt.Fprintln(os.Stderr, "client:", err)
	}
	s.mu.Unlock()
}

// window counts for d and returns what was seen and what CPU the server used.
func (s *stats) window(srv *server, d time.Duration) sample {
	s.mu.Lock()
	begin := time.Now()
	s.on, s.count, s.latencies, s.came, s.begin = true, 0, make([]int32, 0, 8<<20), s.came[:0], begin
	s.mu.Unlock()
	go srv.profile(d)
	cpu, waited := srv.cpu(), srv.waited()
	time.Sleep(d)
	waited = srv.waited() - waited
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	used, took := srv.cpu()-cpu, time.Since(begin)
	out := sample{
		Deliveries: s.count,
		PerSecond:  float64(s.count) / took.Seconds(),
		CPUSeconds: used.Seconds(),
		Waited:     waited.Seconds(),
		Failures:   s.failures,
	}
	if used > 0 {
		out.PerCPUSecond = float64(s.count) / used.Seconds()
		out.MicrosPerDelivery = float64(used.Microseconds()) / float64(max(1, s.count))
	}
	if s.parts {
		var of [windowParts][]int32
		for i, ms := range s.came {
			part := &of[min(windowParts-1, windowParts*int64(ms)/max(1, took.Milliseconds()))]
			*part = append(*part, s.latencies[i])
		}
		for _, part := range of {
			slices.Sort(part)
			out.Parts = append(out.Parts, percentile(part, 99))
		}
	}
	slices.Sort(s.latencies)
	out.P50 = percentile(s.latencies, 50)
	out.P99 = percentile(s.latencies, 99)
	return out
}

// sample is what one window showed. Latencies are milliseconds from the moment
// an edit was due to the moment one receiver had integrated it.
type sample struct {
	Deliveries        int     `json:"deliveries"`
	PerSecond         float64 `json:"per_second"`
	CPUSeconds        float64 `json:"cpu_seconds"`
	Waited            float64 `json:"waited_seconds"` // of the server, for the processor
	PerCPUSecond      float64 `json:"per_cpu_second"`
	MicrosPerDelivery float64 `json:"cpu_micros_per_delivery"`
	P50               float64 `json:"p50_ms"`
	P99               float64 `json:"p99_ms"`
	Failures          int     `json:"failures"`
	// Parts are the p99 of each tenth of the window, of stats that keep them.
	Parts []float64 `json:"p99_ms_parts,omitempty"`
}

// windowParts is how many parts a window has in sample.Parts.
const windowParts = 10

func percentile(sorted []int32, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, len(sorted)*p/100)]) / 1000
}

func median[T int | int64 | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
