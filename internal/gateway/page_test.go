package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"ysync/examples/editor"
)

func (r *rig) get(path string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			request.Host = value
		} else {
			request.Header.Set(name, value)
		}
	}
	return do(r.t, request)
}

func do(t testing.TB, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestPage(t *testing.T) {
	r := start(t, func(o *Options) { o.Page = editor.Files() })
	response, body := r.get("/")
	if response.StatusCode != 200 || !strings.Contains(body, "<html") {
		t.Fatalf("%s %.100q", response.Status, body)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "no-cache",
		"Referrer-Policy":        "no-referrer",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe-eval") {
		t.Errorf("policy: %q", policy)
	}
	etag := response.Header.Get("ETag")
	if response, body = r.get("/", "If-None-Match: "+etag); response.StatusCode != 304 || body != "" {
		t.Errorf("with its own ETag: %s", response.Status)
	}
	for path, want := range map[string]string{
		"/main.js":   "text/javascript; charset=utf-8",
		"/style.css": "text/css; charset=utf-8",
		"/icon.svg":  "image/svg+xml",
	} {
		if response, _ := r.get(path); response.StatusCode != 200 || response.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s %q", path, response.Status, response.Header.Get("Content-Type"))
		}
	}
	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, _ := do(t, post); response.StatusCode != 405 {
		t.Errorf("POST: %s", response.Status)
	}
}

// The files of the page take no names away: an upgrade is always a document.
func TestUpgradeOnTheNameOfAFile(t *testing.T) {
	r := start(t, func(o *Options) { o.Page = editor.Files() })
	r.connect("/main.js").sync()
}

func TestPlainRequestForADocument(t *testing.T) {
	r := start(t, nil)
	for _, path := range []string{"/notes", "/a/b", "/../x", "/healthz", "/"} {
		response, body := r.get(path)
		if response.StatusCode != 426 || response.Header.Get("Upgrade") != "websocket" || !strings.Contains(body, "WebsocketProvider") {
			t.Errorf("%s: %s %q", path, response.Status, body)
		}
	}
}

func TestForeignPagesGetNothing(t *testing.T) {
	r := start(t, func(o *Options) { o.Page = editor.Files() })
	for _, header := range []string{"Host: evil.example", "Origin: https://evil.example"} {
		for _, path := range []string{"/", "/main.js", "/notes"} {
			if response, _ := r.get(path, header); response.StatusCode != 403 {
				t.Errorf("%s with %s: %s", path, header, response.Status)
			}
		}
	}
	if n := r.value("ysync_connections_refused_total", "origin"); n != 6 {
		t.Errorf("%v counted", n)
	}
}

func TestPageNeedsAnIndex(t *testing.T) {
	if _, err := newPage(fstest.MapFS{"a.js": {}}); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Fatal(err)
	}
	p, err := newPage(fstest.MapFS{"index.html": {}, "deep/x.bin": {Data: []byte("x")}})
	if err != nil || p.assets["/deep/x.bin"].contentType != "application/octet-stream" {
		t.Fatalf("%+v %v", p, err)
	}
}

func TestOperations(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxConnections = 1 })
	ops := httptest.NewServer(r.Operations(r.registry, "v1"))
	defer ops.Close()
	get := func(path string, host string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ops.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			request.Host = host
		}
		response, body := do(t, request)
		return response.StatusCode, body
	}
	if code, body := get("/readyz", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	c := r.connect("/notes")
	c.sync()
	if code, body := get("/readyz", ""); code != 503 || !strings.Contains(body, "connections") {
		t.Errorf("full: %d %s", code, body)
	}
	if code, _ := get("/healthz", ""); code != 200 {
		t.Errorf("full, yet alive: %d", code)
	}
	code, body := get("/status", "")
	var status Status
	if err := json.Unmarshal([]byte(body), &status); err != nil || code != 200 ||
		status.Connections != 1 || status.Version != "v1" || status.HeapBytes == 0 {
		t.Errorf("%d %+v %v", code, status, err)
	}
	if code, body := get("/metrics", ""); code != 200 || !strings.Contains(body, "ysync_connections 1") ||
		!strings.Contains(body, `ysync_connections_total{transport="websocket"} 1`) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get("/metrics", "evil.example"); code != 403 {
		t.Errorf("by a foreign name: %d", code)
	}
	if code, _ := get("/", ""); code != 404 {
		t.Errorf("/: %d", code)
	}
}
