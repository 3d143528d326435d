package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/crdt"
	"ysync/internal/s3test"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// expected is what the source's own package read back, by Yjs.
type expected struct {
	Update, Vector []byte
	Content        map[string]any
}

// kinds are the stores that stores.mjs makes.
var kinds = []string{"y-websocket", "y-leveldb", "hocuspocus-sqlite", "hocuspocus-s3", "y-sweet"}

// open opens the store of a kind in a folder that stores.mjs made.
func open(t *testing.T, kind, folder string) Source {
	t.Helper()
	store := filepath.Join(folder, "store")
	var source Source
	var err error
	switch kind {
	case "y-websocket", "y-leveldb":
		source, err = OpenLevelDB(store)
	case "hocuspocus-sqlite":
		source, err = OpenSQLite(t.Context(), store)
	case "hocuspocus-s3":
		source, err = OpenHocuspocusS3(t.Context(), upload(t, store)+"/hocuspocus-documents/"+settings)
	case "y-sweet":
		source, err = OpenYSweet(t.Context(), store)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	return source
}

// settings are those of the server that upload started last.
var settings string

// upload puts a folder into a bucket and returns where that is.
func upload(t *testing.T, folder string) string {
	t.Helper()
	server := s3test.Start(t)
	settings = "?region=us-east-1&endpoint=" + server.Endpoint
	name := server.Bucket(t, "foreign")
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		key, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = server.Client().PutObject(t.Context(), &sdk.PutObjectInput{
			Bucket: &name, Key: aws.String(filepath.ToSlash(key)), Body: bytes.NewReader(content),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return "s3://" + name
}

// target is where tests import to.
func target(t *testing.T, source Source) *Importer {
	t.Helper()
	log := memory.New()
	store, err := dir.Open(vfs.NewMem(), "snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return &Importer{
		Source: source, Log: log, Keeper: snapshots.New(store, log, snapshots.Options{}), Owner: "test",
		Now:  func() time.Time { return time.UnixMilli(1e12) },
		Name: func(s string) (string, error) { return s, nil },
	}
}

// run imports everything and returns the results by name in the source.
func run(t *testing.T, im *Importer) map[string]Result {
	t.Helper()
	names, err := im.Source.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]Result{}
	if err := im.Run(t.Context(), names, func(r Result) { results[r.Source] = r }); err != nil {
		t.Fatal(err)
	}
	return results
}

func outcomes(results map[string]Result) map[string]Outcome {
	m := map[string]Outcome{}
	for name, r := range results {
		m[name] = r.Outcome
	}
	return m
}

func readExpected(t *testing.T, folder string) map[string]expected {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]expected
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// verify imports a store and compares every document with what the source's own
// package read back from it.
func verify(t *testing.T, kind, folder string) *Importer {
	t.Helper()
	im := target(t, open(t, kind, folder))
	want := readExpected(t, folder)
	results := run(t, im)
	if got, names := slices.Sorted(maps.Keys(results)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, names) {
		t.Fatalf("documents %q, want %q", got, names)
	}
	for name, w := range want {
		source := crdt.New(crdt.Options{NoFormatCleanup: true})
		if _, err := source.Apply(nil, crdt.V1, w.Update); err != nil {
			t.Fatal(name, err)
		}
		outcome := Imported
		if source.StateVector().Len() == 0 {
			outcome = Empty
		}
		if r := results[name]; r.Outcome != outcome || r.Err != nil || r.Bytes == 0 && outcome == Imported {
			t.Errorf("%s: %+v, want it %s", name, r, outcome)
			continue
		}
		got, _, _, err := im.Keeper.Load(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if vector, err := crdt.DecodeStateVector(w.Vector); err != nil || !got.StateVector().Equal(vector) {
			t.Errorf("%s: another state vector than Yjs has (%v)", name, err)
		}
		if err := difference(source, got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var content map[string]any
		text := got.AppendJSON(nil, map[string]crdt.TypeKind{
			"text": crdt.KindText, "map": crdt.KindMap, "list": crdt.KindArray, "page": crdt.KindXMLFragment,
		})
		if err := json.Unmarshal(text, &content); err != nil {
			t.Fatal(err)
		}
		for root, v := range w.Content {
			if have, ok := content[root]; ok && !reflect.DeepEqual(have, v) || !ok && !reflect.ValueOf(v).IsZero() && reflect.ValueOf(v).Len() > 0 {
				t.Errorf("%s: %s is %v, want %v", name, root, have, v)
			}
		}
	}
	return im
}

// TestStores imports the committed stores, which the servers' own packages made
// (see stores.mjs).
func TestStores(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			folder := copyOf(t, filepath.Join("testdata", kind))
			im := verify(t, kind, folder)
			// Once more: nothing changes.
			before := records(t, im.Log)
			for name, r := range run(t, im) {
				if r.Outcome != Unchanged && r.Outcome != Empty {
					t.Errorf("again: %s: %+v", name, r)
				}
			}
			if after := records(t, im.Log); !reflect.DeepEqual(before, after) {
				t.Errorf("importing again changed %+v into %+v", before, after)
			}
		})
	}
}

// copyOf copies a folder: LevelDB keeps a lock in the one it opens.
func copyOf(t *testing.T, folder string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return copied
}

func records(t *testing.T, log persistence.Log) []persistence.Record {
	t.Helper()
	var all []persistence.Record
	for r, err := range log.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// TestFreshStores makes stores with the servers' own packages, imports them, and
// has real Yjs compare source and import.
func TestFreshStores(t *testing.T) {
	needNode(t)
	for _, kind := range kinds {
		if kind != nativeKind {
			t.Run(kind, func(t *testing.T) { freshStore(t, kind) })
		}
	}
}

// nativeKind is made anew by TestFreshNativeStore alone: its package compiles
// native code, for minutes and not everywhere.
const nativeKind = "hocuspocus-sqlite"

func freshStore(t *testing.T, kind string) {
	folder := t.TempDir()
	stores(t, nil, "make", kind, folder)
	im := verify(t, kind, folder)
	compareByYjs(t, im, readExpected(t, folder))
}

func compareByYjs(t *testing.T, im *Importer, want map[string]expected) {
	t.Helper()
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for name, w := range want {
		doc, _, _, err := im.Keeper.Load(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		line := map[string]any{"name": name, "source": w.Update, "imported": doc.AppendState(nil, crdt.V1)}
		if err := encoder.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for line := range strings.Lines(stores(t, &lines, "compare")) {
		var got struct {
			Name        string
			Differences []string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || len(got.Differences) > 0 {
			t.Errorf("by Yjs: %s (%v)", line, err)
		}
		compared++
	}
	if compared != len(want) {
		t.Errorf("Yjs compared %d of %d documents", compared, len(want))
	}
}

// stores runs stores.mjs.
func stores(t *testing.T, input *bytes.Buffer, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"stores.mjs"}, args...)...)
	if input != nil {
		cmd.Stdin = input
	}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("stores.mjs %v: %v\n%s", args, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

func needNode(t *testing.T) {
	t.Helper()
	what := ""
	if _, err := exec.LookPath("node"); err != nil {
		what = "Node.js"
	} else if _, err := os.Stat("node_modules/yjs"); err != nil {
		what = "the Node packages of internal/migrate"
	}
	if what == "" {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: `make prepare` installs it", what)
	}
	t.Skipf("NOT RUN: %s is missing", what)
}
