package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/api"
	"ysync/internal/canary"
	"ysync/internal/testpg"
	"ysync/internal/teststores"
	"ysync/syncproto"
)

// password must turn up in nothing that the program prints.
const password = "cAnArY-s3cret"

// withLog is a command with the update log at a URL, set as an operator should.
func withLog(cmd *exec.Cmd, url string) *exec.Cmd {
	// No database of these tests asks for a password, so each is given one that may
	// turn up nowhere.
	cmd.Env = append(cmd.Env, "YSYNC_LOG="+strings.Replace(url, "postgres@", "postgres:"+canary.Mark+".database@", 1))
	return cmd
}

func TestServeWithPostgres(t *testing.T) {
	database := testpg.Start(t)
	url := strings.Replace(database.Database(t), "postgres@", "postgres:"+password+"@", 1)
	data := filepath.Join(t.TempDir(), "data")
	start := func() *server {
		return startServer(t, withLog(command(t, "serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", data), url))
	}
	s := start()
	for key, want := range map[string]string{
		"log": database.Addr() + "/test1", "durability": "synchronous_commit on, fsync on, full_page_writes on, synchronous standbys none",
	} {
		if s.serving[key] != want {
			t.Errorf("serving: %s is %q, want %q", key, s.serving[key], want)
		}
	}
	s.join("team/plan").edit("hey")

	answer, err := http.Get("http://" + s.serving["ops"].(string) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var status struct{ Log logStatus }
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || !status.Log.Health.Up || status.Log.Durability.Fsync != "on" ||
		status.Log.Address != database.Addr()+"/test1" {
		t.Errorf("/status: %+v, %v", status, err)
	}

	// Looking needs no stopped server.
	out, errs, code := finish(t, withLog(command(t, "doc", "list", "--json", "--data", data), url))
	var l api.Document
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 || l.Document != "team/plan" || l.Position != 1 {
		t.Errorf("list: %d %+v %v %s", code, l, err, errs)
	}
	look := func() {
		t.Helper()
		for args, want := range map[string]string{"get team/plan": "{\"t\":\"hey\"}\n", "export team/plan --format json": "{\"t\":\"hey\"}\n"} {
			out, errs, code := finish(t, withLog(command(t, append(strings.Fields("doc "+args), "--data", data)...), url))
			if code != 0 || out != want {
				t.Errorf("%s: %d %q %s", args, code, out, errs)
			}
		}
	}
	look()

	// The folder is the server's, also when its log is not in it.
	refuse := func(code int, want string, cmd *exec.Cmd) {
		t.Helper()
		_, errs, got := finish(t, cmd)
		if got != code || !strings.Contains(errs, want) || strings.Contains(errs, password) {
			t.Errorf("%v: exit code %d, want %d, %q", cmd.Args[1:], got, code, errs)
		}
	}
	refuse(exitInUse, "in use", withLog(command(t, "serve", "--listen", "127.0.0.1:0", "--data", data), url))
	if code, log := s.stop(syscall.SIGTERM); code != 0 || strings.Contains(log, password) {
		t.Errorf("exit code %d, %s", code, log)
	}
	look() // from the snapshot that it left
	refuse(exitUsage, "is in PostgreSQL: name it", command(t, "serve", "--listen", "127.0.0.1:0", "--data", data))
	refuse(exitUsage, "is in PostgreSQL: name it", command(t, "doc", "list", "--data", data))

	s = start()
	if got := s.join("team/plan").text(); got != "hey" {
		t.Errorf("after a restart: %q", got)
	}
	s.stop(syscall.SIGTERM)
	testpg.Exec(t, url, "INSERT INTO ysync.migrations (version_id, is_applied) VALUES (99, true)")
	refuse(exitData, "schema version 99", withLog(command(t, "serve", "--data", data), url))
}

// What is wrong with the database is one line, and the right exit code.
func TestLogFlagRefusals(t *testing.T) {
	embedded := filepath.Join(t.TempDir(), "data")
	fill(t, embedded, "notes")
	for name, c := range map[string]struct {
		data, url, want string
		code            int
	}{
		"unreachable":  {"", "postgres://u:" + password + "@127.0.0.1:1/db", "cannot be reached: connection refused", exitFailed},
		"malformed":    {"", "postgres://u:" + password + "@h:x/db", "malformed", exitUsage},
		"not Postgres": {"", "mysql://u:" + password + "@h/db", "want a URL such as postgres://", exitUsage},
		"two logs":     {embedded, "postgres://u:" + password + "@127.0.0.1:1/db", "an update log of its own", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			if c.data == "" {
				c.data = filepath.Join(t.TempDir(), "data")
				if err := prepareFolder(c.data); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"doc", "list"}} {
				out, errs, code := finish(t, withLog(command(t, append(args, "--data", c.data)...), c.url))
				if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(out+errs, password) {
					t.Errorf("%v: exit code %d, want %d, %q", args, code, c.code, errs)
				}
				if lines := strings.Count(strings.TrimSuffix(errs, "Run with --help to see what there is.\n"), "\n"); lines != 1 {
					t.Errorf("%v: %d lines:\n%s", args, lines, errs)
				}
			}
			if _, errs, code := ysync(t, "doc", "list", "--data", c.data); code != 0 {
				t.Errorf("the folder was changed: %d %s", code, errs)
			}
		})
	}
}

// TestPostgresAwayIsBounded: twenty clients flood a server whose database stands
// still. What it holds for the log stays within --max-uncommitted, nothing is
// acknowledged, and all of it is when the database is back: the server asks the
// clients for what it has set aside.
func TestPostgresAwayIsBounded(t *testing.T) {
	const limit, clients, count, bytes = 1 << 20, 20, 40, 8000
	database := testpg.Start(t)
	site := newSite(t, teststores.Stores{})
	cmd := commandFor(t, 5*time.Minute, "serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", site.data, "--max-uncommitted", fmt.Sprint(limit))
	s := startServer(t, withLog(cmd, database.Database(t)))
	typists := make([]*typist, clients)
	for i := range typists {
		typists[i] = s.typist(fmt.Sprint("flood/", i%4))
		if err := typists[i].write(fmt.Sprintf("<%d.0>", i)); err != nil {
			t.Fatal(err)
		}
		typists[i].send(syncproto.AppendAck(nil, []byte{1}))
		<-typists[i].acked
	}
	if err := database.Freeze(); err != nil {
		t.Fatal(err)
	}
	var flood sync.WaitGroup
	for i, p := range typists {
		flood.Go(func() {
			for n := range count {
				if err := p.write(fmt.Sprintf("<%d.%d>", i, n+1) + strings.Repeat("x", bytes)); err != nil {
					t.Error(err)
				}
			}
			if err := p.ws.Write(t.Context(), websocket.MessageBinary, syncproto.AppendAck(nil, []byte{2})); err != nil {
				t.Error(err)
			}
		})
	}
	flood.Wait()
	const discarded = `ysync_hub_updates_total{result="discarded"}`
	await(t, "the flood to be judged", func() bool {
		applied := s.metric(`ysync_hub_updates_total{result="applied"}`)
		return applied+s.metric(discarded) >= clients*(count+1)
	})
	held, aside := s.metric("ysync_log_uncommitted_bytes"), s.metric(discarded)
	t.Logf("%d bytes sent, %.0f held, %.0f of %d updates set aside", clients*count*bytes, held, aside, clients*count)
	// The limit is looked at before each turn, and a turn takes at most an inbox:
	// one for each processor.
	if held > float64(limit+runtime.NumCPU()<<20) || aside == 0 {
		t.Errorf("the server holds %.0f bytes, %.0f updates were set aside", held, aside)
	}
	for i, p := range typists {
		if len(p.acked) > 0 {
			t.Errorf("client %d: acknowledged without a database", i)
		}
	}
	if err := database.Thaw(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	typed := map[string]bool{}
	for i, p := range typists {
		select {
		case <-p.acked:
		case <-time.After(time.Minute):
			t.Fatalf("client %d: no acknowledgement", i)
		}
		for n := range count + 1 {
			typed[fmt.Sprintf("<%d.%d>", i, n)] = true
		}
	}
	t.Logf("all acknowledged %v after the database was back", time.Since(begun).Round(time.Millisecond))
	if s.metric("ysync_log_uncommitted_bytes") != 0 {
		t.Error("something is left uncommitted")
	}
	s.stop(syscall.SIGKILL)
	site.stores.Log = database.URL("test1")
	for i := range 4 {
		found := words(site.must(nil, "doc", "get", fmt.Sprint("flood/", i), "--text"))
		for w := range found {
			if !typed[w] {
				t.Errorf("nobody typed %s", w)
			}
			delete(typed, w)
		}
	}
	if len(typed) > 0 {
		t.Errorf("%d acknowledged words are lost", len(typed))
	}
}
