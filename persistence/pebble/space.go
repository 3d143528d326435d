package pebble

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"ysync/persistence"
)

// lookBytes is how much may be appended between two looks at the free space.
// It is far below the smallest mark that matters.
const lookBytes = 4 << 20

// writeFactor is how many bytes of disk one appended byte takes before a
// compaction gives some back: the write-ahead log and a sorted file.
const writeFactor = 2

// space watches the free space of the folder's disk and refuses appends before
// a write can fail. It looks when it is asked, so it needs no goroutine.
type space struct {
	// Static after newSpace.
	files  vfs.FS
	dir    string
	policy Space
	log    *zap.Logger
	now    func() time.Time
	full   atomic.Bool // a write met a full disk since the last look

	mu        sync.Mutex
	known     bool // the disk tells its usage
	warned    bool // that it does not was logged
	readOnly  bool
	usage     vfs.DiskUsage
	looked    time.Time
	sinceLook int64 // bytes admitted since then
}

func newSpace(o Options) *space {
	s := &space{files: o.FS, dir: o.Dir, policy: o.Space, log: o.Logger, now: o.now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked()
	return s
}

// fill notes that a write met a full disk.
func (s *space) fill() { s.full.Store(true) }

// refuses reports whether n more bytes would be refused.
func (s *space) refuses(n int) bool { return s.admit(n) != nil }

// admit accounts for n bytes to append, or refuses them with ErrReadOnly.
func (s *space) admit(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := int64(n) * writeFactor
	if s.full.Load() || s.sinceLook+need > lookBytes || s.now().Sub(s.looked) >= s.policy.Interval {
		s.lookLocked()
	}
	if !s.known {
		return nil
	}
	stop, _ := s.marksLocked()
	if left := int64(s.usage.AvailBytes) - s.sinceLook - need; s.readOnly || left < stop {
		return fmt.Errorf("%w: %d bytes are available on the disk of %s, writing stops at %d",
			persistence.ErrReadOnly, s.usage.AvailBytes, s.dir, stop)
	}
	s.sinceLook += need
	return nil
}

// marksLocked returns the marks for the disk last seen.
func (s *space) marksLocked() (stop, resume int64) {
	stop = s.policy.StopBytes
	if stop <= 0 {
		stop = DefaultStopBytes(int64(s.usage.TotalBytes))
	}
	if resume = s.policy.ResumeBytes; resume <= 0 {
		resume = stop + stop/4
	}
	return stop, max(stop, resume)
}

// lookLocked reads the disk's usage and decides whether to write. When the
// disk doesn't tell, the last decision stands.
func (s *space) lookLocked() {
	s.looked, s.sinceLook = s.now(), 0
	usage, err := s.files.GetDiskUsage(s.dir)
	if err != nil {
		if !s.warned && !errors.Is(err, vfs.ErrUnsupported) {
			s.log.Warn("the free space of the disk is unknown", zap.String("folder", s.dir), zap.Error(err))
		}
		s.warned = true
		return
	}
	s.known, s.usage = true, usage
	stop, resume := s.marksLocked()
	was := s.readOnly
	switch available := int64(usage.AvailBytes); {
	case available < stop || s.full.Swap(false) && available < resume:
		s.readOnly = true
	case available >= resume:
		s.readOnly = false
	}
	fields := []zap.Field{zap.String("folder", s.dir), zap.Uint64("available_bytes", usage.AvailBytes), zap.Int64("stop_bytes", stop), zap.Int64("resume_bytes", resume)}
	switch {
	case s.readOnly && !was:
		s.log.Error("the disk is nearly full: nothing is written until space returns (the file \"ballast\" in the folder may be deleted)", fields...)
	case was && !s.readOnly:
		s.log.Info("the disk has space again: writing goes on", fields...)
	}
}

// putBallast creates the ballast file if it is not there and there is room. It
// is a help, not a need: without it the log opens all the same.
func (s *space) putBallast(files vfs.FS) {
	s.mu.Lock()
	known, available := s.known, int64(s.usage.AvailBytes)
	stop, resume := s.marksLocked()
	s.mu.Unlock()
	size := s.policy.BallastBytes
	if size == 0 {
		size = stop / 2
	}
	path := files.PathJoin(s.dir, "ballast")
	if _, err := files.Stat(path); err == nil || !known || size <= 0 || available-size < resume {
		return
	}
	if err := writeBallast(files, path, size); err != nil {
		s.log.Warn("there is no ballast to delete when the disk is full", zap.String("file", path), zap.Error(err))
		_ = files.Remove(path) // what there is of it
	}
}

// writeBallast creates a file that really takes size bytes.
func writeBallast(files vfs.FS, path string, size int64) error {
	f, err := files.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// Preallocation takes the blocks at once, but only Linux has it here; where
	// it is missing or refused, zeros are written.
	if runtime.GOOS == "linux" && f.Preallocate(0, size) == nil {
		return errors.Join(f.Close(), setLength(files, path, size))
	}
	zeros := make([]byte, min(size, 1<<20))
	for left := size; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))])
	}
	return errors.Join(err, f.Close())
}

// setLength makes a preallocated file show the length that it takes.
func setLength(files vfs.FS, path string, size int64) error {
	f, err := files.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{0}, size-1)
	return errors.Join(err, f.Close())
}
