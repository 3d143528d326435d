package hub

import (
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"ysync/crdt"
)

// sizes are what a document takes, for those who look from outside its runner.
type sizes struct {
	bytes, live, deleted atomic.Int64
	// told: the operator knows that the document is past a mark. Owned by the
	// runner.
	told bool
	// counted is how large the document was when its units were counted last.
	// Owned by the runner.
	counted int
}

// DocumentSize is what a document in memory takes.
type DocumentSize struct {
	Document string
	// Bytes is about how much memory.
	Bytes int64
	// Live and Deleted are units (see crdt.Units), counted when the document
	// was loaded and whenever it has grown by an eighth since.
	Live, Deleted int64
}

// Largest returns up to n documents in memory that take most of it, the
// largest first.
func (h *Hub) Largest(n int) []DocumentSize {
	var all []DocumentSize
	h.each(func(d *document) {
		if bytes := d.sizes.bytes.Load(); bytes > 0 {
			all = append(all, DocumentSize{d.name, bytes, d.sizes.live.Load(), d.sizes.deleted.Load()})
		}
	})
	slices.SortFunc(all, func(a, b DocumentSize) int { return int(b.Bytes - a.Bytes) })
	return all[:min(n, len(all))]
}

// note keeps the size of a document after a step or a load, and tells the
// operator when it passes a mark.
func (d *document) noteSize(doc *crdt.Doc) {
	s, bytes := &d.sizes, doc.Bytes()
	s.bytes.Store(int64(bytes))
	if grown := bytes - s.counted; s.counted > 0 && grown <= s.counted/8 && -grown <= s.counted/8 {
		return
	}
	units := doc.Units()
	s.live.Store(int64(units.Live))
	s.deleted.Store(int64(units.Deleted))
	s.counted = max(bytes, 1)
	limits := &d.hub.limits
	large, worn := s.past(limits)
	if !s.told && (large || worn) {
		d.hub.opt.Logger.Warn("the document is past a mark", zap.String("document", d.name),
			zap.Int("bytes", bytes), zap.Int("mark_bytes", limits.LargeBytes),
			zap.Uint64("live_units", units.Live), zap.Uint64("deleted_units", units.Deleted), zap.Int("mark_deleted_per_live", limits.DeletedPerLive))
	}
	s.told = large || worn
}

// leastDeleted is how many units must be deleted before the ratio to those that
// live means anything.
const leastDeleted = 100_000

// past tells whether the document is past the mark of its size, and of the
// units deleted for each that lives.
func (s *sizes) past(l *Limits) (large, worn bool) {
	deleted := s.deleted.Load()
	return s.bytes.Load() > int64(l.LargeBytes), deleted >= leastDeleted && deleted/int64(l.DeletedPerLive) > s.live.Load()
}
