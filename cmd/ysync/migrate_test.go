package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ysync/internal/s3test"
	"ysync/internal/testpg"
)

// foreign copies one of the stores that another server made.
func foreign(t *testing.T, kind string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("../../internal/migrate/testdata", kind))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "store")
}

// TestMigrate imports each kind of store and serves what came of it.
func TestMigrate(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for kind, command := range map[string]string{
		"y-websocket": "y-leveldb", "hocuspocus-sqlite": "hocuspocus-sqlite", "y-sweet": "y-sweet",
	} {
		args := []string{"migrate", command, foreign(t, kind), "--data", data, "--prefix", kind + "/"}
		if out, errs, code := ysync(t, append(args, "--dry-run")...); code != 0 || !strings.Contains(out, kind+"/plan") || !strings.Contains(out, "would be imported") {
			t.Errorf("%s: dry run: %d\n%s%s", kind, code, out, errs)
		}
		if out, errs, code := ysync(t, args...); code != 0 || !strings.Contains(out, " imported") {
			t.Errorf("%s: %d\n%s%s", kind, code, out, errs)
		}
		if out, errs, code := ysync(t, args...); code != 0 || !strings.Contains(out, "unchanged") || strings.Contains(out, " imported") {
			t.Errorf("%s, again: %d\n%s%s", kind, code, out, errs)
		}
	}
	// The server of y-websocket keeps "caf%C3%A9%20menu".
	if out, errs, code := ysync(t, "doc", "get", "y-websocket/café menu", "--data", data); code != 0 || !strings.Contains(out, `"text"`) {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	s := startServer(t, command(t, "serve", "--listen", "127.0.0.1:0", "--data", data))
	if _, errs, code := ysync(t, "migrate", "y-sweet", foreign(t, "y-sweet"), "--data", data); code != exitInUse {
		t.Errorf("with the server running: %d %s", code, errs)
	}
	s.join("y-sweet/plan").edit("more")
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Fatal(code, log)
	}
	// Edited since, it is another document.
	out, errs, code := ysync(t, "migrate", "y-sweet", foreign(t, "y-sweet"), "--data", data, "--prefix", "y-sweet/", "--only", "plan", "--json")
	var row imported
	if err := json.Unmarshal([]byte(out), &row); err != nil || code != exitConflict || row.Result != "exists" || row.Document != "y-sweet/plan" {
		t.Errorf("%d %+v %v %s", code, row, err, errs)
	}
	for want, args := range map[int][]string{
		exitUsage:    {"y-leveldb", t.TempDir()},
		exitNotFound: {"y-sweet", t.TempDir()},
	} {
		if _, errs, code := ysync(t, append(append([]string{"migrate"}, args...), "--data", data)...); code != want {
			t.Errorf("%v: %d, want %d: %s", args, code, want, errs)
		}
	}
}

// TestMigrateDamaged: one document that cannot be read does not keep the others.
func TestMigrateDamaged(t *testing.T) {
	store := foreign(t, "y-sweet")
	broken := filepath.Join(store, "plan", "data.ysweet")
	if err := os.Truncate(broken, 100); err != nil {
		t.Fatal(err)
	}
	out, errs, code := ysync(t, "migrate", "y-sweet", store, "--data", filepath.Join(t.TempDir(), "data"))
	if code != exitData || !strings.Contains(out, "damaged: it is cut short") || !strings.Contains(out, "2 imported") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}

// TestMigrateToPostgresAndBucket: the bucket has what an import wrote, so that it
// outlives the database.
func TestMigrateToPostgresAndBucket(t *testing.T) {
	store, database := s3test.Start(t), testpg.Start(t)
	url := database.Database(t)
	bucket := store.Bucket(t, "history")
	location := "s3://" + bucket + "/ysync?endpoint=" + store.Endpoint
	data := filepath.Join(t.TempDir(), "data")
	out, errs, code := finish(t, withBucket(withLog(command(t, "migrate", "y-leveldb", foreign(t, "y-leveldb"), "--data", data), url), location))
	if code != 0 || !strings.Contains(out, "5 imported") {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	if names := objects(t, store, bucket); len(names) < 5 {
		t.Errorf("the bucket holds %q", names)
	}
	s := startServer(t, withBucket(withLog(command(t, "serve", "--listen", "127.0.0.1:0", "--data", data), url), location))
	s.join("plan").edit("hey")
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Error(code, log)
	}
}
