package gateway

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// newHub is a hub that keeps all in memory.
func newHub(t testing.TB, m *metrics.Metrics) *hub.Hub {
	t.Helper()
	log := memory.New()
	store, err := dir.Open(vfs.NewMem(), "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{
		Log: log, Snapshots: snapshots.New(store, log, snapshots.Options{}),
		Boot: "test", Logger: zap.NewNop(), Metrics: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func asClose(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }
