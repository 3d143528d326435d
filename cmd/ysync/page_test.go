package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/teststores"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/persistence/postgres"
)

// past writes a document to the update log of a site whose text was each of the
// states in turn, at the given times of a day.
func past(t *testing.T, s *site, name string, day time.Time, states ...[2]string) {
	t.Helper()
	if err := prepareFolder(s.data); err != nil {
		t.Fatal(err)
	}
	var log persistence.Log
	var err error
	if s.stores.Log != "" {
		log, err = postgres.Open(t.Context(), postgres.Options{URL: s.stores.Log})
	} else {
		log, err = pebble.Open(pebble.Options{Dir: filepath.Join(s.data, logFolder)})
	}
	if err != nil {
		t.Fatal(err)
	}
	record, err := log.Claim(t.Context(), name, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	doc := crdt.New(crdt.Options{})
	text := doc.Text("t")
	batch := persistence.Batch{Document: name, Generation: record.Generation, Epoch: record.Epoch}
	for i, state := range states {
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) {
			text.Delete(tx, 0, text.Len())
			text.Insert(tx, 0, state[1])
		})
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse("2006-01-02 15:04", day.Format("2006-01-02 ")+state[0])
		if err != nil {
			t.Fatal(err)
		}
		batch.Entries = append(batch.Entries, persistence.NewEntry{Time: at, Author: fmt.Sprint("author", i), Update: commit.AppendUpdate(nil, crdt.V1)})
	}
	if r := log.Append(t.Context(), []persistence.Batch{batch}); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shellBlock is what is run: "```sh folder" with the documents in a data folder
// alone, "```sh postgres" with them in PostgreSQL and a bucket alone.
var shellBlock = regexp.MustCompile("(?s)```sh( folder| postgres|)\n(.*?)```")

// page runs the commands of a document in a folder, with a program of its own
// for `ysync`, on the stores of a site.
type page struct {
	t      *testing.T
	site   *site
	folder string
	env    []string
	server *server
	ran    []string
	// outputs are what the newest run of a command printed.
	outputs map[string]string
}

func newPage(t *testing.T, s *site) *page {
	p := &page{t: t, site: s, folder: filepath.Dir(s.data), outputs: map[string]string{}}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", asProgram, os.Args[0])
	if err := os.WriteFile(filepath.Join(bin, "ysync"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "YSYNC_LISTEN=127.0.0.1:0", "TZ=UTC")
	p.env = append(p.env, s.stores.Env()...)
	return p
}

func (p *page) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = p.env, p.folder
	return cmd
}

// run runs all blocks of a document, with parts of the text replaced.
func (p *page) run(name string, replace ...string) {
	p.t.Helper()
	before, after := sections(p.t, name, "")
	p.blocks(before+after, replace...)
}

// sections cuts a document in front of a heading.
func sections(t *testing.T, name, heading string) (before, after string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("%s: there is no %q", name, heading)
	}
	return before, after
}

func (p *page) blocks(text string, replace ...string) {
	p.t.Helper()
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		if other := map[bool]string{true: " folder", false: " postgres"}[p.site.stores.Log != ""]; block[1] == other {
			continue
		}
		for line := range strings.Lines(block[2]) {
			line = strings.TrimSpace(line)
			if line != "" {
				p.line(line, strings.NewReplacer(replace...).Replace(line))
			}
		}
	}
}

func (p *page) line(shown, line string) {
	p.t.Helper()
	assignment, isExport := strings.CutPrefix(line, "export ")
	switch {
	case line == "# stop the server":
		if code, log := p.server.stop(syscall.SIGTERM); code != 0 {
			p.t.Errorf("the server's exit code is %d: %s", code, log)
		}
	case isExport:
		p.env = append(p.env, assignment)
	case strings.HasPrefix(line, "ysync serve "):
		p.server = startServer(p.t, p.command("/bin/sh", "-c", "exec "+line))
	default:
		out, err := p.command("/bin/sh", "-c", line).CombinedOutput()
		if err != nil {
			p.t.Fatalf("%s: %v\n%s", shown, err, out)
		}
		p.outputs[shown] = string(out)
	}
	p.ran = append(p.ran, shown)
}

// printed checks what a command of the document printed.
func (p *page) printed(shown, want string) {
	p.t.Helper()
	out, ran := p.outputs[shown]
	if !ran {
		p.t.Errorf("%s: the document does not say that", shown)
	}
	if !strings.Contains(out, want) {
		p.t.Errorf("%s: want %q in\n%s", shown, want, out)
	}
}

const (
	operations = "../../docs/OPERATIONS.md"
	growing    = "\n## Growing\n"
)

// TestOperationsPage runs docs/OPERATIONS.md as far as it needs the stores of
// one server.
func TestOperationsPage(t *testing.T) { on(t, operationsPage) }

func operationsPage(t *testing.T, s *site) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the page needs curl: ", err)
	}
	p := newPage(t, s)
	// A day within the full window, whatever today is.
	day := time.Now().UTC().AddDate(0, 0, -3)
	past(t, s, "notes/plan", day,
		[2]string{"13:50", "Buy milk."}, [2]string{"14:04", "Buy milk. Call Ann."}, [2]string{"14:06", "asdf"})
	replace := []string{"127.0.0.1:8788", freePort(t), "2026-11-17", day.Format("2006-01-02")}
	if s.stores.Log != "" {
		replace = append(replace, "postgres://ysync@db.example.com/empty", s.stores.WithoutLog(t).Log)
	}
	page, _ := sections(t, operations, growing)
	p.blocks(page, replace...)

	p.printed("ysync doc list", "notes/plan")
	p.printed("ysync doc history notes/plan", "author2")
	p.printed("ysync snapshot show notes/plan 2026-11-17T14:05:00Z", "Call Ann.")
	p.printed("ysync snapshot diff notes/plan 2026-11-17T14:05:00Z now", "by author2")
	p.printed("ysync doc get notes/plan-tuesday", "Buy milk. Call Ann.")
	p.printed("ysync snapshot restore notes/plan 2026-11-17T14:05:00Z --in-place", "to undo")
	p.printed("ysync snapshot verify", "0 damaged")
	if s.stores.Log == "" {
		p.printed("ysync backup ./nightly", "1 documents verified")
		p.printed("ysync doc list --server= --data ./nightly", "notes/plan")
	}
	p.printed("ysync doctor --ops 127.0.0.1:8788", "ok    rights")
	p.printed("ysync doc retry notes/plan", "is served")
	p.printed("ysync doc repair notes/plan", "nothing is damaged")
	p.printed("ysync doc list --sizes", "DELETED/LIVE")
	p.printed("ysync doc erase notes/copy --yes", "erased")
	p.printed("ysync snapshot rebuild --data ./data", "0 failed")
	p.printed("ysync doc get notes/plan", "asdf") // of the label, from the rebuilt log
	p.printed("ysync doc seed notes/new plan.yjs --key template-1", "nothing new")
	if len(p.ran) < 30 {
		t.Errorf("%d commands were run", len(p.ran))
	}
	if code, log := p.server.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}

// TestGrowingPage runs the rest of it, with a database and a bucket.
func TestGrowingPage(t *testing.T) {
	grown := teststores.External(t)
	s := embedded(t)
	p := newPage(t, s)
	day := time.Now().UTC().AddDate(0, 0, -1)
	past(t, s, "notes/plan", day, [2]string{"13:50", "Buy milk."}, [2]string{"14:04", "Call Ann."})
	address := freePort(t)
	p.line("serve", "ysync serve --data ./data --ops "+address)
	p.env = append(p.env, "YSYNC_SERVER=http://"+address)
	_, page := sections(t, operations, growing)
	p.blocks(page, "127.0.0.1:8788", address, "postgres://ysync@db.internal/ysync", grown.Log,
		"s3://history/ysync?region=eu-central-1", grown.Snapshots)
	p.printed("ysync migrate ysync http://127.0.0.1:8788 --data ./grown --dry-run", "1 would be moved")
	p.printed("ysync migrate ysync http://127.0.0.1:8788 --data ./grown", "1 moved")
	p.printed("ysync migrate ysync ./data --data ./grown --cut-over", "1 documents: ")
	p.printed("ysync doc history notes/plan", "author1")
	if code, log := p.server.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}

// TestAPIPage runs the examples of docs/API.md.
func TestAPIPage(t *testing.T) { on(t, apiPage) }

func apiPage(t *testing.T, s *site) {
	p := newPage(t, s)
	address := freePort(t)
	past(t, s, "notes/plan", time.Now().UTC().AddDate(0, 0, -1),
		[2]string{"13:50", "Buy milk."}, [2]string{"14:04", "Buy milk. Call Ann."}, [2]string{"14:06", "asdf"})
	p.line("serve", "ysync serve --ops "+address)
	p.run("../../docs/API.md", "127.0.0.1:8788", address)
	const curl, at = "curl --silent --fail-with-body ", "http://127.0.0.1:8788/api/v1/documents/notes%2F"
	p.printed(curl+"'http://127.0.0.1:8788/api/v1/documents?prefix=notes/'", `{"end":{"count":1}}`)
	p.printed(curl+at+"plan/content", `{"t":"asdf"}`)
	p.printed(curl+"'"+at+"plan/content?format=text&at=%232'", "Buy milk. Call Ann.")
	p.printed(curl+"--request PUT --data-binary @plan.yjs --header 'Idempotency-Key: template-1' "+at+"new/seed", `"changed":false`)
	p.printed(curl+"'"+at+"plan/history?newest_first=true'", `"author":"author2"`)
	p.printed(curl+`--data '{"at": "#2", "in_place": true}' `+at+"plan/restore", `"undo":"#3"`)
	p.printed(curl+"--request DELETE "+at+"copy", `"entries":1`)
	if len(p.ran) < 20 {
		t.Errorf("%d commands were run", len(p.ran))
	}
}

// TestAuthPage runs the examples of docs/AUTH.md.
func TestAuthPage(t *testing.T) {
	p := newPage(t, embedded(t))
	p.run("../../docs/AUTH.md", "127.0.0.1:8788", freePort(t))
	const list = `ysync access list --server http://127.0.0.1:8788 --token "$(cat admin.token)"`
	p.printed(list, "trips/*")
	p.printed(list, "ann")
	p.printed("head audit.jsonl", "has left")
	if code, log := p.server.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}
