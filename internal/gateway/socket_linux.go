package gateway

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow and writeNow are for descriptors that never block, so the scheduler
// is not told: announcing a system call costs a tenth of it, and invites the
// runtime's monitor to take the processor away in the middle of it. b must not
// be empty.

func readNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func writeNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
