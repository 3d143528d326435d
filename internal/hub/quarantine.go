package hub

import (
	"slices"
	"sync"
	"time"
)

// Refused is a valid update that was refused: later updates of the same client
// build on it, so it may be wanted. It is kept in memory, oldest out first.
type Refused struct {
	Document string
	Session  uint64
	Subject  string
	Reason   string
	Time     time.Time
	Update   []byte // update V1
}

type quarantine struct {
	limit int // bytes; static

	mu    sync.Mutex
	kept  []Refused
	bytes int
}

func (q *quarantine) add(document string, r *refusal, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(r.update) > q.limit {
		return
	}
	q.kept = append(q.kept, Refused{
		Document: document, Session: r.sub.peer.Session, Subject: r.sub.peer.Subject,
		Reason: r.reason, Time: now, Update: r.update,
	})
	q.bytes += len(r.update)
	n := 0
	for q.bytes > q.limit || len(q.kept)-n > 1024 {
		q.bytes -= len(q.kept[n].Update)
		n++
	}
	if n > 0 {
		q.kept = append(q.kept[:0:0], q.kept[n:]...)
	}
}

// forget drops what is kept of a document.
func (q *quarantine) forget(document string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kept = slices.DeleteFunc(q.kept, func(r Refused) bool {
		if r.Document == document {
			q.bytes -= len(r.Update)
		}
		return r.Document == document
	})
}

func (q *quarantine) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.kept)
}

// Refused returns the refused updates that are kept, oldest first.
func (h *Hub) Refused() []Refused {
	h.sick.mu.Lock()
	defer h.sick.mu.Unlock()
	return append([]Refused(nil), h.sick.kept...)
}
