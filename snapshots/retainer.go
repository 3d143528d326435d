package snapshots

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"ysync/internal/metrics"
)

// Retainer thins out the history of all documents again and again, at a gentle
// pace. Keeper and Metrics are required. Several nodes may run one at the same
// time: what one has removed, the other does not find.
type Retainer struct {
	Keeper  *Keeper
	Metrics *metrics.Metrics
	// Policy says what is kept.
	Policy Policy
	// Every is the time from the end of a run over all documents to the next;
	// 0 means an hour.
	Every time.Duration
	// Pause is the time between two documents; 0 means 20 ms.
	Pause time.Duration
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Logger takes a line for every document that fails. Nil logs nothing.
	Logger *zap.Logger
	// Planned is told what would be done, and nothing is done, when it is set:
	// a dry run. A document that fails has an error instead.
	Planned func(Plan, error)
}

// RetentionRun is what a run over all documents did, or would do.
type RetentionRun struct {
	Documents int `json:"documents"`
	Failed    int `json:"failed"`
	// Swept counts files that erased documents had left.
	Swept        int   `json:"swept"`
	Written      int   `json:"written"`
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removedBytes"`
}

// Run runs until ctx ends, the first time at once. It returns ctx's error.
func (r *Retainer) Run(ctx context.Context) error {
	every := r.Every
	if every <= 0 {
		every = time.Hour
	}
	for {
		if _, err := r.Once(ctx); err != nil && ctx.Err() == nil {
			r.logger().Error("the history could not be thinned out", zap.Error(err))
		}
		if err := rest(ctx, every); err != nil {
			return err
		}
	}
}

// Once runs over all documents of the log. The error is that of the listing or
// the context; documents that fail are counted and logged.
func (r *Retainer) Once(ctx context.Context) (RetentionRun, error) {
	var run RetentionRun
	after := ""
	for {
		// A listing held open over hours would hold resources of the log.
		names, erased, err := r.Keeper.some(ctx, after)
		if err != nil || len(names) == 0 {
			if err == nil && r.Planned == nil {
				r.Metrics.RetentionDoneSeconds.Set(float64(r.now().Unix()))
			}
			return run, err
		}
		for i, name := range names {
			if err := rest(ctx, r.pause()); err != nil {
				return run, err
			}
			r.document(ctx, name, erased[i], &run)
		}
		after = names[len(names)-1]
	}
}

// listAtOnce is how many documents are listed at a time.
const listAtOnce = 500

// some lists the next documents, and which of them are erased.
func (k *Keeper) some(ctx context.Context, after string) (names []string, erased []bool, err error) {
	if k.log == nil {
		return nil, nil, ErrNoLog
	}
	for rec, err := range k.log.List(ctx, after) {
		if err != nil {
			return nil, nil, err
		}
		names, erased = append(names, rec.Document), append(erased, !rec.Tombstone.IsZero())
		if len(names) == listAtOnce {
			break
		}
	}
	return names, erased, nil
}

func (r *Retainer) document(ctx context.Context, name string, erased bool, run *RetentionRun) {
	run.Documents++
	began := r.now()
	var plan Plan
	var err error
	switch {
	case erased && r.Planned != nil:
		return
	case erased:
		swept := Erased{Document: name}
		err = r.Keeper.sweep(ctx, &swept)
		run.Swept += len(swept.Keys)
		r.Metrics.RetentionFilesTotal.WithLabelValues(metrics.RetentionSwept).Add(float64(len(swept.Keys)))
		r.Metrics.RetentionBytesTotal.Add(float64(swept.Bytes))
	case r.Planned != nil:
		plan, err = r.Keeper.PlanRetention(ctx, name, began, r.Policy)
	default:
		plan, err = r.Keeper.Retain(ctx, name, began, r.Policy)
	}
	if errors.Is(err, ErrNoDocument) {
		err = nil // a claim without an entry
	}
	if ctx.Err() != nil {
		return
	}
	if r.Planned != nil {
		r.Planned(plan, err)
	}
	if err != nil {
		run.Failed++
		r.logger().Error("the history of a document could not be thinned out", zap.String("document", name), zap.Error(err))
	} else {
		run.Written += len(plan.Write)
		run.Removed += plan.Removed
		run.RemovedBytes += plan.RemovedBytes
	}
	if r.Planned != nil {
		return
	}
	result := metrics.OK
	if err != nil {
		result = metrics.Failed
	} else {
		r.Metrics.RetentionFilesTotal.WithLabelValues(metrics.RetentionWrote).Add(float64(len(plan.Write)))
		r.Metrics.RetentionFilesTotal.WithLabelValues(metrics.RetentionRemoved).Add(float64(plan.Removed))
		r.Metrics.RetentionBytesTotal.Add(float64(plan.RemovedBytes))
	}
	r.Metrics.RetentionSeconds.WithLabelValues(result).Observe(r.now().Sub(began).Seconds())
}

func (r *Retainer) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Retainer) pause() time.Duration {
	if r.Pause > 0 {
		return r.Pause
	}
	return 20 * time.Millisecond
}

func (r *Retainer) logger() *zap.Logger {
	if r.Logger != nil {
		return r.Logger
	}
	return zap.NewNop()
}

// rest waits, or returns the context's error.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
