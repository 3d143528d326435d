package syncqueue

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// queueFS has the files of some names synced by request.
type queueFS struct {
	vfs.FS
	through func(name string) bool
	// sync makes a file durable by a request of one operation. When taken is false,
	// nothing was done.
	sync func(fd uintptr, operation uint16) (taken bool, err error)
}

// Logs returns the file system with write-ahead logs synced by request, by a queue of
// their own, and the end of that.
func Logs(files vfs.FS) (vfs.FS, func() error) {
	q := newSyncQueue()
	if q == nil {
		return files, func() error { return nil }
	}
	return &queueFS{files, isLog, q.sync}, q.close
}

// Others returns the file system with everything but write-ahead logs synced by
// request, folders too. Beyond maxShared at a time, for the whole process, syncs are as
// they would be.
func Others(files vfs.FS) vfs.FS {
	return &queueFS{files, func(name string) bool { return !isLog(name) }, others.sync}
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// maxShared bounds the queues that all who call Others share.
const maxShared = 8

var others shared

// shared are queues that are made when they are needed, and kept.
type shared struct {
	mu   sync.Mutex
	free []*syncQueue
	made int
}

func (s *shared) sync(fd uintptr, operation uint16) (taken bool, err error) {
	q := s.take()
	if q == nil {
		return false, nil
	}
	defer func() {
		s.mu.Lock()
		s.free = append(s.free, q)
		s.mu.Unlock()
	}()
	return q.sync(fd, operation)
}

// take returns nil when all are at work, or the kernel has none to give.
func (s *shared) take() (q *syncQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		q, s.free = s.free[n-1], s.free[:n-1]
		return q
	}
	if s.made == maxShared {
		return nil
	}
	if q = newSyncQueue(); q == nil {
		s.made = maxShared // nor will it next time
		return nil
	}
	s.made++
	return q
}

// Unwrap returns the file system below.
func (s *queueFS) Unwrap() vfs.FS { return s.FS }

func (s *queueFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return s.wrap(f, name, err)
}

func (s *queueFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(old, name, c)
	return s.wrap(f, name, err)
}

// OpenDir opens a folder, to be synced.
func (s *queueFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return s.wrap(f, name, err)
}

func (s *queueFS) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil || !s.through(name) || f.Fd() == vfs.InvalidFd {
		return f, err
	}
	return &queueFile{f, s.sync}, nil
}

type queueFile struct {
	vfs.File
	sync func(fd uintptr, operation uint16) (taken bool, err error)
}

func (f *queueFile) SyncData() error {
	if done, err := f.sync(f.Fd(), operationDataSync); done {
		return err
	}
	return f.File.SyncData()
}

func (f *queueFile) Sync() error {
	if done, err := f.sync(f.Fd(), operationSync); done {
		return err
	}
	return f.File.Sync()
}

// syncRequest is a struct iocb and syncAnswer a struct io_event of
// linux/aio_abi.h.
type syncRequest struct {
	_         uint64
	_         [2]uint32
	operation uint16
	_         int16
	fd        uint32
	_         [3]uint64
	_         uint64
	flags     uint32
	eventFD   uint32
}

type syncAnswer struct {
	_      [2]uint64
	result int64
	_      int64
}

const (
	operationSync     = 2 // IOCB_CMD_FSYNC
	operationDataSync = 3 // IOCB_CMD_FDSYNC
	flagEventFD       = 1 // IOCB_FLAG_RESFD
)

// syncQueue takes one request at a time.
type syncQueue struct {
	mu      sync.Mutex
	context uintptr // an aio_context_t
	// done becomes readable when a request has ended.
	done  *os.File
	ready syscall.RawConn
	ended func(fd uintptr) bool
	// What the system calls read and write. The queue is on the heap, so they stay
	// where they are.
	request  syncRequest
	requests [1]*syncRequest
	answer   syncAnswer
	count    [8]byte
}

// newSyncQueue returns nil when the kernel has none to give.
func newSyncQueue() *syncQueue {
	q := &syncQueue{}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&q.context)), 0); errno != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = q.destroy()
		return nil
	}
	q.done = os.NewFile(uintptr(fd), "eventfd")
	if q.ready, err = q.done.SyscallConn(); err != nil {
		_ = q.destroy()
		_ = q.done.Close()
		return nil
	}
	q.ended = func(fd uintptr) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&q.count)), uintptr(len(q.count)))
		return errno != unix.EAGAIN
	}
	q.request = syncRequest{flags: flagEventFD, eventFD: uint32(fd)}
	q.requests[0] = &q.request
	return q
}

func (q *syncQueue) destroy() error {
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, q.context, 0, 0); errno != 0 {
		return os.NewSyscallError("io_destroy", errno)
	}
	return nil
}

// close ends the queue, which nobody may use any more.
func (q *syncQueue) close() error {
	err := q.destroy()
	if e := q.done.Close(); err == nil {
		err = e
	}
	return err
}

// sync makes what was written to a file durable, as fdatasync(2) or fsync(2) does. When
// taken is false the kernel took no request, and nothing was done.
func (q *syncQueue) sync(fd uintptr, operation uint16) (taken bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.request.fd, q.request.operation = uint32(fd), operation
	if n, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, q.context, 1, uintptr(unsafe.Pointer(&q.requests))); errno != 0 || n != 1 {
		return false, nil
	}
	// The answer is there when the descriptor says so; should that fail, the call below
	// waits for it.
	_ = q.ready.Read(q.ended)
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, q.context, 1, 1, uintptr(unsafe.Pointer(&q.answer)), 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return true, os.NewSyscallError("io_getevents", errno)
		case q.answer.result < 0:
			return true, os.NewSyscallError("sync", unix.Errno(-q.answer.result))
		}
		return true, nil
	}
}
