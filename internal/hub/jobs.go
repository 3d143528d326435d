package hub

import (
	"go.uber.org/zap"

	"ysync/internal/fault"
	"ysync/internal/metrics"
)

// doJob stores a snapshot or segments. Every pointer is written through the
// log's epoch check, after what it points to was verified, so a job that
// outlives its document's ownership changes nothing.
func (h *Hub) doJob(d *document, j *job) {
	fail := func(what string, err error) {
		if j.err == nil {
			j.err = err
		}
		h.opt.Logger.Error(what, zap.String("document", d.name), zap.Uint64("position", uint64(j.position)), zap.Error(err))
	}
	if j.kind == jobSnapshot || j.kind == jobReset && j.position > j.record.Snapshot.Position {
		start := h.opt.Now()
		p, err := h.opt.Snapshots.Save(h.ctx, j.record, j.position, j.at, j.label, j.state)
		if err == nil && j.position > j.record.Snapshot.Position {
			fault.Reach(fault.BeforePointer)
			err = h.opt.Log.SetSnapshot(h.ctx, d.name, j.record.Epoch, p)
		}
		if err != nil {
			h.opt.Metrics.SnapshotSeconds.WithLabelValues(metrics.Failed).Observe(since(h, start))
			fail("the snapshot could not be stored", err)
		} else {
			h.opt.Metrics.SnapshotSeconds.WithLabelValues(metrics.OK).Observe(since(h, start))
			h.opt.Metrics.SnapshotBytes.Add(float64(len(j.state)))
			j.pointer = p
			fault.Reach(fault.AfterPointer)
		}
	}
	if j.position > j.record.Segmented {
		start := h.opt.Now()
		to, err := h.opt.Snapshots.Segment(h.ctx, j.record, j.position)
		if err == nil && to > j.record.Segmented {
			fault.Reach(fault.AfterSegment)
			err = h.opt.Log.SetSegmented(h.ctx, d.name, j.record.Epoch, to)
		}
		if err != nil {
			h.opt.Metrics.SegmentSeconds.WithLabelValues(metrics.Failed).Observe(since(h, start))
			fail("the history segment could not be stored", err)
		} else {
			h.opt.Metrics.SegmentSeconds.WithLabelValues(metrics.OK).Observe(since(h, start))
			j.segmented = to
		}
	}
	if j.kind == jobReset {
		if j.err == nil {
			h.renew(d, j)
		}
		j.state = nil
		return
	}
	j.state = nil
	if j.pointer.Position <= j.record.Snapshot.Position || j.record.Snapshot.IsZero() {
		return
	}
	rec := j.record
	rec.Previous, rec.Snapshot = rec.Snapshot, j.pointer
	rec.Segmented = max(rec.Segmented, j.segmented)
	upTo := h.opt.Snapshots.Trimmable(h.ctx, rec)
	if fault.Active(fault.TrimTooEarly) {
		if newest, err := h.opt.Log.Open(h.ctx, d.name); err == nil {
			upTo = newest.Head
		}
	}
	if upTo <= rec.Trimmed {
		return
	}
	fault.Reach(fault.BeforeTrim)
	if err := h.opt.Log.Trim(h.ctx, d.name, j.record.Epoch, upTo); err != nil {
		fail("the log could not be trimmed", err)
		return
	}
	j.trimmed = upTo
	fault.Reach(fault.AfterTrim)
}

// renew begins the next generation, after what was before is stored.
func (h *Hub) renew(d *document, j *job) {
	fields := []zap.Field{
		zap.String("document", d.name), zap.String("author", j.by.Author),
		zap.Uint64("generation", uint64(j.record.Generation)+1), zap.Uint64("position", uint64(j.position)),
	}
	p, err := h.opt.Snapshots.Renew(h.ctx, j.record, j.reset.from, j.state, j.retired, j.by)
	if err == nil {
		fault.Reach(fault.BeforeReset)
		err = h.opt.Log.Reset(h.ctx, d.name, j.record.Epoch, j.position, p)
		fault.Reach(fault.AfterReset)
		if err != nil {
			// The record tells. A reset by another would be under a newer claim.
			rec, unread := h.opt.Log.Open(h.ctx, d.name)
			if unread == nil && rec.Generation > j.record.Generation && rec.Snapshot == p {
				err = nil
			}
		}
	}
	if err != nil {
		j.err, j.unclear = err, true
		h.opt.Logger.Error("the document could not be reset", append(fields, zap.Error(err))...)
		return
	}
	j.generation = j.record.Generation + 1
	h.opt.Logger.Info("the document was reset", fields...)
}
