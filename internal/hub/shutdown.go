package hub

import (
	"context"

	"go.uber.org/zap"
)

// shutdown is Close's one run.
func (h *Hub) shutdown(ctx context.Context) error {
	h.closing.Store(true)
	// After this, every document that is in the registry gets the command:
	// enter looks at closing under the lock that each takes.
	h.each(func(d *document) { d.post(command{kind: cmdDrain}) })
	var err error
	if h.documents.Load() > 0 {
		select {
		case <-h.empty:
		case <-ctx.Done():
			err = ctx.Err()
			h.opt.Logger.Error("stopped before everything was on record",
				zap.Int64("documents", h.documents.Load()), zap.Int64("uncommitted bytes", h.commit.uncommitted.Load()))
		}
	}
	h.cancel()
	h.queue.close()
	h.work.Wait()
	h.each(func(d *document) {
		// No runner and no loader is left: the core is nobody's.
		if d.core != nil {
			for _, s := range d.core.subs {
				h.finish(s, endRestart)
			}
		}
		h.remove(d, endRestart, always)
	})
	return err
}

// whenEmpty notes that the last document went.
func (h *Hub) whenEmpty() {
	if h.closing.Load() {
		h.emptied.Do(func() { close(h.empty) })
	}
}
