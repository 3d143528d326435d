package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/canary"
	"ysync/internal/e2e"
	"ysync/internal/teststores"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ysync-e2e")
	if err != nil {
		panic(err)
	}
	binary, err = e2e.Build(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The idle clients, of TestIdle and of TestCluster, take three of the places,
	// and no time.
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(3+runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	code := teststores.Run(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// place is where clients find documents: one server, or a balancer before the
// nodes of a cluster.
type place struct{ addr, operations string }

// The tests of clients, whatever serves them.

// clients: y-websocket 1.5, 2, 3 and @y/websocket 4 (Yjs 14).
func clients(t *testing.T, at place) { node(t, "clients.test.mjs", at.addr) }

// idle: 90 s of real time, beside the other tests.
func idle(t *testing.T, at place) { node(t, "idle.test.mjs", at.addr) }

// reset: a document is reset under an open and an offline tab.
func reset(t *testing.T, at place) {
	node(t, "reset.test.mjs", at.addr, "YSYNC_OPS="+at.operations)
}

// browser: three pages of the start page in Chromium.
func browser(t *testing.T, at place) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		missing(t, "Chromium")
	}
	node(t, "browser.test.mjs", at.addr, "YSYNC_CHROMIUM="+chromium, "YSYNC_SCREENSHOTS="+os.Getenv("YSYNC_SCREENSHOTS"))
}

func TestClients(t *testing.T) { on(t, clients) }
func TestIdle(t *testing.T)    { on(t, idle) }
func TestReset(t *testing.T)   { on(t, reset) }
func TestBrowser(t *testing.T) { on(t, browser) }

// TestCompression: y-websocket clients of each line, whose sockets compress, on a server
// and on nodes that do so too.
func TestCompression(t *testing.T) {
	t.Parallel()
	t.Run("Server", func(t *testing.T) {
		t.Parallel()
		node(t, "compression.test.mjs", startWith(t, t.TempDir(), nil, "--compression", "--ops", "127.0.0.1:0").Addr)
	})
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		node(t, "compression.test.mjs", newNodes(t, "--compression").place().addr)
	})
}

// TestRestart: clients live through kill -9.
func TestRestart(t *testing.T) {
	onStores(t, func(t *testing.T, s teststores.Stores) {
		data := t.TempDir()
		server := start(t, data, s)
		addr := server.Addr
		restart(t, addr,
			func() { server.Kill() },
			func() { server = start(t, data, s, "--listen", addr) })
	})
}

// restart runs clients that ask for a kill of what serves them at addr, and then
// for it to be started again.
func restart(t *testing.T, addr string, kill, again func()) {
	cmd := nodeCommand(t, "restart.test.mjs", addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		switch {
		case strings.HasSuffix(lines.Text(), "@driver kill"):
			kill()
		case strings.HasSuffix(lines.Text(), "@driver start"):
			again()
			fmt.Fprintln(in, "started")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// TestStartAndStop: an empty folder serves at once, an empty database when it has
// its tables; SIGTERM is a clean end. Alone, because it takes a time.
func TestStartAndStop(t *testing.T) {
	within := map[bool]time.Duration{false: 300 * time.Millisecond, true: 5 * time.Second}
	teststores.Each(t, func(t *testing.T, s teststores.Stores) { startAndStop(t, s, within[s.Log != ""]) })
}

func startAndStop(t *testing.T, s teststores.Stores, within time.Duration) {
	data := filepath.Join(t.TempDir(), "new", "folder")
	server := start(t, data, s)
	if server.Started > within {
		t.Errorf("starting on empty stores took %v, want under %v", server.Started, within)
	}
	if second, err := e2e.Start(binary, data, s.Env()); err == nil {
		second.Kill()
		t.Error("a second process was let onto the same folder")
	} else if !strings.Contains(err.Error(), data) {
		t.Errorf("the refusal does not name the folder: %v", err)
	}
	if code, err := server.Stop(); err != nil || code != 0 {
		t.Errorf("SIGTERM: exit code %d, %v\n%s", code, err, server.Log())
	}
}

// TestBundle: the committed start page is the one that its sources build.
func TestBundle(t *testing.T) {
	t.Parallel()
	editor := filepath.Join("..", "..", "examples", "editor")
	requireNode(t, editor)
	fresh := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("node", "build.mjs", fresh)
	cmd.Dir = editor
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	built, err := os.ReadDir(fresh)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadDir(filepath.Join(editor, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	if len(built) != len(committed) || len(built) == 0 {
		t.Errorf("the build makes %d files, %d are committed", len(built), len(committed))
	}
	for _, f := range built {
		want, err := os.ReadFile(filepath.Join(fresh, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(editor, "dist", f.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the sources build (%v): run `make web`", f.Name(), err)
		}
	}
}

// on runs a test of clients on a server with each kind of stores.
func on(t *testing.T, f func(t *testing.T, at place)) {
	onStores(t, func(t *testing.T, s teststores.Stores) {
		server := start(t, t.TempDir(), s, "--ops", "127.0.0.1:0")
		f(t, place{server.Addr, fmt.Sprint(server.Fields["ops"])})
	})
}

// onStores runs a test on both kinds of stores, beside the other tests.
func onStores(t *testing.T, f func(t *testing.T, s teststores.Stores)) {
	t.Parallel()
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		t.Parallel()
		f(t, s)
	})
}

func start(t *testing.T, data string, stores teststores.Stores, args ...string) *e2e.Server {
	t.Helper()
	return startWith(t, data, stores.Env(), args...)
}

func startWith(t *testing.T, data string, env []string, args ...string) *e2e.Server {
	t.Helper()
	s, err := e2e.Start(binary, data, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if found := canary.Find(s.Log()); len(found) > 0 {
			t.Errorf("the server's log shows %v", found)
		}
		if t.Failed() {
			t.Logf("the server at %s said:\n%s", s.Addr, s.Log())
		}
	})
	return s
}

func nodeCommand(t *testing.T, program, addr string, env ...string) *exec.Cmd {
	t.Helper()
	requireNode(t, ".")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	// The default reporter for a pipe is TAP in Node 20 and spec later: say it.
	cmd := exec.CommandContext(ctx, "node", "--test-reporter=tap", "--test-force-exit", program)
	cmd.Env = append(append(os.Environ(), "YSYNC_URL=ws://"+addr), env...)
	return cmd
}

func node(t *testing.T, program, addr string, env ...string) {
	t.Helper()
	out, err := nodeCommand(t, program, addr, env...).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("# fail 0")) || bytes.Contains(out, []byte("# pass 0")) {
		t.Errorf("%s: %v\n%s", program, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "ok ") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func requireNode(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "Node.js")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		missing(t, "the Node packages of "+dir)
	}
}

// missing ends a test whose tools could not be had: a failure where nothing may
// be missing, a line that says so elsewhere.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: `make prepare` installs it", what)
	}
	t.Skipf("NOT RUN: %s is missing", what)
}
