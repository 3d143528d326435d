//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence"
	"ysync/persistence/postgres"
)

// A full disk: appends are refused, or their outcome is read back; there are
// no losses, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	testpg.Need(t)
	// Not t.TempDir: the server's user must be able to get there.
	dir, err := os.MkdirTemp("", "ysync-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	const size = 160 << 20
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", size), "tmpfs", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk cannot be mounted: %v: %s", err, out)
		}
		t.Skipf("NOT RUN: a small disk cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server := testpg.StartIn(t, dir, "min_wal_size=32MB", "max_wal_size=32MB", "restart_after_crash=on")
	url := server.Database(t)
	l := mustOpen(t, postgres.Options{URL: url, Patience: 100 * time.Millisecond})
	a := &author{log: l, record: mustClaim(t, l, "a")}
	noise := make([]byte, 1<<20) // nothing that compresses
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	big := string(noise)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := a.append(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := fillUp(ballast, 24<<20, dir); err != nil {
		t.Fatal(err)
	}
	refused := false
	for n := 0; !refused && n < 200; n++ {
		res := put(l, a.record, fmt.Sprint(n), big)
		switch {
		case res.Err == nil:
			a.record.Head = res.Last
			a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
		default:
			refused = true
			t.Logf("append %d: %v", n, res.Err)
			if errors.Is(res.Err, persistence.ErrUnknown) {
				a.unknown++
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if errors.Is(res.Err, persistence.ErrUnknown) {
				there, err := a.readBack(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if there {
					a.record.Head += 2
					a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
				}
			}
		}
	}
	if !refused {
		t.Fatal("the disk did not fill up")
	}
	if err := a.append(ctx, "last"); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	a.audit(t, l)
}

// fillUp writes a file that leaves so many bytes of its disk.
func fillUp(name string, leave uint64, dir string) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return err
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if free <= leave {
		return nil
	}
	return os.WriteFile(name, make([]byte, free-leave), 0o600)
}
