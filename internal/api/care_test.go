package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/persistence"
)

// damagedKeeper cannot load one document.
type damagedKeeper struct {
	hub.Snapshots
	document string
}

func (k *damagedKeeper) Load(ctx context.Context, document string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	if document == k.document {
		return nil, persistence.Record{}, persistence.Tail{}, persistence.ErrCorrupt
	}
	return k.Snapshots.Load(ctx, document)
}

// A quarantined document shows in the list and its explanation, and a retry
// tells why it stays.
func TestQuarantineShows(t *testing.T) {
	damage := &damagedKeeper{}
	r := newRig(t, nil)
	r.do("POST", "/documents/d/updates", hello(t))
	r.do("POST", "/documents/other/updates", hello(t))
	damage.Snapshots, damage.document = r.opt.Keeper, "d"
	h, err := hub.New(hub.Options{Log: r.log, Snapshots: damage, Boot: "second", Logger: zap.NewNop(), Metrics: metrics.New(prometheus.NewRegistry())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b, err := New(Options{Hub: h, Log: r.log, Keeper: r.opt.Keeper, Files: r.opt.Files, Auth: r.opt.Auth, Logger: r.opt.Logger})
	if err != nil {
		t.Fatal(err)
	}
	second := &rig{API: b, t: t, log: r.log, hub: h}
	for range 2 {
		r.problem(second.do("POST", "/documents/d/updates", hello(t)), http.StatusServiceUnavailable, CodeUnavailable)
	}
	for path, want := range map[string]string{
		"/documents":                      `"quarantined":{"since":`,
		"/documents?quarantined=true":     `"end":{"count":1}`,
		"/documents/d":                    `"quarantined":{"since":`,
		"/documents/other":                `"sizes":{"log_bytes":`,
		"/documents?prefix=other&sizes=1": `"sizes":{"log_bytes":`,
	} {
		if w := second.do("GET", path, ""); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := second.do("POST", "/documents/d/retry", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"loaded":false`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	damage.document = ""
	if w := second.do("POST", "/documents/d/retry", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"loaded":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := second.do("GET", "/documents/d", ""); strings.Contains(w.Body.String(), "quarantined") {
		t.Errorf("%s", w.Body)
	}
	if _, err := h.Document(t.Context(), "d"); err != nil {
		t.Errorf("the document: %v", err)
	}
}
