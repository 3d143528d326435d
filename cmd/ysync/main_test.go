package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/internal/canary"
	"ysync/internal/teststores"
	"ysync/persistence"
	"ysync/persistence/pebble"
)

// bound ends waits that would otherwise hang a broken build.
const bound = time.Minute

// The test binary is the program itself when it is called with asProgram set.
const asProgram = "YSYNC_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(teststores.Run(m))
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return commandFor(t, bound, args...)
}

// commandFor is a command that may take a while.
func commandFor(t *testing.T, atMost time.Duration, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Dir = t.TempDir()
	return cmd
}

// ysync runs the program to its end.
func ysync(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return finish(t, command(t, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok && exit.ExitCode() < 0 {
		t.Fatalf("%v: %v\n%s", cmd.Args[1:], err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// server is a running `ysync serve`.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	serving map[string]any
	rest    chan string // what it logged after that, when it has ended
}

func serve(t *testing.T, args ...string) *server {
	t.Helper()
	return startServer(t, command(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

func startServer(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	s := &server{t: t, cmd: cmd, rest: make(chan string, 1)}
	r := bufio.NewReader(errs)
	var before strings.Builder
	for s.serving == nil {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("ended before it served: %s", before.String())
		}
		before.WriteString(line)
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == "serving" {
			s.serving = fields
		}
	}
	if found := canary.Find(before.String()); len(found) > 0 {
		t.Errorf("the log shows %v", found)
	}
	go func() {
		rest, _ := io.ReadAll(r)
		s.rest <- string(rest)
	}()
	return s
}

func (s *server) addr() string { return s.serving["addr"].(string) }

// stop ends the server by a signal and returns its exit code and its log.
func (s *server) stop(signal os.Signal) (int, string) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	log := <-s.rest
	_ = s.cmd.Wait()
	if found := canary.Find(log); len(found) > 0 {
		s.t.Errorf("the log shows %v", found)
	}
	return s.cmd.ProcessState.ExitCode(), log
}

func TestHelpListsEverything(t *testing.T) {
	out, _, code := ysync(t, "--help")
	for _, want := range []string{"serve", "doc list", "doc get", "doc export", "version", "Exit codes"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help lacks %q", want)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	out, _, code = ysync(t, "serve", "--help")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[serveCmd]()) {
		if field.Anonymous {
			continue
		}
		name := kebab(field.Name)
		if !strings.Contains(out, "--"+name) {
			t.Errorf("serve --help lacks --%s", name)
		}
		if env := "$YSYNC_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")); !strings.Contains(strings.ReplaceAll(out, "\n", " "), env) {
			t.Errorf("serve --help lacks %s", env)
		}
		if value := field.Tag.Get("default"); !strings.Contains(out, value) {
			t.Errorf("serve --help lacks the default %q of --%s", value, name)
		}
	}
}

func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bogus"}, "bogus"},
		{[]string{"serve", "--bogus"}, "--bogus"},
		{[]string{"serve", "--listen", "0.0.0.0:0"}, "loopback"},
		{[]string{"serve", "--listen", ":0"}, "loopback"},
		{[]string{"serve", "--ops", "192.168.0.1:0"}, "loopback"},
		{[]string{"serve", "--max-message", "lots"}, "lots"},
		{[]string{"serve", "--max-message", "0"}, "max-message"},
		{[]string{"serve", "--max-connections", "-1"}, "max-connections"},
		{[]string{"serve", "--segment-interval", "0s"}, "segment-interval"},
		{[]string{"serve", "--snapshot-interval", "-1s"}, "snapshot-interval"},
		{[]string{"serve", "--log-level", "loud"}, "log-level"},
		{[]string{"serve", "--config", filepath.Join(dir, "none.yaml")}, "none.yaml"},
		{[]string{"serve", "--config", file("unknown.yaml", "listen: 127.0.0.1:0\nlisten-to: x\n")}, `line 2: unknown key "listen-to"`},
		{[]string{"serve", "--config", file("twice.yaml", "data: a\ndata: b\n")}, `"data"`},
		{[]string{"serve", "--config", file("deep.yaml", "data:\n  - a\n")}, `"data"`},
		{[]string{"serve", "--config", file("list.yaml", "- data\n")}, "mapping"},
		{[]string{"serve", "--config", file("value.yaml", "max-message: much\n")}, "much"},
		{[]string{"serve", "--config", file("broken.yaml", "data: [\n")}, "broken.yaml"},
		{[]string{"doc", "get"}, "document"},
		{[]string{"doc", "get", ""}, "empty"},
		{[]string{"doc", "get", "a/../b"}, `".."`},
		{[]string{"doc", "export", "a", "--format", "pdf"}, "format"},
	} {
		out, errs, code := ysync(t, c.args...)
		if code != exitUsage || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: exit code %d, %q %q", c.args, code, out, errs)
		}
	}
}

func TestVersion(t *testing.T) {
	out, _, code := ysync(t, "version")
	if code != 0 || !strings.HasPrefix(out, "ysync ") || !strings.Contains(out, "go1.") {
		t.Errorf("%d %q", code, out)
	}
	out, _, _ = ysync(t, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Version == "" || b.Platform == "" {
		t.Errorf("%q: %v", out, err)
	}
}

// The flag wins over the environment, that over the file, that over the default.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "ysync.yaml")
	folder := func(name string) string { return filepath.Join(dir, name) }
	content := fmt.Sprintf("# comment\nlisten: 127.0.0.1:0\ndata: %s\nmax_message: 1MiB\nlog-level: debug\n", folder("file"))
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, env []string
		want      string
	}{
		{[]string{"--config", config}, nil, folder("file")},
		{nil, []string{"YSYNC_CONFIG=" + config}, folder("file")},
		{[]string{"--config", config}, []string{"YSYNC_DATA=" + folder("env")}, folder("env")},
		{[]string{"--config", config, "--data", folder("flag")}, []string{"YSYNC_DATA=" + folder("env")}, folder("flag")},
		{[]string{"--listen", "127.0.0.1:0"}, nil, "./data"},
	} {
		cmd := command(t, append([]string{"serve"}, c.args...)...)
		cmd.Env = append(cmd.Env, c.env...)
		s := startServer(t, cmd)
		if got := s.serving["data"]; got != c.want {
			t.Errorf("%v %v: serves %v, want %s", c.args, c.env, got, c.want)
		}
		if code, log := s.stop(os.Interrupt); code != 0 {
			t.Errorf("exit code %d: %s", code, log)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, "--data", data)
	for _, args := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--data", data},
		{"doc", "list", "--data", data},
		{"doc", "get", "notes", "--data", data},
	} {
		_, errs, code := ysync(t, args...)
		if code != exitInUse || !strings.Contains(errs, "in use") {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
	if _, errs, code := ysync(t, "doc", "list", "--data", data); code != 0 {
		t.Errorf("after the end: exit code %d, %q", code, errs)
	}
}

func TestPortInUse(t *testing.T) {
	s := serve(t)
	for _, flag := range []string{"--listen", "--ops"} {
		_, errs, code := ysync(t, "serve", "--listen", "127.0.0.1:0", flag, s.addr())
		if code != exitFailed || !strings.Contains(errs, flag) || !strings.Contains(errs, "in use") {
			t.Errorf("%s: exit code %d, %q", flag, code, errs)
		}
	}
}

func TestForeignFoldersAreRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Dir(path)
	}
	for _, c := range []struct{ folder, want string }{
		{write("home/letter.txt", "dear"), "letter.txt"},
		{write("newer/FORMAT", "2\n"), "newer release"},
		{write("damaged/FORMAT", "\x00\x00"), "damaged"},
		{write("empty/FORMAT", ""), "damaged"},
		{write("zero/FORMAT", "0"), "damaged"},
	} {
		before := tree(t, c.folder)
		_, errs, code := ysync(t, "serve", "--listen", "127.0.0.1:0", "--data", c.folder)
		if code != exitData || !strings.Contains(errs, c.want) {
			t.Errorf("serve %s: exit code %d, %q", c.folder, code, errs)
		}
		if _, errs, code = ysync(t, "doc", "list", "--data", c.folder); code != exitData {
			t.Errorf("doc list %s: exit code %d, %q", c.folder, code, errs)
		}
		if after := tree(t, c.folder); after != before {
			t.Errorf("%s was changed:\n%s\n%s", c.folder, before, after)
		}
	}
	if _, errs, code := ysync(t, "doc", "list", "--data", filepath.Join(dir, "none")); code != exitData {
		t.Errorf("no folder: exit code %d, %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("doc list made a folder")
	}
}

func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A mounted disk has lost+found, and is a good data folder all the same.
func TestFreshDisk(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		if err := os.MkdirAll(filepath.Join(site.data, "lost+found"), 0o700); err != nil {
			t.Fatal(err)
		}
		if code, log := site.serve().stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, log)
		}
	})
}

func TestServing(t *testing.T) { on(t, serving) }

func serving(t *testing.T, site *site) {
	begun := time.Now()
	s := site.serve("--log-level", "error")
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("took %v to start", took)
	}
	get := func(addr any, path string) (int, string) {
		response, err := http.Get("http://" + addr.(string) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if code, body := get(s.addr(), "/"); code != 200 || !strings.Contains(body, "<html") {
		t.Errorf("/: %d %.80q", code, body)
	}
	ops := s.serving["ops"]
	for path, want := range map[string]string{
		"/healthz":              "ok",
		"/readyz":               "ok",
		"/metrics":              "ysync_connections 0",
		"/status":               `"connections":0`,
		"/debug/pprof/cmdline":  "serve",
		"/debug/pprof/heap":     "",
		"/debug/pprof/?debug=1": "goroutine",
	} {
		if code, body := get(ops, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200q", path, code, body)
		}
		if code, _ := get(s.addr(), path); code == 200 {
			t.Errorf("%s is on the public port", path)
		}
	}
	code, log := s.stop(syscall.SIGTERM)
	if code != 0 || !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("exit code %d, %s", code, log)
	}
}

// fill writes a document of two updates to a data folder, without a server.
func fill(t *testing.T, data string, names ...string) {
	t.Helper()
	if err := prepareFolder(data); err != nil {
		t.Fatal(err)
	}
	log, err := pebble.Open(pebble.Options{Dir: filepath.Join(data, logFolder)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for _, name := range names {
		record, err := log.Claim(t.Context(), name, "test", 0)
		if err != nil {
			t.Fatal(err)
		}
		result := log.Append(t.Context(), []persistence.Batch{{
			Document: name, Generation: record.Generation, Epoch: record.Epoch,
			Entries: []persistence.NewEntry{
				{Time: at, Update: []byte{1, 1, 7, 0, 4, 1, 1, 't', 2, 'h', 'e', 0}},
				{Time: at, Update: []byte{1, 1, 7, 2, 0x84, 7, 1, 1, 'y', 0}},
			},
		}})
		if result[0].Err != nil {
			t.Fatal(result[0].Err)
		}
	}
}

func TestDocCommands(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	fill(t, data, "notes", "team/plan")

	out, _, code := ysync(t, "doc", "list", "--data", data)
	if code != 0 || !strings.Contains(out, "DOCUMENT") || strings.Count(out, "\n") != 3 ||
		!strings.Contains(out, "team/plan  2") || !strings.Contains(out, "2026-03-04T05:06:07Z") {
		t.Errorf("list: %d\n%s", code, out)
	}

	out, _, code = ysync(t, "doc", "list", "--json", "--data", data)
	before := out
	var first api.Document
	decoder := json.NewDecoder(strings.NewReader(out))
	if err := decoder.Decode(&first); err != nil || code != 0 || first.Document != "notes" || first.Position != 2 || first.Logged != 2 {
		t.Errorf("list --json: %d %+v %v\n%s", code, first, err, out)
	}

	out, _, code = ysync(t, "doc", "get", "notes", "--data", data)
	var content map[string]any
	if err := json.Unmarshal([]byte(out), &content); err != nil || code != 0 || content["t"] != "hey" {
		t.Errorf("get: %d %v %v\n%s", code, content, err, out)
	}

	for _, format := range []crdt.Version{crdt.V1, crdt.V2} {
		name := map[crdt.Version]string{crdt.V1: "v1", crdt.V2: "v2"}[format]
		out, _, code = ysync(t, "doc", "export", "team/plan", "--format", name, "--data", data)
		d := crdt.New(crdt.Options{})
		if _, err := d.Apply(nil, format, []byte(out)); err != nil || code != 0 || string(d.AppendJSON(nil, nil)) != `{"t":"hey"}` {
			t.Errorf("export %s: %d %v %s", name, code, err, d.AppendJSON(nil, nil))
		}
	}

	file := filepath.Join(t.TempDir(), "out.json")
	export := []string{"doc", "export", "notes", "--format", "json", "-o", file, "--data", data}
	if _, errs, code := ysync(t, export...); code != 0 {
		t.Errorf("export to a file: %d %s", code, errs)
	}
	written, err := os.ReadFile(file)
	if err != nil || string(written) != "{\"t\":\"hey\"}\n" {
		t.Errorf("%q %v", written, err)
	}
	if _, errs, code := ysync(t, export...); code != exitFailed || !strings.Contains(errs, "exists") {
		t.Errorf("overwrote a file: %d %s", code, errs)
	}

	for _, args := range [][]string{{"get", "nothing"}, {"export", "nothing"}} {
		_, errs, code := ysync(t, "doc", args[0], args[1], "--data", data)
		if code != exitNotFound || !strings.Contains(errs, `"nothing"`) {
			t.Errorf("%v: %d %q", args, code, errs)
		}
	}
	// Looking changed nothing.
	if after, _, _ := ysync(t, "doc", "list", "--json", "--data", data); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "1024": 1024, "1KiB": 1024, "32 MiB": 32 << 20, "2GiB": 2 << 30, "1KB": 1000, "3MB": 3e6, "7B": 7, " 5 ": 5,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d %v", text, s, err)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5MiB", "1TB", "9999999999GiB", "1 K", "0x10"} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, s)
		}
	}
}
