package hub

import (
	"strconv"
	"time"

	"go.uber.org/zap"

	"ysync/internal/tracing"
)

// maxBatch bounds the commands of one step, so that a busy document lets
// others have their turn; their bytes are bounded by the inbox.
const maxBatch = 512

// runner is a goroutine that steps documents. Its buffers serve them all.
type runner struct {
	hub   *Hub
	batch [maxBatch]command
	slow  []command
	fx    effects
	turns uint64
}

// run takes documents from the queue until it is closed.
func (h *Hub) run() {
	r := &runner{hub: h}
	for d := h.queue.pop(); d != nil; d = h.queue.pop() {
		r.turn(d)
		if d.rest() {
			h.queue.push(d)
		}
	}
}

// turn steps a document with what is in its inbox.
func (r *runner) turn(d *document) {
	h := r.hub
	n, bytes, since := d.take(r.batch[:])
	if n == 0 {
		return
	}
	now := h.opt.Now()
	h.opt.Metrics.QueueSeconds.Observe(now.Sub(since).Seconds())
	in := input{now: now, commands: r.batch[:n], readOnly: h.commit.readOnly.Load(), full: h.commit.full()}
	r.step(d, in)
	r.heat(d, n, bytes, now)
	if h.opt.Tracer != nil {
		d.traced.turn(r.batch[:n], d.core)
	}
	if !now.Before(d.slowAt) && d.core != nil {
		d.slowAt = now.Add(h.limits.SlowReader / 4)
		if r.findSlow(d, now); len(r.slow) > 0 {
			in.commands = r.slow
			r.step(d, in)
			clear(r.slow)
		}
	}
	clear(r.batch[:n])
}

// timedTurns is one in how many turns is timed: the clock costs as much as a
// small step.
const timedTurns = 8

// longTurn is what makes a document one whose turns take long, until one takes half of
// it. A turn of so many bytes is timed in any case, and so are those of such documents.
const (
	longTurn      = time.Millisecond
	longTurnBytes = 4 << 10
)

// heat counts a turn that began at start.
func (r *runner) heat(d *document, commands, bytes int, start time.Time) {
	var took, counted time.Duration
	r.turns++
	sampled, long := r.turns%timedTurns == 0, d.long.Load()
	if sampled || long || bytes >= longTurnBytes {
		took = r.hub.opt.Now().Sub(start)
		if long {
			d.long.Store(took >= longTurn/2)
		} else if took >= longTurn {
			d.long.Store(true)
		}
	}
	if sampled {
		counted = timedTurns * took
	}
	d.heat.note(commands, len(r.fx.out), counted)
	if d.core != nil {
		d.sessions.Store(int64(len(d.core.subs)))
	}
}

// findSlow collects a command for every reader that takes nothing.
func (r *runner) findSlow(d *document, now time.Time) {
	r.slow = r.slow[:0]
	for _, s := range d.core.subs {
		if s.group == nil && s.out.stuck(now, r.hub.limits.SlowReader) {
			r.slow = append(r.slow, command{kind: cmdSlow, sub: s})
		}
	}
}

// step runs one step and its effects.
func (r *runner) step(d *document, in input) {
	if d.core == nil {
		return
	}
	r.fx.reset()
	d.core.step(in, &r.fx)
	d.noteUnsegmented(d.core.stored.unsegmented)
	d.noteSize(d.core.doc)
	r.apply(d, in.now)
}

func (r *runner) apply(d *document, now time.Time) {
	h, fx := r.hub, &r.fx
	if fx.seed != "" {
		h.commit.seed(d, fx.seed)
	}
	if len(fx.log) > 0 {
		h.commit.add(d, fx.logFrom, fx.log)
	}
	if fx.claim {
		h.commit.own(d)
	}
	if fx.hurry {
		h.commit.hurry()
	}
	for i := range fx.quarantine {
		q := &fx.quarantine[i]
		if h.sick.add(d.name, q, now) {
			h.work.Go(h.storeRefused)
		}
		h.opt.Metrics.QuarantinedTotal.Inc()
		h.opt.Logger.Warn("an update was refused", zap.String("document", d.name),
			zap.Uint64("session", q.sub.peer.Session), zap.String("reason", q.reason), zap.Int("bytes", len(q.update)))
	}
	// Who lags is told so by what is appended meanwhile.
	for i := 0; i < len(fx.out); i++ {
		dl := &fx.out[i]
		if dl.sub.group != nil {
			if dl.sub.group.put(dl, d.core.version, &h.limits) {
				d.core.lagging(dl.sub)
			}
			continue
		}
		wake, full := dl.sub.out.push(dl.item, &h.limits)
		if wake {
			dl.sub.wake()
		}
		if full {
			d.core.lagging(dl.sub)
		}
	}
	h.opt.Metrics.DeliveriesTotal.Add(float64(len(fx.out)))
	for _, e := range fx.ends {
		h.finish(e.sub, e.why)
		h.opt.Metrics.EndsTotal.WithLabelValues(strconv.Itoa(e.why.Code)).Inc()
		if e.why.Code == CodeSlow {
			h.opt.Metrics.SlowReadersTotal.Inc()
		}
		h.opt.Logger.Info("subscription ended", zap.String("document", d.name),
			zap.Uint64("session", e.sub.peer.Session), zap.Int("code", e.why.Code), zap.String("reason", e.why.Reason))
	}
	if len(fx.ends) > 0 {
		d.wakeSenders()
	}
	for _, a := range fx.answers {
		a.request.finish(a.err)
	}
	if fx.job != nil {
		h.startJob(d, fx.job, d.traced.stored(h.opt.Tracer))
	}
	if fx.release != nil {
		epoch := *fx.release
		h.work.Go(func() { h.endClaim(d, epoch) })
	}
	switch {
	case fx.drop != nil:
		r.drop(d, fx.drop)
	case fx.unload && h.remove(d, endRestart, ifIdle):
		h.forget(d)
	case !fx.wake.IsZero():
		h.timers.set(d, fx.wake)
	}
}

// drop forgets a document that this process does not own any more.
func (r *runner) drop(d *document, why *EndError) {
	h := r.hub
	h.forget(d)
	h.remove(d, why.toNewcomers(), always)
	if why == endMoved {
		h.opt.Metrics.FencedTotal.Inc()
	}
	log := h.opt.Logger.Error
	switch why {
	case endErased, endReset:
		log = h.opt.Logger.Info
	case endHandedOver:
		log = h.opt.Logger.Debug
	}
	log("the document was dropped", zap.String("document", d.name), zap.String("reason", why.Reason))
}

// forget drops the core of a document that is being removed.
func (h *Hub) forget(d *document) {
	h.commit.forget(d)
	h.count.presence.Sub(float64(d.core.presence.Len()))
	d.core.stored.note(h.count, false)
	d.core = nil
}

// coreOptions are what a core needs to know of the hub.
func (h *Hub) coreOptions() coreOptions {
	return coreOptions{
		limits:           &h.limits,
		count:            h.count,
		snapshotInterval: h.opt.SnapshotInterval,
		segmentInterval:  h.opt.SegmentInterval,
		idleUnload:       h.opt.IdleUnload,
	}
}

// startJob does a job in a goroutine of its own, as soon as there is a slot.
func (h *Hub) startJob(d *document, j *job, span *tracing.Span) {
	done := make(chan struct{})
	d.mu.Lock()
	d.job = done
	d.mu.Unlock()
	h.work.Go(func() {
		defer close(done)
		select {
		case h.jobs <- struct{}{}:
			span.Text("document", d.name).Int("position", int(j.position)).Int("bytes", len(j.state))
			h.doJob(d, j)
			<-h.jobs
		case <-h.ctx.Done():
			j.err = h.ctx.Err()
		}
		span.Fail(j.err).End()
		d.post(command{kind: cmdJobDone, job: j})
	})
}

// since is for histograms.
func since(h *Hub, start time.Time) float64 { return h.opt.Now().Sub(start).Seconds() }
