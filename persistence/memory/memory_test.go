package memory_test

import (
	"testing"

	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/persistence/persistencetest"
)

func TestConformance(t *testing.T) {
	persistencetest.Run(t, newStore)
	persistencetest.RunReleases(t, newStore)
}

func newStore(testing.TB) persistencetest.Reopen {
	store := new(memory.Store)
	return func() (persistence.Log, error) { return store.Open() }
}

// A log on a store of its own is as good as one on a given store.
func TestNew(t *testing.T) {
	log := memory.New()
	r, err := log.Claim(t.Context(), "a", "n1", 0)
	if err != nil || r.Epoch != 1 {
		t.Fatalf("claim: %+v, %v", r, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
