package hub

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/internal/tracing"
	"ysync/persistence"
)

// Snapshots loads documents and stores their states and history. It is what
// the hub needs of package snapshots. All methods may be called from any
// goroutine.
type Snapshots interface {
	// Load rebuilds a document: newest good snapshot and the log after it. A
	// document that was never written is empty and its record does not exist.
	Load(ctx context.Context, document string) (*crdt.Doc, persistence.Record, persistence.Tail, error)
	// Resume brings a document that Load returned to the present, by the log
	// alone. It fails when that can't be; doc is of no use then.
	Resume(ctx context.Context, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail) (persistence.Record, persistence.Tail, error)
	// Save stores state (update V2), which holds the log up to position, and
	// verifies it.
	Save(ctx context.Context, rec persistence.Record, position persistence.Position, at time.Time, label string, state []byte) (persistence.Pointer, error)
	// Segment stores the log after rec.Segmented, up to position to, as
	// history. It returns how far it came.
	Segment(ctx context.Context, rec persistence.Record, to persistence.Position) (persistence.Position, error)
	// Retired returns the clients of the generations before that of rec, in
	// ascending order.
	Retired(ctx context.Context, rec persistence.Record) ([]crdt.ClientID, error)
	// Renew stores the beginning of the generation after that of rec: what from
	// holds, or state when from is nil, made anew by a client that is none of
	// those retired before or known to state. by tells when, and who asked.
	Renew(ctx context.Context, rec persistence.Record, from *crdt.Doc, state []byte, retired []crdt.ClientID, by persistence.NewEntry) (persistence.Pointer, error)
	// Refuse keeps an update (V1) that was refused for a reason, beside the
	// document and within bounds of its own.
	Refuse(ctx context.Context, document string, at time.Time, author, reason string, update []byte) error
	// Trimmable returns up to which position the log of rec may be trimmed,
	// given that what must remain was read back.
	Trimmable(ctx context.Context, rec persistence.Record) persistence.Position
}

// Placement says which documents are opened here.
type Placement interface {
	// Open is called before a document is loaded. With persistence.ErrFenced
	// another node is the one to open it. When it returns no error, nobody else
	// can write to the document until somebody claims it from now on. It returns
	// the epoch of the claim if it has made one for this process, else 0.
	Open(ctx context.Context, document string) (persistence.Epoch, error)
}

// everywhere is the placement of a process that has the log for itself.
type everywhere struct{}

func (everywhere) Open(context.Context, string) (persistence.Epoch, error) { return 0, nil }

// Options configure a Hub. Log, Snapshots, Logger and Metrics are required.
type Options struct {
	Log       persistence.Log
	Snapshots Snapshots
	// Placement may keep documents from being opened here; nil opens all.
	Placement Placement
	// Boot names this run of the process, never used before: it is the owner
	// in claims.
	Boot string
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Seed is where the randomness of back-offs starts.
	Seed   uint64
	Limits Limits
	// SnapshotInterval makes a changed document due for a snapshot by time; 0
	// for by size and on unload only.
	SnapshotInterval time.Duration
	// SegmentInterval is how long entries may wait for a history segment; 0
	// for 60 s.
	SegmentInterval time.Duration
	// IdleUnload is how long a document without subscriptions stays in memory;
	// 0 for 30 s.
	IdleUnload time.Duration
	// Damaged tells whether the error of a load shows damage, which no further
	// try would cure; nil for persistence.ErrCorrupt alone.
	Damaged func(error) bool
	Logger  *zap.Logger
	Metrics *metrics.Metrics
	// Tracer follows messages; nil follows none.
	Tracer *tracing.Tracer
	// Runners is the number of goroutines that step documents; 0 for one per
	// processor.
	Runners int
}

// Hub holds the documents of this process. Its methods may be called from any
// goroutine.
type Hub struct {
	// Static after New.
	opt    Options
	limits Limits
	seed   maphash.Seed
	count  *counters
	shards [64]shard

	queue  runQueue
	guest  guest
	commit committer
	timers timers
	sick   quarantine
	ward   ward

	// ctx ends when Close gives up waiting; jobs and loads run under it.
	ctx    context.Context
	cancel context.CancelFunc
	// opens are documents whose owner is asked for and, if it is gone, claimed,
	// many by one statement; loads those that are read.
	opens, loads gate
	prepared     prepared
	jobs         chan struct{} // a slot per job
	// runners are the goroutines that step documents; they never wait for the
	// log or a store. work are all others.
	runners sync.WaitGroup
	work    sync.WaitGroup

	subscriptions atomic.Int64
	documents     atomic.Int64

	closing   atomic.Bool
	closeOnce sync.Once
	closeErr  error
	emptied   sync.Once
	empty     chan struct{} // closed when the last document went while closing
}

// New starts a hub.
func New(opt Options) (*Hub, error) {
	switch {
	case opt.Log == nil:
		return nil, errors.New("hub: no log given")
	case opt.Snapshots == nil:
		return nil, errors.New("hub: no snapshots given")
	case opt.Logger == nil:
		return nil, errors.New("hub: no logger given")
	case opt.Metrics == nil:
		return nil, errors.New("hub: no metrics given")
	case opt.Boot == "":
		return nil, errors.New("hub: no boot ID given")
	}
	if opt.Placement == nil {
		opt.Placement = everywhere{}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.SegmentInterval <= 0 {
		opt.SegmentInterval = time.Minute
	}
	if opt.IdleUnload <= 0 {
		opt.IdleUnload = 30 * time.Second
	}
	if opt.Runners <= 0 {
		opt.Runners = runtime.GOMAXPROCS(0)
	}
	opt.Limits = opt.Limits.withDefaults()
	h := &Hub{
		opt:    opt,
		limits: opt.Limits,
		seed:   maphash.MakeSeed(),
		count:  newCounters(opt.Metrics),
		opens:  gate{free: persistence.MaxHoldings, count: opt.Metrics.LoadsWaiting},
		loads:  gate{free: opt.Limits.Loads, count: opt.Metrics.LoadsWaiting},
		jobs:   make(chan struct{}, opt.Limits.Jobs),
		empty:  make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.sick.limit, h.sick.hurry = opt.Limits.QuarantineBytes, make(chan struct{})
	h.queue.init()
	h.guest.runner.hub = h
	h.commit.init(h)
	h.timers.init(h)
	for range opt.Runners {
		h.runners.Go(h.run)
	}
	h.work.Go(h.commit.run)
	h.work.Go(h.timers.run)
	return h, nil
}

// Subscribe attaches a session to a document. It returns at once; the document
// loads in the background. wake is called, from any goroutine and without
// locks, when Next has something after it had nothing, and when the
// subscription ends; it must not block. It fails with ErrClosed or ErrInvalidName.
func (h *Hub) Subscribe(document string, p Peer, wake func()) (*Subscription, error) {
	if !persistence.ValidName(document) {
		return nil, ErrInvalidName
	}
	s := &Subscription{peer: p, wake: wake}
	s.at.index = -1
	if !h.enter(document, command{kind: cmdSubscribe, sub: s}) {
		return nil, ErrClosed
	}
	return s, nil
}

// Stats are figures of a moment.
type Stats struct {
	Documents     int
	Subscriptions int
	// UncommittedBytes are applied but not durable yet.
	UncommittedBytes int64
	// LogStalled: commits fail, or the log is read-only.
	LogStalled bool
	// StoreFailing: there is a document whose newest snapshot or segment could not be stored.
	StoreFailing bool
	// Refused is how many refused updates are not stored yet.
	Refused int
	// Quarantined is how many documents are not loaded any more.
	Quarantined int
}

// Stats returns the figures of now.
func (h *Hub) Stats() Stats {
	return Stats{
		Documents:        int(h.documents.Load()),
		Subscriptions:    int(h.subscriptions.Load()),
		UncommittedBytes: h.commit.uncommitted.Load(),
		LogStalled:       h.commit.stalled.Load(),
		StoreFailing:     h.count.unstored.Load() > 0,
		Refused:          h.sick.len(),
		Quarantined:      len(h.ward.all()),
	}
}

// State is a copy of a document.
type State struct {
	// Position is the newest log entry that Update holds. It may not be
	// committed yet.
	Position persistence.Position
	// Update is the whole state as an update V2, with what is pending.
	Update []byte
}

// Document returns a copy of a document, loading it as needed. It writes
// nothing. The error is ErrNotFound for a document that was never written.
func (h *Hub) Document(ctx context.Context, document string) (State, error) {
	r := new(request)
	if err := h.ask(ctx, document, cmdRead, r); err != nil {
		return State{}, err
	}
	return r.state, r.err
}

// Snapshot stores a snapshot of a document now, under a label (may be empty),
// and returns when it is verified and on record.
func (h *Hub) Snapshot(ctx context.Context, document, label string) (persistence.Pointer, error) {
	r := &request{label: label}
	if err := h.ask(ctx, document, cmdSnapshot, r); err != nil {
		return persistence.Pointer{}, err
	}
	return r.pointer, r.err
}

// request is a question that the core answers once, by finish.
type request struct {
	label   string
	change  *change
	reset   *resetOrder
	record  persistence.Record // after a reset, as far as it tells
	done    chan struct{}
	state   State
	stats   DocumentStats
	outcome Outcome
	pointer persistence.Pointer
	err     error
}

func (r *request) finish(err error) {
	r.err = err
	close(r.done)
}

// ask puts a request to a document, which is loaded as needed, and waits until
// it is answered. With an error there is no answer, and none may be read.
func (h *Hub) ask(ctx context.Context, document string, kind commandKind, r *request) error {
	if !persistence.ValidName(document) {
		return ErrInvalidName
	}
	r.done = make(chan struct{})
	if !h.enter(document, command{kind: kind, request: r}) {
		return ErrClosed
	}
	return waitFor(ctx, r.done)
}

// waitFor waits until a channel is closed, or returns the context's error.
func waitFor(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes no more messages, waits until the log has everything that was
// sent, ends all subscriptions with 1012, stores the snapshots and segments
// that are worth it, and stops. When ctx ends first it stops and returns ctx's
// error within a second, even when the log hangs: what was not acknowledged may
// then be lost here, and comes back from its clients. A second call waits for the first.
func (h *Hub) Close(ctx context.Context) error {
	h.closeOnce.Do(func() { h.closeErr = h.shutdown(ctx) })
	return h.closeErr
}
