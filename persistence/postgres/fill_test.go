package postgres_test

import (
	"os"
	"syscall"
)

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
