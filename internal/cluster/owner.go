package cluster

import (
	"container/list"
	"context"
	"sync"
	"time"

	"ysync/internal/fault"
	"ysync/persistence"
)

// Owner implements Directory. The record of the document comes first: if its
// owner lives, that is where it is, wherever it should be. Only a document that
// nobody holds is where the placement says.
func (m *Member) Owner(ctx context.Context, document string) (Node, error) {
	m.renewed(ctx)
	m.mu.Lock()
	docs, leased := m.docs, m.leased()
	m.mu.Unlock()
	if leased && docs != nil && docs.Holds(document) {
		return m.Self(), nil
	}
	h, err := m.look.up(ctx, m.ctx, document)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return Node{}, ctx.Err()
	case err == nil && !(fault.Active(fault.StaleRoute) && m.seen.get(document).Owner != ""):
		m.seen.put(h)
	default:
		// The log does not answer: the document is where it was, or should be.
		h = m.seen.get(document)
	}
	return m.reachedAt(h)
}

// reachedAt decides where a document is to be reached. mu is held.
func (m *Member) reachedAt(h persistence.Holding) (Node, error) {
	if n, ok := m.holder(h); ok {
		return n, nil
	}
	return m.placed(h.Document)
}

// holder is the live node that holds the document. A node that the log does not
// answer holds nothing in the eyes of one that it does. mu is held.
func (m *Member) holder(h persistence.Holding) (Node, bool) {
	n, ok := m.alive[h.Owner]
	if h.Owner == "" || !ok || n.Mute && !m.self.Mute {
		return Node{}, false
	}
	return n, true
}

func (m *Member) placed(document string) (Node, error) {
	n := place(document, candidates(m.members))
	if n.Boot == "" {
		return Node{}, ErrNoNode
	}
	return n, nil
}

// Moved implements Directory.
func (m *Member) Moved(document string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !fault.Active(fault.StaleRoute) {
		m.seen.drop(document)
	}
}

// Open is to be called before a document is loaded. It fails with
// persistence.ErrFenced when another node is the one to open it. A document
// whose owner is gone it claims, before anything of it is read: what that owner
// still has under way then comes too late, instead of after the load.
func (m *Member) Open(ctx context.Context, document string) error {
	m.renewed(ctx)
	h, err := m.look.up(ctx, m.ctx, document)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.seen.put(h)
	at, err := m.reachedAt(h)
	self := m.self.Boot
	m.mu.Unlock()
	elsewhere := &persistence.Error{Op: "open", Document: document, Err: persistence.ErrFenced}
	switch {
	case err != nil:
		return err
	case at.Boot != self:
		return elsewhere
	case h.Owner == "" || h.Owner == self:
		return nil
	}
	if _, err := m.opt.Log.Claim(ctx, document, self, h.Epoch); err != nil {
		return err
	}
	m.opt.Metrics.TakeoversTotal.Inc()
	return nil
}

// lookups reads owners: what is asked for while a read is under way is read
// together by the next one.
type lookups struct {
	log persistence.Shared

	mu sync.Mutex
	// Guarded by mu.
	next    *lookup // gathers; nil when nothing waits
	running bool
}

type lookup struct {
	names    []string
	holdings []persistence.Holding
	err      error
	done     chan struct{}
}

// up reads who holds a document, as of a moment after the call began. life
// bounds the reading, ctx the wait.
func (l *lookups) up(ctx, life context.Context, document string) (persistence.Holding, error) {
	l.mu.Lock()
	if l.next == nil || len(l.next.names) == persistence.MaxHoldings {
		l.next = &lookup{done: make(chan struct{})}
	}
	mine := l.next
	i := len(mine.names)
	mine.names = append(mine.names, document)
	full := len(mine.names) == persistence.MaxHoldings
	if !l.running || full {
		l.next = nil
		l.running = true
		go l.run(life, mine)
	}
	l.mu.Unlock()
	select {
	case <-mine.done:
	case <-ctx.Done():
		return persistence.Holding{}, ctx.Err()
	}
	if mine.err != nil {
		return persistence.Holding{}, mine.err
	}
	return mine.holdings[i], nil
}

// lookupTimeout bounds one read.
const lookupTimeout = 2 * time.Second

func (l *lookups) run(life context.Context, batch *lookup) {
	for batch != nil {
		ctx, cancel := context.WithTimeout(life, lookupTimeout)
		batch.holdings, batch.err = l.log.Holdings(ctx, batch.names)
		cancel()
		close(batch.done)
		l.mu.Lock()
		batch, l.next = l.next, nil
		l.running = batch != nil
		l.mu.Unlock()
	}
}

// routes remembers who held documents, for when the log does not answer: the
// newest maxRoutes.
type routes struct {
	order list.List // of persistence.Holding, the newest in front
	at    map[string]*list.Element
}

const maxRoutes = 100_000

func (r *routes) init() { r.at = make(map[string]*list.Element) }

func (r *routes) put(h persistence.Holding) {
	if e := r.at[h.Document]; e != nil {
		e.Value = h
		r.order.MoveToFront(e)
		return
	}
	r.at[h.Document] = r.order.PushFront(h)
	if len(r.at) > maxRoutes {
		oldest := r.order.Back()
		delete(r.at, oldest.Value.(persistence.Holding).Document)
		r.order.Remove(oldest)
	}
}

func (r *routes) get(document string) persistence.Holding {
	if e := r.at[document]; e != nil {
		return e.Value.(persistence.Holding)
	}
	return persistence.Holding{Document: document}
}

func (r *routes) drop(document string) {
	if e := r.at[document]; e != nil {
		delete(r.at, document)
		r.order.Remove(e)
	}
}
