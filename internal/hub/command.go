package hub

import (
	"time"

	"ysync/crdt"
	"ysync/internal/tracing"
	"ysync/persistence"
	"ysync/syncproto"
)

// commandKind tells the inputs of a core apart.
type commandKind uint8

const (
	// cmdSubscribe: sub joins.
	cmdSubscribe commandKind = iota
	// cmdDetach: sub's session went.
	cmdDetach
	// cmdMessage: sub's client sent payload, a message of kind message.
	cmdMessage
	// cmdDrained: sub's outbox, of which the core was told that it is full or
	// that holds a stream, is empty.
	cmdDrained
	// cmdLag: sub's queue at another node is full.
	cmdLag
	// cmdSlow: sub's client takes nothing.
	cmdSlow
	// cmdAllow and cmdForbid: sub may write, or may not any more.
	cmdAllow
	cmdForbid
	// cmdCommitted: the log holds everything up to record.Head, under the
	// epoch of record.
	cmdCommitted
	// cmdFenced and cmdErased: the log refuses this owner for good. Whoever
	// erases sends a request along.
	cmdFenced
	cmdErased
	// cmdJobDone: job has ended; its outcome is in it.
	cmdJobDone
	// cmdTick: the time that the core asked for has come.
	cmdTick
	// cmdRead, cmdSnapshot, cmdInspect and cmdChange: request asks for a copy,
	// a snapshot, figures, or a change.
	cmdRead
	cmdSnapshot
	cmdInspect
	cmdChange
	// cmdRelease: request wants the document given up. cmdReleased: the log has
	// ended the claim.
	cmdRelease
	cmdReleased
	// cmdReset: request orders the next generation.
	cmdReset
	// cmdDrain: the process stops.
	cmdDrain
)

// command is one input of a core.
type command struct {
	kind    commandKind
	message syncproto.Kind
	sub     *Subscription
	payload []byte
	record  *persistence.Record
	job     *job
	request *request
	span    *tracing.Span // of a message that is followed; nil for others
}

// writes tells whether the command is somebody's who waits to write.
func (c *command) writes() bool {
	switch c.kind {
	case cmdMessage:
		return c.message == syncproto.KindUpdate || c.message == syncproto.KindAck
	case cmdChange, cmdReset:
		return true
	default:
		return false
	}
}

// input is what a core is stepped with.
type input struct {
	now      time.Time
	commands []command
	// readOnly: the log takes no writes now. full: this process holds as much
	// uncommitted as it may.
	readOnly, full bool
}

// effects are what a step wants done, in the order of the fields. The buffers
// are reused: nothing in them is valid after the next step.
type effects struct {
	// log: append these to the document's log, after those of earlier steps.
	// The first one gets version logFrom+1.
	log     []persistence.NewEntry
	logFrom persistence.Position
	// seed: the first entry of log is initial content with this idempotency
	// key, which must be on record before it.
	seed string
	// claim: claim the document although there is nothing to log. The core hears
	// of it by cmdCommitted.
	claim bool
	// release: end the claim of this epoch, 0 for none, and report with
	// cmdReleased. Nothing is logged after it.
	release *persistence.Epoch
	// hurry: somebody waits for the commit of what the log was given.
	hurry bool
	// quarantine: keep these refused updates.
	quarantine []refusal
	// out: put these into outboxes. When one turns out to be full, tell the
	// core at once, by lagging, before the next step.
	out []delivery
	// ends: end these subscriptions. They are no longer members.
	ends []ending
	// answers: finish these requests.
	answers []answer
	// job: do this outside of the step, and report with cmdJobDone. The core
	// asks for one at a time.
	job *job
	// wake: send cmdTick at this time or earlier; the zero time for never.
	wake time.Time
	// drop: forget the document at once, whatever its log still waits for;
	// nothing of it may be used again.
	drop *EndError
	// unload: forget the document, unless commands have come in.
	unload bool
}

type delivery struct {
	sub  *Subscription
	item item
	// but does not get it, if sub stands for a group.
	but *except
}

type ending struct {
	sub *Subscription
	why *EndError
}

type answer struct {
	request *request
	err     error
}

// refusal is an update that was refused and is kept for a while.
type refusal struct {
	sub    *Subscription
	reason string
	update []byte
}

func (fx *effects) reset() {
	clear(fx.log)
	clear(fx.quarantine)
	clear(fx.out)
	clear(fx.ends)
	clear(fx.answers)
	*fx = effects{
		log: fx.log[:0], quarantine: fx.quarantine[:0], out: fx.out[:0],
		ends: fx.ends[:0], answers: fx.answers[:0],
	}
}

// jobKind says what a job stores.
type jobKind uint8

const (
	// jobSegment: history segments up to position.
	jobSegment jobKind = iota
	// jobSnapshot: a snapshot at position, then segments up to it, then trim
	// the log to the snapshot before.
	jobSnapshot
	// jobReset: a snapshot at position and segments up to it, then the next
	// generation.
	jobReset
)

// job is work on stored state that is done outside of a step.
type job struct {
	// The order.
	kind     jobKind
	record   persistence.Record
	position persistence.Position
	at       time.Time
	label    string
	state    []byte // update V2, for a snapshot
	// tail is what the snapshot takes off the log that a load must replay.
	tail    persistence.Tail
	request *request // to be answered after it; nil for none
	// Of a reset: the order, the clients retired before, when and by whom.
	reset   *resetOrder
	retired []crdt.ClientID
	by      persistence.NewEntry

	// The outcome. What is 0 did not happen. err is the first failure.
	pointer   persistence.Pointer
	segmented persistence.Position
	trimmed   persistence.Position
	// generation is the one that a reset began. unclear: it tried to and failed,
	// but files of a next generation may be there, or even the record at it.
	generation persistence.Generation
	unclear    bool
	err        error
}
