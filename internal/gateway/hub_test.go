package gateway

import (
	"errors"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/metrics"
)

func newHub(t testing.TB, m *metrics.Metrics) *hub.Hub {
	h, err := hub.New(hub.Options{Boot: "test", Logger: zap.NewNop(), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func asClose(err error, ce *websocket.CloseError) bool { return errors.As(err, ce) }
