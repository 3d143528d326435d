package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ysync/internal/session"
)

// ruled is a site whose server asks for tokens.
type ruled struct {
	*birds
	at     *site
	server *server
}

func (b *birds) serves(s *site) *ruled {
	b.Helper()
	return &ruled{b, s, s.serve("--keys", b.keys)}
}

func (r *ruled) stop() {
	r.Helper()
	if code, log := r.server.stop(syscall.SIGTERM); code != 0 {
		r.Fatalf("exit code %d: %s", code, log)
	}
}

// letsIn tells whether a token is good for a document.
func (r *ruled) letsIn(token string) bool {
	r.Helper()
	code, _ := r.end(r.open(r.server, "/plan", token), true)
	if code != 0 && code != session.CloseUnauthorized {
		r.Errorf("closed with %d", code)
	}
	return code == 0
}

// TestRulingsAreInBackups: whoever was sent away does not come back with a backup,
// nor with one that is brought up to date.
func TestRulingsAreInBackups(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	b := newBirds(t)
	admin, ann, bob := b.token("root", "", "*", "admin"), b.token("ann", "", "plan", "write"), b.token("bob", "", "plan", "write")
	s := embedded(t)
	r := b.serves(s)
	dest := filepath.Join(t.TempDir(), "backup")
	back := func() { b.run(r.server, admin, 0, "backup", dest) }
	back() // before there is any
	if _, err := os.Stat(filepath.Join(dest, rulingsFile)); !os.IsNotExist(err) {
		t.Errorf("rulings that nobody made: %v", err)
	}
	b.run(r.server, admin, 0, "access", "revoke", "--subject", "ann")
	back()
	b.run(r.server, admin, 0, "access", "revoke", "--subject", "bob")
	b.run(r.server, admin, 0, "access", "lift", "--subject", "ann")
	back()
	b.run(r.server, admin, 0, "access", "lift", "--subject", "bob") // after it
	r.stop()

	copied := b.serves(&site{t: t, data: dest})
	if !copied.letsIn(ann) || copied.letsIn(bob) {
		t.Error("the backup does not have the rulings of its moment")
	}
	copied.stop()

	// A backup of one that has no rulings has none either, even where some were.
	if err := os.Remove(filepath.Join(s.data, rulingsFile)); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	s.back(nil, again)
	if err := os.WriteFile(filepath.Join(again, rulingsFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.back(nil, again)
	if _, err := os.Stat(filepath.Join(again, rulingsFile)); !os.IsNotExist(err) {
		t.Errorf("rulings of before: %v", err)
	}
}

// TestRulingsMove: so it is with stores that a server moves to, while it serves
// and at the cut-over, there and back.
func TestRulingsMove(t *testing.T) {
	b := newBirds(t)
	admin, ann, bob := b.token("root", "", "*", "admin"), b.token("ann", "", "plan", "write"), b.token("bob", "", "plan", "write")
	small, large := embedded(t), elsewhere(t)
	r := b.serves(small)
	b.run(r.server, admin, 0, "doc", "import", "plan", updateFile(t, "x"))
	b.run(r.server, admin, 0, "access", "revoke", "--subject", "ann")
	b.run(r.server, admin, 0, "access", "limit", "--to", "read", "--documents", "acme/*", "--later", "--reason", "unpaid")
	source := "http://" + r.server.ops()
	t.Setenv("YSYNC_TOKEN", admin)
	moved := func(source string, want int, args ...string) {
		t.Helper()
		lines := strings.Split(strings.TrimSpace(large.mustMove(source, append(args, "--json")...)), "\n")
		var end movedAll
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Rulings != want {
			t.Errorf("%v: %v, %d rulings, want %d", args, err, end.Rulings, want)
		}
	}
	moved(source, 2, "--dry-run")
	moved(source, 2)
	moved(source, 0)
	b.run(r.server, admin, 0, "access", "lift", "--subject", "ann")
	b.run(r.server, admin, 0, "access", "revoke", "--subject", "bob") // the file is written anew
	moved(source, 2)
	b.run(r.server, admin, 0, "access", "revoke", "--subject", "cid")
	list := b.run(r.server, admin, 0, "access", "list")
	r.stop()
	moved(small.data, 1, "--cut-over")
	moved(small.data, 0, "--cut-over")

	grown := b.serves(large)
	if !grown.letsIn(ann) || grown.letsIn(bob) {
		t.Error("the rulings are not those of the server before")
	}
	if got := b.run(grown.server, admin, 0, "access", "list"); got != list {
		t.Errorf("it lists\n%s, want\n%s", got, list)
	}
	// What a later run finds does not undo what was ruled here.
	b.run(grown.server, admin, 0, "access", "revoke", "--subject", "ann", "--later")
	back := embedded(t)
	if out, code := back.move("http://" + grown.server.ops()); code != 0 || !strings.Contains(out, "4 rulings on rights were copied") {
		t.Errorf("back: %d %s", code, out)
	}
	if out, code := back.move(small.data); code != 0 || strings.Contains(out, "rulings") {
		t.Errorf("an older source: %d %s", code, out)
	}
	grown.stop()
	end := b.serves(back)
	if end.letsIn(ann) || end.letsIn(bob) {
		t.Error("back the rulings are others")
	}
	end.stop()
}
