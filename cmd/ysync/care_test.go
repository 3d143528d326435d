package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"

	"ysync/internal/gateway"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/s3"
)

// damageEntry flips a bit of a log entry in a data folder that nobody has open.
func damageEntry(t *testing.T, data, document string, position uint64) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(data, logFolder), &pebble.Options{FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quietLogger{}})
	if err != nil {
		t.Fatal(err)
	}
	key := append([]byte("e"+document), 0, 1)
	key = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, 1), position)
	value, closer, err := db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), value...)
	damaged[len(damaged)-1] ^= 1
	if err := errors.Join(closer.Close(), db.Set(key, damaged, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

type quietLogger struct{ pebble.Logger }

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}

// spoil flips a bit of the newest snapshot of a document.
func (s *site) spoil(t *testing.T, document string) {
	t.Helper()
	var store snapshots.Store
	var err error
	if s.stores.Snapshots == "" {
		store, err = dir.Open(vfs.Default, filepath.Join(s.data, snapshotFolder))
	} else {
		for name, value := range s3test.Environment() {
			t.Setenv(name, value)
		}
		var o s3.Options
		if o, err = s3.Parse(s.stores.Snapshots); err == nil {
			store, err = s3.Open(t.Context(), o)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for o, err := range store.List(t.Context(), snapshots.Folder(document)) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(o.Key, ".snapshot") {
			newest = o.Key
		}
	}
	content, err := store.Get(t.Context(), newest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := errors.Join(store.Delete(t.Context(), newest), store.Put(t.Context(), newest, content)); err != nil {
		t.Fatal(err)
	}
}

// readStatus reads /status.
func (s *server) readStatus(into any) {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops() + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		s.t.Fatal(err)
	}
}

// closedWith opens a document and returns the close code and reason that come.
func (s *server) closedWith(t *testing.T, document string) websocket.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.addr()+"/"+document, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(ctx, websocket.MessageBinary, []byte{0, 0, 1, 0}); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			var end websocket.CloseError
			if !errors.As(err, &end) {
				t.Fatal(err)
			}
			return end
		}
	}
}

// A document with a damaged entry is quarantined while others go on, shows
// everywhere, and is served again after a repair at the running server.
func TestQuarantineAndRepair(t *testing.T) {
	s := embedded(t)
	first := s.serve("--segment-interval", "1h", "--scrub-interval", "0s")
	for _, text := range []string{"one", "two", "three"} {
		s.must(first, "doc", "import", "sick", updateFile(t, text))
	}
	s.must(first, "doc", "import", "well", updateFile(t, "x"))
	if code, log := first.stop(syscall.SIGKILL); code == 0 {
		t.Fatal(log)
	}
	damageEntry(t, s.data, "sick", 2)

	live := s.serve("--scrub-interval", "1h")
	for _, reason := range []string{"could not be loaded", "quarantined", "quarantined"} {
		if end := live.closedWith(t, "sick"); end.Code != 4503 || !strings.Contains(end.Reason, reason) {
			t.Errorf("closed with %v, want 4503 %s", end, reason)
		}
	}
	if got := live.join("well").text(); got != "x" {
		t.Errorf("another document holds %q", got)
	}
	var st gateway.Status
	if live.readStatus(&st); st.QuarantinedCount != 1 || len(st.Quarantined) != 1 || st.Quarantined[0].Document != "sick" || len(st.Largest) == 0 {
		t.Errorf("status %+v", st)
	}
	for args, want := range map[string]string{
		"doc list":                      "quarantined",
		"doc list --quarantined --json": `"reason"`,
		"doc explain sick":              "damaged log entries",
		"doc repair sick --dry-run":     "position 2",
		"doc list --sizes":              "DELETED/LIVE",
	} {
		if out := s.must(live, strings.Fields(args)...); !strings.Contains(out, want) {
			t.Errorf("%s: want %q in\n%s", args, want, out)
		}
	}
	retry := s.env(command(t, "doc", "retry", "sick", "--server", "http://"+live.ops()))
	if out, errs, code := finish(t, retry); code != exitData || !strings.Contains(out, "stays in quarantine") {
		t.Errorf("retry: exit code %d: %s%s", code, out, errs)
	}
	var report snapshots.Repair
	if err := json.Unmarshal([]byte(s.must(live, "doc", "repair", "sick", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Repaired || report.Lost != 1 || len(report.Findings) != 1 {
		t.Errorf("the report: %+v", report)
	}
	if kept, err := os.ReadFile(report.Findings[0].Aside); err != nil || len(kept) == 0 {
		t.Errorf("aside: %v", err)
	}
	if got := live.join("sick").text(); !strings.Contains(got, "one") || !strings.Contains(got, "three") || strings.Contains(got, "two") {
		t.Errorf("the repaired document holds %q", got)
	}
	st = gateway.Status{}
	if live.readStatus(&st); st.QuarantinedCount != 0 {
		t.Errorf("status %+v", st)
	}
	if out := s.must(live, "snapshot", "verify"); !strings.Contains(out, "0 damaged") {
		t.Errorf("verify: %s", out)
	}
	code, log := live.stop(syscall.SIGTERM)
	if code != 0 || !strings.Contains(log, "is quarantined") || !strings.Contains(log, "STORED DATA IS DAMAGED") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if _, err := os.Stat(filepath.Join(s.data, scrubName)); err != nil {
		t.Error(err)
	}
}

// Repairs work on the stores of a server that is stopped, embedded and in
// PostgreSQL with a bucket; verify says what is damaged before.
func TestRepairStopped(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		live := s.serve()
		s.must(live, "doc", "import", "d", updateFile(t, "hello"))
		s.must(live, "snapshot", "create", "d", "--label", "a")
		s.must(live, "doc", "import", "d", updateFile(t, "more"))
		s.must(live, "snapshot", "create", "d", "--label", "b")
		if code, log := live.stop(syscall.SIGTERM); code != 0 {
			t.Fatalf("exit code %d: %s", code, log)
		}
		s.spoil(t, "d")
		if s.stores.Log == "" {
			damageEntry(t, s.data, "d", 2)
		} else {
			testpg.Exec(t, s.stores.Log, "UPDATE ysync.update_log SET data = data || '\\x00' WHERE position = 2")
		}
		if out, _, code := s.run("snapshot", "verify"); code != exitData || !strings.Contains(out, "damaged") {
			t.Errorf("verify: exit code %d\n%s", code, out)
		}
		out, errs, code := s.run("doc", "repair", "d")
		if code != 0 || !strings.Contains(out, "repaired, at position 4") || strings.Count(out, "/"+asideFolder+"/") != 2 || !strings.Contains(out, "a history segment has it") {
			t.Errorf("repair: exit code %d\n%s%s", code, out, errs)
		}
		if out := s.must(nil, "doc", "repair", "d"); !strings.Contains(out, "nothing is damaged") {
			t.Errorf("a second repair: %s", out)
		}
		if out := s.must(nil, "snapshot", "verify"); !strings.Contains(out, "0 damaged") {
			t.Errorf("verify: %s", out)
		}
		live = s.serve()
		if got := live.join("d").text(); !strings.Contains(got, "hello") || !strings.Contains(got, "more") {
			t.Errorf("the repaired document holds %q", got)
		}
		if code, log := live.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, log)
		}
	})
}

func TestEditCommands(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		live := site.serve()
		for _, c := range []struct {
			args []string
			want string
		}{
			{[]string{"doc", "create", "d", `[{"op": "text", "path": ["t"], "insert": "hello"}]`}, "position 1"},
			{[]string{"doc", "edit", "d", `[{"op": "text", "path": ["t"], "at": 5, "insert": "!"}]`, "--position", "1"}, "position 2"},
			{[]string{"doc", "copy", "d", "e"}, "holds d as of position 2"},
			{[]string{"doc", "get", "e", "--text"}, "hello!"},
		} {
			if out := site.must(live, c.args...); !strings.Contains(out, c.want) {
				t.Errorf("%v: want %q in %s", c.args, c.want, out)
			}
		}
		for code, args := range map[int][]string{
			exitConflict: {"doc", "create", "d", `[{"op": "text", "path": ["t"], "insert": "x"}]`},
			exitUsage:    {"doc", "edit", "d", `{"op": "text"}`},
		} {
			cmd := site.env(command(t, args...))
			cmd.Env = append(cmd.Env, "YSYNC_SERVER=http://"+live.ops())
			if out, errs, got := finish(t, cmd); got != code || errs == "" {
				t.Errorf("%v: exit code %d, want %d: %s%s", args, got, code, out, errs)
			}
		}
		if code, log := live.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, log)
		}
	})
}
