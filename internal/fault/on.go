//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Enabled reports whether bugs can be planted in this build.
const Enabled = true

// Active reports whether the bug is planted.
func Active(n Name) bool { return os.Getenv(Variable) == string(n) }

// reached counts how often the process came to the point that it dies at.
var reached atomic.Int64

// Reach ends the process, as kill -9 does, if it is to die at the point.
func Reach(p Point) {
	name, nth, _ := strings.Cut(os.Getenv(PointVariable), ":")
	if name != string(p) {
		return
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	if reached.Add(1) != n {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}
