package pebble_test

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tapFS lets a test stand between the log and its disk at every write and
// every fsync.
type tapFS struct {
	vfs.FS
	// write is called for every write to a file, and calls do with the bytes
	// that shall be written. nil is "do".
	write func(name string, b []byte, do func([]byte) (int, error)) (int, error)
	// sync is called for every fsync of a file or folder. nil is "do".
	sync func(name string, do func() error) error
}

func (t *tapFS) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &tapFile{File: f, fs: t, name: name}, nil
}

func (t *tapFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.Create(name, c)
	return t.wrap(f, name, err)
}

func (t *tapFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := t.FS.OpenReadWrite(name, c, o...)
	return t.wrap(f, name, err)
}

func (t *tapFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.ReuseForWrite(old, name, c)
	return t.wrap(f, name, err)
}

func (t *tapFS) OpenDir(name string) (vfs.File, error) {
	f, err := t.FS.OpenDir(name)
	return t.wrap(f, name, err)
}

type tapFile struct {
	vfs.File
	fs   *tapFS
	name string
}

func (f *tapFile) Write(b []byte) (int, error) {
	if f.fs.write == nil {
		return f.File.Write(b)
	}
	return f.fs.write(f.name, b, f.File.Write)
}

func (f *tapFile) synced(do func() error) error {
	if f.fs.sync == nil {
		return do()
	}
	return f.fs.sync(f.name, do)
}

func (f *tapFile) Sync() error     { return f.synced(f.File.Sync) }
func (f *tapFile) SyncData() error { return f.synced(f.File.SyncData) }

func (f *tapFile) SyncTo(n int64) (full bool, err error) {
	err = f.synced(func() error {
		full, err = f.File.SyncTo(n)
		return err
	})
	return full, err
}

// crashDisk is a disk in memory that can be copied as a power failure leaves
// it. The library's takes a read lock twice when it renames or links a file,
// which stops everything when a copy waits for the lock in between: here the
// three exclude each other.
type crashDisk struct {
	*vfs.MemFS
	mu sync.Mutex
}

func newCrashDisk() *crashDisk { return &crashDisk{MemFS: vfs.NewCrashableMem()} }

func (d *crashDisk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.MemFS.ReuseForWrite(old, name, c)
}

func (d *crashDisk) Link(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.MemFS.Link(old, name)
}

func (d *crashDisk) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.MemFS.CrashClone(cfg)
}
