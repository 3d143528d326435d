package postgres_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"ysync/internal/auth"
)

// Whoever looks for rulings again and again sees each, whatever the order in
// which many are made at once.
func TestRulings(t *testing.T) {
	log := mustOpen(t, patient(shared(t).Database(t)))
	now := time.Now().UTC().Truncate(time.Microsecond)
	const many = 20
	var makers sync.WaitGroup
	for i := range many {
		makers.Go(func() {
			r := auth.Ruling{Subject: string(rune('a' + i)), Scope: auth.Read, At: now, Until: now.Add(time.Hour)}
			for {
				err := log.Rule(t.Context(), r)
				if err == nil {
					return
				}
				if errors.Is(err, auth.ErrRuling) {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := map[string]bool{}
	version := uint64(0)
	look := func() {
		found, next, err := log.Rulings(t.Context(), version)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			seen[r.Subject] = true
		}
		version = next
	}
	for len(seen) < many && t.Context().Err() == nil {
		look()
	}
	makers.Wait()
	if err := log.Rule(t.Context(), auth.Ruling{Subject: "a", At: now.Add(2 * time.Hour), Until: now.Add(3 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	found, _, err := log.Rulings(t.Context(), 0)
	if err != nil || len(found) != 1 || found[0].Scope != auth.None {
		t.Errorf("those that ended are kept: %d, %v", len(found), err)
	}
}
