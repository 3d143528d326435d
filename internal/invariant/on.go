//go:build invariants

package invariant

// Enabled reports whether assertions run. Guard costly checks with it.
const Enabled = true

// Assert panics with msg when cond does not hold.
func Assert(cond bool, msg string) {
	if !cond {
		panic("invariant broken: " + msg)
	}
}
