package cluster

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/metrics"
	"ysync/persistence"
)

// Documents are those that this node has open. Its methods may be called from
// any goroutine.
type Documents interface {
	// Holds tells whether a document is open here.
	Holds(document string) bool
	// Loaded are the documents that are open.
	Loaded() []string
	// Release gives a document up: everything that was taken in is committed,
	// then the claim ends and the document is closed. A document that is not
	// open is no error.
	Release(ctx context.Context, document string) error
	// Lost closes a document at once: another node has it.
	Lost(document string)
}

// Ahead tells a node that a document is about to come to it, so that it reads
// it while its owner still serves it. It returns when that has happened, or has
// failed, which is no reason not to give the document up.
type Ahead func(ctx context.Context, next Node, document string)

// aheadWithin bounds one Ahead.
const aheadWithin = 5 * time.Second

// Announce has the next owners of documents told ahead. It comes before Keep.
func (m *Member) Announce(ahead Ahead) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead = ahead
}

// tellAhead tells the next owner of a document, if there is one.
func (m *Member) tellAhead(ctx context.Context, document string) {
	m.mu.Lock()
	ahead := m.ahead
	next, err := m.placed(document)
	self := m.self.Boot
	m.mu.Unlock()
	if ahead == nil || err != nil || next.Boot == self {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aheadWithin)
	defer cancel()
	ahead(ctx, next, document)
}

const (
	// movesAtOnce bounds documents that are handed over at a time because the
	// members have changed, and drainsAtOnce those when this node goes: then
	// nobody else must be kept waiting.
	movesAtOnce  = 4
	drainsAtOnce = 32
)

// Keep begins to look after the documents that are open here. It is called once.
func (m *Member) Keep(docs Documents) {
	m.mu.Lock()
	m.docs = docs
	m.mu.Unlock()
	m.working.Go(func() { m.keep(docs) })
}

// keep looks at the open documents once in a third of the TTL, when the members
// have changed and when the lease had lapsed: a claim that another made
// meanwhile shows in the log.
func (m *Member) keep(docs Documents) {
	s := &steward{member: m, docs: docs, slots: make(chan struct{}, movesAtOnce), moving: make(map[string]bool)}
	defer s.work.Wait()
	ticker := time.NewTicker(m.ttl / 3)
	defer ticker.Stop()
	for {
		changed := m.Changed()
		m.renewed(m.ctx)
		s.check()
		select {
		case <-ticker.C:
		case <-changed:
		case <-m.ctx.Done():
			return
		}
	}
}

// steward compares what is open here with what the log and the placement say.
type steward struct {
	member *Member
	docs   Documents
	slots  chan struct{} // a slot per hand-over
	work   sync.WaitGroup

	mu     sync.Mutex
	moving map[string]bool
}

// check looks at all open documents. Those that another node has claimed are
// closed. Those that nobody has claimed, and that are to be elsewhere, are
// closed too: two nodes that have a document open, each without a claim, would
// not see one another's edits until one of them claims. Those that this node
// has claimed are handed over when the members have been the same for a while.
func (s *steward) check() {
	m := s.member
	names := s.docs.Loaded()
	for len(names) > 0 && m.ctx.Err() == nil {
		n := min(len(names), persistence.MaxHoldings)
		ctx, cancel := context.WithTimeout(m.ctx, lookupTimeout)
		holdings, err := m.opt.Log.Holdings(ctx, names[:n])
		cancel()
		if err != nil {
			return // what is open stays open; the log refuses whoever is not the owner
		}
		for _, h := range holdings {
			s.judge(h)
		}
		names = names[n:]
	}
}

func (s *steward) judge(h persistence.Holding) {
	m := s.member
	m.mu.Lock()
	m.seen.put(h)
	self := m.self.Boot
	at, err := m.placed(h.Document)
	settled := m.opt.BootTime()-m.settled >= m.ttl
	drains := m.self.Draining
	m.mu.Unlock()
	switch {
	case h.Owner != "" && h.Owner != self:
		s.docs.Lost(h.Document)
	case err != nil || at.Boot == self || drains:
	case h.Owner == "" || settled:
		s.move(h.Document)
	}
}

// move hands a document over, beside others.
func (s *steward) move(document string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moving[document] {
		return
	}
	s.moving[document] = true
	s.work.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.moving, document)
		}()
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-s.member.ctx.Done():
			return
		}
		s.member.handOver(s.member.ctx, s.docs, document)
	})
}

// handOver gives up one document.
func (m *Member) handOver(ctx context.Context, docs Documents, document string) {
	m.tellAhead(ctx, document)
	start := time.Now()
	if err := docs.Release(ctx, document); err != nil {
		m.opt.Metrics.HandOversTotal.WithLabelValues(metrics.Failed).Inc()
		m.opt.Logger.Warn("a document could not be handed over", zap.String("document", document), zap.Error(err))
		return
	}
	m.opt.Metrics.HandOversTotal.WithLabelValues(metrics.OK).Inc()
	m.opt.Metrics.HandOverSeconds.Observe(time.Since(start).Seconds())
}

// Drain makes this node take no more documents, tells the others, and hands
// over what it has, until nothing is open or ctx ends. With nobody to hand over
// to it returns at once. It comes after Keep.
func (m *Member) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.self.Draining = true
	m.merge()
	docs := m.docs
	m.mu.Unlock()
	for _, r := range m.rolls {
		r.now()
	}
	err := m.until(ctx, func() bool {
		for _, r := range m.rolls {
			if r.up && !r.view[m.self.Boot].Draining {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	for {
		m.mu.Lock()
		alone := len(candidates(m.members)) == 0
		m.mu.Unlock()
		names := docs.Loaded()
		if alone || len(names) == 0 {
			return nil
		}
		var work sync.WaitGroup
		slots := make(chan struct{}, drainsAtOnce)
		for _, name := range names {
			slots <- struct{}{}
			work.Go(func() {
				m.handOver(ctx, docs, name)
				<-slots
			})
		}
		work.Wait()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
