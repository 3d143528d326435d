// Package metrics names every metric of the process, in one file, on a
// registry that the caller gives. Labels take values from short fixed lists,
// never from outside: no document, subject or address is ever a label.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label "result" of UpdatesTotal.
const (
	// UpdateApplied changed the document and left nothing pending.
	UpdateApplied = "applied"
	// UpdateKnown held nothing that the document did not have.
	UpdateKnown = "known"
	// UpdatePending waits, in part or whole, for what it depends on.
	UpdatePending = "pending"
	// UpdateRefused was malformed or over a limit.
	UpdateRefused = "refused"
	// UpdateDiscarded was set aside unread because the log did not commit.
	UpdateDiscarded = "discarded"
)

// Values of the label "result" of work that ends well or not.
const (
	OK     = "ok"
	Failed = "failed"
)

// Values of the label "reason" of IdentityRefusedTotal.
const (
	// IdentityFork is other content for units that the document has.
	IdentityFork = "fork"
	// IdentityForeign is content under the client ID of another one who is there.
	IdentityForeign = "foreign"
	// IdentityClock is a clock that advances without content.
	IdentityClock = "clock"
)

// Values of the labels "to" and "what": what a node of a cluster works with.
const (
	Redis    = "redis"
	Postgres = "postgres"
)

// Values of the label "action" of RetentionFilesTotal.
const (
	// RetentionWrote is a snapshot of a point that is kept.
	RetentionWrote = "written"
	// RetentionRemoved is a file that went.
	RetentionRemoved = "removed"
	// RetentionSwept is a file that an erased document had left.
	RetentionSwept = "swept"
)

// Values of the label "what" of ScrubDamageTotal, beside "snapshot" and
// "segment".
const (
	// ScrubEntry is an entry of the log.
	ScrubEntry = "entry"
	// ScrubRecord is what the log knows of a document.
	ScrubRecord = "record"
	// ScrubDamaged is a value of the label "result" of ScrubDocumentsTotal.
	ScrubDamaged = "damaged"
)

// Values of the label "limit" of LimitedTotal: the bound that was met.
const (
	LimitUnknown            = "unknown"
	LimitScope              = "scope"
	LimitMessageBytes       = "message_bytes"
	LimitLargeBudget        = "large_budget"
	LimitSessionMessages    = "session_messages"
	LimitSessionBytes       = "session_bytes"
	LimitFair               = "fair_units"
	LimitSubjectConnections = "subject_connections"
	LimitSubjectRate        = "subject_rate"
	LimitTenantConnections  = "tenant_connections"
	LimitTenantRate         = "tenant_rate"
	LimitTokenRate          = "token_rate"
)

// Metrics holds the metrics of one process. All of them may be used from any
// goroutine.
type Metrics struct {
	// The owner of documents.

	Documents     prometheus.Gauge
	Subscriptions prometheus.Gauge
	// PresenceStates is the number of presences held.
	PresenceStates prometheus.Gauge
	// IdentityRefusedTotal counts updates refused for the client IDs in them.
	IdentityRefusedTotal *prometheus.CounterVec // reason
	// PresenceRefusedTotal counts presences that broke a rule.
	PresenceRefusedTotal *prometheus.CounterVec // reason
	// LoadSeconds is the time from the first subscription to a live document.
	LoadSeconds *prometheus.HistogramVec // result
	// LoadsWaiting are documents that wait until others are loaded.
	LoadsWaiting prometheus.Gauge
	// PreparedTotal counts documents that were opened by the tail of the log, as
	// they had been read ahead.
	PreparedTotal prometheus.Counter
	// QueueSeconds is how long a document with work waited for a runner.
	QueueSeconds prometheus.Histogram
	// UpdatesTotal counts updates received from clients by their fate.
	UpdatesTotal *prometheus.CounterVec // result
	UpdateBytes  prometheus.Counter
	// UpdateFramesTotal counts update frames encoded for readers; each is
	// shared by all of its receivers.
	UpdateFramesTotal prometheus.Counter
	// DeliveriesTotal counts frames put into outboxes.
	DeliveriesTotal prometheus.Counter
	AcksTotal       prometheus.Counter
	// AckSeconds is the time from an acknowledgement request to its answer.
	AckSeconds prometheus.Histogram
	// CatchUpsTotal counts diffs computed for readers that fell behind.
	CatchUpsTotal prometheus.Counter
	// DeferredSyncsTotal counts requests for state that have to wait for their
	// session's allowance, InboxWaitsTotal messages for room at their document.
	DeferredSyncsTotal, InboxWaitsTotal prometheus.Counter
	// EndsTotal counts subscriptions that their document ended.
	EndsTotal *prometheus.CounterVec // code
	// SlowReadersTotal counts subscriptions ended for not reading at all.
	SlowReadersTotal prometheus.Counter
	// QuarantinedTotal counts refused but valid updates that were set aside.
	QuarantinedTotal prometheus.Counter
	// QuarantinedDocuments are damaged and not loaded any more; QuarantinesTotal
	// counts how often that began.
	QuarantinedDocuments prometheus.Gauge
	QuarantinesTotal     prometheus.Counter
	// LargeDocuments are in memory and past the mark of their size;
	// WornDocuments past that of the units deleted for each that lives.
	LargeDocuments prometheus.Gauge
	WornDocuments  prometheus.Gauge

	// The way to the log.

	// UncommittedBytes is the size of the updates that are applied but not
	// committed yet, over all documents.
	UncommittedBytes prometheus.Gauge
	CommitSeconds    *prometheus.HistogramVec // result
	CommitDocuments  prometheus.Histogram
	CommitEntries    prometheus.Histogram
	// FencedTotal counts documents dropped because another owner claimed them.
	FencedTotal prometheus.Counter
	// LogStalled is 1 while commits fail or the log is read-only.
	LogStalled prometheus.Gauge

	// Links to other nodes.

	// RelayLinks is how many links there are.
	RelayLinks prometheus.Gauge
	// RelayCastsTotal counts update frames for everybody at another node that
	// were put on a link: one for each node and edit, or batch of edits.
	RelayCastsTotal prometheus.Counter
	// RelayDeliveriesTotal counts frames that came over a link and were put into
	// outboxes here.
	RelayDeliveriesTotal prometheus.Counter
	// RelayMessagesTotal counts messages of clients that came over a link.
	RelayMessagesTotal prometheus.Counter
	// RelayReflectionsTotal counts presence that clients here sent back as they
	// were told it, which did not go to the owner.
	RelayReflectionsTotal prometheus.Counter
	// RelayRefusedTotal counts channels refused because the document is not here.
	RelayRefusedTotal prometheus.Counter
	// RelayReattachTotal counts documents whose owner here has to be found again.
	RelayReattachTotal          prometheus.Counter
	RelayBytesIn, RelayBytesOut prometheus.Counter

	// The cluster.

	// Members are the live nodes that this one knows of.
	Members prometheus.Gauge
	// Lease is 1 while others can know that this node lives.
	Lease prometheus.Gauge
	// Degraded is 1 while something that the node works with is gone.
	Degraded *prometheus.GaugeVec // what
	// RedisEmptiedTotal counts how often Redis had lost what it held.
	RedisEmptiedTotal prometheus.Counter
	// BeatSeconds is the time of one sign of life.
	BeatSeconds *prometheus.HistogramVec // to, result
	// TakeoversTotal counts documents claimed because their owner was gone.
	TakeoversTotal prometheus.Counter
	// HandOversTotal counts documents given to another node on purpose.
	HandOversTotal *prometheus.CounterVec // result
	// HandOverSeconds is the time from the decision until another may claim.
	HandOverSeconds prometheus.Histogram

	// Snapshots and history.

	SnapshotSeconds *prometheus.HistogramVec // result
	SnapshotBytes   prometheus.Counter
	SegmentSeconds  *prometheus.HistogramVec // result
	// UnsegmentedSeconds is the age of the oldest log entry that no history
	// segment holds yet.
	UnsegmentedSeconds prometheus.Gauge
	// RetentionSeconds is the time to thin out the history of one document.
	RetentionSeconds *prometheus.HistogramVec // result
	// RetentionFilesTotal counts files that retention wrote and removed.
	RetentionFilesTotal *prometheus.CounterVec // action
	// RetentionBytesTotal counts the bytes of the files that it removed.
	RetentionBytesTotal prometheus.Counter
	// RetentionDoneSeconds is when the newest run over all documents ended,
	// in seconds since 1970.
	RetentionDoneSeconds prometheus.Gauge

	// ScrubBytesTotal counts the bytes that the scrub has read,
	// ScrubDocumentsTotal the documents, ScrubDamageTotal what is damaged.
	ScrubBytesTotal     prometheus.Counter
	ScrubDocumentsTotal *prometheus.CounterVec // result
	ScrubDamageTotal    *prometheus.CounterVec // what
	// ScrubDamagedDocuments is how many documents the newest full pass found
	// damaged, ScrubDoneSeconds when it ended, in seconds since 1970.
	ScrubDamagedDocuments prometheus.Gauge
	ScrubDoneSeconds      prometheus.Gauge

	// Connections.

	Connections      prometheus.Gauge
	ConnectionsTotal *prometheus.CounterVec // transport
	// RefusedTotal counts requests turned away before the upgrade.
	RefusedTotal     *prometheus.CounterVec // reason
	HandshakeSeconds prometheus.Histogram
	FramesIn         prometheus.Counter
	FramesOut        prometheus.Counter
	BytesIn          prometheus.Counter
	BytesOut         prometheus.Counter
	// ClosesTotal counts closed connections by close code.
	ClosesTotal *prometheus.CounterVec // code
	// MalformedTotal counts messages that could not be decoded.
	MalformedTotal prometheus.Counter
	// RightsChangedTotal counts living sessions whose rights were changed or taken.
	RightsChangedTotal prometheus.Counter
	// LimitedTotal counts messages refused or delayed by a limit.
	LimitedTotal *prometheus.CounterVec // limit

	// CertificateExpiry is when the certificate in use expires, in seconds since
	// 1970. CertificateLoadsTotal counts how often it was read.
	CertificateExpiry     prometheus.Gauge
	CertificateLoadsTotal *prometheus.CounterVec // result

	// The load.

	// RunDelay is what nine of ten goroutines waited at most to run, in
	// seconds, of late. Pressed is 1 while sessions get a fair share only,
	// Shedding while new connections are refused.
	RunDelay, Pressed, Shedding prometheus.Gauge
	// AliveBytes is the memory that no collection frees, MemoryLimit what there
	// may be; 0 for no bound.
	AliveBytes, MemoryLimit prometheus.Gauge
}

const namespace = "ysync"

// New makes the metrics and registers them. It panics when r already has
// metrics of these names.
func New(r prometheus.Registerer) *Metrics {
	f := factory{r}
	fast := []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	slow := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	counts := prometheus.ExponentialBuckets(1, 2, 14)
	return &Metrics{
		Documents:            f.gauge("hub_documents", "Documents held in memory."),
		Subscriptions:        f.gauge("hub_subscriptions", "Subscriptions to documents."),
		PresenceStates:       f.gauge("hub_presence_states", "Presences held."),
		IdentityRefusedTotal: f.counters("hub_identity_refused_total", "Updates refused for the client IDs in them, by what is wrong.", "reason"),
		PresenceRefusedTotal: f.counters("hub_presence_refused_total", "Presences that broke a rule, by rule.", "reason"),
		LoadSeconds:          f.histograms("hub_load_seconds", "Time to load a document.", slow, "result"),
		LoadsWaiting:         f.gauge("hub_loads_waiting", "Documents that wait until others are loaded."),
		PreparedTotal:        f.counter("hub_prepared_total", "Documents opened that had been read ahead."),
		QueueSeconds:         f.histogram("hub_queue_seconds", "Time that a document with work waited for a runner.", fast),
		UpdatesTotal:         f.counters("hub_updates_total", "Updates received, by fate.", "result"),
		UpdateBytes:          f.counter("hub_update_bytes_total", "Bytes of updates received."),
		UpdateFramesTotal:    f.counter("hub_update_frames_total", "Update frames encoded for readers."),
		DeliveriesTotal:      f.counter("hub_deliveries_total", "Frames put into outboxes."),
		AcksTotal:            f.counter("hub_acks_total", "Acknowledgements sent."),
		AckSeconds:           f.histogram("hub_ack_seconds", "Time from an acknowledgement request to its answer.", fast),
		CatchUpsTotal:        f.counter("hub_catch_ups_total", "Diffs computed for readers that fell behind."),
		DeferredSyncsTotal:   f.counter("hub_deferred_syncs_total", "Requests for state that waited for their session's allowance."),
		InboxWaitsTotal:      f.counter("hub_inbox_waits_total", "Messages that waited for room at their document."),
		EndsTotal:            f.counters("hub_subscriptions_ended_total", "Subscriptions that their document ended, by code.", "code"),
		SlowReadersTotal:     f.counter("hub_slow_readers_total", "Subscriptions ended because nothing was read."),
		QuarantinedTotal:     f.counter("hub_quarantined_total", "Refused but valid updates that were set aside."),

		QuarantinedDocuments: f.gauge("hub_quarantined_documents", "Damaged documents that are not loaded any more."),
		QuarantinesTotal:     f.counter("hub_quarantines_total", "Documents quarantined after loads that showed damage."),
		LargeDocuments:       f.gauge("hub_large_documents", "Documents in memory past the mark of their size."),
		WornDocuments:        f.gauge("hub_worn_documents", "Documents in memory with more units deleted for each that lives than the mark."),

		UncommittedBytes: f.gauge("log_uncommitted_bytes", "Bytes of updates applied but not yet committed."),
		CommitSeconds:    f.histograms("log_commit_seconds", "Time of one commit.", fast, "result"),
		CommitDocuments:  f.histogram("log_commit_documents", "Documents in one commit.", counts),
		CommitEntries:    f.histogram("log_commit_entries", "Entries in one commit.", counts),
		FencedTotal:      f.counter("log_fenced_total", "Documents dropped because of a newer claim."),
		LogStalled:       f.gauge("log_stalled", "1 while commits fail or the log is read-only."),

		RelayLinks:            f.gauge("relay_links", "Links to other nodes."),
		RelayCastsTotal:       f.counter("relay_casts_total", "Update frames for everybody at another node."),
		RelayDeliveriesTotal:  f.counter("relay_deliveries_total", "Frames from other nodes put into outboxes."),
		RelayMessagesTotal:    f.counter("relay_messages_total", "Messages of clients of other nodes."),
		RelayReflectionsTotal: f.counter("relay_reflections_total", "Presence that clients sent back and that was not passed on."),
		RelayRefusedTotal:     f.counter("relay_refused_total", "Channels refused because the document is not here."),
		RelayReattachTotal:    f.counter("relay_reattach_total", "Documents elsewhere that lost their owner."),
		RelayBytesIn:          f.counter("relay_bytes_in_total", "Bytes received from other nodes."),
		RelayBytesOut:         f.counter("relay_bytes_out_total", "Bytes sent to other nodes."),

		Members:           f.gauge("cluster_members", "Live nodes that this one knows of, itself among them."),
		Lease:             f.gauge("cluster_lease", "1 while others can know that this node lives."),
		Degraded:          f.gauges("cluster_degraded", "1 while what is named is gone.", "what"),
		RedisEmptiedTotal: f.counter("cluster_redis_emptied_total", "Times that Redis had lost what it held."),
		BeatSeconds:       f.histograms("cluster_beat_seconds", "Time of one sign of life.", fast, "to", "result"),
		TakeoversTotal:    f.counter("cluster_takeovers_total", "Documents claimed because their owner was gone."),
		HandOversTotal:    f.counters("cluster_hand_overs_total", "Documents given to another node.", "result"),
		HandOverSeconds:   f.histogram("cluster_hand_over_seconds", "Time to give a document up.", fast),

		SnapshotSeconds:    f.histograms("snapshot_seconds", "Time to store a snapshot.", slow, "result"),
		SnapshotBytes:      f.counter("snapshot_bytes_total", "Bytes of document state stored in snapshots, before compression."),
		SegmentSeconds:     f.histograms("segment_seconds", "Time to store a history segment.", slow, "result"),
		UnsegmentedSeconds: f.gauge("segment_unsegmented_seconds", "Age of the oldest log entry that no segment holds."),

		RetentionSeconds:     f.histograms("retention_seconds", "Time to thin out the history of one document.", slow, "result"),
		RetentionFilesTotal:  f.counters("retention_files_total", "Files that retention wrote and removed.", "action"),
		RetentionBytesTotal:  f.counter("retention_removed_bytes_total", "Bytes of files that retention removed."),
		RetentionDoneSeconds: f.gauge("retention_done_timestamp_seconds", "When the newest run over all documents ended."),

		ScrubBytesTotal:       f.counter("scrub_bytes_total", "Stored bytes that the scrub has read."),
		ScrubDocumentsTotal:   f.counters("scrub_documents_total", "Documents that the scrub has read.", "result"),
		ScrubDamageTotal:      f.counters("scrub_damage_total", "Damage that the scrub has found.", "what"),
		ScrubDamagedDocuments: f.gauge("scrub_damaged_documents", "Documents that the newest full pass of the scrub found damaged."),
		ScrubDoneSeconds:      f.gauge("scrub_done_timestamp_seconds", "When the newest full pass of the scrub ended."),

		Connections:        f.gauge("connections", "Open connections."),
		ConnectionsTotal:   f.counters("connections_total", "Connections accepted.", "transport"),
		RefusedTotal:       f.counters("connections_refused_total", "Requests turned away before the upgrade.", "reason"),
		HandshakeSeconds:   f.histogram("handshake_seconds", "Time from the upgrade to the first answered message.", slow),
		FramesIn:           f.counter("frames_in_total", "Frames received."),
		FramesOut:          f.counter("frames_out_total", "Frames sent."),
		BytesIn:            f.counter("bytes_in_total", "Payload bytes received."),
		BytesOut:           f.counter("bytes_out_total", "Payload bytes sent."),
		ClosesTotal:        f.counters("closes_total", "Connections closed, by code.", "code"),
		MalformedTotal:     f.counter("malformed_messages_total", "Messages that could not be decoded."),
		RightsChangedTotal: f.counter("rights_changed_total", "Living sessions whose rights were changed or taken."),
		LimitedTotal:       f.counters("limited_messages_total", "Messages refused or delayed by a limit.", "limit"),

		CertificateExpiry:     f.gauge("certificate_expiry_timestamp_seconds", "When the certificate in use expires; 0 without TLS."),
		CertificateLoadsTotal: f.counters("certificate_loads_total", "Times that the certificate was read.", "result"),

		RunDelay:    f.gauge("load_run_delay_seconds", "What nine of ten goroutines waited at most to run, of late."),
		Pressed:     f.gauge("load_pressed", "1 while every session gets a fair share only."),
		Shedding:    f.gauge("load_shedding", "1 while new connections are refused for lack of memory or time."),
		AliveBytes:  f.gauge("load_alive_bytes", "Memory in use that no collection frees."),
		MemoryLimit: f.gauge("load_memory_limit_bytes", "Memory that the process may take; 0 for no bound."),
	}
}

type factory struct{ r prometheus.Registerer }

func (f factory) gauge(name, help string) prometheus.Gauge {
	m := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	f.r.MustRegister(m)
	return m
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	m := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.r.MustRegister(m)
	return m
}

func (f factory) counter(name, help string) prometheus.Counter {
	m := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.r.MustRegister(m)
	return m
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.r.MustRegister(m)
	return m
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	m := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	f.r.MustRegister(m)
	return m
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	m := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	f.r.MustRegister(m)
	return m
}
