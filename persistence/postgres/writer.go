package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
)

// maxGroupBytes bounds one statement, so that a flood in one document does not
// make all others wait for one huge write; one batch alone may be larger.
// maxGroupEntries bounds the time that it takes.
const (
	maxGroupBytes   = 16 << 20
	maxGroupEntries = 8192
	// maxKnown is how many heads a writer keeps in mind, about 150 bytes each.
	maxKnown = 32 << 10
)

// writer appends the batches of its documents, one statement at a time.
type writer struct {
	log  *Log
	gone chan struct{} // closed when the loop has ended

	mu      sync.Mutex
	queue   []*request
	known   map[string]head
	stopped bool
	poke    *sync.Cond // on mu: queue or stopped changed

	// Owned by the loop.
	conn      *pgx.Conn
	statement statement
}

// head is where a document's log ends, as the newest claim or append told.
type head struct {
	id         int64
	generation persistence.Generation
	epoch      persistence.Epoch
	position   persistence.Position
	updated    *int64
	// doubt: an append after position may have happened, or may still. The
	// position stays until one that follows it is answered.
	doubt bool
}

func newWriter(l *Log) *writer {
	w := &writer{log: l, gone: make(chan struct{}), known: make(map[string]head)}
	w.poke = sync.NewCond(&w.mu)
	go w.loop()
	return w
}

// stop ends the loop. No request is on its way.
func (w *writer) stop() {
	w.mu.Lock()
	w.stopped = true
	w.poke.Signal()
	w.mu.Unlock()
	<-w.gone
}

// take queues requests.
func (w *writer) take(requests []*request) {
	w.mu.Lock()
	w.queue = append(w.queue, requests...)
	w.poke.Signal()
	w.mu.Unlock()
}

// claimed keeps in mind what a claim returned. Nobody appends under its epoch
// before that.
func (w *writer) claimed(r row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.known[r.Document]; !ok || h.epoch < r.Epoch {
		w.keep(r.Document, headOf(r))
	}
}

func headOf(r row) head {
	return head{id: r.id, generation: r.Generation, epoch: r.Epoch, position: r.Head, updated: millisOf(r.Updated)}
}

// keep keeps a head in mind, and forgets any other when there are too many.
// One in doubt is never forgotten. mu is held.
func (w *writer) keep(name string, h head) {
	w.known[name] = h
	for other, h := range w.known {
		if len(w.known) <= maxKnown {
			return
		}
		if !h.doubt && other != name {
			delete(w.known, other)
		}
	}
}

func (w *writer) loop() {
	defer close(w.gone)
	for {
		group := w.next()
		if group == nil {
			break
		}
		w.commit(group)
	}
	w.disconnect()
}

// part is what one document appends in a statement: one request, or several
// under the same claim.
type part struct {
	name       string
	generation persistence.Generation
	epoch      persistence.Epoch
	requests   []*request

	head    head // before the statement
	entries int
	last    int64   // time of the last entry, in milliseconds
	crcs    []int32 // of the entries
	// sent: an earlier attempt may have happened, or may still.
	sent bool
}

// next waits for requests and makes a group of what is there, in the order of
// coming; nil means that the writer is to stop. A batch under another claim
// than the one of the same document before it waits for the next group.
func (w *writer) next() []*part {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.queue) == 0 && !w.stopped {
			w.poke.Wait()
		}
		if len(w.queue) == 0 {
			return nil
		}
		if group := w.gather(); len(group) > 0 {
			return group
		}
	}
}

func (w *writer) gather() []*part {
	var group []*part
	parts := make(map[string]*part)
	bytes, entries, n := 0, 0, 0
	for _, r := range w.queue {
		if err := r.ctx.Err(); err != nil {
			r.fail(err)
			n++
			continue
		}
		b := r.batch
		p := parts[b.Document]
		if p != nil && (p.epoch != b.Epoch || p.generation != b.Generation) ||
			len(group) > 0 && (bytes+r.bytes > maxGroupBytes || entries+len(b.Entries) > maxGroupEntries) {
			break
		}
		if p == nil {
			p = &part{name: b.Document, generation: b.Generation, epoch: b.Epoch}
			parts[b.Document] = p
			group = append(group, p)
		}
		p.requests = append(p.requests, r)
		p.entries += len(b.Entries)
		bytes += r.bytes
		entries += len(b.Entries)
		n++
	}
	left := copy(w.queue, w.queue[n:])
	clear(w.queue[left:])
	w.queue = w.queue[:left]
	return group
}

// connect makes the writer's connection if it has none.
func (w *writer) connect() error {
	if w.conn != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.log.options.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, w.log.config)
	if err != nil {
		return &unsentError{err}
	}
	w.conn = conn
	if err = prepareSession(ctx, conn, w.log.options, writing...); err == nil {
		_, err = conn.Prepare(ctx, appendStatement, w.log.appendSQL)
	}
	if err != nil {
		w.disconnect()
		return &unsentError{err}
	}
	return nil
}

// unsentError is a failure before the statement was sent.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
	w.conn = nil
}

// bounded is the context of one exchange with the server.
func (w *writer) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), w.log.options.StatementTimeout+time.Second)
}
