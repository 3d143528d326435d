package hub

import (
	"context"
	"time"

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
	h.sick.settle(ctx)
	h.cancel()
	h.prepared.close()
	h.queue.close()
	h.runners.Wait()
	h.guest.stop()
	h.each(func(d *document) {
		// No runner is left and no load comes to a core any more: remove makes
		// the document gone.
		h.abandon(d)
	})
	others := make(chan struct{})
	go func() {
		h.work.Wait()
		close(others)
	}()
	if err == nil {
		<-others
		return nil
	}
	// A disk that hangs can't be told to stop; nobody waits for it.
	late := time.NewTimer(abandonAfter)
	defer late.Stop()
	select {
	case <-others:
	case <-late.C:
		h.opt.Logger.Error("the log or the snapshot store still hangs")
	}
	return err
}

// abandonAfter is how long Close waits, after its context ended, for calls of
// the log and the snapshot store that are under way.
const abandonAfter = time.Second

// abandon forgets a document at the end, whatever it still waits for.
func (h *Hub) abandon(d *document) {
	h.remove(d, endRestart, always)
	d.mu.Lock()
	c := d.core
	d.mu.Unlock()
	if c == nil {
		return
	}
	for _, s := range c.subs {
		h.finish(s, endRestart)
	}
	c.stored.abandon(endRestart)
	for _, w := range c.changes {
		w.request.finish(endRestart)
	}
}

// whenEmpty notes that the last document went.
func (h *Hub) whenEmpty() {
	if h.closing.Load() {
		h.emptied.Do(func() { close(h.empty) })
	}
}
