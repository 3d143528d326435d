package main

import (
	"fmt"
	"time"

	"ysync/internal/gateway"
	"ysync/internal/hub"
	"ysync/internal/session"
)

// limitFlags bound what clients may take. Each is a row of docs/LIMITS.md, and
// metric is what counts those who meet it, without the prefix.
type limitFlags struct {
	MaxConnections     int `metric:"connections_refused_total" help:"Open connections, if the process may open enough files. Beyond it new ones are answered 503." default:"50000"`
	ConnectRate        int `metric:"connections_refused_total" help:"Connections let in for each second, after a burst of twice as many. Beyond it new ones are answered 503." default:"10000"`
	MaxRequests        int `metric:"connections_refused_total" help:"TCP connections that are no WebSockets yet. Beyond it the oldest is closed." default:"4096"`
	SubjectConnections int `metric:"limited_messages_total" help:"Connections of one subject at this node; 0 for any number." default:"1000"`
	TenantConnections  int `metric:"limited_messages_total" help:"Connections of one tenant at this node; 0 for any number." default:"0"`

	MaxMessage      size `metric:"limited_messages_total" help:"Size of one message, in bytes." default:"32MiB"`
	LargeMessages   size `metric:"limited_messages_total" help:"Memory for all messages above 1 MiB that are being received, in bytes." default:"256MiB"`
	SessionMessages int  `metric:"limited_messages_total" help:"Messages a second of one session, in the long run; 0 for any number." default:"50000"`
	SessionBytes    size `metric:"limited_messages_total" help:"Bytes a second of one session, in the long run; 0 for any number." default:"16MiB"`
	SubjectMessages int  `metric:"limited_messages_total" help:"Messages a second of all sessions of one subject; 0 for any number." default:"200000"`
	SubjectBytes    size `metric:"limited_messages_total" help:"Bytes a second of all sessions of one subject; 0 for any number." default:"64MiB"`
	TenantMessages  int  `metric:"limited_messages_total" help:"Messages a second of all sessions of one tenant; 0 for any number." default:"0"`
	TenantBytes     size `metric:"limited_messages_total" help:"Bytes a second of all sessions of one tenant; 0 for any number." default:"0"`

	MaxDocument            size          `metric:"hub_subscriptions_ended_total" help:"Size of one document in memory, in bytes. Beyond it the document takes deletions only." default:"256MiB"`
	MaxPending             size          `metric:"hub_subscriptions_ended_total" help:"What may wait in one document for updates that are missing, in bytes." default:"1MiB"`
	MaxInbox               size          `metric:"hub_inbox_waits_total" help:"Messages that wait for one document to be worked on, in bytes." default:"1MiB"`
	MaxSessionInbox        size          `metric:"hub_inbox_waits_total" help:"The part of it that one session may fill, in bytes." default:"256KiB"`
	MaxUncommitted         size          `metric:"hub_updates_total" help:"Updates applied and not yet on disk, over all documents, in bytes." default:"256MiB"`
	MaxDocumentUncommitted size          `metric:"hub_updates_total" help:"The same of one document, in bytes." default:"8MiB"`
	MaxUncommittedTime     time.Duration `metric:"hub_updates_total" help:"How long the oldest of it may wait." default:"60s"`
	MaxRefused             size          `metric:"hub_quarantined_total" help:"Refused but valid updates that are kept, in bytes." default:"16MiB"`
	MaxLoads               int           `metric:"hub_load_seconds" help:"Documents being loaded at a time." default:"64"`
	MaxWaitingLoads        int           `metric:"connections_refused_total" help:"Documents that wait to be loaded. Beyond it connections for one that is not in memory are answered 503." default:"512"`

	MaxOutbox         size          `metric:"hub_catch_ups_total" help:"Updates queued for one reader, in bytes. Beyond it the reader gets one combined update later." default:"256KiB"`
	SlowReaderTimeout time.Duration `metric:"hub_slow_readers_total" help:"How long a client may read nothing before it is disconnected." default:"30s"`
	SyncBytes         size          `metric:"hub_deferred_syncs_total" help:"Bytes a second of answers to one session's requests for state; at least twice the document." default:"4MiB"`
	SyncDiffs         size          `metric:"hub_catch_ups_total" help:"Large differences held for single readers of one document, in bytes. Beyond it readers get the whole state." default:"64MiB"`

	MaxPresence      size `metric:"hub_presence_refused_total" help:"Size of one presence, in bytes." default:"16KiB"`
	SessionPresences int  `metric:"hub_presence_refused_total" help:"Client IDs whose presence one session speaks for." default:"8"`
	MaxPresences     int  `metric:"hub_presence_refused_total" help:"Presences of one document." default:"10000"`
	MaxPresenceBytes size `metric:"hub_presence_refused_total" help:"All presences of one document, in bytes." default:"8MiB"`

	FairMessages int           `metric:"limited_messages_total" help:"Messages a second of one session while the node has too much to do. Each full 4 KiB of a message counts as another one." default:"100"`
	PressDelay   time.Duration `metric:"load_pressed" help:"Delay of what is ready to run from which on the node has too much to do." default:"25ms"`
	ShedDelay    time.Duration `metric:"load_shedding" help:"Delay from which on, when it lasts, new connections are answered 503 and /readyz fails; 0 for never." default:"1s"`
	ShedMemory   int           `metric:"load_shedding" help:"Part of the memory limit, in percent, that may be alive before new connections are answered 503 and /readyz fails; 0 for any." default:"85"`
	MemoryLimit  size          `metric:"load_memory_limit_bytes" help:"Memory that the process may take, in bytes; 0 for what GOMEMLIMIT says, or else nine tenths of what the control group allows." default:"0"`
}

// check refuses values that make no sense.
func (l *limitFlags) check() error {
	for name, n := range map[string]size{
		"max-connections": size(l.MaxConnections), "max-requests": size(l.MaxRequests),
		"max-message": l.MaxMessage, "large-messages": l.LargeMessages,
		"max-document": l.MaxDocument, "max-pending": l.MaxPending, "max-outbox": l.MaxOutbox,
		"max-inbox": l.MaxInbox, "max-session-inbox": l.MaxSessionInbox,
		"max-uncommitted": l.MaxUncommitted, "max-document-uncommitted": l.MaxDocumentUncommitted,
		"max-uncommitted-time": size(l.MaxUncommittedTime), "max-refused": l.MaxRefused, "max-loads": size(l.MaxLoads),
		"connect-rate": size(l.ConnectRate), "max-waiting-loads": size(l.MaxWaitingLoads),
		"slow-reader-timeout": size(l.SlowReaderTimeout), "sync-bytes": l.SyncBytes, "sync-diffs": l.SyncDiffs,
		"max-presence": l.MaxPresence, "session-presences": size(l.SessionPresences),
		"max-presences": size(l.MaxPresences), "max-presence-bytes": l.MaxPresenceBytes,
		"fair-messages": size(l.FairMessages), "press-delay": size(l.PressDelay),
	} {
		if n <= 0 {
			return fmt.Errorf("--%s: %d: want more than 0", name, n)
		}
	}
	for name, n := range map[string]size{
		"subject-connections": size(l.SubjectConnections), "tenant-connections": size(l.TenantConnections),
		"session-messages": size(l.SessionMessages), "subject-messages": size(l.SubjectMessages), "tenant-messages": size(l.TenantMessages),
		"shed-delay": size(l.ShedDelay), "shed-memory": size(l.ShedMemory),
	} {
		if n < 0 {
			return fmt.Errorf("--%s: %d: want 0 or more", name, n)
		}
	}
	if l.ShedMemory > 100 {
		return fmt.Errorf("--shed-memory: %d: want a percentage", l.ShedMemory)
	}
	return nil
}

// orNever is a bound of which 0 says that there is none, where 0 says that the
// default is meant.
func orNever[T ~int | ~int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

func (l *limitFlags) session() session.Limits {
	return session.Limits{
		MessageBytes: int(l.MaxMessage), StallFor: l.SlowReaderTimeout,
		MessagesPerSecond: orNever(l.SessionMessages), BytesPerSecond: int(orNever(l.SessionBytes)), FairUnitsPerSecond: l.FairMessages,
	}
}

func (l *limitFlags) subject() gateway.Share {
	return gateway.Share{Connections: l.SubjectConnections, MessagesPerSecond: l.SubjectMessages, BytesPerSecond: int(l.SubjectBytes)}
}

func (l *limitFlags) tenant() gateway.Share {
	return gateway.Share{Connections: l.TenantConnections, MessagesPerSecond: l.TenantMessages, BytesPerSecond: int(l.TenantBytes)}
}

func (l *limitFlags) marks() gateway.Marks {
	return gateway.Marks{Press: l.PressDelay, Shed: orNever(l.ShedDelay), Memory: orNever(l.ShedMemory)}
}

func (l *limitFlags) hub() hub.Limits {
	return hub.Limits{
		InboxBytes:               int(l.MaxInbox),
		SessionInboxBytes:        int(l.MaxSessionInbox),
		OutboxBytes:              int(l.MaxOutbox),
		NodeUncommittedBytes:     int(l.MaxUncommitted),
		DocumentUncommittedBytes: int(l.MaxDocumentUncommitted),
		UncommittedTime:          l.MaxUncommittedTime,
		DocumentBytes:            int(l.MaxDocument),
		PendingBytes:             int(l.MaxPending),
		SyncBytesPerSecond:       int(l.SyncBytes),
		SyncDiffBytes:            int(l.SyncDiffs),
		SlowReader:               l.SlowReaderTimeout,
		PresenceStateBytes:       int(l.MaxPresence),
		PresencePerSession:       l.SessionPresences,
		PresenceEntries:          l.MaxPresences,
		PresenceTotalBytes:       int(l.MaxPresenceBytes),
		Loads:                    l.MaxLoads,
		QuarantineBytes:          int(l.MaxRefused),
	}
}
