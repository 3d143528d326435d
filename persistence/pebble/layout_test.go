package pebble_test

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	database "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

var writeLayout = flag.String("write-layout", "", "write the folder of TestLayouts there")

// layoutEntry is the entry that a part of the folder of a layout has at i.
func layoutEntry(part, i int) persistence.NewEntry {
	n := part*1000 + i
	author := "ann"
	if n%3 == 0 {
		author = ""
	}
	return persistence.NewEntry{
		Time: time.UnixMilli(int64(1_700_000_000_000 + n)), Author: author,
		Update: fmt.Appendf(nil, "update %d %s", n, strings.Repeat("x", i)),
	}
}

// appendLayout appends 60 or more entries, in commits of one to seven.
func appendLayout(log *pebble.Log, r persistence.Record, part int) error {
	for i := 0; i < 60; {
		b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch}
		for range 1 + i%7 {
			b.Entries = append(b.Entries, layoutEntry(part, i))
			i++
		}
		if err := log.Append(ctx, []persistence.Batch{b})[0].Err; err != nil {
			return err
		}
	}
	return nil
}

// layoutUpdates are the updates that a part appends.
func layoutUpdates(part int) (out []string) {
	for i := 0; i < 60; {
		for range 1 + i%7 {
			out = append(out, string(layoutEntry(part, i).Update))
			i++
		}
	}
	return out
}

func layoutOptions(dir string) pebble.Options {
	return pebble.Options{Dir: dir, MemTableBytes: 64 << 10, Space: pebble.Space{BallastBytes: -1}}
}

// Folders that this release and those before have written open, and everything
// in them is what it was; what is appended follows on.
//
// A layout is never written again by a later release: its folder was made by the
// release that had it, with -write-layout.
func TestLayouts(t *testing.T) {
	if *writeLayout != "" {
		for part := range 2 {
			writePart(t, *writeLayout, part)
		}
		return
	}
	folders, err := filepath.Glob("testdata/layout*")
	if err != nil || len(folders) < 2 {
		t.Fatalf("%d folders, %v", len(folders), err)
	}
	want := append(layoutUpdates(0), layoutUpdates(1)...)
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			for again := range 2 {
				log := mustOpen(t, layoutOptions(dir))
				for d := range 3 {
					name, trimmed := fmt.Sprint("doc", d), 0
					if name == "doc1" {
						trimmed = 18
					}
					want := want[trimmed:]
					if again == 1 {
						want = append(slices.Clip(want), layoutUpdates(2)...)
					}
					checkLayout(t, log, name, trimmed, want)
					if again == 0 {
						if err := appendLayout(log, mustClaim(t, log, name), 2); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if got := layoutOf(t, dir); got != "2" {
				t.Errorf("after it was written to, the layout is %q", got)
			}
		})
	}
}

func writePart(t *testing.T, dir string, part int) {
	log := mustOpen(t, layoutOptions(dir))
	for d := range 3 {
		if err := appendLayout(log, mustClaim(t, log, fmt.Sprint("doc", d)), part); err != nil {
			t.Fatal(err)
		}
	}
	r, err := log.Open(ctx, "doc1")
	p := persistence.Pointer{Position: persistence.Position(20 + part*5), Key: fmt.Sprint("k", part)}
	err = errors.Join(err, log.SetSnapshot(ctx, "doc1", r.Epoch, p), log.SetSegmented(ctx, "doc1", r.Epoch, 24))
	if part == 1 {
		err = errors.Join(err, log.Trim(ctx, "doc1", r.Epoch, 18))
	}
	if err = errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkLayout reads a document from everywhere on.
func checkLayout(t *testing.T, log *pebble.Log, name string, trimmed int, want []string) {
	t.Helper()
	r, err := log.Open(ctx, name)
	if err != nil || int(r.Trimmed) != trimmed || int(r.Head) != trimmed+len(want) {
		t.Fatalf("%s is %+v, %v", name, r, err)
	}
	for from := range want {
		n := from
		for e, err := range log.Read(ctx, name, persistence.Position(trimmed+from)) {
			if err != nil || int(e.Position) != trimmed+n+1 || string(e.Update) != want[n] {
				t.Fatalf("%s, from %d: entry %d, %q, %v", name, from, e.Position, e.Update, err)
			}
			if n++; n == from+20 && from > 0 {
				n = len(want)
				break
			}
		}
		if n != len(want) {
			t.Fatalf("%s, from %d: %d of %d entries", name, from, n, len(want))
		}
	}
}

// layoutOf reads the version of a folder's layout.
func layoutOf(t *testing.T, dir string) string {
	t.Helper()
	db, err := database.Open(dir, &database.Options{FormatMajorVersion: database.FormatTableFormatV6, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	value, closer, err := db.Get([]byte("mformat"))
	version := string(value)
	if err = errors.Join(err, closer.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return version
}

// An attempt to receive a document that died leaves groups behind that end
// elsewhere than those of the next attempt.
func TestReceiveAfterAnAttemptThatDied(t *testing.T) {
	o := small("log")
	o.FS = vfs.NewMem()
	log := mustOpen(t, o)
	died := errors.New("the process died")
	rec := persistence.Record{Document: "a", Generation: 1, Epoch: 3, Owner: persistence.ReceivedUnchecked, Head: 2500}
	const part = 4 << 10
	row := func(dies persistence.Position) func(persistence.Position) iter.Seq2[persistence.Entry, error] {
		return func(after persistence.Position) iter.Seq2[persistence.Entry, error] {
			return func(yield func(persistence.Entry, error) bool) {
				for p := after + 1; p <= rec.Head; p++ {
					if p == dies {
						yield(persistence.Entry{}, died)
						return
					}
					e := persistence.Entry{Position: p, Epoch: persistence.Epoch(1 + p/1000), Time: start, Update: make([]byte, part)}
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
	if err := log.Receive(ctx, rec, row(2000)); !errors.Is(err, died) {
		t.Fatal(err)
	}
	rec.Trimmed = 7 // the groups begin elsewhere
	if err := log.Receive(ctx, rec, row(0)); err != nil {
		t.Fatal(err)
	}
	n := rec.Trimmed
	for e, err := range log.Read(ctx, "a", n) {
		if n++; err != nil || e.Position != n || e.Epoch != persistence.Epoch(1+n/1000) {
			t.Fatalf("%d: %+v, %v", n, e, err)
		}
	}
	if n != rec.Head {
		t.Errorf("%d of %d", n, rec.Head)
	}
}
