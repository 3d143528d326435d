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
	// NoAskOnPending asks nobody for what a pending update waits for.
	NoAskOnPending Name = "no-ask-on-pending"
	// SkipEqualVectors answers a client with the state vector of the document as
	// if it had the same deletes.
	SkipEqualVectors Name = "skip-equal-vectors"
	// RelayRaw passes on updates as they came when not all of them was taken in.
	RelayRaw Name = "relay-raw"
	// ClearLate takes what came in during an append for appended.
	ClearLate Name = "clear-late"
	// SwallowErrors takes an append that failed for one that did not.
	SwallowErrors Name = "swallow-errors"
	// RetryBlind appends again without a look whether the first time took effect.
	RetryBlind Name = "retry-blind"
	// AdmitRetired takes updates of a generation that is over.
	AdmitRetired Name = "admit-retired"
	// SkipVerify trusts a snapshot that was not read back.
	SkipVerify Name = "skip-verify"
	// ReverseKept sends what was kept for the next owner in the wrong order, to
	// one that does not ask what the client has before it acknowledges.
	ReverseKept Name = "reverse-kept"
	// NoResync sends the next owner nothing of what was not acknowledged, and
	// asks nobody.
	NoResync Name = "no-resync"
	// StaleRoute stays with the owner that a document once had.
	StaleRoute Name = "stale-route"
	// NoPresence does not show the next owner who is there.
	NoPresence Name = "no-presence"
	// AdmitForks takes other content for units that the document has.
	AdmitForks Name = "admit-forks"
	// AdmitGhosts takes any number of units without content.
	AdmitGhosts Name = "admit-ghosts"
	// UnloadBusy unloads a document with commands in its inbox.
	UnloadBusy Name = "unload-busy"
	// CleanFormats has servers remove redundant formats, which nobody is told of.
	CleanFormats Name = "clean-formats"
	// DropDelete drops the last range when sets of deletes are merged.
	DropDelete Name = "drop-delete"
	// CutPairs cuts text inside of a surrogate pair as anywhere else.
	CutPairs Name = "cut-pairs"
	// SkipCollected skips blocks next to or below what was collected.
	SkipCollected Name = "skip-collected"
	// CutDamage takes damage in the middle of a file for a torn end.
	CutDamage Name = "cut-damage"
	// WallClock gives a node the wall clock for its lease.
	WallClock Name = "wall-clock"
)

// Variable is the environment variable that names the bug to plant.
const Variable = "YSYNC_FAULT"
