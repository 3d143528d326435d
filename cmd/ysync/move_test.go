package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// told is what a server tells of its documents and their past, for a
// comparison: owners and epochs are those of its own claims.
func told(t *testing.T, s *site, documents ...string) string {
	t.Helper()
	var all strings.Builder
	all.WriteString(s.must(nil, "doc", "list", "--json"))
	for _, d := range documents {
		for _, args := range [][]string{
			{"doc", "get", d},
			{"doc", "history", d, "--json"},
			{"doc", "authors", d, "--json"},
			{"doc", "get", d, "--at", "#1"},
			{"snapshot", "list", d, "--json"},
		} {
			all.WriteString(s.must(nil, args...))
		}
	}
	return all.String()
}

// move runs `ysync migrate ysync` with the stores of a site as the destination.
func (s *site) move(source string, args ...string) (out string, code int) {
	s.t.Helper()
	cmd := s.env(command(s.t, append([]string{"migrate", "ysync", source, "--data", s.data}, args...)...))
	out, errs, code := finish(s.t, cmd)
	return out + errs, code
}

func (s *site) mustMove(source string, args ...string) string {
	s.t.Helper()
	out, code := s.move(source, args...)
	if code != 0 {
		s.t.Fatalf("migrate ysync %s: exit code %d\n%s", source, code, out)
	}
	return out
}

// TestMoveWhileTheServerServes: a folder becomes PostgreSQL and a bucket while
// people type; the last run copies only what is new; nothing that was
// acknowledged is lost; and the way back gives the same again.
func TestMoveWhileTheServerServes(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	small, large := embedded(t), elsewhere(t)
	server := small.serve("--segment-interval", "1s")
	source := "http://" + server.ops()
	const quiet = 40
	for i := range quiet {
		server.join(fmt.Sprintf("quiet/%d", i)).edit("still")
	}
	small.must(server, "doc", "seed", "seeded", updateFile(t, "first"), "--key", "k")
	small.must(server, "doc", "import", "gone", updateFile(t, "secret"))
	small.must(server, "snapshot", "create", "gone")
	plan := server.join("plan")
	plan.edit("Buy milk.")
	small.must(server, "snapshot", "create", "plan", "--label", "before")

	if out := large.mustMove(source, "--dry-run"); !strings.Contains(out, "would be moved") {
		t.Errorf("dry run: %s", out)
	}
	if _, err := os.Stat(large.data); !os.IsNotExist(err) {
		t.Errorf("the dry run made the folder: %v", err)
	}

	// People type all the time, and every run finds the documents moving.
	stop := make(chan struct{})
	var typing sync.WaitGroup
	words := make([]int, 4)
	for i := range words {
		typist := server.join(fmt.Sprint("busy", i))
		typing.Go(func() {
			for ; ; words[i]++ {
				select {
				case <-stop:
					return
				default:
					typist.edit(fmt.Sprintf("<%d>", words[i]))
				}
			}
		})
	}
	first := large.mustMove(source)
	if !strings.Contains(first, "47 documents: 47 moved") {
		t.Errorf("the first run: %s", first)
	}
	small.must(server, "doc", "erase", "gone", "--yes")
	small.must(server, "snapshot", "create", "busy0", "--label", "middle")
	plan.edit(" Call Ann.")
	if second := large.mustMove(source); !strings.Contains(second, "1 erased there") {
		t.Errorf("the second run: %s", second)
	}
	close(stop)
	typing.Wait()
	if code, log := server.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}

	// The cut-over.
	last := large.mustMove(small.data, "--cut-over", "--json")
	var end movedAll
	if err := json.Unmarshal([]byte(last[strings.LastIndex(strings.TrimSpace(last), "\n")+1:]), &end); err != nil || end.Documents != 47 {
		t.Errorf("the last run: %v\n%s", err, last)
	}
	if out := large.mustMove(small.data, "--cut-over"); !strings.Contains(out, "47 documents: 47 unchanged; 0 entries and 0 files were copied") {
		t.Errorf("once more: %s", out)
	}
	if _, errs, code := small.run("serve", "--listen", "127.0.0.1:0"); code != exitUsage || !strings.Contains(errs, "was left: 47 documents moved to s3://") {
		t.Errorf("the old server starts again: %d %s", code, errs)
	}
	documents := []string{"plan", "busy0", "busy3", "seeded", "quiet/7"}
	want := told(t, small, documents...)
	if got := told(t, large, documents...); got != want {
		t.Errorf("there it was\n%s\nhere it is\n%s", want, got)
	}
	if out := large.must(nil, "snapshot", "verify"); !strings.Contains(out, "46 documents") || !strings.Contains(out, "0 damaged") {
		t.Errorf("verify: %s", out)
	}

	// The way back gives the same again.
	back := embedded(t)
	cmd := large.env(command(t, "migrate", "ysync", large.data, "--data", back.data))
	for _, v := range cmd.Env {
		if name, value, _ := strings.Cut(v, "="); name == "YSYNC_LOG" || name == "YSYNC_SNAPSHOTS" {
			cmd.Env = append(cmd.Env, name+"=", strings.Replace(name, "YSYNC_", "YSYNC_FROM_", 1)+"="+value)
		}
	}
	if out, errs, code := finish(t, cmd); code != 0 || !strings.Contains(out, "46 moved, 1 erased there") {
		t.Errorf("back: %d %s%s", code, out, errs)
	}
	if got := told(t, back, documents...); got != want {
		t.Errorf("back it is\n%s\nwant\n%s", got, want)
	}

	grown := large.serve()
	for i, n := range words {
		text := grown.join(fmt.Sprint("busy", i)).text()
		if got := strings.Count(text, "<"); got != n {
			t.Errorf("busy%d: %d words are there, %d were acknowledged", i, got, n)
		}
	}
	moved := grown.join("plan")
	moved.edit(" Pay rent.")
	if out := large.must(grown, "doc", "get", "plan", "--at", "label:before", "--text"); out != "Buy milk.\n" {
		t.Errorf("the labelled moment is %q", out)
	}
	if out := large.must(grown, "doc", "seed", "seeded", updateFile(t, "again"), "--key", "k"); !strings.Contains(out, "nothing new") {
		t.Errorf("seeded again: %s", out)
	}
	ws, _, err := websocket.Dial(t.Context(), "ws://"+grown.addr()+"/gone", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != 4404 {
		t.Errorf("the erased document: %v", err)
	}
	grown.stop(syscall.SIGTERM)

	// What a server has written there since is not overwritten.
	if out, code := large.move(small.data); code != exitConflict || !strings.Contains(out, "a server has written it here") {
		t.Errorf("moved again: %d %s", code, out)
	}
	if out, code := small.move(small.data); code != exitUsage || !strings.Contains(out, "the source and --data both") {
		t.Errorf("moved onto itself: %d %s", code, out)
	}
}

// TestMoveKilled: a run that is killed at any moment does no harm, and the next
// one goes on.
func TestMoveKilled(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	for name, destination := range map[string]func(*testing.T) *site{"ToFolder": embedded, "ToPostgres": elsewhere} {
		t.Run(name, func(t *testing.T) {
			small, large := embedded(t), destination(t)
			names := make([]string, 60)
			for i := range names {
				names[i] = fmt.Sprint("d", i)
			}
			fill(t, small.data, names...)
			server := small.serve()
			source := "http://" + server.ops()
			for i := range 10 {
				server.join(names[i]).edit("<1>")
				small.must(server, "snapshot", "create", names[i])
			}
			// Kills later and later, until a run gets through.
			for pause, kills := 20*time.Millisecond, 0; ; pause += 60 * time.Millisecond {
				cmd := large.env(command(t, "migrate", "ysync", source, "--data", large.data))
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				killer := time.AfterFunc(pause, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
				err := cmd.Wait()
				if !killer.Stop() && err != nil {
					kills++
					continue
				}
				if err != nil || kills == 0 {
					t.Fatalf("after %d kills: %v", kills, err)
				}
				break
			}
			server.stop(syscall.SIGTERM)
			large.mustMove(small.data, "--cut-over")
			if got, want := told(t, large, names[:12]...), told(t, small, names[:12]...); got != want {
				t.Errorf("there it was\n%s\nhere it is\n%s", want, got)
			}
			if out := large.must(nil, "snapshot", "verify"); !strings.Contains(out, "60 documents") || !strings.Contains(out, "0 damaged") {
				t.Errorf("verify: %s", out)
			}
		})
	}
}

// TestMoveDamage: a document that is damaged there is named, and the others move.
func TestMoveDamage(t *testing.T) {
	small, large := embedded(t), embedded(t)
	server := small.serve()
	for _, d := range []string{"good", "bad"} {
		server.join(d).edit("hey")
		small.must(server, "snapshot", "create", d)
	}
	server.stop(syscall.SIGTERM)
	var key string
	if err := json.Unmarshal([]byte(small.must(nil, "snapshot", "list", "bad", "--json")), &struct{ Key *string }{&key}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(small.data, snapshotFolder, filepath.FromSlash(key))
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)/2] ^= 1
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	// The log still has it all: it moves, with the damaged file as it is.
	if out, code := large.move(small.data); code != 0 || !strings.Contains(out, "2 moved") {
		t.Errorf("%d %s", code, out)
	}
	if out, _, code := large.run("snapshot", "verify"); code != exitData {
		t.Errorf("verify: %d %s", code, out)
	}
}

// TestStoresOverHTTP: a copy through a server's API is told apart why something
// cannot be read.
func TestStoresOverHTTP(t *testing.T) {
	s := embedded(t)
	server := s.serve()
	server.join("a").edit("x")
	s.must(server, "doc", "import", "gone", updateFile(t, "x"))
	s.must(server, "doc", "erase", "gone", "--yes")
	c := server.remote()
	status := func(what, query string) int {
		t.Helper()
		answer, err := http.Get("http://" + server.ops() + "/api/v1/stores/" + what + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, c := range []struct {
		what, query string
		want        int
	}{
		{"records", "", 200},
		{"records", "document=none", 200},
		{"entries", "document=gone", 410},
		{"entries", "document=a&after=x", 400},
		{"entries", "", 400},
		{"object", "key=a/b.snapshot", 404},
		{"object", "key=../b", 400},
		{"objects", "prefix=..", 500},
	} {
		if got := status(c.what, c.query); got != c.want {
			t.Errorf("%s?%s: status %d, want %d", c.what, c.query, got, c.want)
		}
	}
	log := remoteLog{c}
	if rec, err := log.Open(context.Background(), "none"); err != nil || rec.Exists() {
		t.Errorf("a document that is not there: %+v, %v", rec, err)
	}
	rec, err := log.Open(context.Background(), "gone")
	if err != nil || rec.Tombstone.IsZero() {
		t.Errorf("an erased document: %+v, %v", rec, err)
	}
}
