//go:build unix

package migrate

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// levelLocked tells whether another process holds LevelDB's lock. The C++ library
// takes a record lock, which the Go library's own kind of lock does not notice.
func levelLocked(file string) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return false, err
	}
	return lock.Type != syscall.F_UNLCK, nil
}
