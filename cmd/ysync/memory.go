package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
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

// boundMemory tells the collector what the process may take: limit, if it is
// not 0, else what GOMEMLIMIT says, else nine tenths of what the control group
// allows. What is beside the heap has the rest.
func boundMemory(limit int64, logger *zap.Logger) {
	source := "--memory-limit"
	if limit == 0 {
		if os.Getenv("GOMEMLIMIT") != "" {
			return // the runtime has read it
		}
		group, bounded := groupMemory("/sys/fs/cgroup")
		if !bounded {
			return
		}
		limit, source = group/10*9, "control group"
	}
	debug.SetMemoryLimit(limit)
	logger.Info("memory is bounded", zap.Int64("bytes", limit), zap.String("by", source))
}

// groupMemory is what the control group of the process may take (cgroup v2,
// memory.max, or v1), read where a container sees its own.
func groupMemory(root string) (bytes int64, bounded bool) {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		// Version 1 writes a huge number for no bound.
		return n, err == nil && n > 0 && n < 1<<60
	}
	return 0, false
}

// giver gives memory back to the system. The runtime does it so slowly that what
// a minute of heavy load took would stay for many more, and does not collect at
// all while nothing allocates.
type giver struct {
	samples []metrics.Sample
	next    time.Time
	given   uint64 // what was held after the last time
	cycles  uint64 // collections up to the last look
	since   bool   // there were some since the last time
	patient int    // looks until memory is given back in the middle of a rush
}

// usage is what the runtime says at a look.
type usage struct {
	held   uint64 // memory of the system
	alive  uint64 // of it, what no collection frees, as the last one found
	cycles uint64 // collections so far
}

// How often memory is given back, and what there must be to give beyond what the
// collector is let grow: a quarter of what is alive, and no trifle. A collection
// costs about what that many bytes cost to mark, so who has much alive looks less
// often, and a server of any size spends little more on it than on those of its own.
const (
	giveEvery = 5 * time.Second
	giveRate  = 64 << 20 // bytes alive for which a look is a second later
	giveLeast = 8 << 20
	giveApart = 2 // looks in between, unless nothing is collected any more: what is given back has to be got again
)

// look gives memory back if it is time to.
func (g *giver) look(now time.Time) {
	if now.Before(g.next) {
		return
	}
	if !g.wants(g.read(), now) {
		return
	}
	// What a sync.Pool keeps survives one collection. FreeOSMemory does another.
	runtime.GC()
	debug.FreeOSMemory()
	g.gave(g.read())
}

// wants tells whether to give memory back: if much of what is held is not alive, or
// was taken since the last time; and once when nothing has been collected for a while
// after it was: what is alive is known of the last collection only, and what a rush left
// is not collected while little is allocated.
func (g *giver) wants(u usage, now time.Time) bool {
	g.next = now.Add(giveEvery + time.Duration(u.alive/giveRate)*time.Second)
	quiet := u.cycles == g.cycles && g.since
	g.since = g.since || u.cycles != g.cycles
	g.cycles = u.cycles
	usual := u.alive + u.alive*uint64(gcPercent(u.alive))/100
	g.patient--
	return quiet || g.patient < 0 && (u.held >= usual+u.alive/4+giveLeast || u.held >= g.given+g.given/2+giveLeast)
}

// gave notes that memory was given back.
func (g *giver) gave(after usage) {
	g.cycles, g.since, g.given, g.patient = after.cycles, false, after.held, giveApart
}

func (g *giver) read() usage {
	if g.samples == nil {
		g.samples = []metrics.Sample{
			{Name: "/memory/classes/total:bytes"},
			{Name: "/memory/classes/heap/released:bytes"},
			{Name: "/gc/heap/live:bytes"},
			{Name: "/memory/classes/heap/stacks:bytes"},
			{Name: "/gc/cycles/total:gc-cycles"},
		}
	}
	metrics.Read(g.samples)
	value := func(i int) uint64 { return g.samples[i].Value.Uint64() }
	return usage{held: value(0) - value(1), alive: value(2) + value(3), cycles: value(4)}
}

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
	var back giver
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(samples)
		back.look(time.Now())
		next := gcPercent(samples[0].Value.Uint64() + samples[1].Value.Uint64())
		// Changing it stops the world for a moment: not for a trifle.
		if next*10 < current*9 || next*10 > current*11 {
			current = next
			debug.SetGCPercent(current)
		}
	}
}
