//go:build faults

package fault

import "os"

// Enabled reports whether bugs can be planted in this build.
const Enabled = true

// Active reports whether the bug is planted.
func Active(n Name) bool { return os.Getenv(Variable) == string(n) }
