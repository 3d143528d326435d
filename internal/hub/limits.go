package hub

import (
	"runtime"
	"time"
)

// Limits bound what documents and sessions may take. A zero field means its
// default; negative values are not allowed.
type Limits struct {
	// VerifyUser has presences say of their user what the token says, or nothing, in
	// place of putting it there.
	VerifyUser bool
	// InboxBytes bounds what waits for one document's runner; senders wait
	// beyond it. A larger single message is taken alone. Default 1 MiB.
	InboxBytes int
	// SessionInboxBytes is the part of it that one session may fill. Default
	// 256 KiB.
	SessionInboxBytes int
	// OutboxBytes bounds the updates queued for one reader. Default 256 KiB.
	OutboxBytes int
	// PresenceBytes is how full an outbox may be and still take presence.
	// Default 64 KiB.
	PresenceBytes int
	// ChunkBytes is the size above which a state is cut into several frames.
	// Default 256 KiB.
	ChunkBytes int
	// DocumentUncommittedBytes and NodeUncommittedBytes bound what is applied
	// and not committed. Defaults 8 MiB and 256 MiB.
	DocumentUncommittedBytes int
	NodeUncommittedBytes     int
	// UncommittedTime is how long the oldest of it may wait. Default 60 s.
	UncommittedTime time.Duration
	// DocumentBytes is the size in memory above which a document refuses
	// growth; 0 means the default, 256 MiB.
	DocumentBytes int
	// PendingBytes bounds what may wait in one document for missing
	// dependencies. Default 1 MiB.
	PendingBytes int
	// SyncBytesPerSecond refills, per session, the allowance that answers to
	// SyncStep1 draw on; it is at least twice the document's size a second.
	// Default 4 MiB.
	SyncBytesPerSecond int
	// SyncDiffBytes bounds, per document, the diffs above ChunkBytes that are
	// held for single readers; past it readers get the shared full state.
	// Default 64 MiB.
	SyncDiffBytes int
	// SlowReader is how long a reader may drain nothing. Default 30 s.
	SlowReader time.Duration
	// PresenceGrace is how long the presence of a session that went is kept.
	// Default 3 s.
	PresenceGrace time.Duration
	// PresenceStateBytes bounds one presence, PresencePerSession the client IDs
	// that a session speaks for, PresenceEntries and PresenceTotalBytes those of
	// a document and their states together. The defaults are those of
	// awareness.Options.
	PresenceStateBytes, PresencePerSession, PresenceEntries, PresenceTotalBytes int
	// Loads bounds documents being loaded at a time. Default 64.
	Loads int
	// Jobs bounds snapshots and segments being written at a time. Default 4, or 1
	// on one processor, where each that is at work holds up who waits for the
	// network by as much again.
	Jobs int
	// LargeBytes is the size in memory above which the operator is told of a
	// document. Default half of DocumentBytes.
	LargeBytes int
	// DeletedPerLive is how many units may be deleted for each that lives
	// before the operator is told. Default 20.
	DeletedPerLive int
	// QuarantineBytes bounds refused updates that wait to be stored; a larger one
	// is not kept. Default 16 MiB.
	QuarantineBytes int
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.InboxBytes, 1<<20)
	def(&l.SessionInboxBytes, 256<<10)
	def(&l.OutboxBytes, 256<<10)
	def(&l.PresenceBytes, 64<<10)
	def(&l.ChunkBytes, 256<<10)
	def(&l.DocumentUncommittedBytes, 8<<20)
	def(&l.NodeUncommittedBytes, 256<<20)
	dur(&l.UncommittedTime, time.Minute)
	def(&l.DocumentBytes, 256<<20)
	def(&l.PendingBytes, 1<<20)
	def(&l.SyncBytesPerSecond, 4<<20)
	def(&l.SyncDiffBytes, 64<<20)
	dur(&l.SlowReader, 30*time.Second)
	dur(&l.PresenceGrace, 3*time.Second)
	def(&l.Loads, 64)
	jobs := 4
	if runtime.GOMAXPROCS(0) == 1 {
		jobs = 1
	}
	def(&l.Jobs, jobs)
	def(&l.LargeBytes, l.DocumentBytes/2)
	def(&l.DeletedPerLive, 20)
	def(&l.QuarantineBytes, 16<<20)
	return l
}
