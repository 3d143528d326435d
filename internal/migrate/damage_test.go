package migrate

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"ysync/crdt"
	"ysync/persistence"
)

// typed is the state of a document in which one client typed text.
func typed(t *testing.T, client crdt.ClientID, text string) []byte {
	t.Helper()
	doc := crdt.New(crdt.Options{ClientID: client})
	body := doc.Text("text")
	if _, err := doc.Transact(nil, func(tx *crdt.Txn) { body.Insert(tx, 0, text) }); err != nil {
		t.Fatal(err)
	}
	return doc.AppendState(nil, crdt.V1)
}

// TestWhatIsThere: an import never changes what exists, and says how it relates.
func TestWhatIsThere(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, file []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "data.ysweet"), file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"new", "ahead", "other", "erased", "claimed", "a", "b", "bad"} {
		write(name, sweet(typed(t, 1, "from the source")))
	}
	source, err := OpenYSweet(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	im := target(t, source)
	im.Name = func(name string) (string, error) {
		switch name {
		case "a", "b":
			return "same", nil
		case "bad":
			return "", errors.New("no name")
		}
		return name, nil
	}
	here := func(name string, updates ...[]byte) {
		t.Helper()
		r, err := im.Log.Claim(t.Context(), name, "someone", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range updates {
			b := persistence.Batch{Document: name, Generation: r.Generation, Epoch: r.Epoch, Entries: []persistence.NewEntry{{Time: im.Now(), Update: u}}}
			if err := im.Log.Append(t.Context(), []persistence.Batch{b})[0].Err; err != nil {
				t.Fatal(err)
			}
		}
	}
	here("ahead", typed(t, 1, "from the source"), typed(t, 2, "and more"))
	here("other", typed(t, 2, "something else"))
	here("claimed")
	if err := im.Log.Erase(t.Context(), "erased", im.Now()); err != nil {
		t.Fatal(err)
	}

	before := records(t, im.Log)
	im.DryRun = true
	dry := outcomes(run(t, im))
	if after := records(t, im.Log); !slices.EqualFunc(before, after, func(a, b persistence.Record) bool { return a == b }) {
		t.Errorf("a dry run changed %+v into %+v", before, after)
	}
	im.DryRun = false
	results := run(t, im)
	got := outcomes(results)
	same := []Outcome{got["a"], got["b"]}
	slices.Sort(same)
	if !slices.Equal(same, []Outcome{Imported, Refused}) {
		t.Errorf("two names of one document: %v", same)
	}
	for name, want := range map[string]Outcome{
		"new": Imported, "ahead": Exists, "other": Exists, "erased": Erased, "claimed": Imported, "bad": Refused,
	} {
		if got[name] != want || dry[name] != want {
			t.Errorf("%s: %s, in the dry run %s, want %s", name, got[name], dry[name], want)
		}
	}
	if err := results["ahead"].Err; err == nil || !strings.Contains(err.Error(), "all edits of the source") {
		t.Errorf("ahead: %v", err)
	}
	if err := results["other"].Err; err == nil || !strings.Contains(err.Error(), "lacks edits") {
		t.Errorf("other: %v", err)
	}
	doc, _, _, err := im.Keeper.Load(t.Context(), "other")
	if err != nil || doc.Text("text").String() != "something else" {
		t.Errorf("a document that existed was changed: %v", err)
	}
}

// TestLargeDocument: entries are bounded, a snapshot saves replaying them, and
// the log says who wrote them and when.
func TestLargeDocument(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "large"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("0123456789abcdé\n", 3*EntryBytes/16)
	if err := os.WriteFile(filepath.Join(folder, "large", "data.ysweet"), sweet(typed(t, 1, text)), 0o644); err != nil {
		t.Fatal(err)
	}
	source, err := OpenYSweet(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	im := target(t, source)
	if r := run(t, im)["large"]; r.Outcome != Imported {
		t.Fatalf("%+v", r)
	}
	record := records(t, im.Log)[0]
	if record.Head < 3 || record.Snapshot.Position != record.Head || record.Segmented != record.Head {
		t.Errorf("%+v", record)
	}
	for e, err := range im.Log.Read(t.Context(), "large", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Update) > EntryBytes*11/10 || e.Author != Author || !e.Time.Equal(im.Now()) {
			t.Errorf("entry %d: %d bytes of %q at %v", e.Position, len(e.Update), e.Author, e.Time)
		}
	}
	doc, _, tail, err := im.Keeper.Load(t.Context(), "large")
	if err != nil || tail.Entries != 0 || doc.Text("text").String() != text {
		t.Errorf("loaded %d entries, %v", tail.Entries, err)
	}
}

// sweet is a file of y-sweet with a state.
func sweet(state []byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, 2)
	for _, part := range [][]byte{
		[]byte("\x00\x00doc\x00"),
		{0, 0, 0, 1},
		{0, 1, 0, 0, 0, 1, 0},
		state,
	} {
		file = append(binary.LittleEndian.AppendUint64(file, uint64(len(part))), part...)
	}
	return file
}

// TestYSweetDamage cuts a file everywhere and flips every bit of its frame: what
// is accepted then is the document still, or another whole one.
func TestYSweetDamage(t *testing.T) {
	whole := sweet(typed(t, 1, "plan"))
	if _, err := decodeYSweet(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if stored, err := decodeYSweet(whole[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v %v", n, stored, err)
		}
	}
	if _, err := decodeYSweet(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte behind its end: %v", err)
	}
	frame := len(whole) - len(typed(t, 1, "plan"))
	for i := range frame * 8 {
		file := bytes.Clone(whole)
		file[i/8] ^= 1 << (i % 8)
		if stored, err := decodeYSweet(file); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d of byte %d flipped: %v %v", i%8, i/8, stored, err)
		}
	}
}

func FuzzYSweet(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	if file, err := os.ReadFile("testdata/y-sweet/store/plan/data.ysweet"); err == nil {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		stored, err := decodeYSweet(file)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if stored.Bytes() > len(file) {
			t.Fatalf("%d bytes out of %d", stored.Bytes(), len(file))
		}
	})
}

func FuzzLevelKey(f *testing.F) {
	f.Add(levelPrefix(levelDocument, "plan"))
	f.Fuzz(func(t *testing.T, key []byte) {
		p := levelKey(key)
		space, name := p.string(), p.string()
		if !p.bad && len(space)+len(name)+4 > len(key) {
			t.Fatalf("%q and %q out of %d bytes", space, name, len(key))
		}
	})
}

// TestLevelDBDamage: what is wrong with one document is told of it, and the
// others are read.
func TestLevelDBDamage(t *testing.T) {
	folder := t.TempDir()
	db, err := leveldb.OpenFile(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, value []byte) {
		t.Helper()
		if err := db.Put(key, value, nil); err != nil {
			t.Fatal(err)
		}
	}
	update := func(name string, clock byte) []byte {
		return append(appendLevelString(levelPrefix(levelDocument, name), "update"), 1, 0, 0, 0, clock)
	}
	vector := func(sv ...byte) []byte { return append([]byte{0, byte(len(sv))}, sv...) }
	plan := typed(t, 1, "plan")
	put(update("good", 7), plan)
	put(levelPrefix(levelVector, "good"), vector(1, 1, 4))
	put(update("gap", 0), plan)
	put(update("gap", 2), plan)
	put(update("cut", 0), plan[:len(plan)-3])
	put(update("short", 0), plan)
	put(levelPrefix(levelVector, "short"), vector(1, 1, 5))
	put(levelPrefix(levelVector, "nothing"), vector(0))
	put(update("vector", 0), plan)
	put(levelPrefix(levelVector, "vector"), []byte{0, 9, 1})
	put(appendLevelString(levelPrefix(levelDocument, "odd"), "updates"), plan)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	source, err := OpenLevelDB(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	results := run(t, target(t, source))
	for name, want := range map[string]string{
		"good": "", "gap": "after update 0 comes 2", "cut": "does not apply", "short": "its own state vector",
		"nothing": "no updates", "vector": "wrong length", "odd": "does not write",
	} {
		r, ok := results[name]
		switch {
		case !ok:
			t.Errorf("%s was not listed", name)
		case want == "" && r.Outcome != Imported:
			t.Errorf("%s: %+v", name, r)
		case want != "" && (r.Outcome != Damaged || !strings.Contains(r.Err.Error(), want)):
			t.Errorf("%s: %+v, want %q", name, r, want)
		}
	}
	if len(results) != 7 {
		t.Errorf("%d documents", len(results))
	}
}

// TestLevelDBDamagedTable flips bytes of the table that holds the documents: no
// document comes out otherwise than it was.
func TestLevelDBDamagedTable(t *testing.T) {
	want := readExpected(t, "testdata/y-leveldb")
	tables, err := filepath.Glob("testdata/y-leveldb/store/*.ldb")
	if err != nil || len(tables) != 1 {
		t.Fatal(tables, err)
	}
	table, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	refused, read := 0, 0
	for at := 0; at < len(table); at += 97 {
		folder := copyOf(t, "testdata/y-leveldb/store")
		broken := bytes.Clone(table)
		broken[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(tables[0])), broken, 0o644); err != nil {
			t.Fatal(err)
		}
		source, err := OpenLevelDB(folder)
		if err != nil {
			refused++
			continue
		}
		if _, err := source.Names(t.Context()); err != nil {
			refused++
		}
		for name, w := range want {
			stored, err := source.Read(t.Context(), name)
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("byte %d: %s: %v", at, name, err)
				}
				refused++
				continue
			}
			doc, err := rebuild(&stored)
			if err != nil {
				refused++
				continue
			}
			source := crdt.New(crdt.Options{NoFormatCleanup: true})
			if _, err := source.Apply(nil, crdt.V1, w.Update); err != nil {
				t.Fatal(err)
			}
			if err := difference(source, doc); err != nil {
				t.Errorf("byte %d: %s came out otherwise: %v", at, name, err)
			}
			read++
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
	if refused == 0 || read == 0 {
		t.Errorf("%d refused, %d read", refused, read)
	}
	t.Logf("%d refused, %d read whole", refused, read)
}

// TestSQLiteDamage: rows that Hocuspocus would not write.
func TestSQLiteDamage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{
		`CREATE TABLE documents (name varchar(255), data blob)`,
		`INSERT INTO documents VALUES ('text', 'words'), ('nothing', NULL), ('zero', x''), ('twice', x'00')`,
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO documents VALUES ('twice', ?)`, typed(t, 1, "newest")); err != nil {
		t.Fatal(err)
	}
	source, err := OpenSQLite(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	got := outcomes(run(t, target(t, source)))
	for name, want := range map[string]Outcome{"text": Damaged, "nothing": Damaged, "zero": Damaged, "twice": Imported} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

// TestNotASource: places where there is no store are not touched.
func TestNotASource(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("something"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() (Source, error){
		"leveldb":        func() (Source, error) { return OpenLevelDB(folder) },
		"leveldb absent": func() (Source, error) { return OpenLevelDB(filepath.Join(folder, "absent")) },
		"sqlite":         func() (Source, error) { return OpenSQLite(t.Context(), file) },
		"sqlite absent":  func() (Source, error) { return OpenSQLite(t.Context(), filepath.Join(folder, "absent")) },
		"sqlite folder":  func() (Source, error) { return OpenSQLite(t.Context(), folder) },
		"y-sweet absent": func() (Source, error) { return OpenYSweet(t.Context(), filepath.Join(folder, "absent")) },
		"y-sweet file":   func() (Source, error) { return OpenYSweet(t.Context(), file) },
		"s3":             func() (Source, error) { return OpenHocuspocusS3(t.Context(), "s3:/nowhere") },
	} {
		if _, err := open(); !errors.Is(err, ErrNotSource) {
			t.Errorf("%s: %v", what, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder now holds %v (%v)", entries, err)
	}
}
