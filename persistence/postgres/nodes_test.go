package postgres_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"ysync/persistence/postgres"
)

// Processes see one another by their beats, and not after they left.
func TestBeat(t *testing.T) {
	url := shared(t).Database(t)
	a, b := mustOpen(t, patient(url)), mustOpen(t, patient(url))
	beat := func(l *postgres.Log, boot, info string, ttl time.Duration) []string {
		t.Helper()
		infos, err := l.Beat(t.Context(), boot, []byte(info), ttl)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(infos, bytes.Compare)
		var got []string
		for _, i := range infos {
			got = append(got, string(i))
		}
		return got
	}
	if got := beat(a, "a", "A", time.Hour); !slices.Equal(got, []string{"A"}) {
		t.Fatalf("alone: %q", got)
	}
	if got := beat(b, "b", "B", time.Hour); !slices.Equal(got, []string{"A", "B"}) {
		t.Fatalf("both: %q", got)
	}
	if got := beat(a, "a", "A2", time.Hour); !slices.Equal(got, []string{"A2", "B"}) {
		t.Fatalf("changed: %q", got)
	}
	if got := beat(b, "b", "B", 0); !slices.Equal(got, []string{"B"}) {
		t.Fatalf("nothing is younger than now: %q", got)
	}
	if err := b.Leave(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := beat(b, "b", "B", time.Hour); !slices.Equal(got, []string{"B"}) {
		t.Fatalf("after one left: %q", got)
	}
}
