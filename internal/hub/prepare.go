package hub

import (
	"context"
	"sync"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// prepared are documents that were read before they may be opened here: their
// owner is about to give them up. What it writes until then is the tail of the
// log, which is all that is left to read when it has.
type prepared struct {
	mu sync.Mutex
	// Guarded by mu.
	docs  map[string]*copyOf
	bytes int
	over  bool
}

// copyOf is a document as the log had it when it was read.
type copyOf struct {
	doc    *crdt.Doc
	record persistence.Record
	tail   persistence.Tail
	bytes  int
	end    *time.Timer
}

const (
	// preparedFor is how long a copy waits for its document.
	preparedFor = 10 * time.Second
	// preparedBytes bounds the copies that wait. Beyond it documents are read
	// when they are opened, as others are.
	preparedBytes = 256 << 20
)

// put keeps a copy, if there is room for it.
func (p *prepared) put(name string, c *copyOf) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(name)
	if p.over || p.bytes+c.bytes > preparedBytes {
		return
	}
	if p.docs == nil {
		p.docs = make(map[string]*copyOf)
	}
	p.docs[name] = c
	p.bytes += c.bytes
	c.end = time.AfterFunc(preparedFor, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.docs[name] == c {
			p.drop(name)
		}
	})
}

// take takes a copy out; nil when there is none.
func (p *prepared) take(name string) *copyOf {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.docs[name]
	p.drop(name)
	return c
}

// drop forgets a copy. mu is held.
func (p *prepared) drop(name string) {
	if c := p.docs[name]; c != nil {
		c.end.Stop()
		p.bytes -= c.bytes
		delete(p.docs, name)
	}
}

// close forgets all, for good.
func (p *prepared) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for name := range p.docs {
		p.drop(name)
	}
}

// Prepare reads a document that is about to come here, without opening it: if
// it is opened soon, only what was written meanwhile has to be read. It writes
// nothing, and a copy that is not used is forgotten.
func (h *Hub) Prepare(ctx context.Context, name string) error {
	if !persistence.ValidName(name) {
		return ErrInvalidName
	}
	if h.closing.Load() {
		return ErrClosed
	}
	if h.Holds(name) {
		return nil
	}
	if err := h.loads.enter(ctx, new(document)); err != nil {
		return err
	}
	defer h.loads.leave()
	doc, rec, tail, err := h.opt.Snapshots.Load(ctx, name)
	if err != nil || !rec.Exists() {
		return err
	}
	h.prepared.put(name, &copyOf{doc: doc, record: rec, tail: tail, bytes: doc.Bytes()})
	return nil
}
