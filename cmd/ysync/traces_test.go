package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"ysync/internal/tracing"
	"ysync/syncproto"
)

// TestTraces: a collector hears of a message's way, of loads and of what is
// stored, and nothing of the content.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var heard strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		heard.Write(body)
	}))
	defer collector.Close()
	s := serve(t, "--traces", collector.URL, "--trace-every", "1")
	ws, _, err := websocket.Dial(t.Context(), "ws://"+s.addr()+"/notes/plan", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	for _, frame := range [][]byte{
		syncproto.AppendSyncStep1(nil, []byte{0}),
		syncproto.AppendUpdate(nil, append([]byte{1, 1, 7, 0, 4, 1, 1, 't', 6}, "secret\x00"...)),
		{102, 1, 7},
	} {
		if err := ws.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
			t.Fatal(err)
		}
	}
	for {
		_, frame, err := ws.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if frame[0] == 102 {
			break
		}
	}
	if code, log := s.stop(os.Interrupt); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{tracing.Message, tracing.Owner, tracing.Commit, tracing.Load, tracing.Store, "notes/plan", "ysync.kind"} {
		if !strings.Contains(heard.String(), want) {
			t.Errorf("the collector did not hear of %s", want)
		}
	}
	if strings.Contains(heard.String(), "secret") {
		t.Error("the collector heard of the content")
	}
}
