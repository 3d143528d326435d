//go:build !linux

package syncqueue

import "github.com/cockroachdb/pebble/v2/vfs"

// Logs leaves syncs to the threads that ask for them.
func Logs(files vfs.FS) (vfs.FS, func() error) {
	return files, func() error { return nil }
}

// Others leaves syncs to the threads that ask for them.
func Others(files vfs.FS) vfs.FS { return files }
