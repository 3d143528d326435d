package gateway

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/teststores"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/persistence/postgres"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/s3"
)

// newHub is a hub that keeps all in memory.
func newHub(t testing.TB, m *metrics.Metrics) *hub.Hub {
	t.Helper()
	store, err := dir.Open(vfs.NewMem(), "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return hubOn(t, m, memory.New(), store)
}

// elsewhere is a hub on PostgreSQL and a bucket.
func elsewhere(t testing.TB, m *metrics.Metrics, s teststores.Stores) *hub.Hub {
	t.Helper()
	log, err := postgres.Open(t.Context(), postgres.Options{URL: s.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	o, err := s3.Parse(s.Snapshots)
	if err != nil {
		t.Fatal(err)
	}
	store, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return hubOn(t, m, log, store)
}

func hubOn(t testing.TB, m *metrics.Metrics, log persistence.Log, store snapshots.Store) *hub.Hub {
	t.Helper()
	return hubAt(t, m, log, store, nil)
}

// hubAt is hubOn with a placement.
func hubAt(t testing.TB, m *metrics.Metrics, log persistence.Log, store snapshots.Store, at hub.Placement) *hub.Hub {
	t.Helper()
	h, err := hub.New(hub.Options{
		Log: log, Snapshots: snapshots.New(store, log, snapshots.Options{}), Placement: at,
		Boot: "test", Logger: zap.NewNop(), Metrics: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func asClose(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }
