package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// keys grants what its map says of a token, in all documents below "team/".
type keys map[string]auth.Scope

func (k keys) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	scope, ok := k[r.Token]
	if !ok {
		return auth.Grant{}, auth.ErrToken
	}
	if !r.Remote.IsValid() || r.Now.IsZero() {
		return auth.Grant{}, errors.New("the request is not told")
	}
	return auth.Grant{Pattern: "team/*", Scope: scope, Subject: "ann"}, nil
}

type rig struct {
	*API
	t     *testing.T
	log   *memory.Log
	hub   *hub.Hub
	token string
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	log := memory.New()
	files, err := dir.Open(vfs.NewMem(), "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	keeper := snapshots.New(files, log, snapshots.Options{})
	h, err := hub.New(hub.Options{
		Log: log, Snapshots: keeper, Boot: "boot", Logger: zap.NewNop(), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := Options{Hub: h, Log: log, Keeper: keeper, Files: files, Auth: auth.Open{}, Policy: snapshots.DefaultPolicy(), Logger: zap.NewNop()}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{API: a, t: t, log: log, hub: h}
}

func (r *rig) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, "/api/v1"+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// problem checks that a request is refused.
func (r *rig) problem(w *httptest.ResponseRecorder, status int, code Code) {
	r.t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != status || p.Status != status || p.Code != code || p.Detail == "" {
		r.t.Errorf("%d %s, want %d %s", w.Code, w.Body, status, code)
	}
	if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" {
		r.t.Errorf("Content-Type %q", kind)
	}
}

func update(t *testing.T, fn func(*crdt.Doc, *crdt.Txn)) string {
	t.Helper()
	doc := crdt.New(crdt.Options{})
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { fn(doc, tx) })
	if err != nil {
		t.Fatal(err)
	}
	return string(commit.AppendUpdate(nil, crdt.V1))
}

func hello(t *testing.T) string {
	return update(t, func(doc *crdt.Doc, tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, "hello") })
}

// wide are the routes that need a grant for all documents.
var wide = [][2]string{
	{"GET", "/documents"},
	{"GET", "/refused"},
	{"GET", "/refused?document=team/a"},
	{"POST", "/verify"},
	{"POST", "/prune"},
	{"POST", "/backup"},
	{"GET", "/stores/records"},
	{"GET", "/stores/records?document=team/a"},
	{"GET", "/stores/entries?document=team/a"},
	{"GET", "/stores/objects"},
	{"GET", "/stores/object?key=a/b"},
	{"GET", "/stores/rulings"},
}

// routes are all routes, for a document.
func routes(document string) [][2]string {
	at := "/documents/" + document
	return [][2]string{
		{"GET", at},
		{"GET", at + "/content"},
		{"POST", at + "/updates"},
		{"PUT", at + "/seed"},
		{"GET", at + "/history"},
		{"GET", at + "/diff?from=%230"},
		{"GET", at + "/authors"},
		{"GET", at + "/snapshots"},
		{"POST", at + "/snapshots"},
		{"POST", at + "/restore"},
		{"POST", at + "/reset"},
		{"POST", at + "/edit"},
		{"POST", at + "/copy"},
		{"POST", at + "/retry"},
		{"POST", at + "/repair"},
		{"GET", at + "/refused/0"},
		{"DELETE", at + "/refused/0"},
		{"DELETE", at},
	}
}

func TestOnlyAdmins(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Auth = keys{"reads": auth.Read, "writes": auth.Write, "rules": auth.Admin}
	})
	all := append(routes("team%2Fa"), wide...)
	for _, route := range all {
		for token, status := range map[string]int{"": 401, "none": 401, "reads": 403, "writes": 403} {
			r.token = token
			r.problem(r.do(route[0], route[1], ""), status, CodeDenied)
		}
	}
	r.token = "rules"
	for _, route := range append(routes("other"), wide...) {
		r.problem(r.do(route[0], route[1], ""), 403, CodeDenied)
	}
	if w := r.do("POST", "/documents/team%2Fa/updates", hello(t)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	// A restore must not write where the token does not reach.
	r.problem(r.do("POST", "/documents/team%2Fa/restore", `{"at": "now", "into": "other"}`), 403, CodeDenied)
	for e, err := range r.log.Read(t.Context(), "team/a", 0) {
		if err != nil || e.Author != "ann" {
			t.Errorf("%+v, %v: want the subject of the grant as the author", e, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.MaxUpdate = 1000
		o.CheckName = func(name string) error {
			if name == "bad" {
				return errors.New("bad name")
			}
			return nil
		}
	})
	if w := r.do("POST", "/documents/a/updates", hello(t)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, route := range routes("bad") {
		r.problem(r.do(route[0], route[1], ""), 400, CodeInvalid)
	}
	for _, route := range routes(strings.Repeat("x", 257)) {
		r.problem(r.do(route[0], route[1], ""), 400, CodeInvalid)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		code               Code
	}{
		{"GET", "/nothing", "", 404, CodeNotFound},
		{"GET", "/documents?limit=x", "", 400, CodeInvalid},
		{"GET", "/documents/a/content?format=pdf", "", 400, CodeInvalid},
		{"GET", "/documents/a/content?at=whenever", "", 400, CodeInvalid},
		{"GET", "/documents/a/content?at=%2399", "", 404, CodeNoMoment},
		{"GET", "/documents/a/content?at=label:none", "", 404, CodeNoMoment},
		{"GET", "/documents/a/content?format=text&root=none", "", 404, CodeNotFound},
		{"GET", "/documents/none/content", "", 404, CodeNotFound},
		{"GET", "/documents/none/history", "", 404, CodeNotFound},
		{"GET", "/documents/none", "", 404, CodeNotFound},
		{"GET", "/documents/none/snapshots", "", 404, CodeNotFound},
		{"POST", "/documents/none/snapshots", "", 404, CodeNotFound},
		{"DELETE", "/documents/none", "", 404, CodeNotFound},
		{"GET", "/documents/a/history?pause=long", "", 400, CodeInvalid},
		{"GET", "/documents/a/history?since=yesterday", "", 400, CodeInvalid},
		{"GET", "/documents/a/diff", "", 400, CodeInvalid},
		{"GET", "/documents/a/diff?from=now&to=%230", "", 404, CodeNoMoment},
		{"POST", "/documents/a/updates", "\x01\x02\x03", 422, CodeMalformed},
		{"POST", "/documents/a/updates?format=v2", "\x01\x02\x03", 422, CodeMalformed},
		{"POST", "/documents/a/updates?format=v3", hello(t), 400, CodeInvalid},
		{"POST", "/documents/a/updates", strings.Repeat("x", 1001), 413, CodeTooLarge},
		{"PUT", "/documents/a/seed", hello(t), 400, CodeInvalid},
		{"POST", "/documents/a/snapshots", `{"label": 5}`, 400, CodeInvalid},
		{"POST", "/documents/a/snapshots", `{"lable": "x"}`, 400, CodeInvalid},
		{"POST", "/documents/a/snapshots", `{"label": "a\nb"}`, 400, CodeInvalid},
		{"POST", "/documents/a/snapshots", `{"label": "x"} {}`, 400, CodeInvalid},
		{"POST", "/documents/a/snapshots", `{"label": "` + strings.Repeat("x", 70_000) + `"}`, 413, CodeTooLarge},
		{"POST", "/documents/a/restore", `{"at": "now"}`, 400, CodeInvalid},
		{"POST", "/documents/a/restore", `{"at": "now", "into": "b", "in_place": true}`, 400, CodeInvalid},
		{"POST", "/documents/a/restore", `{"into": "b"}`, 400, CodeInvalid},
		{"POST", "/documents/a/restore", `{"at": "now", "into": "bad"}`, 400, CodeInvalid},
		{"POST", "/documents/a/restore", `{"at": "now", "into": "a"}`, 409, CodeExists},
		{"POST", "/documents/a/restore?dry_run=maybe", `{"at": "now", "into": "b"}`, 400, CodeInvalid},
		{"POST", "/documents/none/reset", "", 404, CodeNotFound},
		{"POST", "/documents/a/reset", `{"at": "whenever"}`, 400, CodeInvalid},
		{"POST", "/documents/a/reset", `{"at": "#99"}`, 404, CodeNoMoment},
		{"POST", "/documents/a/reset?dry_run=maybe", "", 400, CodeInvalid},
		{"POST", "/prune", `{"full": "-1h"}`, 400, CodeInvalid},
		{"POST", "/prune?document=none", "", 404, CodeNotFound},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r.t = t
			r.problem(r.do(c.method, c.path, c.body), c.status, c.code)
		})
	}
	r.t = t
	r.problem(r.do("POST", "/documents/a/updates", hello(t), "If-Match", "7"), 412, CodeChanged)
	r.problem(r.do("POST", "/documents/a/updates", hello(t), "If-Match", "x"), 400, CodeInvalid)
	r.problem(r.do("POST", "/documents/a/updates", hello(t), "If-None-Match", "*"), 409, CodeExists)
	if w := r.do("DELETE", "/documents/a", ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, route := range routes("a")[1:11] {
		body := ""
		switch {
		case strings.HasSuffix(route[1], "updates"):
			body = hello(t)
		case strings.HasSuffix(route[1], "restore"):
			body = `{"at": "now", "in_place": true}`
		}
		w := r.do(route[0], route[1], body, "Idempotency-Key", "k")
		if strings.HasSuffix(route[1], "seed") && w.Code == 422 {
			continue // the empty body is no update
		}
		r.problem(w, 410, CodeErased)
	}
}

// What waits for updates that are not there is told, and durable.
func TestPendingImport(t *testing.T) {
	r := newRig(t, nil)
	doc := crdt.New(crdt.Options{})
	text := doc.Text("t")
	var updates []string
	for _, s := range []string{"a", "b"} {
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len(), s) })
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, string(commit.AppendUpdate(nil, crdt.V1)))
	}
	for i, want := range []string{`"changed":false,"pending":true`, `"changed":true}`} {
		if w := r.do("POST", "/documents/a/updates", updates[1-i]); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	if w := r.do("GET", "/documents/a/content?format=text", ""); w.Body.String() != "ab" || w.Header().Get(HeaderPosition) != "2" {
		t.Errorf("%s %v", w.Body, w.Header())
	}
}

func TestListIsPaged(t *testing.T) {
	r := newRig(t, nil)
	for _, name := range []string{"a", "b", "b/1", "b/2", "b/3", "c"} {
		if w := r.do("POST", "/documents/"+strings.ReplaceAll(name, "/", "%2F")+"/updates", hello(t)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for query, want := range map[string][]string{
		"":                              {"a", "b", "b/1", "b/2", "b/3", "c"},
		"?prefix=b":                     {"b", "b/1", "b/2", "b/3"},
		"?prefix=b/":                    {"b/1", "b/2", "b/3"},
		"?prefix=x":                     nil,
		"?limit=2":                      {"a", "b"},
		"?prefix=b&limit=2":             {"b", "b/1"},
		"?prefix=b&after=b/1&limit=2":   {"b/2", "b/3"},
		"?prefix=b&after=b&limit=1":     {"b/1"},
		"?prefix=b&after=c":             nil,
		"?after=" + "b%2F3" + "&limit=": {"c"},
	} {
		var got []string
		for line := range bytes.Lines(r.do("GET", "/documents"+query, "").Body.Bytes()) {
			var l struct{ Document *Document }
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			if l.Document != nil {
				got = append(got, l.Document.Document)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

// An error after the first line is the last line.
func TestAStreamEndsWithItsError(t *testing.T) {
	r := newRig(t, nil)
	for _, name := range []string{"a", "b"} {
		if w := r.do("POST", "/documents/"+name+"/updates", hello(t)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/documents", nil)
	w := &cutting{ResponseRecorder: httptest.NewRecorder(), cut: cancel}
	r.ServeHTTP(w, req)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"document":"a"`) || !strings.HasPrefix(lines[1], `{"error":{`) {
		t.Errorf("%q", lines)
	}
}

// cutting calls cut at the first write.
type cutting struct {
	*httptest.ResponseRecorder
	cut func()
}

func (c *cutting) Write(b []byte) (int, error) {
	c.cut()
	return c.ResponseRecorder.Write(b)
}

func TestExplain(t *testing.T) {
	r := newRig(t, nil)
	if w := r.do("PUT", "/documents/a/seed", hello(t), "Idempotency-Key", "k"); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := r.do("POST", "/documents/a/snapshots", `{"label": "l"}`); w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	sub, err := r.hub.Subscribe("a", hub.Peer{Session: 1, CanWrite: true}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var e Explanation
	if err := json.Unmarshal(r.do("GET", "/documents/a", "").Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	switch m := e.Memory; {
	case e.Position != 1 || e.SeedKey != "k" || e.Log.Newest != 1 || e.Snapshots.Count != 1 || e.Segments.Count != 1:
		t.Errorf("%+v", e)
	case m == nil || m.Sessions != 1 || m.Writers != 1 || m.Committed != 1 || !m.Owned || m.Bytes == 0:
		t.Errorf("%+v", m)
	case e.Limits.DocumentBytes == 0:
		t.Errorf("%+v", e.Limits)
	}
}

func TestErrorsHaveClasses(t *testing.T) {
	for _, c := range classes {
		p := problemOf(fmt.Errorf("while testing: %w", c.err))
		if p.Code != c.code || p.Status != c.status || p.Title == "" {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
	if p := problemOf(errors.New("what")); p.Code != CodeInternal || p.Status != 500 {
		t.Errorf("%+v", p)
	}
}
