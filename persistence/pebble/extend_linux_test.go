package pebble_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// A log that was not closed ends in zeros. It opens, holds all that was
// acknowledged, and damage in front of what was acknowledged is found with the
// zeros behind it.
func TestZeroTail(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "log")
	// The first write-ahead log of a new folder says nothing of syncs.
	l, err := pebble.Open(pebble.Options{Dir: dir, MemTableBytes: 1 << 20})
	if err == nil {
		err = l.Close()
	}
	if err == nil {
		l, err = pebble.Open(pebble.Options{Dir: dir, MemTableBytes: 1 << 20})
	}
	if err != nil {
		t.Fatal(err)
	}
	rec, err := l.Claim(ctx, "d", "boot", 0)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		r := l.Append(ctx, []persistence.Batch{{
			Document: "d", Generation: rec.Generation, Epoch: rec.Epoch,
			Entries: []persistence.NewEntry{{Time: time.UnixMilli(int64(i)), Update: bytes.Repeat([]byte{byte(i)}, 300)}},
		}})
		if r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
	}
	// What lies in the folder now is what a crash would leave.
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(crashed, "*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	content, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(content, "\x00"))
	if used < n*300 || len(content) < used+(1<<19) {
		t.Fatalf("nothing was reserved: %d bytes, %d of them used", len(content), used)
	}

	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.CopyFS(damaged, os.DirFS(crashed)); err != nil {
		t.Fatal(err)
	}
	content[used/2] ^= 1
	if err := os.WriteFile(filepath.Join(damaged, filepath.Base(logs[0])), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := pebble.Open(pebble.Options{Dir: damaged}); err == nil {
		t.Errorf("damage was not found; closed: %v", l.Close())
	}

	for range 2 {
		l, err := pebble.Open(pebble.Options{Dir: crashed})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for e, err := range l.Read(ctx, "d", 0) {
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.Update, bytes.Repeat([]byte{byte(got)}, 300)) {
				t.Fatalf("entry %d is another", got)
			}
			got++
		}
		if got != n {
			t.Errorf("%d of %d entries", got, n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
