package main

import "testing"

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 200, 1 << 20: 200, 8 << 20: 200, 16 << 20: 200, 32 << 20: 100, 64 << 20: 50, 76 << 20: 50, 8 << 30: 50,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes alive: %d %%, want %d %%", live, got, want)
		}
	}
}
