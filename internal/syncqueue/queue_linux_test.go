package syncqueue

import (
	"errors"
	"fmt"
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
		if files, _ := Logs(vfs.Default); files != vfs.Default {
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
				if taken, err := q.sync(f.Fd(), operationDataSync); !taken || err != nil {
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
	if taken, err := q.sync(w.Fd(), operationDataSync); taken && !errors.Is(err, unix.EINVAL) {
		t.Errorf("a pipe: %v", err)
	}
	if taken, err := q.sync(f.Fd(), operationDataSync); !taken || err != nil {
		t.Errorf("after a failure: taken %v, %v", taken, err)
	}
}

// Only write-ahead logs go by request; all else, and what is left when the queue
// takes nothing, is synced as before.
func TestQueueFS(t *testing.T) {
	files, unqueue := Logs(vfs.Default)
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

// All else is synced by request too where that is wanted: files and folders, by many at
// once, more of them than there are queues.
func TestOthers(t *testing.T) {
	files := Others(vfs.Default)
	dir := t.TempDir()
	var wait sync.WaitGroup
	for i := range 3 * maxShared {
		wait.Go(func() {
			f, err := files.Create(filepath.Join(dir, fmt.Sprint(i)), vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Error(err)
				return
			}
			if _, ok := f.(*queueFile); !ok {
				t.Error("not by request")
			}
			for range 5 {
				_, err := f.Write([]byte("x"))
				if err = errors.Join(err, f.Sync(), f.SyncData()); err != nil {
					t.Error(err)
				}
			}
			d, err := files.OpenDir(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(f.Close(), d.Sync(), d.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if others.made > maxShared {
		t.Errorf("%d queues", others.made)
	}
	log, err := files.Create(filepath.Join(dir, "000001.log"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, ok := log.(*queueFile); ok {
		t.Error("a write-ahead log goes with the others")
	}
	// A folder is made durable by the kernel's request, not only by the way round.
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if q := newSyncQueue(); q != nil {
		taken, err := q.sync(d.Fd(), operationSync)
		if err := errors.Join(err, q.close()); !taken || err != nil {
			t.Errorf("a folder: taken %v, %v", taken, err)
		}
	}
}
