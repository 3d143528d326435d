package hub

import (
	"slices"

	"ysync/internal/tracing"
	"ysync/persistence"
)

// traced are the messages of one document that are followed: those that the log
// does not have yet, and those whose commits no snapshot or segment holds yet. It
// is owned by the runner of the moment.
type traced struct {
	waiting   []tracedEntry
	committed []*tracing.Span
}

type tracedEntry struct {
	version persistence.Position
	span    *tracing.Span
}

// maxTraced bounds those that wait for the log, and those that wait to be stored.
const maxTraced = 64

// stored begins the span of a job, which is linked with what it stores: the spans
// of those messages are over, and may be of many traces.
func (t *traced) stored(tracer *tracing.Tracer) *tracing.Span {
	links := t.committed
	t.committed = nil
	return tracer.Start(tracing.Store, links...)
}

// turn ends the spans of a batch that was stepped, begins those of the commits
// that they wait for, and ends those that the log has. c is nil when the
// document was dropped.
func (t *traced) turn(batch []command, c *core) {
	for i := range batch {
		s := batch[i].span
		if s == nil {
			continue
		}
		s.Text("kind", batch[i].message.String()).Int("batch", len(batch))
		if c != nil && c.committed < c.version && len(t.waiting) < maxTraced {
			t.waiting = append(t.waiting, tracedEntry{c.version, s.Child(tracing.Commit).Int("version", int(c.version))})
		}
		s.End()
	}
	t.waiting = slices.DeleteFunc(t.waiting, func(e tracedEntry) bool {
		over := c == nil || e.version <= c.committed
		if over {
			e.span.End()
			if c != nil && len(t.committed) < maxTraced {
				t.committed = append(t.committed, e.span)
			}
		}
		return over
	})
}
