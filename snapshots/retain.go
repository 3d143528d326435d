package snapshots

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
)

// Retain applies a policy to the files of one document at time now, and returns
// what it did. First the points to keep get a snapshot, verified like every
// other, then those that were there are read whole, and only then segments and
// snapshots go, oldest first. It may be stopped anywhere and run again, and run
// beside the document's owner: it touches neither pointers nor the log.
//
// What stays, whatever its age: the two newest snapshots and those that the
// record points at, labelled ones, and all files after the second newest kept
// point before the full window.
//
// Errors: ErrNoLog when the log cannot be read; ErrCorrupt when damage hides
// what a kept point would have to hold: then nothing is removed.
func (k *Keeper) Retain(ctx context.Context, document string, now time.Time, policy Policy) (Plan, error) {
	plan, err := k.retain(ctx, document, now, policy)
	if err != nil {
		return plan, &DocumentError{"retain", document, err}
	}
	return plan, nil
}

func (k *Keeper) retain(ctx context.Context, document string, now time.Time, policy Policy) (Plan, error) {
	plan, thinnings, err := k.plan(ctx, document, now, policy)
	if err != nil || plan.Empty() {
		return plan, err
	}
	for _, t := range thinnings {
		if err := t.prepare(ctx, &plan); err != nil {
			return plan, err
		}
	}
	for i, r := range plan.Remove {
		if err := k.store.Delete(ctx, r.Key); err != nil {
			plan.Remove, plan.Removed = plan.Remove[:i], i
			return plan, err
		}
	}
	if plan.Removed > 0 || len(plan.Write) > 0 {
		k.logger.Info("history thinned", zap.String("document", document), zap.Int("written", len(plan.Write)),
			zap.Int("removed", plan.Removed), zap.Int64("bytes", plan.RemovedBytes))
	}
	return plan, nil
}

// prepare makes sure that every kept point up to the floor whose entries can
// still be read has a good snapshot: entries below the floor go, and so may the
// snapshots that it would be rebuilt from.
func (t *thinning) prepare(ctx context.Context, plan *Plan) error {
	touched := slices.ContainsFunc(plan.Remove, func(r Removal) bool { return r.Generation == t.generation }) ||
		slices.ContainsFunc(plan.Write, func(p PlannedPoint) bool { return p.Generation == t.generation })
	if t.dropped || !touched {
		return nil
	}
	oldest := t.oldest()
	writer := pointWriter{thinning: t}
	for _, p := range t.kept {
		if p.Position <= oldest {
			continue
		}
		err := t.verify(ctx, p.Position)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNewerFormat) {
			err = writer.write(ctx, p.Position)
		}
		if err != nil {
			return err
		}
	}
	if t.floor > oldest && len(t.kept) == 0 {
		if err := t.verify(ctx, t.floor); err != nil {
			return err
		}
	}
	going := slices.ContainsFunc(plan.Remove, func(r Removal) bool { return r.Generation == t.generation && r.Kind == kindSegment })
	if n := len(t.authorsFiles); going && (n == 0 || t.authorsFiles[n-1].to < t.floor) {
		if err := t.keepAuthors(ctx, t.floor); err != nil {
			return err
		}
	}
	if good, err := t.twoGood(ctx); good || err != nil {
		return err
	}
	if err := writer.write(ctx, t.newest); err != nil {
		return err
	}
	if good, err := t.twoGood(ctx); !good && err == nil {
		return fmt.Errorf("%w: fewer than two of the snapshots that would stay can be read", ErrCorrupt)
	} else {
		return err
	}
}

// twoGood tells whether two of the snapshots that stay are good.
func (t *thinning) twoGood(ctx context.Context) (bool, error) {
	found := 0
	var last persistence.Position
	for i := len(t.snapshots) - 1; i >= 0 && found < 2; i-- {
		f := &t.snapshots[i]
		if !f.headed || f.position == last && found > 0 || !t.stays(i) {
			continue
		}
		if t.verify(ctx, f.position) == nil {
			found, last = found+1, f.position
		} else if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return found == 2, nil
}

// pointWriter stores points in order, replaying the entries between them once.
type pointWriter struct {
	*thinning
	at *cursor
}

func (w *pointWriter) write(ctx context.Context, p persistence.Position) error {
	if err := w.move(ctx, p); err != nil {
		return err
	}
	h := SnapshotHeader{
		Document: w.document, Generation: w.generation, Epoch: w.record.Epoch, Position: p, Time: w.at.point.Time,
	}
	state := w.at.doc.AppendState(nil, crdt.V2)
	ptr, err := w.keeper.save(ctx, h, state)
	if errors.Is(err, ErrExists) || errors.Is(err, ErrVerify) && ctx.Err() == nil {
		// A damaged file is in the place. Nothing is lost with it.
		file, full, e := EncodeSnapshot(h, state)
		if e == nil {
			e = w.keeper.store.Delete(ctx, pointerTo(full, file).Key)
		}
		if e != nil {
			return e
		}
		ptr, err = w.keeper.save(ctx, h, state)
	}
	if err != nil {
		return err
	}
	w.keeper.logger.Debug("point stored", zap.String("document", w.document), zap.String("key", ptr.Key))
	h.Time = milli(h.Time)
	w.snapshots = append(w.snapshots, snapshotFile{
		keyPlace: keyPlace{w.generation, p, w.record.Epoch}, Object: Object{Key: ptr.Key}, header: h, headed: true,
	})
	sortSnapshots(w.snapshots)
	return nil
}

// move brings the cursor to a position, on from where it is if it can.
func (w *pointWriter) move(ctx context.Context, p persistence.Position) error {
	if w.at == nil {
		w.at = &cursor{trail: w.trail, options: replayOptions, point: Point{Document: w.document, Generation: w.generation}}
		return w.at.to(ctx, AtPosition(p))
	}
	for e, err := range w.read(ctx, w.at.point.Position, p) {
		if err == nil {
			err = w.at.apply(e)
		}
		if err != nil {
			return err
		}
	}
	if w.at.point.Position != p {
		return gap(w.document, w.at.point.Position+1)
	}
	return nil
}
