package hub

import (
	"errors"
	"hash/maphash"
	"slices"
	"sync"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/internal/metrics"
	"ysync/internal/tracing"
	"ysync/persistence"
)

// shard is a part of the registry. Its lock comes before that of a document.
type shard struct {
	mu   sync.Mutex
	docs map[string]*document
}

func (h *Hub) shard(name string) *shard {
	return &h.shards[maphash.String(h.seed, name)%uint64(len(h.shards))]
}

// enter posts a command to a document, which it loads unless it is there. It
// returns false when the hub is closing. A document that is in the registry is
// not gone, so no command gets lost between an unload and a load.
func (h *Hub) enter(name string, c command) bool {
	sh := h.shard(name)
	sh.mu.Lock()
	if h.closing.Load() {
		sh.mu.Unlock()
		return false
	}
	d := sh.docs[name]
	fresh := d == nil
	if fresh {
		d = &document{hub: h, name: name, phase: loading}
		if sh.docs == nil {
			sh.docs = make(map[string]*document)
		}
		sh.docs[name] = d
		h.documents.Add(1)
		h.opt.Metrics.Documents.Inc()
	}
	d.mu.Lock()
	if c.kind == cmdSubscribe {
		c.sub.doc = d
		h.subscriptions.Add(1)
		h.opt.Metrics.Subscriptions.Inc()
	}
	queue := d.push(c)
	d.mu.Unlock()
	if fresh {
		// Under the lock, so that Close waits for it.
		h.work.Go(func() { h.load(d) })
	}
	sh.mu.Unlock()
	if queue {
		h.queue.push(d)
	}
	return true
}

// find posts a command to a document that is in memory, and returns it; nil
// when it is not.
func (h *Hub) find(name string, c command) *document {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := sh.docs[name]
	if d != nil {
		d.post(c)
	}
	return d
}

// remove takes a document out of the registry. Unless it must go, it stays
// when commands came in meanwhile; remove tells whether it went, by this call. Commands that
// it leaves behind are turned away with why.
func (h *Hub) remove(d *document, why *EndError, must removal) bool {
	sh := h.shard(d.name)
	sh.mu.Lock()
	d.mu.Lock()
	if d.phase == gone || must == ifIdle && len(d.inbox) > 0 && !fault.Active(fault.UnloadBusy) {
		d.mu.Unlock()
		sh.mu.Unlock()
		return false
	}
	d.phase = gone
	left := d.inbox
	d.inbox = nil
	d.releaseSenders()
	d.mu.Unlock()
	delete(sh.docs, d.name)
	sh.mu.Unlock()

	h.timers.drop(d)
	for _, c := range left {
		switch {
		case c.kind == cmdSubscribe:
			h.finish(c.sub, why)
		case c.request != nil:
			c.request.finish(why)
		}
	}
	h.opt.Metrics.Documents.Dec()
	if h.documents.Add(-1) == 0 {
		h.whenEmpty()
	}
	return true
}

// removal says what remove does about commands that wait.
type removal uint8

const (
	ifIdle removal = iota
	always
)

// finish ends a subscription, once, and wakes its session.
func (h *Hub) finish(s *Subscription, why *EndError) {
	if s.out.close(why) {
		h.left()
		s.wake()
	}
}

// left counts a subscription that is over.
func (h *Hub) left() {
	h.subscriptions.Add(-1)
	h.opt.Metrics.Subscriptions.Dec()
}

// each calls f with every document of the registry.
func (h *Hub) each(f func(*document)) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		docs := make([]*document, 0, len(sh.docs))
		for _, d := range sh.docs {
			docs = append(docs, d)
		}
		sh.mu.Unlock()
		for _, d := range docs {
			f(d)
		}
	}
}

// load brings a document up. It runs in a goroutine of its own.
func (h *Hub) load(d *document) {
	if _, quarantined := h.ward.of(d.name); quarantined {
		h.remove(d, endQuarantined, always)
		return
	}
	start := h.opt.Now()
	span := h.opt.Tracer.Start(tracing.Load).Text("document", d.name)
	claim, err := h.open(d)
	var (
		doc     *crdt.Doc
		rec     persistence.Record
		tail    persistence.Tail
		retired []crdt.ClientID
	)
	if err == nil {
		doc, rec, tail, retired, err = h.read(d)
	}
	span.Fail(err).End()
	if err != nil {
		h.opt.Metrics.LoadSeconds.WithLabelValues(metrics.Failed).Observe(h.opt.Now().Sub(start).Seconds())
		var why *EndError
		switch {
		case errors.Is(err, persistence.ErrErased):
			why = endErased
		case errors.Is(err, persistence.ErrFenced):
			why = endMoved
		case h.ctx.Err() != nil:
			why = endRestart
		default:
			why = h.loadFailed(d, err)
		}
		h.remove(d, why, always)
		return
	}
	now := h.opt.Now()
	h.opt.Metrics.LoadSeconds.WithLabelValues(metrics.OK).Observe(now.Sub(start).Seconds())
	h.recovered(d.name)
	// A document without an entry is claimed again by its first, which may bring
	// a key to be put on record.
	owned := claim != 0 && rec.Epoch == claim && rec.Owner == h.opt.Boot && rec.Head > 0
	h.commit.loaded(d, rec, owned)
	d.noteSize(doc)
	c := newCore(h.coreOptions(), doc, rec, tail, now)
	c.retired, c.owned = retired, owned
	d.mu.Lock()
	if d.phase == gone {
		// Close has given it up.
		d.mu.Unlock()
		return
	}
	d.core, d.phase = c, live
	queue := len(d.inbox) > 0 && d.schedule()
	d.mu.Unlock()
	if queue {
		h.queue.push(d)
	}
}

// open asks whether a document may be opened here.
func (h *Hub) open(d *document) (claim persistence.Epoch, err error) {
	if err := h.opens.enter(h.ctx, d); err != nil {
		return 0, err
	}
	defer h.opens.leave()
	return h.opt.Placement.Open(h.ctx, d.name)
}

// read loads a document, and whom it must not let in.
func (h *Hub) read(d *document) (*crdt.Doc, persistence.Record, persistence.Tail, []crdt.ClientID, error) {
	if err := h.loads.enter(h.ctx, d); err != nil {
		return nil, persistence.Record{}, persistence.Tail{}, nil, err
	}
	defer h.loads.leave()
	for {
		doc, rec, tail, err := h.present(d.name)
		if err == nil && !rec.Tombstone.IsZero() {
			err = persistence.ErrErased
		}
		if err != nil || rec.Generation <= 1 {
			return doc, rec, tail, nil, err
		}
		retired, err := h.opt.Snapshots.Retired(h.ctx, rec)
		if _, taken := slices.BinarySearch(retired, doc.ClientID()); taken && err == nil {
			continue // the client that the server's own edits are made by is drawn anew
		}
		return doc, rec, tail, retired, err
	}
}

// present is the document as the log has it now.
func (h *Hub) present(name string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	if p := h.prepared.take(name); p != nil {
		if rec, tail, err := h.opt.Snapshots.Resume(h.ctx, p.doc, p.record, p.tail); err == nil {
			h.opt.Metrics.PreparedTotal.Inc()
			return p.doc, rec, tail, nil
		}
	}
	return h.opt.Snapshots.Load(h.ctx, name)
}
