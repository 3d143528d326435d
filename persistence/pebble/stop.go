package pebble

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// stopper ends the process when the disk can't be trusted any more.
type stopper struct {
	log  *zap.Logger
	dir  string
	exit func(code int)
	// checkpoint is the folder of the checkpoint that is being made; nil for none.
	checkpoint atomic.Pointer[string]

	once sync.Once
}

// stop logs one line and ends the process. Of several failures at once the
// first is told; the goroutines of the others wait for the end.
func (s *stopper) stop(what string, err error) {
	s.once.Do(func() {
		s.log.Error("the log stops the process: the disk failed, and what it holds is known only after a restart",
			zap.String("failed", what), zap.String("folder", s.dir), zap.Int("exit_code", ExitDiskFailed), zap.String("error", flat{err}.Error()))
		_ = s.log.Sync() // the process ends whether or not the line gets out
		s.exit(ExitDiskFailed)
	})
}

// background judges an error of the database's own work. A full disk is the
// business of space; damage is told by whoever reads it; anything else is a
// disk that fails.
func (s *stopper) background(err error) {
	switch {
	case errors.Is(err, pebble.ErrCancelledCompaction), errors.Is(err, pebble.ErrClosed):
	case vfs.IsNoSpaceError(err):
		s.log.Debug("background work met a full disk", zap.String("error", flat{err}.Error()))
	case pebble.IsCorruptionError(err):
		s.log.Error("background work met a damaged file", zap.String("error", flat{err}.Error()))
	default:
		s.stop("background work", err)
	}
}

// databaseLogger sends the database's messages to the log at debug level, and
// its fatal ones (a failed commit or manifest) to the stopper.
type databaseLogger struct {
	log     *zap.SugaredLogger
	stopper *stopper
}

func (l databaseLogger) Infof(format string, args ...any)  { l.log.Debugf(format, args...) }
func (l databaseLogger) Errorf(format string, args ...any) { l.log.Debugf(format, args...) }
func (l databaseLogger) Fatalf(format string, args ...any) {
	l.stopper.stop("database", fmt.Errorf(format, args...))
}

// fullDiskPause is how long a write of the database's own is held back when it
// met a full disk: the database tries again at once, and would spin.
const fullDiskPause = 250 * time.Millisecond

// stopFS stops the process where durability is lost, before the database sees
// the error (it panics on some): at every failed fsync, which must never be
// asked again, at a failed write to the write-ahead log or the manifest, which
// the database can't undo, and when no new write-ahead log can be created.
// Other failures go up: the database has still a copy of the data.
type stopFS struct {
	vfs.FS
	stopper *stopper
	space   *space
}

// vital reports whether the database can't go on without its writes to a file.
func vital(name string) bool {
	return strings.HasSuffix(name, ".log") || strings.Contains(name, "MANIFEST")
}

func (s *stopFS) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if s.foreign(name) {
		return f, err
	}
	if err != nil && strings.HasSuffix(name, ".log") {
		s.stopper.stop("create "+s.PathBase(name), err)
	}
	if err != nil {
		return nil, s.pause(err)
	}
	return &stopFile{File: f, fs: s, name: name}, nil
}

// foreign reports whether a file is of the checkpoint that is being made, which
// nothing hangs on.
func (s *stopFS) foreign(name string) bool {
	dir := s.stopper.checkpoint.Load()
	return dir != nil && strings.HasPrefix(name, *dir)
}

// pause notes a full disk and holds the caller back.
func (s *stopFS) pause(err error) error {
	if vfs.IsNoSpaceError(err) {
		s.space.fill()
		time.Sleep(fullDiskPause)
	}
	return err
}

func (s *stopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return s.wrap(f, name, err)
}

func (s *stopFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c, o...)
	return s.wrap(f, name, err)
}

func (s *stopFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, c)
	f, err = s.wrap(f, name, err)
	if w, ok := f.(*stopFile); ok {
		w.filled = math.MaxInt64
	}
	return f, err
}

func (s *stopFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return s.wrap(f, name, err)
}

// Unwrap returns the file system below.
func (s *stopFS) Unwrap() vfs.FS { return s.FS }

type stopFile struct {
	vfs.File
	fs   *stopFS
	name string

	// Of a write-ahead log, which one goroutine at a time writes from its
	// beginning: where the next byte goes, up to where the file was extended, and up
	// to where it is filled with what was written. A file that was a log before is full.
	at, extended, filled int64
}

func (f *stopFile) stopAt(what string, err error) error {
	if err != nil {
		f.fs.stopper.stop(what+" "+f.fs.PathBase(f.name), err)
	}
	return err
}

func (f *stopFile) Write(b []byte) (int, error) {
	f.fill(int64(len(b)))
	n, err := f.File.Write(b)
	f.at += int64(n)
	return n, f.written(err)
}

// fillStep is how much of a write-ahead log is filled with zeros at a time.
const fillStep = 1 << 20

var zeros [fillStep]byte

// fill writes zeros where the next n bytes of a new write-ahead log go, and some
// way further. A sync after a write to blocks that were only reserved has to wait
// for the file system's journal, which notes that they are in use now; after a write
// to blocks that were written once it has not. So one sync in each step waits. It
// is an optimisation: when it fails, the log is as it was.
func (f *stopFile) fill(n int64) {
	if f.at+n <= f.filled || f.at+n > f.extended {
		return
	}
	from := max(f.at, f.filled)
	to := min((f.at+n+fillStep-1)/fillStep*fillStep, f.extended)
	f.filled = to
	for from < to {
		m, err := f.File.WriteAt(zeros[:min(to-from, fillStep)], from)
		if err != nil {
			f.filled = math.MaxInt64
			return
		}
		from += int64(m)
	}
}

func (f *stopFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	return n, f.written(err)
}

// Preallocate makes a write-ahead log as long as it is going to be. A sync after
// an append then has no new size to make durable, which is two fifths of its cost.
// What is not written yet reads as zeros, which end the log for whoever reads it.
// It is an optimisation: the database ignores the error.
func (f *stopFile) Preallocate(offset, length int64) error {
	if fd := f.Fd(); fd != vfs.InvalidFd && strings.HasSuffix(f.name, ".log") {
		if extend(fd, offset, length) == nil {
			f.extended = offset + length
			return nil
		}
	}
	return f.File.Preallocate(offset, length)
}

func (f *stopFile) written(err error) error {
	if err != nil && vital(f.fs.PathBase(f.name)) {
		return f.stopAt("write", err)
	}
	return f.fs.pause(err)
}

func (f *stopFile) Sync() error     { return f.stopAt("fsync", f.File.Sync()) }
func (f *stopFile) SyncData() error { return f.stopAt("fsync", f.File.SyncData()) }

func (f *stopFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, f.stopAt("fsync", err)
}
