package api

import (
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ysync/internal/auth"
)

func (r *rig) reset(path, body string) (report ResetReport) {
	r.t.Helper()
	w := r.do("POST", path, body)
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || w.Code != 200 {
		r.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return report
}

// TestReset resets a document to what it held, and looks at both generations.
func TestReset(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	r := newRig(t, func(o *Options) {
		o.Auth, o.Logger = keys{"rules": auth.Admin}, zap.New(core)
	})
	r.token = "rules"
	at := "/documents/team%2Fa"
	old := hello(t)
	for _, u := range []string{old, hello(t)} {
		if w := r.do("POST", at+"/updates", u); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if report := r.reset(at+"/reset?dry_run=true", `{"at": "#1"}`); !report.DryRun || report.Generation != 2 || report.Clients != 2 || report.Before != "#2@1" {
		t.Errorf("rehearsed: %+v", report)
	}
	if w := r.do("GET", at+"/content", ""); w.Header().Get(HeaderGeneration) != "1" {
		t.Errorf("the rehearsal began generation %s", w.Header().Get(HeaderGeneration))
	}
	report := r.reset(at+"/reset", `{"at": "#1"}`)
	if report.DryRun || report.Generation != 2 || report.Position != 1 || report.From.Position != 1 || report.From.Generation != 1 {
		t.Errorf("reset: %+v", report)
	}
	if n := lines.FilterMessage("audit: document reset").FilterField(zap.String("subject", "ann")).Len(); n != 1 {
		t.Errorf("%d audit lines", n)
	}
	for query, want := range map[string][2]string{
		"":             {"hello", "2"},
		"&at=%231%401": {"hello", "1"},
		"&at=%232%401": {"hellohello", "1"},
	} {
		w := r.do("GET", at+"/content?format=text"+query, "")
		if w.Body.String() != want[0] || w.Header().Get(HeaderGeneration) != want[1] {
			t.Errorf("%s: %s of generation %s, want %q", query, w.Body, w.Header().Get(HeaderGeneration), want)
		}
	}
	r.problem(r.do("POST", at+"/updates", old), 409, CodeRetired)
	if w := r.do("POST", at+"/restore", `{"at": "#2@1", "in_place": true}`); w.Code != 200 {
		t.Errorf("a revert to before the reset: %d %s", w.Code, w.Body)
	}
	if w := r.do("GET", at+"/content?format=text", ""); w.Body.String() != "hellohello" {
		t.Errorf("after it: %s", w.Body)
	}
	if w := r.do("GET", at+"/history", ""); !strings.Contains(w.Body.String(), `"author":"ann"`) || w.Code != 200 {
		t.Errorf("history: %d %s", w.Code, w.Body)
	}
	if w := r.do("GET", at+"/history?generation=1", ""); !strings.Contains(w.Body.String(), `"entries":2`) {
		t.Errorf("history of generation 1: %d %s", w.Code, w.Body)
	}
}
