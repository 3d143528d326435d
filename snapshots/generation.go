package snapshots

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ysync/persistence"
)

// cutOff tells whether a file that begins a generation is of a reset that never
// happened: another one, under a newer claim, began the generation. began is
// the epoch of that claim, 0 for the first generation.
func cutOff(position persistence.Position, e, began persistence.Epoch) bool {
	return position == persistence.FirstOfReset && e < began
}

// newestGeneration is the newest of which there are files, when no record tells.
// One that a reset began does not count if the generation before went on under a
// newer claim than the reset's: then the reset was cut off.
func newestGeneration(snapshots []snapshotFile, segments []segmentFile, retired []retiredFile) persistence.Generation {
	last := make(map[persistence.Generation]persistence.Epoch)
	for _, f := range snapshots {
		last[f.generation] = max(last[f.generation], f.epoch)
	}
	for _, f := range segments {
		last[f.generation] = max(last[f.generation], f.epoch)
	}
	var newest persistence.Generation
	for g := range last {
		newest = max(newest, g)
	}
	for ; newest > 1; newest-- {
		began, ok := newestRetired(retired, newest)
		if !ok || last[newest-1] <= began.epoch {
			break
		}
	}
	return newest
}

// trailTo opens the trail on which a moment lies: the newest generation, or for
// a time or a label, if it was before that began, an older one.
func (k *Keeper) trailTo(ctx context.Context, document string, m Moment) (*trail, error) {
	t, err := k.follow(ctx, document, m.generation)
	if err != nil || m.generation != 0 {
		return t, err
	}
	newest := t
	for t.generation > 1 {
		before, err := t.before(ctx, m)
		if err != nil {
			return nil, err
		}
		if !before {
			return t, nil
		}
		older := t.generation - 1
		for ; older > 0; older-- {
			t, err = k.follow(ctx, document, older)
			if !errors.Is(err, ErrNoDocument) {
				break
			}
			if m.kind == momentTime {
				return nil, fmt.Errorf("%w: nothing is left of generation %d", ErrThinned, older)
			}
		}
		switch {
		case older == 0:
			return newest, nil
		case err != nil:
			return nil, err
		}
	}
	return t, nil
}

// before tells whether a moment is in an older generation than that of t.
func (t *trail) before(ctx context.Context, m Moment) (bool, error) {
	switch m.kind {
	case momentTime:
		began, err := t.began(ctx)
		return err == nil && m.at.Before(began), err
	case momentLabel:
		for i := range t.snapshots {
			if h, ok, err := t.header(ctx, i); err != nil || ok && h.Label == m.label {
				return false, err
			}
		}
		return true, nil
	}
	return false, nil
}

// began is when a reset began the generation, as far as can be told.
func (t *trail) began(ctx context.Context) (time.Time, error) {
	if t.retired.Key != "" {
		head, err := t.keeper.store.Head(ctx, t.retired.Key, headBytes)
		var h retiredHeader
		if err == nil {
			var header []byte
			if header, _, err = openHeader(retiredMagic, head); err == nil {
				h, err = readRetiredHeader(header)
			}
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrNewerFormat) {
			return h.at, err
		}
		t.keeper.damaged(t.document, persistence.Pointer{Key: t.retired.Key}, err, "retired clients unreadable")
	}
	for i := range t.snapshots {
		if h, ok, err := t.header(ctx, i); err != nil || ok {
			return h.Time, err
		}
	}
	return time.Time{}, nil
}
