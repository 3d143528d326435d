package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/internal/teststores"
	"ysync/syncproto"
)

// site is where an operator works: stores, and the environment that names them.
type site struct {
	t      *testing.T
	data   string
	stores teststores.Stores
}

func newSite(t *testing.T, stores teststores.Stores) *site {
	return &site{t: t, data: filepath.Join(t.TempDir(), "data"), stores: stores}
}

func embedded(t *testing.T) *site  { return newSite(t, teststores.Stores{}) }
func elsewhere(t *testing.T) *site { return newSite(t, teststores.External(t)) }

// on runs f on the embedded stores, and on PostgreSQL with a bucket.
func on(t *testing.T, f func(t *testing.T, s *site)) {
	teststores.Each(t, func(t *testing.T, stores teststores.Stores) { f(t, newSite(t, stores)) })
}

// env gives a command the names of the stores.
func (s *site) env(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, s.stores.Env()...)
	return cmd
}

// lose makes the update log forget everything, and returns a site on what is left.
func (s *site) lose() *site {
	if s.stores.Log != "" {
		return newSite(s.t, s.stores.WithoutLog(s.t))
	}
	if err := os.RemoveAll(filepath.Join(s.data, logFolder)); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *site) serve(args ...string) *server {
	s.t.Helper()
	return s.serveFor(bound, args...)
}

// serveFor is serve for a test that may take longer.
func (s *site) serveFor(atMost time.Duration, args ...string) *server {
	s.t.Helper()
	return startServer(s.t, s.env(commandFor(s.t, atMost, append([]string{"serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data", s.data}, args...)...)))
}

// run runs a command on the stores.
func (s *site) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.env(command(s.t, args...))
	cmd.Env = append(cmd.Env, "YSYNC_DATA="+s.data)
	return finish(s.t, cmd)
}

// must runs a command that has to succeed, at a server if there is one.
func (s *site) must(at *server, args ...string) string {
	s.t.Helper()
	cmd := s.env(command(s.t, args...))
	cmd.Env = append(cmd.Env, "YSYNC_DATA="+s.data)
	if at != nil {
		cmd.Env = append(cmd.Env, "YSYNC_SERVER=http://"+at.ops())
	}
	out, errs, code := finish(s.t, cmd)
	if code != 0 || errs != "" {
		s.t.Fatalf("%v: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

func (s *server) ops() string { return s.serving["ops"].(string) }

// updateFile writes a file with an update that puts text into "t".
func updateFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "update")
	if err := os.WriteFile(name, newUpdate(t, text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// updateOf writes a file with all that a document holds.
func updateOf(t *testing.T, doc *crdt.Doc) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "update")
	if err := os.WriteFile(name, doc.AppendState(nil, crdt.V1), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newUpdate(t *testing.T, text string) []byte {
	t.Helper()
	doc := crdt.New(crdt.Options{})
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, text) })
	if err != nil {
		t.Fatal(err)
	}
	return commit.AppendUpdate(nil, crdt.V1)
}

// TestOperate takes every command through its ways, at a server and on the
// stores of one that is stopped.
func TestOperate(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		live := s.serve()
		s.must(live, "doc", "import", "notes/a", updateFile(t, "hello"), "--new")
		peer := live.join("notes/a")
		peer.edit(", world")
		s.must(live, "snapshot", "create", "notes/a", "--label", "greeting")
		peer.edit("!!")
		s.must(live, "doc", "import", "other", updateFile(t, "x"))

		file := filepath.Join(t.TempDir(), "exported")
		check := func(at *server) {
			t.Helper()
			for _, c := range []struct{ args, want string }{
				{"doc list", "other"},
				{"doc list notes/", "notes/a"},
				{"doc get notes/a", `{"t":"hello, world!!"}`},
				{"doc get notes/a --text", "hello, world!!"},
				{"doc get notes/a --at label:greeting --text", "hello, world\n"},
				{"doc get notes/a --at #1 --text", "hello\n"},
				{"doc export notes/a --format text", "hello, world!!"},
				{"doc history notes/a", "1-3"},
				{"doc history notes/a --json --oldest", `"entries":3`},
				{"doc authors notes/a", "hello"},
				{"doc explain notes/a", "position"},
				{"doc explain notes/a --json", `"position":3`},
				{"doc erase notes/a --dry-run", "would be erased"},
				{"snapshot list notes/a", "greeting"},
				{"snapshot show notes/a label:greeting", "hello, world"},
				{"snapshot diff notes/a #1 label:greeting", `", world"`},
				{"snapshot diff notes/a #1 --json", `"change":"added"`},
				{"snapshot verify", "2 documents"},
				{"snapshot verify notes/a --json", `"damaged":0`},
				{"snapshot prune --dry-run", "2 documents"},
				{"snapshot restore notes/a #1 --in-place --dry-run", "nothing was changed"},
				{"snapshot restore notes/a #1 --into new --dry-run", "nothing was changed"},
			} {
				if out := s.must(at, strings.Fields(c.args)...); !strings.Contains(out, c.want) {
					t.Errorf("%s: want %q in\n%s", c.args, c.want, out)
				}
			}
			if out := s.must(at, "doc", "list", "notes/"); strings.Contains(out, "other") {
				t.Errorf("doc list notes/:\n%s", out)
			}
		}
		check(live)
		s.must(live, "doc", "export", "notes/a", "--format", "v2", "-o", file)
		s.must(live, "doc", "import", "copy", file, "--format", "v2")
		if out := s.must(live, "doc", "get", "copy", "--text"); out != "hello, world!!\n" {
			t.Errorf("the copy holds %q", out)
		}
		s.must(live, "doc", "erase", "copy", "--yes")
		for _, c := range []struct {
			args string
			code int
		}{
			{"doc get none", exitNotFound},
			{"doc get copy", exitNotFound},
			{"doc get notes/a --at #99", exitNotFound},
			{"doc import notes/a " + file + " --format v2 --new", exitConflict},
			{"doc import notes/a " + file + " --format v2 --position 1", exitConflict},
			{"doc import copy " + file + " --format v2", exitNotFound},
			{"snapshot restore notes/a now --into other", exitConflict},
			{"snapshot restore notes/a sometime --into new", exitUsage},
			{"snapshot restore notes/a now", exitUsage},
			{"snapshot prune", exitUsage},
			{"doc erase notes/a", exitUsage},
		} {
			cmd := s.env(command(t, strings.Fields(c.args)...))
			cmd.Env = append(cmd.Env, "YSYNC_SERVER=http://"+live.ops())
			if out, errs, code := finish(t, cmd); code != c.code || errs == "" {
				t.Errorf("%s: exit code %d, want %d: %s%s", c.args, code, c.code, out, errs)
			}
		}
		if code, log := live.stop(syscall.SIGTERM); code != 0 {
			t.Fatalf("exit code %d: %s", code, log)
		}
		gone := "http://" + live.ops()
		if _, errs, code := s.run("doc", "list", "--server", gone); code != exitUnavailable {
			t.Errorf("a server that is not there: exit code %d, %s", code, errs)
		}

		check(nil)
		s.must(nil, "snapshot", "restore", "notes/a", "#1", "--into", "first")
		s.must(nil, "snapshot", "restore", "notes/a", "#1", "--in-place")
		for _, document := range []string{"first", "notes/a"} {
			if out := s.must(nil, "doc", "get", document, "--text"); out != "hello\n" {
				t.Errorf("%s holds %q", document, out)
			}
		}
		s.must(nil, "snapshot", "create", "first", "--label", "a copy")
		s.must(nil, "snapshot", "prune", "--yes")
		s.must(nil, "doc", "erase", "other", "--yes")

		left := s.lose()
		if out := left.must(nil, "snapshot", "rebuild"); !strings.Contains(out, "2 rebuilt") || !strings.Contains(out, "0 failed") {
			t.Errorf("rebuild: %s", out)
		}
		live = left.serve()
		if p := live.join("notes/a"); p.doc.Text("t").String() != "hello" {
			t.Errorf("after the rebuild a client gets %q", p.doc.Text("t").String())
		}
	})
}

// typist is a client that types on, and takes in what comes meanwhile.
type typist struct {
	*peer
	mu    sync.Mutex // guards doc
	typed []string
	acked chan struct{}
	done  sync.WaitGroup
}

func (s *server) typist(document string) *typist {
	p := &typist{peer: s.join(document), acked: make(chan struct{}, 1)}
	p.done.Go(func() {
		for {
			_, frame, err := p.ws.Read(context.Background())
			if err != nil {
				return
			}
			if err := p.take(frame); err != nil {
				p.t.Error(err)
				return
			}
		}
	})
	return p
}

func (p *typist) take(frame []byte) error {
	d := syncproto.NewDecoder(frame)
	m, _ := d.Next()
	if m.Kind == syncproto.KindAck {
		p.acked <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Kind {
	case syncproto.KindUpdate, syncproto.KindSyncStep2:
		_, err := p.doc.Apply(nil, crdt.V1, m.Payload)
		return err
	case syncproto.KindSyncStep1:
		sv, err := crdt.DecodeStateVector(m.Payload)
		if err != nil {
			return err
		}
		return p.ws.Write(context.Background(), websocket.MessageBinary, syncproto.AppendSyncStep2(nil, p.doc.AppendDiff(nil, crdt.V1, sv)))
	}
	return nil
}

// write appends a word in one edit.
func (p *typist) write(word string) error { return p.insert("t", word, crdt.Text.Len) }

// insert puts a word somewhere in one edit.
func (p *typist) insert(root, word string, place func(crdt.Text) int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := p.doc.Text(root)
	commit, err := p.doc.Transact(nil, func(tx *crdt.Txn) { body.Insert(tx, place(body), word) })
	if err != nil {
		return err
	}
	p.typed = append(p.typed, word)
	return p.ws.Write(context.Background(), websocket.MessageBinary, syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1)))
}

func (p *typist) json() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.doc.AppendJSON(nil, nil))
}

var word = regexp.MustCompile(`<[0-9.]+>`)

// words are the typed words in a text, each once.
func words(text string) map[string]bool {
	found := map[string]bool{}
	for _, w := range word.FindAllString(text, -1) {
		found[w] = true
	}
	return found
}

// TestRevertUnderTypists: the result is the old moment with what was typed
// while the revert was made, and a revert of the revert brings back what it
// took.
func TestRevertUnderTypists(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		editor := server.join("d")
		editor.edit("The old text.")
		s.must(server, "snapshot", "create", "d", "--label", "good")
		old := s.must(server, "doc", "get", "d")
		if _, err := editor.doc.Transact(nil, func(tx *crdt.Txn) { editor.doc.Text("t").Delete(tx, 4, 4) }); err != nil {
			t.Fatal(err)
		}
		editor.send(syncproto.AppendUpdate(nil, editor.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{})))
		editor.edit(" Vandalised!")

		typists := make([]*typist, 20)
		for i := range typists {
			typists[i] = server.typist("d")
		}
		var typing sync.WaitGroup
		stop := make(chan struct{})
		half := make(chan struct{}, len(typists))
		for i, p := range typists {
			typing.Go(func() {
				for n := 0; ; n++ {
					if n == 20 {
						half <- struct{}{}
					}
					select {
					case <-stop:
						return
					default:
					}
					if err := p.write(fmt.Sprintf("<%d.%d>", i, n)); err != nil {
						t.Error(err)
						return
					}
					p.send(syncproto.AppendAck(nil, []byte{1}))
					<-p.acked
				}
			})
		}
		for range typists {
			<-half
		}
		var reverted api.Restored
		out := s.must(server, "snapshot", "restore", "d", "label:good", "--in-place", "--json")
		if err := json.Unmarshal([]byte(out), &reverted); err != nil || !reverted.Changed || reverted.Undo == "" {
			t.Fatalf("%s: %v", out, err)
		}
		close(stop)
		typing.Wait()

		// Whoever sends its state last makes sure that all is in.
		content := settled(t, s, server, "d", typists)
		typed := map[string]bool{}
		for _, p := range typists {
			for _, w := range p.typed {
				typed[w] = true
			}
		}
		before := words(s.must(server, "doc", "get", "d", "--at", reverted.Undo))
		want := maps.Clone(typed)
		maps.DeleteFunc(want, func(w string, _ bool) bool { return before[w] })
		if got := words(content); !maps.Equal(got, want) {
			t.Errorf("%d words are there, want the %d that the revert did not see", len(got), len(want))
		}
		if rest := word.ReplaceAllString(content, ""); rest != old {
			t.Errorf("beside them the document is %q, want %q", rest, old)
		}
		if len(before) < 20*20/2 {
			t.Errorf("the revert saw %d words only", len(before))
		}

		s.must(server, "snapshot", "restore", "d", reverted.Undo, "--in-place")
		back := settled(t, s, server, "d", typists)
		if was := s.must(server, "doc", "get", "d", "--at", reverted.Undo); back != was {
			t.Errorf("the revert of the revert gives\n%.200s, want\n%.200s", back, was)
		}
	})
}

// settled waits until the typists have what the server has, and returns that.
func settled(t *testing.T, s *site, server *server, document string, typists []*typist) string {
	t.Helper()
	for _, p := range typists {
		p.mu.Lock()
		all := p.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{})
		p.mu.Unlock()
		p.send(syncproto.AppendUpdate(nil, all))
	}
	fresh := server.join(document)
	fresh.edit("") // its acknowledgement is behind everything that came before
	var content string
	await(t, "the typists to have what the server has", func() bool {
		content = s.must(server, "doc", "get", document)
		for _, p := range typists {
			if p.json()+"\n" != content {
				return false
			}
		}
		return true
	})
	return content
}

// await polls a condition that nothing announces.
func await(t *testing.T, what string, reached func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for !reached() {
		if ctx.Err() != nil {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// remote is a client of a server's API.
func (s *server) remote() *client {
	return &client{http: http.DefaultClient, base: "http://" + s.ops(), close: func() error { return nil }}
}

// race does the same from n goroutines at once, and counts the exit codes.
func race(n int, f func(i int) error) map[int]int {
	codes := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			err := f(i)
			code := 0
			if exit, ok := errors.AsType[*exitError](err); ok {
				code = exit.code
			} else if err != nil {
				code = exitFailed
			}
			mu.Lock()
			codes[code]++
			mu.Unlock()
		})
	}
	close(start)
	all.Wait()
	return codes
}

func TestSeedOnce(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		c := server.remote()
		var mu sync.Mutex
		changed := 0
		seed := func(key string, body []byte) error {
			r := onDocument(http.MethodPut, "seeded", "seed")
			r.header, r.body = http.Header{"Idempotency-Key": {key}}, bytes.NewReader(body)
			var a api.Applied
			err := c.json(context.Background(), r, &a)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && a.Changed {
				changed++
			}
			return err
		}
		updates := make([][]byte, 20)
		for i := range updates {
			updates[i] = newUpdate(t, fmt.Sprint("<", i, ">"))
		}
		if codes := race(20, func(i int) error { return seed("k", updates[i]) }); codes[0] != 20 || changed != 1 {
			t.Errorf("exit codes %v, %d changed it", codes, changed)
		}
		for range 2 {
			if text := s.must(server, "doc", "get", "seeded", "--text"); len(words(text)) != 1 {
				t.Errorf("the document holds %q", text)
			}
			if out := s.must(server, "doc", "seed", "seeded", updateFile(t, "<99>"), "--key", "k"); !strings.Contains(out, "nothing new") {
				t.Errorf("seeded again: %s", out)
			}
			if err := seed("other", updates[0]); err == nil {
				t.Error("seeded with another key")
			}
			if _, log := server.stop(syscall.SIGKILL); log == "" {
				t.Log("killed")
			}
			server = s.serve()
			c = server.remote()
		}
	})
}

func TestEraseUnderClients(t *testing.T) {
	t.Parallel() // it waits most of the time
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		readers := []*peer{server.join("gone"), server.join("gone")}
		readers[0].edit("personal")
		s.must(server, "snapshot", "create", "gone")
		out := s.must(server, "doc", "erase", "gone", "--yes", "--json")
		var report api.Erased
		if err := json.Unmarshal([]byte(out), &report); err != nil || report.Sessions != 2 || report.Files == 0 || report.At == nil {
			t.Errorf("%s: %v", out, err)
		}
		ends := func(p *peer) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			for {
				_, _, err := p.ws.Read(ctx)
				if err == nil {
					continue
				}
				if code := websocket.CloseStatus(err); code != 4404 {
					t.Errorf("closed with %v: %v", code, err)
				}
				return
			}
		}
		for _, p := range readers {
			ends(p)
		}
		again := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, "ws://"+server.addr()+"/gone", nil)
			if err != nil {
				t.Fatal(err)
			}
			ends(&peer{t: t, ws: ws})
		}
		again()
		if code, log := server.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, log)
		}
		if out := s.must(nil, "snapshot", "verify"); !strings.Contains(out, "0 documents, 0 files") {
			t.Errorf("left: %s", out)
		}
		server = s.serve()
		again()
	})
}

// TestRestoreRaces: many restores into one name, while clients type there and
// in the document that is restored.
func TestRestoreRaces(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		source, intruder := server.join("source"), server.join("target")
		source.edit("<1>")
		c := server.remote()
		stop := make(chan struct{})
		var typing sync.WaitGroup
		typing.Go(func() {
			for n := 2; ; n++ {
				select {
				case <-stop:
					return
				default:
					source.edit(fmt.Sprintf("<%d>", n))
				}
			}
		})
		restore := func(into string) error {
			r := onDocument(http.MethodPost, "source", "restore")
			r.body = api.RestoreOrder{At: "#1", Into: into}
			return c.json(context.Background(), r, &api.Restored{})
		}
		if codes := race(20, func(int) error { return restore("copy") }); codes[0] != 1 || codes[exitConflict] != 19 {
			t.Errorf("exit codes %v", codes)
		}
		first := make(chan struct{})
		typing.Go(func() {
			<-first
			intruder.edit("<intruder>")
		})
		close(first)
		codes := race(5, func(int) error { return restore("target") })
		close(stop)
		typing.Wait()
		if codes[0] > 1 || codes[0]+codes[exitConflict] != 5 {
			t.Errorf("exit codes %v", codes)
		}
		if text := s.must(server, "doc", "get", "copy", "--text"); text != "<1>\n" {
			t.Errorf("the copy holds %q", text)
		}
		text := strings.TrimSpace(s.must(server, "doc", "get", "target", "--text"))
		want := []string{"<intruder>"}
		if codes[0] == 1 {
			want = []string{"<1><intruder>", "<intruder><1>"}
		}
		if !slices.Contains(want, text) {
			t.Errorf("the target holds %q, restored %d times", text, codes[0])
		}
	})
}
