package hub

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"ysync/persistence"
)

// Holds tells whether a document is open here, or about to be.
func (h *Hub) Holds(document string) bool {
	sh := h.shard(document)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.docs[document] != nil
}

// Loaded are the names of the documents that are open.
func (h *Hub) Loaded() []string {
	var names []string
	h.each(func(d *document) {
		d.mu.Lock()
		open := d.phase == live
		d.mu.Unlock()
		if open {
			names = append(names, d.name)
		}
	})
	return names
}

// Release gives a document up: it takes no more updates, waits until the log
// has everything that it took, ends the claim, and ends all subscriptions with
// ErrMoved. What came in meanwhile was set aside unread and not acknowledged: its
// senders have it, and are asked for it wherever they subscribe next. A document
// that is not open is given up already. When ctx ends first, the document is
// given up later.
func (h *Hub) Release(ctx context.Context, document string) error {
	r := &request{done: make(chan struct{})}
	if h.find(document, command{kind: cmdRelease, request: r}) == nil {
		return nil
	}
	if err := waitFor(ctx, r.done); err != nil {
		return err
	}
	// A document that went meanwhile, for whatever reason, is not open any more.
	return nil
}

// Lost closes a document at once, with ErrMoved: another node has claimed it.
func (h *Hub) Lost(document string) { h.find(document, command{kind: cmdFenced}) }

// backOff is how long to wait after a failed try, counted from 0.
func backOff(try int) time.Duration { return min(firstDelay<<min(try, 10), lastDelay) }

// endClaim ends the claim of a document that is given up, trying until the log
// answers. A claim that is not the newest any more has ended.
func (h *Hub) endClaim(d *document, epoch persistence.Epoch) {
	if log, ok := h.opt.Log.(persistence.Shared); ok && epoch != 0 {
		for try := 0; ; try++ {
			err := log.Release(h.ctx, d.name, h.opt.Boot, epoch)
			if err == nil || errors.Is(err, persistence.ErrFenced) || errors.Is(err, persistence.ErrErased) {
				break
			}
			h.opt.Logger.Warn("a claim could not be ended", zap.String("document", d.name), zap.Error(err))
			if !h.commit.pause(h.ctx, backOff(try)) {
				return
			}
		}
	}
	d.post(command{kind: cmdReleased})
}
