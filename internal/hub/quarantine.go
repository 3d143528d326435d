package hub

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Refused is a valid update that was refused and is not stored yet: later updates
// of the same client build on it, so it may be wanted.
type Refused struct {
	Document string
	Subject  string
	Reason   string
	Time     time.Time
	Update   []byte // update V1
}

// maxRefused bounds how many refused updates wait to be stored.
const maxRefused = 1024

// quarantine holds refused updates until they are stored, oldest out first when
// there are too many.
type quarantine struct {
	limit int // bytes; static
	// hurry is closed when the hub closes.
	hurry chan struct{}

	mu    sync.Mutex
	kept  []Refused
	bytes int
	// writer is closed when the goroutine that stores them has ended; nil when
	// there is none. It has taken the first of kept, if busy is not empty: for that
	// document.
	writer chan struct{}
	busy   string
	// turn is closed when the one under way is done.
	turn chan struct{}
}

// add keeps a refused update, and reports whether a writer must be started.
func (q *quarantine) add(document string, r *refusal, now time.Time) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(r.update) > q.limit {
		return false
	}
	q.kept = append(q.kept, Refused{
		Document: document, Subject: r.sub.peer.Subject, Reason: r.reason, Time: now, Update: r.update,
	})
	q.bytes += len(r.update)
	n := 0
	for q.bytes > q.limit || len(q.kept)-n > maxRefused {
		q.bytes -= len(q.kept[n].Update)
		n++
	}
	if n > 0 {
		q.kept = append(q.kept[:0:0], q.kept[n:]...)
	}
	if q.writer != nil {
		return false
	}
	q.writer = make(chan struct{})
	return true
}

// next takes the oldest. Without one, or when it is over, the writer has to end.
func (q *quarantine) next(over bool) (r Refused, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.kept) == 0 || over {
		close(q.writer)
		q.writer = nil
		return Refused{}, false
	}
	r = q.kept[0]
	q.kept = slices.Clone(q.kept[1:])
	q.bytes -= len(r.Update)
	q.busy, q.turn = r.Document, make(chan struct{})
	return r, true
}

// done ends what next began. A failed one comes first again.
func (q *quarantine) done(failed *Refused) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if failed != nil && q.busy != "" {
		q.kept = slices.Insert(q.kept, 0, *failed)
		q.bytes += len(failed.Update)
	}
	q.busy = ""
	close(q.turn)
}

// forget drops what is kept of a document. One that is being stored is done when
// the channel is closed.
func (q *quarantine) forget(document string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kept = slices.DeleteFunc(q.kept, func(r Refused) bool {
		if r.Document == document {
			q.bytes -= len(r.Update)
		}
		return r.Document == document
	})
	if q.busy != document {
		return nil
	}
	q.busy = "" // if it fails it does not come back
	return q.turn
}

func (q *quarantine) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.kept)
}

// settle waits until no writer is at work. It is for the end of the hub, once.
func (q *quarantine) settle(ctx context.Context) {
	close(q.hurry)
	q.mu.Lock()
	writer := q.writer
	q.mu.Unlock()
	if writer != nil {
		select {
		case <-writer:
		case <-ctx.Done():
		}
	}
}

// Waits between tries to store refused updates, each twice as long as the one
// before.
const (
	firstRefusedWait = time.Second
	lastRefusedWait  = time.Minute
)

// storeRefused stores refused updates until none is left. When the hub closes it
// tries once more, and the first failure ends it.
func (h *Hub) storeRefused() {
	q := &h.sick
	wait, closing, over := firstRefusedWait, false, false
	for {
		r, ok := q.next(over)
		if !ok {
			return
		}
		begin := h.opt.Now()
		err := h.opt.Snapshots.Refuse(h.ctx, r.Document, r.Time, r.Subject, r.Reason, r.Update)
		if err == nil {
			q.done(nil)
			wait = firstRefusedWait
			if !closing {
				closing = q.rest(refusedRest * h.opt.Now().Sub(begin))
			}
			continue
		}
		q.done(&r)
		h.opt.Logger.Error("a refused update could not be stored", zap.String("document", r.Document),
			zap.Int("bytes", len(r.Update)), zap.Int("waiting", q.len()), zap.Error(err))
		over = closing
		closing = q.rest(wait) || closing
		wait = min(2*wait, lastRefusedWait)
	}
}

// refusedRest is how many times as long as storing one took nothing is stored
// then: who sends what is refused must not have the disk and the processor for it.
const refusedRest = 4

// rest waits for a while, or until the hub closes.
func (q *quarantine) rest(wait time.Duration) (closing bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-q.hurry:
		return true
	}
}

// Refused returns the refused updates that are not stored yet, oldest first.
func (h *Hub) Refused() []Refused {
	h.sick.mu.Lock()
	defer h.sick.mu.Unlock()
	return append([]Refused(nil), h.sick.kept...)
}
