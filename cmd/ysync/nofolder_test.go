package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoFolderIsNeeded: with the log in PostgreSQL and the snapshots in a bucket,
// commands work on a machine that has no data folder. Only what writes makes one.
func TestNoFolderIsNeeded(t *testing.T) {
	s := elsewhere(t)
	server := s.serve()
	server.join("plan").edit("Buy milk.")
	s.must(server, "snapshot", "create", "plan")
	server.stop(syscall.SIGTERM)

	away := *s
	away.data = filepath.Join(t.TempDir(), "none")
	if out := away.must(nil, "doc", "list"); !strings.Contains(out, "plan") {
		t.Errorf("listed: %s", out)
	}
	if out := away.must(nil, "doc", "get", "plan", "--text"); out != "Buy milk.\n" {
		t.Errorf("it holds %q", out)
	}
	if out := away.must(nil, "snapshot", "rebuild", "--dry-run"); !strings.Contains(out, "1 would be rebuilt") {
		t.Errorf("a rehearsed rebuild: %s", out)
	}
	if _, err := os.Stat(away.data); !os.IsNotExist(err) {
		t.Errorf("a data folder was made: %v", err)
	}
	away.must(nil, "doc", "edit", "plan", `[{"op": "text", "path": ["t"], "at": 0, "insert": "Now: "}]`)
	if out := s.must(nil, "doc", "get", "plan", "--text"); out != "Now: Buy milk.\n" {
		t.Errorf("after an edit it holds %q", out)
	}
	lost := away.lose()
	if out := lost.must(nil, "snapshot", "rebuild", "--dry-run"); !strings.Contains(out, "1 would be rebuilt") {
		t.Errorf("with the database lost: %s", out)
	}
	if _, errs, code := lost.run("doc", "list"); code == 0 {
		t.Errorf("the rehearsal made tables: %s", errs)
	}
	if out := lost.must(nil, "snapshot", "rebuild"); !strings.Contains(out, "1 rebuilt") {
		t.Errorf("rebuilt: %s", out)
	}
}
