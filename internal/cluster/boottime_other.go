//go:build !linux

package cluster

import "time"

var started = time.Now()

// bootTime is the monotonic clock where there is none that goes on while the
// machine sleeps.
func bootTime() time.Duration { return time.Since(started) }
