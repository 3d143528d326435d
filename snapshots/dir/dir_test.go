package dir_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/storetest"
)

func open(t *testing.T, fsys vfs.FS, root string) *dir.Store {
	t.Helper()
	s, err := dir.Open(fsys, root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) snapshots.Store {
			return open(t, vfs.Default, filepath.Join(t.TempDir(), "deep", "er"))
		})
	})
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) snapshots.Store { return open(t, vfs.NewMem(), "/data/snapshots") })
	})
}

func TestOpenSweepsUnfinishedFilesOnly(t *testing.T) {
	root := t.TempDir()
	s := open(t, vfs.Default, root)
	if err := s.Put(t.Context(), "a/k", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "tmp", "17"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, vfs.Default, root)
	left, err := os.ReadDir(filepath.Join(root, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("tmp holds %v, %v after open", left, err)
	}
	if b, err := s.Get(t.Context(), "a/k", 10); err != nil || string(b) != "kept" {
		t.Errorf("Get = %q, %v", b, err)
	}
}

func TestTempFolderIsNoKey(t *testing.T) {
	s := open(t, vfs.NewMem(), "/s")
	if err := s.Put(t.Context(), "tmp/1", nil); err == nil {
		t.Error("Put into tmp/ = nil")
	}
}

// blobs are the objects that the fault tests store: one is longer than a
// single write.
func blobs() map[string][]byte {
	long := make([]byte, 600_000)
	for i := range long {
		long[i] = byte(i * i >> 3)
	}
	return map[string][]byte{"a/1": []byte("small"), "a/2": long, "b/1": []byte("in another folder")}
}

// audit opens what a power loss left and reports what breaks the promise of
// Put: an object that was stored is whole and there, any other is whole or
// absent.
func audit(t *testing.T, crashed vfs.FS, stored map[string]bool) error {
	t.Helper()
	s, err := dir.Open(crashed, "/data/s")
	if err != nil {
		return err
	}
	for key, want := range blobs() {
		got, err := s.Get(t.Context(), key, 1<<20)
		switch {
		case err == nil && !bytes.Equal(got, want):
			return fmt.Errorf("%s is torn: %d of %d bytes", key, len(got), len(want))
		case err != nil && stored[key]:
			return fmt.Errorf("%s is lost: %w", key, err)
		case err != nil && !errors.Is(err, snapshots.ErrNotFound):
			return err
		}
	}
	return nil
}

// crashEverywhere stores the blobs on mem through wrap, loses power before
// every operation of the file system and after the last, several times each
// with another part of the unsynced data surviving, and audits what is left.
func crashEverywhere(t *testing.T, wrap func(vfs.FS) vfs.FS) (audits int, faults []error) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 2))
	stored := make(map[string]bool)
	lose := func() {
		for _, percent := range []int{0, 0, 30, 70, 100} {
			audits++
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			if err := audit(t, crashed, stored); err != nil {
				faults = append(faults, err)
			}
		}
	}
	fsys := errorfs.Wrap(wrap(mem), errorfs.InjectorFunc(func(errorfs.Op) error {
		lose()
		return nil
	}))
	s := open(t, fsys, "/data/s")
	for key, blob := range blobs() {
		if err := s.Put(t.Context(), key, blob); err != nil {
			t.Fatal(err)
		}
		stored[key] = true
		lose()
	}
	return audits, faults
}

func TestPowerLossAtEveryOperation(t *testing.T) {
	audits, faults := crashEverywhere(t, func(f vfs.FS) vfs.FS { return f })
	if len(faults) > 0 {
		t.Fatalf("%d of %d audits failed, first: %v", len(faults), audits, faults[0])
	}
	t.Logf("%d power losses", audits)
}

func TestPowerLossAuditFindsMissingSyncs(t *testing.T) {
	for name, bug := range map[string]storetest.Unsynced{"file": {Files: true}, "folder": {Folders: true}} {
		t.Run(name, func(t *testing.T) {
			_, faults := crashEverywhere(t, func(f vfs.FS) vfs.FS {
				bug.FS = f
				return bug
			})
			if len(faults) == 0 {
				t.Fatal("the audit passes a store that does not sync")
			}
			t.Logf("%d audits failed, first: %v", len(faults), faults[0])
		})
	}
}

// TestDiskFaultAtEveryWrite fails each writing operation once, in a run of its
// own. A Put that fails leaves nothing torn, and the next one works.
func TestDiskFaultAtEveryWrite(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		left, fired := n, false
		fsys := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || fired {
				return nil
			}
			if left--; left < 0 {
				fired = true
				return errorfs.ErrInjected
			}
			return nil
		}))
		s, err := dir.Open(fsys, "/data/s")
		failed := 0
		if err != nil {
			failed++
			if s, err = dir.Open(fsys, "/data/s"); err != nil {
				t.Fatalf("operation %d: the fault is over, and open fails again: %v", n, err)
			}
		}
		for key, blob := range blobs() {
			if err := s.Put(t.Context(), key, blob); err != nil {
				failed++
				if got, err := s.Get(t.Context(), key, 1<<20); err == nil && !bytes.Equal(got, blob) {
					t.Fatalf("operation %d: a failed Put left %d bytes", n, len(got))
				}
				if err := s.Put(t.Context(), key, blob); err != nil {
					t.Fatalf("operation %d: the fault is over, and Put fails again: %v", n, err)
				}
			}
			if got, err := s.Get(t.Context(), key, 1<<20); err != nil || !bytes.Equal(got, blob) {
				t.Fatalf("operation %d: Get = %d bytes, %v", n, len(got), err)
			}
		}
		if failed > 1 {
			t.Errorf("operation %d: one fault failed %d calls", n, failed)
		}
		if !fired {
			t.Logf("%d faults", n)
			return
		}
		if err := audit(t, mem, map[string]bool{"a/1": true, "a/2": true, "b/1": true}); err != nil {
			t.Errorf("operation %d: %v", n, err)
		}
	}
}
