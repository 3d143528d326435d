package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap may grow beyond what is alive before it is collected. The
// runtime's own rule, as much again, collects a small heap too often and lets a
// large one, which is mostly idle connections, take twice the memory it needs.
const (
	headroomBytes  = 32 << 20
	leastGCPercent = 50
	mostGCPercent  = 200
	tuneEvery      = 250 * time.Millisecond
)

// gcPercent is the runtime's setting for a process with so much alive.
func gcPercent(liveBytes uint64) int {
	return int(min(max(headroomBytes*100/max(liveBytes, 1), leastGCPercent), mostGCPercent))
}

// tuneCollector keeps the collector's setting at what is alive until ctx ends.
// Who sets GOGC wants no other rule.
func tuneCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	current := gcPercent(0)
	debug.SetGCPercent(current)
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	ticker := time.NewTicker(tuneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(samples)
		next := gcPercent(samples[0].Value.Uint64() + samples[1].Value.Uint64())
		// Changing it stops the world for a moment: not for a trifle.
		if next*10 < current*9 || next*10 > current*11 {
			current = next
			debug.SetGCPercent(current)
		}
	}
}
