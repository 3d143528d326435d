package main

import (
	"math"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 200, 1 << 20: 200, 8 << 20: 200, 16 << 20: 200, 32 << 20: 100, 64 << 20: 50, 76 << 20: 50, 8 << 30: 50,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes alive: %d %%, want %d %%", live, got, want)
		}
	}
}

// Memory is given back when what is held is far more than what is alive, and once
// after the collections of a rush have ceased; not again and again.
func TestGiverGivesOnceAfterARush(t *testing.T) {
	var g giver
	now := time.Unix(0, 0)
	const mib = 1 << 20
	step := func(u usage) bool {
		t.Helper()
		now = g.next
		wants := g.wants(u, now)
		if wants {
			g.gave(usage{held: u.held, alive: u.alive, cycles: u.cycles + 2})
		}
		return wants
	}
	if !step(usage{held: 60 * mib, alive: 15 * mib, cycles: 1}) {
		t.Error("four times as much is held as is alive, and is kept")
	}
	for range 10 {
		if step(usage{held: 30 * mib, alive: 15 * mib, cycles: 3}) {
			t.Fatal("collected although nothing has happened")
		}
	}
	if step(usage{held: 50 * mib, alive: 30 * mib, cycles: 9}) {
		t.Error("collected in the middle of a rush that holds what it needs")
	}
	if !step(usage{held: 50 * mib, alive: 30 * mib, cycles: 9}) {
		t.Error("what a rush left is kept")
	}
	if step(usage{held: 50 * mib, alive: 30 * mib, cycles: 11}) {
		t.Error("collected twice after one rush")
	}
	if every := g.next.Sub(now); every != giveEvery {
		t.Errorf("a small server looks after %v", every)
	}
	step(usage{held: 6 << 30, alive: 4 << 30, cycles: 12})
	if every := g.next.Sub(now); every < time.Minute {
		t.Errorf("a server with 4 GiB alive looks after %v", every)
	}
}

// A process that may take little has an embedded log that holds little.
func TestLogMemoryFollowsTheLimit(t *testing.T) {
	for limit, want := range map[int64][2]int{
		math.MaxInt64: {16 << 20, 32 << 20}, 4 << 30: {16 << 20, 32 << 20}, 240 << 20: {1 << 20, 15 << 20}, 0: {1 << 20, 4 << 20},
	} {
		if table, cache := logMemory(limit); table != want[0] || cache != want[1] {
			t.Errorf("limit %d: table %d, cache %d, want %v", limit, table, cache, want)
		}
	}
}
