// Package fault plants known bugs into a build, so that tests can prove that
// their audits find them. It exists only with the build tag "faults"; in every
// other build Active is a constant false and the branches behind it are not
// compiled. A test names the bug in the environment variable YSYNC_FAULT.
//
// Product code asks at one place per bug and for nothing else:
//
//	if fault.Active(fault.AckBeforeSync) {
//		…
//	}
//
// In such a build a process can also be made to die at a point that it comes to:
// YSYNC_FAULT_POINT names it. See Reach.
package fault

// Name is a bug that can be planted.
type Name string

// The bugs.
const (
	// AckBeforeCommit acknowledges what was applied in memory, before the log
	// has committed it.
	AckBeforeCommit Name = "ack-before-commit"
	// AckBeforeSync lets the log report a commit that was written but not
	// synced.
	AckBeforeSync Name = "ack-before-sync"
	// TrimTooEarly trims the log up to its head, whatever the snapshots hold.
	TrimTooEarly Name = "trim-too-early"
	// DropPending leaves pending blocks and deletes out of snapshots.
	DropPending Name = "drop-pending"
	// IgnoreEpoch lets the log take appends under any claim.
	IgnoreEpoch Name = "ignore-epoch"
)

// Variable is the environment variable that names the bug to plant.
const Variable = "YSYNC_FAULT"
