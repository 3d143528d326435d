package pebble

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A write-ahead log is synced by request, whoever asks for it, and a failure comes back.
func TestSyncQueue(t *testing.T) {
	q := newSyncQueue()
	if q == nil { // a kernel without such requests
		if files, _ := queueSyncs(vfs.Default); files != vfs.Default {
			t.Error("there is no queue, and it is used")
		}
		return
	}
	defer func() {
		if err := q.close(); err != nil {
			t.Error(err)
		}
	}()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 20 {
				if _, err := f.WriteString("x"); err != nil {
					t.Error(err)
				}
				if taken, err := q.dataSync(f.Fd()); !taken || err != nil {
					t.Errorf("taken %v, %v", taken, err)
				}
			}
		})
	}
	wait.Wait()

	// Nothing can be made durable in a pipe, and this is told in one way or the other.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if taken, err := q.dataSync(w.Fd()); taken && !errors.Is(err, unix.EINVAL) {
		t.Errorf("a pipe: %v", err)
	}
	if taken, err := q.dataSync(f.Fd()); !taken || err != nil {
		t.Errorf("after a failure: taken %v, %v", taken, err)
	}
}

// Only write-ahead logs go by request; all else, and what is left when the queue
// takes nothing, is synced as before.
func TestQueueFS(t *testing.T) {
	files, unqueue := queueSyncs(vfs.Default)
	_, used := files.(*queueFS)
	dir := t.TempDir()
	for name, queued := range map[string]bool{"000001.log": true, "000002.sst": false} {
		f, err := files.Create(filepath.Join(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.(*queueFile); ok != (queued && used) {
			t.Errorf("%s: by request: %v", name, ok)
		}
		if err := errors.Join(f.SyncData(), f.Close()); err != nil {
			t.Error(err)
		}
	}
	left, err := files.Create(filepath.Join(dir, "000003.log"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	if err := unqueue(); err != nil {
		t.Fatal(err)
	}
	if err := left.SyncData(); err != nil {
		t.Errorf("without a queue: %v", err)
	}
}
