package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// damagedStore is a store with known content, in files of every kind, that a
// test can copy and damage.
type damagedStore struct {
	disk    *vfs.MemFS
	content map[string][]string // updates by document
	order   []string            // documents, in the order of the commits
}

func newDamagedStore(t *testing.T) *damagedStore {
	t.Helper()
	// The second opening flushes the first one's write-ahead log, and its own.
	return damagedStoreOf(t, 180, 1000)
}

// damagedStoreOf opens a store once for each number of commits.
func damagedStoreOf(t *testing.T, openings ...int) *damagedStore {
	t.Helper()
	s := &damagedStore{disk: vfs.NewCrashableMem(), content: make(map[string][]string)}
	dice := newDice(5)
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(dice.Uint32())
		}
		return b
	}
	for _, commits := range openings {
		log := mustOpen(t, s.options(s.disk))
		for i := range 3 {
			mustClaim(t, log, fmt.Sprint("doc", i))
		}
		for i := range commits {
			name := fmt.Sprint("doc", i%3)
			r, err := log.Open(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			u := random(200 + dice.IntN(300))
			if err := put(log, r, u); err != nil {
				t.Fatal(err)
			}
			s.content[name] = append(s.content[name], string(u))
			s.order = append(s.order, name)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *damagedStore) options(disk vfs.FS) pebble.Options {
	return pebble.Options{Dir: "log", FS: disk, MemTableBytes: 256 << 10, CacheBytes: 1 << 20}
}

// files lists the store's files whose name contains a word.
func (s *damagedStore) files(t *testing.T, word string) (out []string) {
	t.Helper()
	names, err := s.disk.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, word) && len(readFile(t, s.disk, "log/"+name)) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func readFile(t testing.TB, disk vfs.FS, name string) []byte {
	t.Helper()
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, disk vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// verdict is what a log makes of a damaged store.
type verdict struct {
	opened bool
	err    error // the first error met, of opening or of reading
	lost   int   // entries that a document silently lacks at its end
	wrong  bool  // an entry that is not what was appended
}

// judge opens a copy of the store with one file replaced, and reads everything.
func (s *damagedStore) judge(t *testing.T, file string, content []byte) (v verdict) {
	t.Helper()
	disk := s.disk.CrashClone(vfs.CrashCloneCfg{})
	writeFile(t, disk, "log/"+file, content)
	log, err := pebble.Open(s.options(disk))
	if err != nil {
		return verdict{err: err}
	}
	v.opened = true
	defer func() { _ = log.Close() }()
	for name, want := range s.content {
		got, err := updates(log, name)
		if v.err == nil {
			v.err = err
		}
		v.wrong = v.wrong || len(got) > len(want) || !slices.Equal(got, want[:len(got)])
		if err == nil {
			v.lost += len(want) - len(got)
		}
	}
	return v
}

// check fails the test when damage was silent, or told as something else.
func (v verdict) check(t *testing.T, what string, mayLose int) {
	t.Helper()
	var e *persistence.Error
	switch {
	case v.wrong:
		t.Errorf("%s: an entry was read that nobody wrote (%v)", what, v.err)
	case v.err != nil && !errors.Is(v.err, persistence.ErrCorrupt):
		t.Errorf("%s: told as %v", what, v.err)
	case v.err != nil && (!errors.As(v.err, &e) || v.opened && (e.Document == "" || e.Op == "read" && e.Position == 0 && !strings.Contains(e.Error(), "record"))):
		t.Errorf("%s: the error does not say where: %v", what, v.err)
	case v.err != nil && strings.Contains(v.err.Error(), "\n"):
		t.Errorf("%s: the error has several lines: %v", what, v.err)
	case v.err == nil && v.lost > mayLose:
		t.Errorf("%s: %d entries are gone, silently", what, v.lost)
	}
}

// A flipped bit anywhere in the files is told, or harmless; only the last
// commits of the write-ahead log can't be told from a torn end.
func TestFlippedBits(t *testing.T) {
	s := newDamagedStore(t)
	for word, mayLose := range map[string]int{".sst": 0, ".log": 3, "MANIFEST": 0, "OPTIONS": 0} {
		t.Run(word, func(t *testing.T) {
			files, told, harmless := s.files(t, word), 0, 0
			if len(files) == 0 {
				t.Fatal("there are no such files")
			}
			for _, file := range files {
				content := readFile(t, s.disk, "log/"+file)
				step := max(1, len(content)/60)
				if fullSweep() {
					step = min(step, 64)
				}
				for at := 0; at < len(content); at += step {
					damaged := bytes.Clone(content)
					damaged[at] ^= 1 << (at % 8)
					v := s.judge(t, file, damaged)
					v.check(t, fmt.Sprintf("%s, bit %d of byte %d of %d", file, at%8, at, len(content)), mayLose)
					if v.err != nil {
						told++
					} else {
						harmless++
					}
				}
			}
			t.Logf("%d files: %d flips told, %d harmless or at the end", len(files), told, harmless)
		})
	}
}

// Damage in the write-ahead log that a new folder begins with is told as in any
// other.
func TestFlippedBitsOfANewFolder(t *testing.T) {
	s := damagedStoreOf(t, 180)
	files, told := s.files(t, ".log"), 0
	for _, file := range files {
		content := readFile(t, s.disk, "log/"+file)
		for at := 0; at < len(content); at += max(1, len(content)/60) {
			damaged := bytes.Clone(content)
			damaged[at] ^= 1 << (at % 8)
			v := s.judge(t, file, damaged)
			v.check(t, fmt.Sprintf("%s, bit %d of byte %d of %d", file, at%8, at, len(content)), 3)
			if v.err != nil {
				told++
			}
		}
	}
	if told == 0 {
		t.Errorf("nothing was told of %d files", len(files))
	}
}

// A sorted file or a manifest that is too short is told. A write-ahead log that
// is too short is what a power failure leaves: the log ends earlier, with no
// entry wrong and none missing in between.
func TestTruncatedFiles(t *testing.T) {
	s := newDamagedStore(t)
	for word, mayLose := range map[string]int{".sst": 0, ".log": 1 << 20} {
		for _, file := range s.files(t, word) {
			content := readFile(t, s.disk, "log/"+file)
			step := max(1, len(content)/40)
			for n := 0; n < len(content); n += step {
				s.judge(t, file, content[:n]).check(t, fmt.Sprintf("%s cut to %d of %d bytes", file, n, len(content)), mayLose)
			}
		}
	}
}
