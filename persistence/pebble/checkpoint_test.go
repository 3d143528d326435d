package pebble

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence"
)

// TestCheckpointUnderWriters: a checkpoint opens, and has everything that was
// committed before it began; every document in it is a whole beginning.
func TestCheckpointUnderWriters(t *testing.T) {
	folder := t.TempDir()
	l, err := Open(Options{Dir: filepath.Join(folder, "log"), MemTableBytes: 256 << 10, Space: Space{BallastBytes: -1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	const writers = 8
	var committed [writers]atomic.Uint64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		rec, err := l.Claim(ctx, fmt.Sprint("d", w), "n", 0)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				res := l.Append(ctx, []persistence.Batch{{
					Document: rec.Document, Generation: rec.Generation, Epoch: rec.Epoch,
					Entries: []persistence.NewEntry{{Update: fmt.Appendf(make([]byte, 2000), "%d", n)}},
				}})
				if res[0].Err != nil {
					t.Error(res[0].Err)
					return
				}
				committed[w].Store(uint64(res[0].Last))
			}
		})
	}
	for n := range 12 {
		var before [writers]uint64
		for w := range before {
			for before[w] = committed[w].Load(); before[w] == 0; before[w] = committed[w].Load() {
			}
		}
		dir := filepath.Join(folder, fmt.Sprint("checkpoint", n))
		if err := l.Checkpoint(ctx, dir); err != nil {
			t.Fatal(err)
		}
		copied, err := Open(Options{Dir: dir, Space: Space{BallastBytes: -1}})
		if err != nil {
			t.Fatalf("checkpoint %d: %v", n, err)
		}
		for w := range writers {
			name := fmt.Sprint("d", w)
			var last persistence.Position
			for e, err := range copied.Read(ctx, name, 0) {
				if err != nil || e.Position != last+1 {
					t.Fatalf("checkpoint %d: %s after %d: %+v, %v", n, name, last, e.Position, err)
				}
				last = e.Position
			}
			if uint64(last) < before[w] {
				t.Errorf("checkpoint %d: %s has %d entries of %d", n, name, last, before[w])
			}
		}
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	all.Wait()
	if err := l.Checkpoint(ctx, filepath.Join(folder, "log")); !errors.Is(err, persistence.ErrInvalid) {
		t.Errorf("onto itself: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// errBroken is what a write outside of the log's folder meets.
var errBroken = errors.New("the other disk is broken")

type brokenOutside struct {
	vfs.FS
	inside string
}

func (b brokenOutside) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if b.PathDir(name) != b.inside {
		return nil, errBroken
	}
	return b.FS.Create(name, c)
}

// A checkpoint that cannot be written is an error, and not the end of the process.
func TestCheckpointFails(t *testing.T) {
	l, err := Open(Options{
		Dir: "/log", FS: brokenOutside{vfs.NewMem(), "/log"}, Space: Space{BallastBytes: -1},
		exit: func(code int) { t.Errorf("the process ends with %d", code) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rec, err := l.Claim(t.Context(), "a", "n", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Checkpoint(t.Context(), "/copy"); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	res := l.Append(t.Context(), []persistence.Batch{{Document: "a", Generation: 1, Epoch: rec.Epoch, Entries: []persistence.NewEntry{{Update: []byte("x")}}}})
	if res[0].Err != nil {
		t.Error(res[0].Err)
	}
}
