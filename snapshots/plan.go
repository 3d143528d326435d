package snapshots

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"golang.org/x/sync/errgroup"

	"ysync/persistence"
)

// headsAtOnce is how many headers are read at a time.
const headsAtOnce = 8

// PlanRetention computes what Retain would do, and changes nothing.
func (k *Keeper) PlanRetention(ctx context.Context, document string, now time.Time, policy Policy) (Plan, error) {
	plan, _, err := k.plan(ctx, document, now, policy)
	if err != nil {
		return plan, &DocumentError{"retain", document, err}
	}
	return plan, nil
}

// thinning is what is to be done to one generation.
type thinning struct {
	*trail
	// floor: everything after it stays as it is.
	floor persistence.Position
	// newest is the point at the beginning of the full window.
	newest persistence.Position
	// kept are the points up to the floor that have to stay, or to become, a
	// snapshot, in order.
	kept []PlannedPoint
	// dropped: the whole generation goes, but for labelled snapshots.
	dropped bool
}

func (k *Keeper) plan(ctx context.Context, document string, now time.Time, policy Policy) (Plan, []*thinning, error) {
	plan := Plan{Document: document}
	current, err := k.follow(ctx, document, 0)
	if err != nil {
		return plan, nil, err
	}
	if current.noLog != nil {
		// Without the record nobody knows what the log needs.
		return plan, nil, current.noLog
	}
	var thinnings []*thinning
	generations, err := k.generations(ctx, document)
	if err != nil {
		return plan, nil, err
	}
	for _, g := range generations {
		t := current
		if g != current.generation {
			if t, err = k.follow(ctx, document, g); err != nil {
				return plan, nil, err
			}
		}
		th := &thinning{trail: t}
		if err := th.plan(ctx, &plan, now, policy, g < current.generation); err != nil {
			return plan, nil, err
		}
		thinnings = append(thinnings, th)
	}
	return plan, thinnings, nil
}

// generations lists, in order, those of which there are files.
func (k *Keeper) generations(ctx context.Context, document string) ([]persistence.Generation, error) {
	var gs []persistence.Generation
	for o, err := range k.store.List(ctx, Folder(document)) {
		if err != nil {
			return nil, err
		}
		if p, ok := snapshotPlace(o.Key); ok {
			gs = append(gs, p.generation)
		} else if r, ok := segmentRange(o.Key); ok {
			gs = append(gs, r.generation)
		}
	}
	slices.Sort(gs)
	return slices.Compact(gs), nil
}

// plan adds what is to be done to one generation.
func (t *thinning) plan(ctx context.Context, plan *Plan, now time.Time, policy Policy, retired bool) error {
	if err := t.headers(ctx); err != nil {
		return err
	}
	if policy.Full > 0 {
		cut, err := t.cut(ctx, policy.cut(now))
		if err != nil {
			return err
		}
		if !retired {
			plan.Cut = cut
		}
		if t.dropped, err = t.expired(ctx, now, policy, retired); err != nil {
			return err
		}
		if err := t.choose(ctx, policy.slots(now, cut)); err != nil {
			return err
		}
	}
	stored := make(map[persistence.Position]bool)
	for _, f := range t.snapshots {
		if f.headed {
			stored[f.position] = true
		}
	}
	for _, p := range t.kept {
		if !stored[p.Position] && !t.dropped {
			plan.Write = append(plan.Write, p)
		}
	}
	for _, f := range t.segments {
		if t.dropped || f.to <= t.floor {
			plan.remove(Removal{f.key, f.size, kindSegment, f.generation, f.from, f.to})
		} else {
			plan.keep(f.size)
		}
	}
	for i, f := range t.authorsFiles {
		if t.dropped || len(t.authorsFiles)-i > keptAuthors {
			plan.remove(f.removal(t.generation))
		} else {
			plan.keep(f.Size)
		}
	}
	for i := range t.snapshots {
		f := &t.snapshots[i]
		switch {
		case !f.headed && f.position > t.oldest() && f.position < t.floor && !t.pointed(f.Key):
			// The points that stay are rebuilt from entries. Left behind, it
			// would look as if it might be one of them.
			plan.remove(Removal{f.Key, f.Size, kindSnapshot, f.generation, 0, f.position})
		case !f.headed:
			plan.Damaged = append(plan.Damaged, f.Key)
			plan.keep(f.Size)
		case t.stays(i):
			plan.keep(f.Size)
		default:
			plan.remove(Removal{f.Key, f.Size, kindSnapshot, f.generation, 0, f.position})
		}
	}
	return nil
}

// headers reads the headers of all snapshots.
func (t *trail) headers(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headsAtOnce)
	for i := range t.snapshots {
		g.Go(func() error {
			_, _, err := t.header(ctx, i)
			return err
		})
	}
	return g.Wait()
}

// cut moves a cut back so that no entry before it is in the log alone: only
// what segments hold can be judged.
func (t *thinning) cut(ctx context.Context, cut time.Time) (time.Time, error) {
	if t.record.Head <= t.record.Segmented {
		return cut, nil
	}
	for e, err := range t.keeper.log.Read(ctx, t.document, max(t.record.Segmented, t.record.Trimmed)) {
		if err != nil {
			return cut, err
		}
		if first := e.Time.Add(-time.Millisecond).Truncate(time.Hour); first.Before(cut) {
			cut = first
		}
		break
	}
	return cut, nil
}

// expired tells whether nothing of a retired generation is of interest any
// more.
func (t *thinning) expired(ctx context.Context, now time.Time, policy Policy, retired bool) (bool, error) {
	if !retired {
		return false, nil
	}
	oldest := now.Add(-max(policy.Full, policy.Hourly, policy.Daily))
	p, err := t.positionAt(ctx, oldest)
	return err == nil && p >= t.reach(), err
}

// choose settles which points are kept, and the floor: the second newest of
// those that are not in the full window. So the entries reach back to the second
// newest snapshot before the window, and no moment in it hangs on one file.
func (t *thinning) choose(ctx context.Context, slots []time.Time) error {
	var points []PlannedPoint
	for _, at := range slots {
		p, err := t.positionAt(ctx, at)
		if err != nil {
			return err
		}
		if n := len(points); n > 0 && points[n-1].Position == p {
			points[n-1].For = at
		} else if p > 0 {
			points = append(points, PlannedPoint{t.generation, p, at})
		}
	}
	if len(points) == 0 {
		return nil
	}
	t.newest = points[len(points)-1].Position
	points = points[:len(points)-1]
	if n := len(points); n > 0 {
		t.floor = points[n-1].Position
	} else {
		for _, f := range t.snapshots {
			if f.headed && f.position < t.newest {
				t.floor = f.position
			}
		}
	}
	t.kept = points
	return nil
}

// oldest is the position after which entries can be read, at most the floor.
func (t *thinning) oldest() persistence.Position {
	p := t.floor
	for _, f := range t.segments {
		p = min(p, f.from)
	}
	return p
}

// pointed tells whether the record points at a file.
func (t *thinning) pointed(key string) bool {
	return key == t.record.Snapshot.Key || key == t.record.Previous.Key
}

// stays tells whether a snapshot stays.
func (t *thinning) stays(i int) bool {
	f := &t.snapshots[i]
	if f.header.Label != "" {
		return true
	}
	if t.dropped {
		return false
	}
	if f.position >= t.floor || t.pointed(f.Key) {
		return true
	}
	if slices.ContainsFunc(t.kept, func(p PlannedPoint) bool { return p.Position == f.position }) {
		return true
	}
	newer := 0 // good ones that are newer
	for _, g := range t.snapshots[i+1:] {
		if g.headed && g.position > f.position {
			newer++
		}
	}
	return newer < 2
}

// positionAt is the position of the state at a time, as far as snapshots and
// segments tell.
func (t *trail) positionAt(ctx context.Context, at time.Time) (persistence.Position, error) {
	var p persistence.Position
	n, err := t.until(ctx, at)
	if err != nil {
		return 0, err
	}
	for i := n - 1; i >= 0; i-- {
		if t.snapshots[i].headed {
			p = t.snapshots[i].position
			break
		}
	}
	n = sort.Search(len(t.segments), func(i int) bool {
		h, e := t.segmentHeader(ctx, i)
		if e != nil {
			err = e
		}
		return e != nil || h.First.After(at)
	})
	if err != nil {
		return 0, err
	}
	for i := n - 1; i >= 0; i-- {
		f := &t.segments[i]
		if f.to <= p {
			continue
		}
		if !f.header.Last.After(at) && f.headed {
			p = f.to
			continue
		}
		h, err := t.segmentHeader(ctx, i)
		if err != nil {
			return 0, err
		}
		if !h.Last.After(at) {
			p = f.to
			continue
		}
		entries, err := t.keeper.entriesOf(ctx, t.document, *f)
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			if !e.Time.After(at) {
				p = max(p, e.Position)
			}
		}
	}
	return p, nil
}

// segmentHeader reads the header of a segment, once. A damaged one is an error:
// no file goes while it is not known what the ones next to it have to make up
// for.
func (t *trail) segmentHeader(ctx context.Context, i int) (SegmentHeader, error) {
	f := &t.segments[i]
	if f.headed {
		return f.header, nil
	}
	head, err := t.keeper.store.Head(ctx, f.key, headBytes)
	if err == nil {
		f.header, err = DecodeSegmentHeader(head)
	}
	if err != nil {
		return SegmentHeader{}, &FileError{f.key, err}
	}
	if f.header.Document != t.document || f.header.Generation != t.generation || f.header.From != f.from || f.header.To != f.to {
		return SegmentHeader{}, &FileError{f.key, corrupt("it holds %q, generation %d, (%d, %d]",
			f.header.Document, f.header.Generation, f.header.From, f.header.To)}
	}
	f.headed = true
	return f.header, nil
}

// verify reads a point that is to stand for what goes, whole.
func (t *trail) verify(ctx context.Context, p persistence.Position) error {
	var faults error
	for i := range t.snapshots {
		f := &t.snapshots[i]
		if f.position != p || !f.headed {
			continue
		}
		_, state, err := t.state(ctx, f)
		if err == nil {
			err = decodes(state)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		f.damaged, f.headed = true, false
		t.keeper.damaged(t.document, f.pointer(), err, "snapshot unusable, the history before it is not thinned by it")
		faults = err
	}
	if faults == nil {
		faults = ErrNotFound
	}
	return fmt.Errorf("no good snapshot at position %d: %w", p, faults)
}
