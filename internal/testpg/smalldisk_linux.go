package testpg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many bytes until the end of the test, and
// returns its folder. Without the right to mount the test is not run, unless CI is
// true in the environment: then it fails.
func SmallDisk(t testing.TB, size int) string {
	t.Helper()
	// Not t.TempDir: the server's user must be able to get there.
	dir, err := os.MkdirTemp("", "ysync-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
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
	return dir
}

// FillUp writes the file "ballast" that leaves so many bytes of a disk, and
// returns its name.
func FillUp(dir string, leave uint64) (string, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return "", err
	}
	name := filepath.Join(dir, "ballast")
	free := disk.Bavail * uint64(disk.Bsize)
	err := os.WriteFile(name, make([]byte, free-min(free, leave)), 0o600)
	if errors.Is(err, syscall.ENOSPC) { // the server has taken some meanwhile
		err = nil
	}
	return name, err
}
