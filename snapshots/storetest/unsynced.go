package storetest

import "github.com/cockroachdb/pebble/v2/vfs"

// Unsynced is a file system that says it synced and did not: the bug that a
// power-loss audit has to find.
type Unsynced struct {
	vfs.FS
	// Files and Folders say whose syncs are dropped.
	Files, Folders bool
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }

// Create implements vfs.FS.
func (u Unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, c)
	if err == nil && u.Files {
		f = unsyncedFile{f}
	}
	return f, err
}

// OpenDir implements vfs.FS.
func (u Unsynced) OpenDir(name string) (vfs.File, error) {
	f, err := u.FS.OpenDir(name)
	if err == nil && u.Folders {
		f = unsyncedFile{f}
	}
	return f, err
}
