package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/coder/websocket"

	"ysync/internal/auth"
	"ysync/internal/canary"
	"ysync/internal/session"
	"ysync/internal/testpg"
	"ysync/internal/testtls"
	"ysync/syncproto"
)

// Every flag that holds a secret, names a file that does, or is a URL that may is in
// planted: the tests below put a mark there and look for it everywhere. What sounds
// as if it did is in harmless, with the reason. TestSecretFlagsAreListed fails for a
// flag that is in neither.
var (
	planted = map[string]bool{
		"log": true, "snapshots": true, "snapshots-key": true, "cluster": true, "relay-secret": true, "relay-key": true,
		"keys": true, "webhook": true, "webhook-secret": true, "certificate-key": true, "traces": true, "token": true, "server": true,
		"from-log": true, "from-snapshots": true, "from-snapshots-key": true, "key": true, "config": true,
	}
	harmless = map[string]string{
		"token-issuer": "a claim", "token-audience": "a claim", "token-life": "a time", "token-user": "a choice", "token-id": "a claim",
		"certificate": "public", "relay-cert": "public", "relay-authority": "public", "public": "a file that key names too",
		"listen": "an address", "ops": "an address", "insecure": "a choice", "names": "a choice",
		"subject": "a claim", "later": "a choice", "for": "a time", "id": "public", "algorithm": "public",
	}
	sounds = regexp.MustCompile(`(?i)secret|key|password|token|credential|certificate|\burl\b|\bdsn\b`)
)

func TestSecretFlagsAreListed(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("YSYNC"))
	if err != nil {
		t.Fatal(err)
	}
	seen, asked := map[string]bool{}, map[string]bool{}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			seen[f.Name] = true
			if text := f.Name + " " + f.Help + " " + f.PlaceHolder; sounds.MatchString(text) && !planted[f.Name] {
				if asked[f.Name] = true; harmless[f.Name] != "" {
					continue
				}
				t.Errorf("%s --%s may hold a secret: plant a mark in it, or say why not", n.FullPath(), f.Name)
			}
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	for name := range planted {
		if !seen[name] {
			t.Errorf("there is no flag --%s", name)
		}
	}
	for name := range harmless {
		if !asked[name] {
			t.Errorf("nobody has to say that --%s is harmless", name)
		}
	}
	marked := map[string]bool{}
	for _, row := range refused(t) {
		marked[row.flag] = true
	}
	for name := range planted {
		if !marked[name] {
			t.Errorf("no row of refused plants a mark in --%s", name)
		}
	}
}

// refusal is a command that has to fail, with a mark in a flag.
type refusal struct {
	flag string // which holds the mark
	args []string
	env  []string
}

func refused(t *testing.T) []refusal {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const mark = canary.Mark
	var rows []refusal
	add := func(flag, variable, value string, args ...string) {
		row := refusal{flag: flag, args: args}
		if variable == "" {
			row.args = append(row.args, "--"+flag, value)
		} else {
			row.env = []string{variable + "=" + value}
		}
		rows = append(rows, row)
	}
	serving := func(more ...string) []string {
		return append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, fmt.Sprint("data", len(rows)))}, more...)
	}
	folder := filepath.Join(dir, "folder")
	for _, url := range []string{
		"postgres://u:" + mark + "@127.0.0.1:1/db", "postgres://u@127.0.0.1:1/db?password=" + mark, "postgres://u:" + mark + "@h:x/db",
		"postgres://u:" + mark + "%zz@h/db", "postgres://u@h/db?sslmode=" + mark, "mysql://u:" + mark + "@h/db",
	} {
		add("log", "YSYNC_LOG", url, serving()...)
		add("log", "", url, "doc", "list", "--data", filepath.Join(dir, "none"))
		add("log", "YSYNC_LOG", url, "doctor", "--data", folder, "--ops", "127.0.0.1:0")
		add("from-log", "YSYNC_FROM_LOG", url, "migrate", "ysync", folder, "--data", filepath.Join(dir, "to"))
	}
	for _, url := range []string{
		"s3://u:" + mark + "@bucket", "s3://bucket?secret=" + mark, "http://bucket/?x=" + mark, "s3://bucket?x=" + mark + "%zz", "s3://bucket:" + mark,
		"s3://bucket?endpoint=http%3A%2F%2Fu%3A" + mark + "%40127.0.0.1%3A1", "s3://bucket?endpoint=u%3A" + mark,
	} {
		add("snapshots", "YSYNC_SNAPSHOTS", url, serving()...)
		add("snapshots", "YSYNC_SNAPSHOTS", url, "doctor", "--data", folder, "--ops", "127.0.0.1:0")
		add("from-snapshots", "", url, "migrate", "ysync", folder, "--data", filepath.Join(dir, "to"))
	}
	badKey := file("bad.key", mark)
	for _, flag := range []string{"snapshots-key", "relay-key", "certificate-key"} {
		more := map[string][]string{
			"snapshots-key": {"--log", ""}, "certificate-key": {"--certificate", file("tls.crt", "x")},
			"relay-key": {
				"--relay-cert", file("relay.crt", "x"), "--relay-authority", file("authority.crt", "x"), "--cluster", "redis://127.0.0.1:1",
				"--log", "postgres://u@127.0.0.1:1/db", "--snapshots", "s3://bucket?endpoint=http://127.0.0.1:1",
			},
		}
		add(flag, "", badKey, serving(more[flag]...)...)
	}
	add("from-snapshots-key", "", badKey, "migrate", "ysync", folder, "--data", filepath.Join(dir, "to"))
	for name, text := range map[string]string{
		"short": `{"keys":[{"kty":"oct","alg":"HS256","k":"` + base64.RawURLEncoding.EncodeToString([]byte(mark)) + `"}]}`,
		"json":  `{"keys":[{"kty":"oct","k":"` + mark + `"}`, "number": `{"keys":[{"kty":"oct","k":` + mark + `}]}`, "kind": `{"keys":[{"kty":"` + "EC" + `","crv":"P-256","d":"` + mark + `"}]}`,
		"pem": "-----BEGIN PRIVATE KEY-----\n" + mark + "\n-----END PRIVATE KEY-----\n", "public": "-----BEGIN PUBLIC KEY-----\n" + mark + "q\n-----END PUBLIC KEY-----\n",
	} {
		name = file(name+".json", text)
		add("keys", "", name, serving()...)
		add("key", "", name, "token", "mint", "--subject", "ann", "a=read")
	}
	add("keys", "", "https://u:"+mark+"@keys.example/", serving()...)
	add("keys", "", "http://keys.example/?key="+mark, serving()...)
	secret := file("secret", canary.Secret("hook"))
	add("webhook", "", "https://u:"+mark+"@hook.example/", serving("--webhook-secret", secret)...)
	add("webhook", "", "http://hook.example/"+mark+"?key="+mark, serving("--webhook-secret", secret)...)
	add("webhook-secret", "", badKey, serving("--webhook", "https://hook.example/")...)
	add("relay-secret", "", file("short", mark[len(mark)-15:]), serving("--cluster", "redis://u:"+mark+"@127.0.0.1:1",
		"--log", "postgres://u:"+mark+"@127.0.0.1:1/db", "--snapshots", "s3://bucket?endpoint=http://127.0.0.1:1")...)
	add("cluster", "YSYNC_CLUSTER", "redis://u:"+mark+"@127.0.0.1:1", serving()...)
	add("traces", "", "ftp://u:"+mark+"@h", serving()...)
	add("traces", "", "http://u:"+mark+"@h", serving()...)
	for _, server := range []string{"http://u:" + mark + "@127.0.0.1:1", "ftp://u:" + mark + "@h", "http://" + mark + "%zz@h"} {
		add("server", "YSYNC_SERVER", server, "doc", "list")
		add("server", "", server, "session", "list")
	}
	add("token", "YSYNC_TOKEN", mark, "doc", "list", "--server", "http://127.0.0.1:1")
	add("token", "", mark, "access", "list", "--server", "http://127.0.0.1:1")
	for name, text := range map[string]string{
		"after": "log: postgres://u:" + mark + "@h/db\nlogg: x\n", "twice": "log: " + mark + "\nlog: " + mark + "\n",
		"deep": "log:\n  - " + mark + "\n", "flow": "log: [" + mark + "\n", "tab": "log: x\n\t" + mark + ": " + mark + "\n", "plain": mark + "\n",
	} {
		add("config", "", file(name+".yaml", text), serving()...)
	}
	return rows
}

// TestRefusedConfigurationsTellNoSecret: what is wrong is told without the secret that
// stands beside it.
func TestRefusedConfigurationsTellNoSecret(t *testing.T) {
	t.Parallel()
	for _, row := range refused(t) {
		cmd := command(t, row.args...)
		cmd.Env = append(cmd.Env, append(row.env, "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY="+canary.Secret("s3"), "AWS_EC2_METADATA_DISABLED=true")...)
		out, errs, code := finish(t, cmd)
		if code == 0 || len(out+errs) == 0 {
			t.Errorf("%v %v: exit code %d: %s", row.env, row.args, code, errs)
		}
		if found := canary.Find(out + errs); found != nil {
			t.Errorf("%v %v shows %v:\n%s", row.env, row.args, found, out+errs)
		}
	}
}

// issuer has a certificate for this machine, whose key becomes a secret of the test.
func (b *birds) issuer() *testtls.Issuer {
	b.Helper()
	i := testtls.New(b.T)
	key, err := os.ReadFile(i.Key)
	if err != nil {
		b.Fatal(err)
	}
	_, key, _ = bytes.Cut(key, []byte("\n")) // what stands above is the same for all
	b.tokens = append(b.tokens, strings.ReplaceAll(string(key), "\n", ""))
	return i
}

// by lets a client in, or not, by each way that a token can take, and looks at all
// that it is told. It returns how those ended that did not get the document.
func (b *birds) by(s *server, config *tls.Config, path, token string) (ends []int) {
	b.Helper()
	scheme, web := "ws://", &http.Client{}
	if config != nil {
		scheme, web = "wss://", &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	}
	for way, o := range map[string]*websocket.DialOptions{
		"header":      {HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}},
		"subprotocol": {Subprotocols: []string{"token." + token, "yjs"}},
		"query":       {},
		"message":     {},
	} {
		o.HTTPClient = web
		if o.HTTPHeader == nil {
			o.HTTPHeader = http.Header{}
		}
		// Who is refused again and again from one address is held for long.
		o.HTTPHeader.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", b.dialled.Add(1)%256))
		query := map[string]string{"query": "?token=" + token, "message": "?auth=message"}[way]
		ctx, cancel := context.WithTimeout(b.Context(), bound)
		defer cancel()
		ws, answer, err := websocket.Dial(ctx, scheme+s.addr()+path+query, o)
		if err != nil {
			b.Fatalf("%s: %v", way, err)
		}
		defer func() { _ = ws.CloseNow() }()
		header := answer.Header.Clone()
		header.Del("Sec-WebSocket-Protocol") // what the client offered
		b.silent(way+": the headers", fmt.Sprint(header))
		if way == "message" {
			if err := ws.Write(ctx, websocket.MessageBinary, syncproto.AppendPermissionDenied(nil, token)); err != nil {
				b.Fatal(err)
			}
		}
		// The second one does not decode.
		for _, frame := range [][]byte{{0, 0, 1, 0}, append(syncproto.AppendPermissionDenied(nil, token), 0, 2, 200)} {
			if err := ws.Write(ctx, websocket.MessageBinary, frame); err != nil {
				b.Fatal(err)
			}
		}
		code, reason := b.end(ws, true)
		b.silent(way+": the reason of the close", reason)
		if code != 0 {
			ends = append(ends, code)
		}
	}
	return ends
}

// pages reads all that the operations listener shows.
func (b *birds) pages(s *server) {
	b.Helper()
	for _, path := range []string{
		"/metrics", "/status", "/sessions", "/healthz", "/readyz", "/api/v1/documents?token=" + b.tokens[0], "/api/v1/nothing",
		"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
	} {
		b.silent(path, b.get(s, path))
	}
}

// files looks at all files below folders.
func (b *birds) files(folders ...string) {
	b.Helper()
	for _, folder := range folders {
		seen := 0
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			seen++
			text, err := os.ReadFile(path)
			b.silent(path, string(text))
			return err
		})
		if err != nil || seen == 0 {
			b.Errorf("%s: %d files, %v", folder, seen, err)
		}
	}
}

// A collector hears what a server sends to one, and that it may.
type eavesdropper struct {
	*httptest.Server
	mu      sync.Mutex
	heard   strings.Builder
	allowed bool
}

func (b *birds) collector() *eavesdropper {
	e := &eavesdropper{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard.Write(body)
		e.allowed = e.allowed || strings.Contains(r.Header.Get("X-Api-Key"), canary.Mark)
	}))
	b.Cleanup(e.Close)
	return e
}

// redisDo sends commands to a Redis that asks for a password, and returns what it says.
func redisDo(t *testing.T, addr string, commands ...string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, bound)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(append(commands, "QUIT"), "\r\n")+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestNodesTellNoSecret: two nodes with a secret in everything that can have one; what
// they work with fails, one after the other; nothing that anybody sees or finds has one.
func TestNodesTellNoSecret(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n, b := newNodes(t), newBirds(t)
	dir := t.TempDir()
	passwords := map[string]string{"redis": canary.Mark + ".redis", "database": canary.Mark + ".keeper"}
	testpg.Exec(t, n.url, "CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '"+passwords["database"]+"'")
	n.database.DemandPassword(t, n.url, "keeper")
	database := strings.Replace(n.url, testpg.Superuser+"@", "keeper:"+passwords["database"]+"@", 1)
	if answer, err := n.redis.Do("CONFIG", "SET", "requirepass", passwords["redis"]); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	issuer := b.issuer()
	collector := b.collector()
	aes := filepath.Join(dir, "aes")
	if err := os.WriteFile(aes, []byte(base64.StdEncoding.EncodeToString([]byte((canary.Mark + "-----------")[:32]))), 0o600); err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(dir, "audit")
	flags := []string{
		"--keys", b.keys, "--audit", trail, "--snapshots-key", aes, "--relay-secret", b.secret("relay"),
		"--relay-cert", issuer.Cert, "--relay-key", issuer.Key, "--relay-authority", issuer.Authority,
		"--traces", collector.URL, "--trace-every", "1", "--trusted-proxies", "127.0.0.1",
		"--log-level", "debug", "--shutdown-timeout", "3s",
	}
	environment := []string{
		"YSYNC_CLUSTER=redis://:" + passwords["redis"] + "@" + n.redis.Addr(), "YSYNC_LOG=" + database, "OTEL_EXPORTER_OTLP_HEADERS=x-api-key=" + canary.Mark,
	}
	var greeting [2]bytes.Buffer
	start := func(i int, name string) *server {
		cmd := commandFor(t, 5*bound, append([]string{
			"serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", filepath.Join(dir, name), "--node-name", name,
		}, flags...)...)
		cmd.Env, cmd.Stdout = append(cmd.Env, environment...), &greeting[i]
		return startServer(t, withBucket(cmd, n.bucket))
	}
	first, second := start(0, "a"), start(1, "b")
	for _, s := range []*server{first, second} {
		s.until("two nodes", members("a", "b"))
	}

	admin, ann := b.token("root", "", "*", "admin"), b.token("ann", "", "trips/*", "write")
	for _, s := range []*server{first, second} {
		for i := range 4 { // of some, the other one is the owner
			if ends := b.by(s, nil, fmt.Sprint("/trips/", i), ann); ends != nil {
				t.Errorf("a good token: closed with %v", ends)
			}
		}
		for _, end := range b.by(s, nil, "/news", ann) {
			if end != session.CloseForbidden {
				t.Errorf("a document that is not granted: closed with %d", end)
			}
		}
		for _, end := range b.by(s, nil, "/trips/0", ann[:len(ann)-4]+"AAAA") {
			if end != session.CloseUnauthorized {
				t.Errorf("a forged token: closed with %d", end)
			}
		}
	}
	ws := b.open(first, "/trips/0", ann)
	b.end(ws, true)
	if err := ws.Write(t.Context(), websocket.MessageBinary, syncproto.AppendUpdate(nil, []byte{1, 1, 7, 0, 4, 1, 1, 't', 1, 'x', 0})); err != nil {
		t.Fatal(err)
	}
	first.until("a document", func(status) bool { return !strings.Contains(b.get(first, "/metrics"), "ysync_connections 0") })
	for _, args := range []string{
		"doc list", "doc explain trips/0", "doc history trips/0", "snapshot create trips/0", "snapshot list trips/0", "snapshot verify",
		"access list", "access limit --to read --subject bob", "access lift --subject bob",
	} {
		b.run(first, admin, 0, strings.Fields(args)...)
		b.run(second, ann, exitDenied, strings.Fields(args)...)
	}
	for _, args := range []string{"doc hot", "session list"} { // open to this machine
		b.run(first, admin, 0, strings.Fields(args)...)
	}
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, append([]string{"doctor", "--data", filepath.Join(dir, "c")}, flags[:len(flags)-2]...)} {
		cmd := withBucket(command(t, args...), n.bucket)
		cmd.Env = append(cmd.Env, append(environment, "YSYNC_TOKEN="+admin)...)
		out, errs, code := finish(t, cmd)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
		b.silent(args[0], out+errs)
	}
	b.pages(first)
	b.pages(second)
	b.silent("Redis", redisDo(t, n.redis.Addr(), "AUTH "+passwords["redis"], "HGETALL {ysync}:nodes"))

	// Everything fails, one after the other.
	fails := func(what, line string, s *server) {
		t.Helper()
		s.until(what, func(st status) bool { return strings.Contains(strings.Join(st.Degraded, "\n"), line) })
		b.pages(s)
	}
	redisDo(t, n.redis.Addr(), "AUTH "+passwords["redis"], "CONFIG SET requirepass another", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub")
	fails("Redis refuses the password", "Redis", first)
	redisDo(t, n.redis.Addr(), "AUTH another", "CONFIG SET requirepass "+passwords["redis"])
	first.until("Redis is back", func(st status) bool { return len(st.Degraded) == 0 })
	n.store.Kill(t)
	cmd := command(t, "snapshot", "verify", "trips/0", "--server", "http://"+first.ops())
	cmd.Env = append(cmd.Env, "YSYNC_TOKEN="+admin)
	out, errs, _ := finish(t, cmd)
	b.silent("a command without the bucket", out+errs)
	testpg.Exec(t, n.url, "ALTER ROLE keeper PASSWORD 'another'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'")
	// An edit, so that each needs the database.
	for _, s := range []*server{first, second} {
		ws := b.open(s, "/trips/9", ann)
		if err := ws.Write(t.Context(), websocket.MessageBinary, syncproto.AppendUpdate(nil, []byte{1, 1, 7, 0, 4, 1, 1, 't', 1, 'x', 0})); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "a node without its database", func() bool {
		return len(first.status().Degraded)+len(second.status().Degraded) > 0
	})
	b.pages(first)
	b.pages(second)

	_, dump := first.stop(syscall.SIGQUIT)
	if !strings.Contains(dump, "goroutine") {
		t.Error("no dump")
	}
	_, log := second.stop(syscall.SIGTERM)
	b.silent("a dump", dump)
	b.silent("a log", log)
	for _, want := range []string{"a roll of the cluster's members does not answer", "password authentication failed"} {
		if !strings.Contains(dump+log, want) {
			t.Errorf("the logs do not tell of %s", want)
		}
	}
	b.silent("the greeting", greeting[0].String()+greeting[1].String())
	b.files(trail, filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	collector.mu.Lock()
	defer collector.mu.Unlock()
	if !collector.allowed || !strings.Contains(collector.heard.String(), "gateway.message") {
		t.Error("the collector heard nothing, or not by whom it may be told")
	}
	b.silent("the traces", collector.heard.String())
}

// TestWebhookTellsNoSecret: the same of a server that asks a program, which answers, and
// fails in every way; over TLS; and of a backup.
func TestWebhookTellsNoSecret(t *testing.T) {
	t.Parallel() // it waits for a process most of the time
	b := newBirds(t)
	dir := t.TempDir()
	issuer := b.issuer()
	config := issuer.Client()
	// Tokens are whatever the webhook understands, so they are marked too.
	good, bad := canary.Secret("cookie"), canary.Secret("forged")
	b.tokens = append(b.tokens, good, bad)
	var answer atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !auth.CheckSignature([]byte(canary.Secret("hook")), r.Header.Get(auth.SignatureHeader), body, time.Now()) {
			t.Errorf("a question that is not signed: %v", err)
		}
		var q auth.Question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
		}
		if status := answer.Load(); status != 0 || q.Token != good {
			w.WriteHeader(max(int(status), http.StatusUnauthorized))
			_, _ = w.Write(append(body, canary.Secret("hook")...)) // it quotes all that it knows
			return
		}
		c := auth.NewClaims("ann", time.Now(), time.Hour)
		c.Documents = map[string]string{"*": "admin"}
		_ = json.NewEncoder(w).Encode(c)
	}))
	defer hook.Close()
	secret := b.secret("hook")
	settings := filepath.Join(dir, "ysync.yaml")
	text := fmt.Sprintf("webhook: %q\nwebhook-secret: %q\ncertificate: %q\ncertificate_key: %q\n", hook.URL+"/?key="+canary.Mark, secret, issuer.Cert, issuer.Key)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	trail := filepath.Join(dir, "audit")
	s := serve(t, "--ops", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", settings, "--audit", trail, "--log-level", "debug", "--trusted-proxies", "127.0.0.1")
	if ends := b.by(s, config, "/notes", good); ends != nil {
		t.Errorf("a good token: closed with %v", ends)
	}
	for i, want := range []int{session.CloseUnauthorized, session.CloseForbidden, session.CloseUnavailable} {
		answer.Store([]int64{0, http.StatusForbidden, http.StatusInternalServerError}[i])
		for _, end := range b.by(s, config, fmt.Sprint("/notes/", i), bad) {
			if end != want {
				t.Errorf("closed with %d, want %d", end, want)
			}
		}
	}
	b.run(s, bad, exitUnavailable, "doc", "list")
	answer.Store(0)
	backup := filepath.Join(dir, "backup")
	b.run(s, good, 0, "backup", backup)
	b.pages(s)
	hook.Close()
	for _, end := range b.by(s, config, "/notes/away", bad) {
		if end != session.CloseUnavailable {
			t.Errorf("without its webhook: closed with %d", end)
		}
	}
	_, log := s.stop(syscall.SIGQUIT)
	b.silent("the dump", log)
	b.files(trail, filepath.Join(dir, "data"), backup)
}
