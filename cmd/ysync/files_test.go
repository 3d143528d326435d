package main

import "testing"

func TestConnectionsFor(t *testing.T) {
	for _, c := range []struct {
		wanted int
		files  uint64
		want   int
	}{
		{50_000, 1 << 20, 50_000},
		{50_000, 20_000, 17_744},
		{50_000, 1024, 512},
		{100, 1024, 100},
		{100, 0, 1},
	} {
		if got := connectionsFor(c.wanted, c.files); got != c.want {
			t.Errorf("%d wanted, %d files: %d, want %d", c.wanted, c.files, got, c.want)
		}
	}
}
