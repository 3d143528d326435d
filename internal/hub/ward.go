package hub

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/persistence"
)

// Quarantined is a document that is not loaded any more because loading it
// failed, twice, for damage that no further try would cure. Whoever opens it is
// refused at once.
type Quarantined struct {
	Document string
	// Since is when the second load failed.
	Since time.Time
	// Reason is the error of the newest load, for the operator.
	Reason string
}

// A document is quarantined after so many loads that showed damage; so many
// documents are remembered, the oldest are forgotten first. Who is forgotten is
// found again by as many loads.
const (
	quarantineAfter = 2
	wardSize        = 10_000
)

// ward remembers the documents whose loads showed damage.
type ward struct {
	mu       sync.Mutex
	patients map[string]*patient
}

type patient struct {
	Quarantined
	failures int
}

// failed notes a load that showed damage, and tells whether the document has
// just been quarantined.
func (w *ward) failed(document string, why error, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.patients[document]
	if p == nil {
		if w.patients == nil {
			w.patients = make(map[string]*patient)
		}
		if len(w.patients) >= wardSize {
			w.forgetOldest()
		}
		p = &patient{Quarantined: Quarantined{Document: document}}
		w.patients[document] = p
	}
	p.failures++
	p.Since, p.Reason = now, why.Error()
	return p.failures == quarantineAfter
}

func (w *ward) forgetOldest() {
	var oldest *patient
	for _, p := range w.patients {
		if oldest == nil || p.Since.Before(oldest.Since) {
			oldest = p
		}
	}
	delete(w.patients, oldest.Document)
}

// of returns the quarantine of a document; ok is false when it has none.
func (w *ward) of(document string) (q Quarantined, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.patients[document]; p != nil && p.failures >= quarantineAfter {
		return p.Quarantined, true
	}
	return Quarantined{}, false
}

// release ends a quarantine. The next load that fails begins it again.
func (w *ward) release(document string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.patients[document]; p != nil {
		p.failures = quarantineAfter - 1
	}
}

// forget is for a document that loads, or is erased. It tells whether anything
// was noted.
func (w *ward) forget(document string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	noted := w.patients[document] != nil
	delete(w.patients, document)
	return noted
}

// all returns the quarantined documents by name.
func (w *ward) all() []Quarantined {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Quarantined
	for _, p := range w.patients {
		if p.failures >= quarantineAfter {
			out = append(out, p.Quarantined)
		}
	}
	slices.SortFunc(out, func(a, b Quarantined) int { return cmp.Compare(a.Document, b.Document) })
	return out
}

// Quarantined returns the documents that are not loaded any more, by name.
func (h *Hub) Quarantined() []Quarantined { return h.ward.all() }

// QuarantineOf returns the quarantine of a document; ok is false when it has
// none.
func (h *Hub) QuarantineOf(document string) (q Quarantined, ok bool) { return h.ward.of(document) }

// Retry ends the quarantine of a document and loads it. When that shows damage
// again the quarantine goes on, and the error is a *DamagedError.
func (h *Hub) Retry(ctx context.Context, document string) error {
	h.ward.release(document)
	h.countQuarantined()
	r := new(request)
	err := h.ask(ctx, document, cmdInspect, r)
	if err == nil {
		err = r.err
	}
	if q, ok := h.ward.of(document); ok && err != nil {
		return &DamagedError{q}
	}
	return err
}

// DamagedError: a document is quarantined.
type DamagedError struct{ Quarantined }

func (e *DamagedError) Error() string { return "the document is quarantined: " + e.Reason }

// damaged tells whether the error of a load shows damage, so that to load
// again would be in vain.
func (h *Hub) damaged(err error) bool {
	if h.opt.Damaged != nil {
		return h.opt.Damaged(err)
	}
	return errors.Is(err, persistence.ErrCorrupt)
}

// loadFailed notes a load that failed, and returns what its sessions are told.
func (h *Hub) loadFailed(d *document, err error) *EndError {
	h.opt.Logger.Error("the document could not be loaded", zap.String("document", d.name), zap.Error(err))
	if !h.damaged(err) {
		return endLoad
	}
	if h.ward.failed(d.name, err, h.opt.Now()) {
		h.opt.Metrics.QuarantinesTotal.Inc()
		h.opt.Logger.Error("the document is quarantined: it is damaged, and is not loaded any more until it is repaired or a retry is asked for",
			zap.String("document", d.name), zap.Error(err))
	}
	h.countQuarantined()
	if _, quarantined := h.ward.of(d.name); quarantined {
		return endQuarantined
	}
	return endLoad
}

// recovered ends whatever was noted of a document that loads, or is erased.
func (h *Hub) recovered(document string) {
	if h.ward.forget(document) {
		h.countQuarantined()
	}
}

func (h *Hub) countQuarantined() {
	h.opt.Metrics.QuarantinedDocuments.Set(float64(len(h.ward.all())))
}
