package snapshots

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// Point is a place in the history of a document.
type Point struct {
	Document   string
	Generation persistence.Generation
	// Position is the newest log entry that the state contains.
	Position persistence.Position
	// Time is that of this entry, the zero time for the empty document.
	Time time.Time
	// Base is the position of the stored snapshot that the entries up to
	// Position were replayed on; 0 when it was none.
	Base persistence.Position
	// Replayed is how many entries that were.
	Replayed int
	// Short is nil when this is the moment asked for, and else why it is an
	// earlier one, the newest that can be reached: ErrThinned, ErrNoLog, or
	// with AtOptions.Salvage ErrCorrupt.
	Short error
}

// AtOptions modify At. The zero value is the usual.
type AtOptions struct {
	// KeepDeleted keeps the content that entries after the stored snapshot
	// delete, so that the document can show itself as it was before.
	KeepDeleted bool
	// Salvage gives the newest state before damage that hides the moment asked
	// for, instead of an error; Point.Short then wraps ErrCorrupt.
	Salvage bool
}

// At is the document as it was at a moment: the newest good snapshot stored
// before it, with the entries up to it applied. Damaged snapshots are logged,
// reported to Options.Damaged and passed over. The log is not needed where
// segments reach; without it, Point.Short says that there may have been more.
//
// A time within the part of history that retention has thinned gives the newest
// kept point before it, and Point.Short is ErrThinned unless it is exactly one.
//
// Errors: ErrNoDocument, persistence.ErrErased, ErrMoment for a position ahead
// of the newest or a label that no snapshot has, ErrThinned for a position that
// is no kept point, ErrCorrupt where damaged files hide the moment,
// ErrNewerFormat.
func (k *Keeper) At(ctx context.Context, document string, m Moment, opts AtOptions) (*crdt.Doc, Point, error) {
	doc, p, err := k.at(ctx, document, m, opts)
	if err != nil {
		return nil, p, &DocumentError{"at", document, err}
	}
	return doc, p, nil
}

func (k *Keeper) at(ctx context.Context, document string, m Moment, opts AtOptions) (*crdt.Doc, Point, error) {
	t, err := k.trailTo(ctx, document, m)
	if err != nil {
		return nil, Point{Document: document}, err
	}
	return t.at(ctx, m, opts)
}

// at is Keeper.at on a trail that is open.
func (t *trail) at(ctx context.Context, m Moment, opts AtOptions) (*crdt.Doc, Point, error) {
	c := cursor{trail: t, salvage: opts.Salvage, point: Point{Document: t.document, Generation: t.generation}}
	c.options = replayOptions
	c.options.KeepDeleted = opts.KeepDeleted
	err := c.to(ctx, m)
	return c.doc, c.point, err
}

// cursor is a document that moves along a trail.
type cursor struct {
	trail   *trail
	options crdt.Options
	salvage bool
	doc     *crdt.Doc
	point   Point
	// hidden are the faults of snapshots that were passed over.
	hidden []error
}

// to moves to a moment.
func (c *cursor) to(ctx context.Context, m Moment) error {
	t := c.trail
	end := t.reach()
	below, err := c.below(ctx, &m)
	if err != nil {
		return err
	}
	if m.kind == momentPosition && m.position > end && t.noLog == nil {
		return fmt.Errorf("%w: position %d, the newest is %d", ErrMoment, m.position, end)
	}
	if err := c.base(ctx, below); err != nil {
		return err
	}
	if m.kind == momentPosition {
		end = min(end, m.position)
	}
	passed := false // an entry beyond the moment was seen
	for e, err := range t.read(ctx, c.point.Position, end) {
		if err == nil && m.kind == momentTime && e.Time.After(m.at) {
			passed = true
			break
		}
		if err == nil {
			err = c.apply(e)
		}
		if err != nil {
			return c.short(m, err)
		}
	}
	switch {
	case m.kind == momentPosition && c.point.Position < m.position && t.noLog != nil:
		c.point.Short = t.noLog
	case m.kind == momentPosition && c.point.Position < m.position:
		return c.short(m, gap(t.document, c.point.Position+1))
	case m.kind != momentPosition && !passed:
		c.point.Short = t.noLog
	}
	if c.point.Short == nil && c.point.Position < end && !passed {
		return c.short(m, gap(t.document, c.point.Position+1))
	}
	return nil
}

// below is how many of the snapshots are not newer than the moment. A label
// becomes the position that it stands for.
func (c *cursor) below(ctx context.Context, m *Moment) (int, error) {
	t := c.trail
	switch m.kind {
	case momentLabel:
		for i := len(t.snapshots) - 1; i >= 0; i-- {
			if h, ok, err := t.header(ctx, i); err != nil {
				return 0, err
			} else if ok && h.Label == m.label {
				*m = AtPosition(h.Position).In(m.generation)
				return c.below(ctx, m)
			}
		}
		return 0, fmt.Errorf("%w: no snapshot has the label %q", ErrMoment, m.label)
	case momentPosition:
		return sort.Search(len(t.snapshots), func(i int) bool { return t.snapshots[i].position > m.position }), nil
	case momentTime:
		return t.until(ctx, m.at)
	}
	return len(t.snapshots), nil
}

// until is how many of the snapshots are of time at or before; times grow with
// positions, so that a few headers tell.
func (t *trail) until(ctx context.Context, at time.Time) (int, error) {
	var failed error
	n := sort.Search(len(t.snapshots), func(i int) bool {
		// A header that cannot be read is judged by the next one before it.
		for ; i >= 0 && failed == nil; i-- {
			h, ok, err := t.header(ctx, i)
			if err != nil {
				failed = err
			} else if ok {
				return h.Time.After(at)
			}
		}
		return false
	})
	return n, failed
}

// header reads the header of a snapshot, once; ok is false when it is damaged
// or gone.
func (t *trail) header(ctx context.Context, i int) (h SnapshotHeader, ok bool, err error) {
	f := &t.snapshots[i]
	if f.damaged || f.headed {
		return f.header, f.headed, nil
	}
	head, err := t.keeper.store.Head(ctx, f.Key, headBytes)
	if err == nil {
		f.header, err = DecodeSnapshotHeader(head)
	}
	if err == nil && (f.header.Document != t.document || f.header.Generation != t.generation || f.header.Position != f.position) {
		err = corrupt("it holds %q, generation %d, position %d", f.header.Document, f.header.Generation, f.header.Position)
	}
	switch {
	case err == nil:
		f.headed = true
		return f.header, true, nil
	case ctx.Err() != nil, errors.Is(err, ErrNewerFormat):
		return h, false, err
	}
	f.damaged = true
	t.keeper.damaged(t.document, f.pointer(), err, "snapshot unusable, passed over")
	return h, false, nil
}

func (f *snapshotFile) pointer() persistence.Pointer {
	return persistence.Pointer{Position: f.position, Key: f.Key}
}

// base begins with the newest readable of the first snapshots, or with the
// empty document.
func (c *cursor) base(ctx context.Context, below int) error {
	t := c.trail
	for i := below - 1; i >= 0; i-- {
		f := &t.snapshots[i]
		h, state, err := t.state(ctx, f)
		if err == nil {
			c.doc = crdt.New(c.options)
			if _, err = c.doc.Apply(nil, crdt.V2, state); err != nil {
				err = &FileError{f.Key, corrupt("its state does not apply: %v", err)}
			}
		}
		switch {
		case err == nil:
			c.point.Position, c.point.Base, c.point.Time = h.Position, h.Position, h.Time
			return nil
		case ctx.Err() != nil, errors.Is(err, ErrNewerFormat):
			return err
		}
		if !f.damaged {
			t.keeper.damaged(t.document, f.pointer(), err, "snapshot unusable, falling back to an older one")
		}
		f.damaged = true
		c.hidden = append(c.hidden, err)
	}
	c.doc = crdt.New(c.options)
	return nil
}

// state reads a whole snapshot and checks that it is what its key says.
func (t *trail) state(ctx context.Context, f *snapshotFile) (SnapshotHeader, []byte, error) {
	file, err := t.keeper.store.Get(ctx, f.Key, maxFileBytes)
	if err != nil {
		return SnapshotHeader{}, nil, err
	}
	h, state, err := DecodeSnapshot(file)
	if err == nil && (h.Document != t.document || h.Generation != t.generation || h.Position != f.position) {
		err = corrupt("it holds %q, generation %d, position %d", h.Document, h.Generation, h.Position)
	}
	if err != nil {
		return SnapshotHeader{}, nil, &FileError{f.Key, err}
	}
	return h, state, nil
}

// apply moves on by one entry.
func (c *cursor) apply(e persistence.Entry) error {
	if _, err := c.doc.Apply(nil, crdt.V1, e.Update); err != nil {
		return fmt.Errorf("%w: entry %d does not apply: %w", ErrCorrupt, e.Position, err)
	}
	c.point.Position, c.point.Time = e.Position, e.Time
	c.point.Replayed++
	return nil
}

// short decides what to make of a moment that cannot be reached: err says why
// the entry after the present point cannot be read.
func (c *cursor) short(m Moment, err error) error {
	if len(c.hidden) > 0 && errors.Is(err, ErrThinned) {
		// A file that is damaged, not retention, hides the moment.
		err = fmt.Errorf("%w: %w", ErrCorrupt, errors.Join(append(c.hidden, err)...))
	}
	switch {
	case errors.Is(err, ErrCorrupt), errors.Is(err, persistence.ErrCorrupt):
		if !c.salvage {
			return err
		}
	case errors.Is(err, ErrNoLog):
	case !errors.Is(err, ErrThinned) || m.kind == momentPosition:
		return err
	case m.kind == momentTime && c.point.Replayed == 0 && c.point.Time.Equal(m.at) && c.point.Base > 0:
		return nil // a kept point, asked for by its time
	}
	c.point.Short = err
	return nil
}
