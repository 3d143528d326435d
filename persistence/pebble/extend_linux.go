package pebble

import "golang.org/x/sys/unix"

// extend reserves space for a file and makes it part of the file's size.
func extend(fd uintptr, offset, length int64) error {
	return unix.Fallocate(int(fd), 0, offset, length)
}
