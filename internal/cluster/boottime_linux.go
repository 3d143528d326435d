package cluster

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime reads the clock that goes on while the machine sleeps. The clock
// behind time.Time stops then, and a node would take its lease for young.
func bootTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // it is there on every kernel that Go runs on
	return time.Duration(t.Nano())
}
