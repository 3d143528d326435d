//go:build !faults

package fault

// Enabled reports whether bugs can be planted in this build.
const Enabled = false

// Active reports whether the bug is planted; never in this build.
func Active(Name) bool { return false }

// Reach does nothing in this build.
func Reach(Point) {}
