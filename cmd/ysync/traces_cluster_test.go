package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/coder/websocket"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"ysync/internal/tracing"
	"ysync/syncproto"
)

// receiver is an OTLP receiver: it knows which spans of which node are in a trace.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	traces map[string]map[string]map[string]bool // trace, span, nodes
	stored []string                              // traces that spans of the storing are linked with
	wrong  []error
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{traces: map[string]map[string]map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.wrong = append(r.wrong, err)
		}
		for _, of := range export.GetResourceSpans() {
			node := ""
			for _, a := range of.GetResource().GetAttributes() {
				if a.GetKey() == "service.instance.id" {
					node = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range of.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					id := string(span.GetTraceId())
					if r.traces[id] == nil {
						r.traces[id] = map[string]map[string]bool{}
					}
					if r.traces[id][span.GetName()] == nil {
						r.traces[id][span.GetName()] = map[string]bool{}
					}
					r.traces[id][span.GetName()][node] = true
					for _, link := range span.GetLinks() {
						if span.GetName() == tracing.Store {
							r.stored = append(r.stored, string(link.GetTraceId()))
						}
					}
				}
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// TestTraceOverTwoNodes: a message that comes in at one node and is applied and
// committed at another is one trace, with spans of both, which the storing of the
// document is linked with; a receiver of OTLP hears of it.
func TestTraceOverTwoNodes(t *testing.T) {
	n := newNodes(t)
	r := newReceiver(t)
	a, b := n.start("a", "--traces", r.URL, "--trace-every", "1"), n.start("b", "--traces", r.URL, "--trace-every", "1")
	for _, s := range []*server{a, b} {
		s.until("two nodes", members("a", "b"))
	}
	// Whichever of the two owns the document, one of them relays.
	for i, s := range []*server{a, b} {
		ws, _, err := websocket.Dial(t.Context(), "ws://"+s.addr()+"/notes/plan", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.CloseNow() }()
		send := func(frame []byte) {
			t.Helper()
			if err := ws.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
				t.Fatal(err)
			}
		}
		send(syncproto.AppendSyncStep1(nil, []byte{0}))
		// What comes before the session has its place at the owner goes there with
		// the place, as no message of its own: the edits after it do not.
		for clock := range byte(3) {
			update := []byte{1, 1, byte(7 + i), clock, 4, 1, 1, 't', 1, 'x', 0}
			send(syncproto.AppendUpdate(nil, update))
			send([]byte{102, 1, clock})
			for {
				_, frame, err := ws.Read(t.Context())
				if err != nil {
					t.Fatalf("node %d: %v", i, err)
				}
				if frame[0] == 102 && frame[2] == clock {
					break
				}
				if frame[0] == 0 && frame[1] == 0 { // it asks for what it has set aside
					send(syncproto.AppendSyncStep2(nil, update))
				}
			}
		}
	}
	// A node that ends hands the document over and need not store it.
	if _, errs, code := ysync(t, "snapshot", "create", "notes/plan", "--server", "http://"+a.ops()); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	// What is not sent yet is sent at the end.
	for _, s := range []*server{a, b} {
		if code, log := s.stop(os.Interrupt); code != 0 {
			t.Fatalf("exit code %d: %s", code, log)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) > 0 {
		t.Fatal(r.wrong)
	}
	whole, stored := 0, 0
	for id, spans := range r.traces {
		for from := range spans[tracing.Relay] {
			for to := range spans[tracing.Owner] {
				if from != to && spans[tracing.Message][from] && spans[tracing.Commit][to] {
					whole++
					if slices.Contains(r.stored, id) {
						stored++
					}
				}
			}
		}
	}
	if whole == 0 || stored == 0 {
		t.Errorf("%d traces over both nodes, %d of them linked with what stored them; %d traces in all", whole, stored, len(r.traces))
	}
}
