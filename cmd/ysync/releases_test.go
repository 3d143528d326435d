package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/persistence"
	"ysync/snapshots"
	"ysync/snapshots/s3"
	"ysync/syncproto"
)

const releases = "testdata/releases"

var newRelease = flag.String("release", "", "write what this release stores to testdata/releases/NAME")

// kept is what has to be there of a document.
type kept struct {
	Document   string            `json:"document"`
	Generation uint64            `json:"generation"`
	Position   uint64            `json:"position"`
	Erased     bool              `json:"erased,omitempty"`
	SeedKey    string            `json:"seed_key,omitempty"`
	Content    string            `json:"content,omitempty"`
	Moments    map[string]string `json:"moments,omitempty"`
	Authors    string            `json:"authors,omitempty"`
	// Refused are the IDs of updates that broke a limit.
	Refused []string `json:"refused,omitempty"`
	// Rulings is what was taken back of rights; Document is empty.
	Rulings string `json:"rulings,omitempty"`
}

// moments are those that are asked for, of documents that have them.
var moments = map[string][]string{
	"plan": {"#1", "#2", "label:greeting"}, "many edits": {"#1", "#17", "#39"}, "thinned": {"now"}, "again": {"now"},
}

// holding is what the stores of a site hold.
func holding(t *testing.T, s *site) (all []kept) {
	t.Helper()
	for line := range strings.Lines(s.must(nil, "doc", "list", "--json")) {
		var d api.Document
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		var e api.Explanation
		if err := json.Unmarshal([]byte(s.must(nil, "doc", "explain", d.Document, "--json")), &e); err != nil {
			t.Fatal(err)
		}
		k := kept{Document: d.Document, Generation: d.Generation, Position: d.Position, Erased: d.Erased != nil, SeedKey: e.SeedKey}
		if !k.Erased {
			k.Content, k.Authors = s.must(nil, "doc", "get", d.Document), s.must(nil, "doc", "authors", d.Document)
			for _, m := range moments[d.Document] {
				if k.Moments == nil {
					k.Moments = map[string]string{}
				}
				k.Moments[m] = s.must(nil, "doc", "get", d.Document, "--at", m)
			}
		}
		for line := range strings.Lines(s.must(nil, "doc", "refused", d.Document, "--json")) {
			var r api.Refused
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			k.Refused = append(k.Refused, r.ID)
		}
		all = append(all, k)
	}
	if rulings := s.must(nil, "access", "list", "--json"); rulings != "" {
		all = append(all, kept{Rulings: rulings})
	}
	return all
}

// populate makes the documents of a release.
func populate(t *testing.T, s *site) {
	t.Helper()
	writeOld(t, s, "thinned")
	server := s.serve("--segment-interval", "200ms", "--retain-full", "0", "--max-document", "64KiB")
	plan := server.join("plan")
	plan.edit("Hello")
	plan.edit(", wörld 🌍")
	s.must(server, "snapshot", "create", "plan", "--label", "greeting")
	plan.edit("!")
	many := server.join("many edits")
	for i := range 40 {
		many.edit(fmt.Sprintf("<%d>", i))
		if i%13 == 12 {
			s.must(server, "snapshot", "create", "many edits")
		}
	}
	s.must(server, "doc", "seed", "folder/seeded", updateFile(t, "from the template"), "--key", "template-1")
	s.must(server, "doc", "import", "gone", updateFile(t, "secret"))
	s.must(server, "doc", "erase", "gone", "--yes")
	again := server.join("again")
	again.edit("the first generation")
	c := server.remote()
	if err := c.json(context.Background(), onDocument(http.MethodPost, "again", "reset"), &api.ResetReport{}); err != nil {
		t.Fatal(err)
	}
	// What breaks a limit, and what waits for an edit that nobody has.
	large := server.join("many edits")
	large.send(syncproto.AppendUpdate(nil, newUpdate(t, strings.Repeat("large ", 20_000))))
	if code := large.closed(); code/100 != 44 {
		t.Errorf("what is too large ended with %d", code)
	}
	s.must(server, "doc", "import", "waiting", updateFile(t, "here"))
	_, waits := dependent(t)
	s.must(server, "doc", "import", "waiting", waits)
	if code, log := server.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	s.must(nil, "access", "revoke", "--subject", "ann", "--for", "876000h", "--reason", "left")
	s.must(nil, "access", "limit", "--to", "read", "--documents", "acme/*", "--later", "--for", "876000h")
	s.must(nil, "access", "revoke", "--subject", "bob")
	s.must(nil, "access", "lift", "--subject", "bob")
	// What is older than the window is thinned out, and who wrote it is kept.
	if out := s.must(nil, "snapshot", "prune", "thinned", "--full", "1ms", "--hourly", "1ms", "--daily", "1ms", "--yes", "--json"); !strings.Contains(out, `"segment"`) {
		t.Fatalf("prune: %s", out)
	}
}

// dependent writes two files with updates, always the same, of which the second
// waits for the first.
func dependent(t *testing.T) (first, second string) {
	t.Helper()
	author := crdt.New(crdt.Options{ClientID: 4711})
	var names [2]string
	for i, text := range []string{"first ", "this waits "} {
		commit, err := author.Transact(nil, func(tx *crdt.Txn) { author.Text("t").Insert(tx, 0, text) })
		if err != nil {
			t.Fatal(err)
		}
		names[i] = filepath.Join(t.TempDir(), "update")
		if err := os.WriteFile(names[i], commit.AppendUpdate(nil, crdt.V1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names[0], names[1]
}

// writeOld makes a document of which each edit is of another day and author,
// stored as a server stores it: after every third edit a segment and a snapshot.
func writeOld(t *testing.T, s *site, document string) {
	t.Helper()
	data := s.open()
	rec, err := data.log.Claim(t.Context(), document, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	doc := crdt.New(crdt.Options{})
	for i := range 12 {
		edit := crdt.New(crdt.Options{})
		commit, err := edit.Transact(nil, func(tx *crdt.Txn) {
			edit.Map("m").Set(tx, fmt.Sprint("k", i), crdt.String(fmt.Sprint("by author ", i%3)))
		})
		if err != nil {
			t.Fatal(err)
		}
		update, at := commit.AppendUpdate(nil, crdt.V1), time.Date(2026, 1, 1+i, 12, 0, 0, 0, time.UTC)
		if _, err := doc.Apply(nil, crdt.V1, update); err != nil {
			t.Fatal(err)
		}
		res := data.log.Append(t.Context(), []persistence.Batch{{
			Document: document, Generation: rec.Generation, Epoch: rec.Epoch,
			Entries: []persistence.NewEntry{{Time: at, Author: fmt.Sprint("author", i%3), Update: update}},
		}})
		if res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		if i%3 != 2 {
			continue
		}
		if rec, err = data.log.Open(t.Context(), document); err != nil {
			t.Fatal(err)
		}
		to, err := data.keeper.Segment(t.Context(), rec, rec.Head)
		pointer, err2 := data.keeper.Save(t.Context(), rec, rec.Head, at, "", doc.AppendState(nil, crdt.V2))
		if err := errors.Join(err, err2, data.log.SetSegmented(t.Context(), document, rec.Epoch, to),
			data.log.SetSnapshot(t.Context(), document, rec.Epoch, pointer)); err != nil {
			t.Fatal(err)
		}
	}
	if err := data.close(); err != nil {
		t.Fatal(err)
	}
}

// withKey is the site with its bucket encrypted.
func withKey(t *testing.T, key string) {
	t.Helper()
	path, err := filepath.Abs(key)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("YSYNC_SNAPSHOTS_KEY", path)
}

// TestMakeRelease writes what this release stores.
func TestMakeRelease(t *testing.T) {
	if *newRelease == "" {
		return // only when it is asked for
	}
	folder := filepath.Join(releases, *newRelease)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	small := embedded(t)
	populate(t, small)
	want := map[string][]kept{"folder": holding(t, small)}
	backup := filepath.Join(t.TempDir(), "backup")
	small.back(nil, backup, "--copy", "--no-verify")
	files := map[string][]byte{}
	err := filepath.WalkDir(backup, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		name, err := filepath.Rel(backup, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err := errors.Join(err, pack(filepath.Join(folder, "folder.tar.gz"), files)); err != nil {
		t.Fatal(err)
	}

	key, err := os.ReadFile(keyFile(t, "key", 7))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "key"), key, 0o644); err != nil {
		t.Fatal(err)
	}
	withKey(t, filepath.Join(folder, "key"))
	large := elsewhere(t)
	populate(t, large)
	want["postgres"] = holding(t, large)
	store := bucketOf(t, large)
	files = map[string][]byte{}
	for o, err := range store.List(t.Context(), "") {
		if err == nil {
			files[o.Key], err = store.Get(t.Context(), o.Key, snapshots.MaxRawBytes)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dump := exec.CommandContext(t.Context(), "pg_dump", "--inserts", "--no-owner", "--schema=ysync", large.stores.Log)
	if installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump"); len(installed) > 0 {
		dump.Path = installed[len(installed)-1]
	}
	sql, err := dump.Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(want, "", "\t")
	if err := errors.Join(err, pack(filepath.Join(folder, "bucket.tar.gz"), files),
		os.WriteFile(filepath.Join(folder, "postgres.sql"), withoutCommands(sql), 0o644),
		os.WriteFile(filepath.Join(folder, "expected.json"), append(text, '\n'), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func same(a, b kept) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// withoutCommands leaves out the lines that only psql understands.
func withoutCommands(sql []byte) []byte {
	var out []byte
	for line := range bytes.Lines(sql) {
		if !bytes.HasPrefix(line, []byte(`\`)) && !bytes.HasPrefix(line, []byte("--")) {
			out = append(out, line...)
		}
	}
	return out
}

// bucketOf is the bucket of a site, as it is.
func bucketOf(t *testing.T, s *site) snapshots.Store {
	t.Helper()
	opts, err := s3.Parse(s.stores.Snapshots)
	if err != nil {
		t.Fatal(err)
	}
	store, err := s3.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func pack(name string, files map[string][]byte) error {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zip)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(files[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// unpack hands over the files of an archive.
func unpack(t *testing.T, name string, file func(name string, content []byte) error) {
	t.Helper()
	packed, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	zip, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(archive)
		}
		if err == nil {
			err = file(header.Name, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReleases opens what every release so far has stored: all documents are
// there as they were, and a server goes on with them.
func TestReleases(t *testing.T) {
	all, err := os.ReadDir(releases)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, release := range all {
		if !release.IsDir() {
			continue
		}
		opened++
		folder, err := filepath.Abs(filepath.Join(releases, release.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "expected.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string][]kept
		if err := json.Unmarshal(text, &want); err != nil || len(want) != 2 {
			t.Fatal(len(want), err)
		}
		t.Run(release.Name()+"/Folder", func(t *testing.T) {
			s := embedded(t)
			unpack(t, filepath.Join(folder, "folder.tar.gz"), func(name string, content []byte) error {
				path := filepath.Join(s.data, filepath.FromSlash(name))
				return errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, content, 0o600))
			})
			openRelease(t, s, want["folder"])
		})
		t.Run(release.Name()+"/Postgres", func(t *testing.T) {
			withKey(t, filepath.Join(folder, "key"))
			s := elsewhere(t)
			store := bucketOf(t, s)
			unpack(t, filepath.Join(folder, "bucket.tar.gz"), func(name string, content []byte) error {
				return store.Put(t.Context(), name, content)
			})
			sql, err := os.ReadFile(filepath.Join(folder, "postgres.sql"))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(t.Context(), s.stores.Log)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.PgConn().Exec(t.Context(), string(sql)).ReadAll()
			if err := errors.Join(err, conn.Close(t.Context()), prepareFolder(s.data)); err != nil {
				t.Fatal(err)
			}
			openRelease(t, s, want["postgres"])
		})
	}
	if opened == 0 {
		t.Error("there is no release")
	}
}

func openRelease(t *testing.T, s *site, want []kept) {
	t.Helper()
	if len(want) < 6 {
		t.Fatalf("%d documents are expected", len(want))
	}
	// The first server to open them brings the stores to its release.
	if code, log := s.serve().stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	if got := holding(t, s); !slices.EqualFunc(got, want, same) {
		t.Fatalf("there is\n%+v, want\n%+v", got, want)
	}
	if out := s.must(nil, "snapshot", "verify"); !strings.Contains(out, "0 damaged, 0 documents cannot be loaded") {
		t.Errorf("verify: %s", out)
	}
	server := s.serve()
	living := 0
	for _, k := range want {
		if k.Erased || k.Document == "" {
			continue
		}
		if living++; k.Generation > 1 {
			continue
		}
		peer := server.join(strings.ReplaceAll(k.Document, " ", "%20"))
		before := peer.text()
		peer.edit("+")
		if got := s.must(server, "doc", "get", k.Document, "--text"); got != before+"+\n" {
			t.Errorf("%s goes on with %q", k.Document, got)
		}
		if k.Document == "waiting" {
			first, _ := dependent(t)
			s.must(server, "doc", "import", k.Document, first)
			if got := s.must(server, "doc", "get", k.Document, "--text"); !strings.Contains(got, "this waits first ") {
				t.Errorf("what waited is not there: %q", got)
			}
		}
	}
	if out := s.must(server, "doc", "seed", "folder/seeded", updateFile(t, "again"), "--key", "template-1"); !strings.Contains(out, "nothing new") {
		t.Errorf("seeded again: %s", out)
	}
	server.stop(syscall.SIGTERM)

	// The files alone are enough, too.
	left := s.lose()
	if out := left.must(nil, "snapshot", "rebuild"); !strings.Contains(out, fmt.Sprint(living, " rebuilt")) || !strings.Contains(out, "0 failed") {
		t.Errorf("rebuild: %s", out)
	}
}
