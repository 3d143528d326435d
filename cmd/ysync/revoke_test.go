package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/audit"
	"ysync/internal/auth"
	"ysync/internal/canary"
	"ysync/internal/session"
)

// birds are the keys and tokens of a test, all of which canary.Find knows.
type birds struct {
	*testing.T
	keys   string // a file
	key    auth.Key
	tokens []string

	dialled atomic.Uint32 // see by
}

func newBirds(t *testing.T) *birds {
	t.Helper()
	b := &birds{T: t, keys: filepath.Join(t.TempDir(), "keys.json")}
	if err := os.WriteFile(b.keys, []byte(canary.KeySet("k")), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ParseKeys([]byte(canary.KeySet("k")))
	if err != nil {
		t.Fatal(err)
	}
	b.key = keys[0]
	return b
}

// token makes one; id is its jti.
func (b *birds) token(subject, id, pattern, scope string) string {
	b.Helper()
	c := auth.NewClaims(subject, time.Now(), time.Hour)
	c.ID, c.Documents = id, map[string]string{pattern: scope}
	token, err := b.key.Sign(c)
	if err != nil {
		b.Fatal(err)
	}
	b.tokens = append(b.tokens, token)
	return token
}

// secret is a file with a secret.
func (b *birds) secret(name string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, []byte(canary.Secret(name)), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// silent fails when any secret is in a text.
func (b *birds) silent(where, text string) {
	b.Helper()
	if found := canary.Find(text, b.tokens...); len(found) > 0 {
		b.Errorf("%s shows %v", where, found)
	}
}

// open connects, waits until the document is there, and returns the connection.
func (b *birds) open(s *server, path, token string) *websocket.Conn {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), bound)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.addr()+path, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ws.CloseNow() })
	if err := ws.Write(ctx, websocket.MessageBinary, []byte{0, 0, 1, 0}); err != nil {
		b.Fatal(err)
	}
	return ws
}

// end reads until a connection ends, or until a SyncStep2 has come: then 0.
func (b *birds) end(ws *websocket.Conn, synced bool) (code int, reason string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), bound)
	defer cancel()
	for {
		_, frame, err := ws.Read(ctx)
		if end, ok := errors.AsType[websocket.CloseError](err); ok {
			return int(end.Code), end.Reason
		}
		if err != nil {
			b.Fatal(err)
		}
		b.silent("a frame", string(frame))
		if synced && frame[0] == 0 && frame[1] == 1 {
			return 0, ""
		}
	}
}

// run is a command against a server, with a token.
func (b *birds) run(s *server, token string, want int, args ...string) string {
	b.Helper()
	cmd := command(b.T, append(args, "--server", "http://"+s.serving["ops"].(string))...)
	cmd.Env = append(cmd.Env, "YSYNC_TOKEN="+token)
	out, errs, code := finish(b.T, cmd)
	if code != want {
		b.Fatalf("%v: %d, want %d: %s", args, code, want, errs)
	}
	b.silent(strings.Join(args[:2], " "), out+errs)
	return out
}

// get reads a page of the operations listener.
func (b *birds) get(s *server, path string) string {
	b.Helper()
	answer, err := http.Get("http://" + s.serving["ops"].(string) + path)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.Fatal(err)
	}
	return string(body)
}

// What is revoked stays so over a restart, until it is lifted; the audit log
// tells of all of it; no secret is seen anywhere.
func TestRevokeHoldsAndNothingLeaks(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		b := newBirds(t)
		trail := filepath.Join(t.TempDir(), "audit.jsonl")
		args := []string{"--keys", b.keys, "--audit", trail, "--log-level", "debug"}
		s := site.serve(args...)
		admin, ann := b.token("root", "", "*", "admin"), b.token("ann", "ann-1", "trips/*", "write")
		ws := b.open(s, "/trips/rome", ann)
		b.end(ws, true)
		b.run(s, ann, exitDenied, "access", "revoke", "--subject", "root")
		b.run(s, admin, exitUsage, "access", "revoke")
		b.run(s, admin, 0, "access", "revoke", "--token-id", "ann-1", "--reason", "left")
		if code, reason := b.end(ws, false); code != session.CloseUnauthorized || !strings.Contains(reason, "revoked") {
			t.Errorf("closed with %d, %s", code, reason)
		}
		refused, _ := b.end(b.open(s, "/trips/rome", ann[:len(ann)-4]+"AAAA"), false)
		if refused != session.CloseUnauthorized {
			t.Errorf("a forged token: %d", refused)
		}
		b.run(s, admin, exitNotFound, "doc", "explain", "trips/rome")
		for _, path := range []string{"/metrics", "/status", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/api/v1/documents?token=" + ann} {
			b.silent(path, b.get(s, path))
		}
		_, log := s.stop(syscall.SIGTERM)
		b.silent("the log", log)

		s = site.serve(args...)
		if code, _ := b.end(b.open(s, "/trips/rome", ann), true); code != session.CloseUnauthorized {
			t.Errorf("a revoked token after a restart: %d", code)
		}
		if list := b.run(s, admin, 0, "access", "list"); !strings.Contains(list, "ann-1") || !strings.Contains(list, "none") {
			t.Errorf("the list: %s", list)
		}
		b.run(s, admin, 0, "access", "lift", "--token-id", "ann-1")
		if code, _ := b.end(b.open(s, "/trips/rome", ann), true); code != 0 {
			t.Errorf("a token that was lifted: %d", code)
		}
		// A dump of all that goes on, as after a panic.
		_, log = s.stop(syscall.SIGQUIT)
		if !strings.Contains(log, "goroutine") {
			t.Error("no dump")
		}
		b.silent("the dump", log)

		text, err := os.ReadFile(trail)
		if err != nil {
			t.Fatal(err)
		}
		b.silent("the audit log", string(text))
		var told []string
		for line := range strings.Lines(string(text)) {
			var e audit.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() {
				t.Errorf("%s: %v", line, err)
			}
			told = append(told, e.Event+" by "+e.Subject)
		}
		if got, want := strings.Join(told, ", "), "opened by ann, rights by , rights by root, rights by root, refused by , refused by , rights by root, opened by ann"; got != want {
			t.Errorf("the audit log tells: %s", got)
		}
	})
}

// What one node is told reaches the sessions at the others, wherever their
// document is, and a reader there writes nothing.
func TestRevokeReachesEveryNode(t *testing.T) {
	b, n := newBirds(t), newNodes(t)
	args := []string{"--keys", b.keys, "--relay-secret", b.secret("relay"), "--log-level", "debug"}
	nodes := []*server{n.start("a", args...), n.start("b", args...), n.start("c", args...)}
	for _, s := range nodes {
		s.until("three nodes", members("a", "b", "c"))
	}
	admin, ann := b.token("root", "", "*", "admin"), b.token("ann", "", "trips/*", "write")
	var open []*websocket.Conn
	for _, s := range nodes {
		ws := b.open(s, "/trips/rome", ann)
		b.end(ws, true)
		open = append(open, ws)
	}
	begin := time.Now()
	b.run(nodes[0], admin, 0, "access", "limit", "--to", "read", "--documents", "trips/*", "--subject", "ann")
	for _, s := range nodes {
		s.until("a session changed its role", func(status) bool { return strings.Contains(b.get(s, "/metrics"), "ysync_rights_changed_total 1") })
	}
	t.Logf("all nodes have heard after %v", time.Since(begin))
	for i, ws := range open {
		update := append([]byte{0, 2, 0}, 1, 1, byte(7+i), 0, 4, 1, 1, 't', 1, 'x', 0)
		update[2] = byte(len(update) - 3)
		for _, frame := range [][]byte{update, {0, 0, 1, 0}} {
			if err := ws.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
				t.Fatal(err)
			}
		}
		b.end(ws, true)
	}
	b.run(nodes[1], admin, exitNotFound, "doc", "get", "trips/rome")
	b.run(nodes[2], admin, 0, "access", "revoke", "--subject", "ann")
	for _, ws := range open {
		if code, _ := b.end(ws, false); code != session.CloseUnauthorized {
			t.Errorf("closed with %d", code)
		}
	}
	for _, s := range nodes {
		b.silent("/metrics", b.get(s, "/metrics"))
		_, log := s.stop(syscall.SIGTERM)
		b.silent("the log of a node", log)
	}
}
