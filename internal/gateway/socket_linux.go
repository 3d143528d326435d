package gateway

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow, sendNow and kickNow are for descriptors that never block, so the scheduler
// is not told: announcing a system call costs a tenth of it, and invites the
// runtime's monitor to take the processor away in the middle of it. b must not
// be empty.

// readNow and sendNow are for sockets, which the system's general read and write find
// in a more roundabout way.
func readNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func sendNow(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// kickNow makes an eventfd ready.
func kickNow(fd int) error {
	one := uint64(1)
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
	if errno != 0 {
		return errno
	}
	return nil
}
