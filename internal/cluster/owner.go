package cluster

import (
	"container/list"
	"context"
	"errors"
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
	h, err := m.look.ask(ctx, m.ctx, document)
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
// still has under way then comes too late, instead of after the load. It returns
// the epoch of that claim, 0 for none.
func (m *Member) Open(ctx context.Context, document string) (persistence.Epoch, error) {
	m.renewed(ctx)
	h, err := m.look.ask(ctx, m.ctx, document)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	m.seen.put(h)
	at, err := m.reachedAt(h)
	self := m.self.Boot
	m.mu.Unlock()
	elsewhere := &persistence.Error{Op: "open", Document: document, Err: persistence.ErrFenced}
	switch {
	case err != nil:
		return 0, err
	case at.Boot != self:
		return 0, elsewhere
	case h.Owner == "" || h.Owner == self:
		return 0, nil
	}
	r, err := m.takeOver(ctx, h)
	if err != nil {
		return 0, err
	}
	m.opt.Metrics.TakeoversTotal.Inc()
	return r.Epoch, nil
}

// takeOver claims a document whose owner is gone, together with others if there
// are any: a node that dies leaves thousands.
func (m *Member) takeOver(ctx context.Context, h persistence.Holding) (persistence.Record, error) {
	if r, err := m.claims.ask(ctx, m.ctx, h); err == nil && r.Epoch > 0 {
		return r, nil
	}
	r, err := m.opt.Log.Claim(ctx, h.Document, m.opt.Self.Boot, h.Epoch)
	if errors.Is(err, persistence.ErrFenced) || errors.Is(err, persistence.ErrUnknown) {
		// Our own claim may have happened, and its answer have been lost.
		if now, e := m.opt.Log.Open(ctx, h.Document); e == nil && now.Owner == m.opt.Self.Boot && now.Epoch == h.Epoch+1 {
			return now, nil
		}
	}
	return r, err
}

// together asks the log about many things at once: what is asked for while a
// question is under way is asked together by the next one.
type together[Q, A any] struct {
	batch func(ctx context.Context, questions []Q) ([]A, error)

	mu sync.Mutex
	// Guarded by mu.
	next    *question[Q, A] // gathers; nil when nothing waits
	running bool
}

type question[Q, A any] struct {
	of      []Q
	answers []A
	err     error
	done    chan struct{}
}

// ask returns the answer to q, as of a moment after the call began. life bounds
// the asking, ctx the wait.
func (l *together[Q, A]) ask(ctx, life context.Context, q Q) (none A, err error) {
	l.mu.Lock()
	if l.next == nil || len(l.next.of) == persistence.MaxHoldings {
		l.next = &question[Q, A]{done: make(chan struct{})}
	}
	mine := l.next
	i := len(mine.of)
	mine.of = append(mine.of, q)
	full := len(mine.of) == persistence.MaxHoldings
	if !l.running || full {
		l.next = nil
		l.running = true
		go l.run(life, mine)
	}
	l.mu.Unlock()
	select {
	case <-mine.done:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	if mine.err != nil {
		return none, mine.err
	}
	return mine.answers[i], nil
}

// lookupTimeout bounds one question.
const lookupTimeout = 2 * time.Second

func (l *together[Q, A]) run(life context.Context, batch *question[Q, A]) {
	for batch != nil {
		ctx, cancel := context.WithTimeout(life, lookupTimeout)
		batch.answers, batch.err = l.batch(ctx, batch.of)
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
