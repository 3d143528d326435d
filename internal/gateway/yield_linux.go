package gateway

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// yielder lets connections that have become readable go first. runtime.Gosched
// does not: the scheduler looks at the network only when nothing else is
// runnable. So the calling goroutine parks on a descriptor that is ready, which
// the next look at the network finds together with the connections.
//
// It is for one goroutine at a time.
type yielder struct {
	file *os.File
	rc   syscall.RawConn
	// kick makes the descriptor ready the first time it is called.
	kick   func(fd uintptr) bool
	kicked bool
}

// newYielder returns nil when the system has no descriptor left.
func newYielder() *yielder {
	// Edge-triggered, as the runtime polls it, an eventfd becomes ready by every
	// write, and need not be read.
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil
	}
	y := &yielder{file: os.NewFile(uintptr(fd), "eventfd")}
	if y.rc, err = y.file.SyscallConn(); err != nil {
		_ = y.file.Close()
		return nil
	}
	y.kick = func(fd uintptr) bool {
		if y.kicked {
			return true
		}
		y.kicked = true
		return kickNow(int(fd)) != nil
	}
	return y
}

// yield runs everything that can run, and what the network makes runnable,
// before it returns.
func (y *yielder) yield() {
	if y == nil {
		runtime.Gosched()
		return
	}
	y.kicked = false
	_ = y.rc.Read(y.kick)
	// What was found with it may be behind it in the queue.
	runtime.Gosched()
}
