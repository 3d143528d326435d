package snapshots

import (
	"context"
	"fmt"

	"ysync/crdt"
)

// Span is a document at the later of two moments that still shows what it was
// at the earlier one.
type Span struct {
	// Doc is the document at To; it keeps what was deleted since From.
	Doc *crdt.Doc
	// From and To are the two moments as they were reached.
	From, To Point
	// Before and After are the same as snapshots of Doc, for the methods of its
	// types that take one.
	Before, After crdt.Snapshot
}

// Between is the document at two moments at once, so that the difference can
// be read. It costs what At costs for each, whatever lies between them, and
// needs nothing of what lies between. Content that came and went in between is
// not in it. ErrMoment when from is not before to, or they are in different
// generations; the rest as At.
func (k *Keeper) Between(ctx context.Context, document string, from, to Moment, opts AtOptions) (*Span, error) {
	s, err := k.between(ctx, document, from, to, opts)
	if err != nil {
		return nil, &DocumentError{"between", document, err}
	}
	return s, nil
}

func (k *Keeper) between(ctx context.Context, document string, from, to Moment, opts AtOptions) (*Span, error) {
	t, err := k.trailTo(ctx, document, to)
	if err != nil {
		return nil, err
	}
	if from.generation == 0 && from.kind != momentPosition {
		first, err := k.trailTo(ctx, document, from)
		if err != nil {
			return nil, err
		}
		from.generation = first.generation
	}
	if from.generation != 0 && from.generation != t.generation {
		return nil, fmt.Errorf("%w: generations %d and %d, parted by a reset, have no content in common", ErrMoment, from.generation, t.generation)
	}
	later, after, err := t.at(ctx, to, AtOptions{Salvage: opts.Salvage})
	if err != nil {
		return nil, err
	}
	opts.KeepDeleted = true
	doc, before, err := t.at(ctx, from, opts)
	if err != nil {
		return nil, err
	}
	if before.Position > after.Position {
		return nil, fmt.Errorf("%w: position %d is not before %d", ErrMoment, before.Position, after.Position)
	}
	s := &Span{Doc: doc, From: before, To: after, Before: doc.Snapshot(), After: later.Snapshot()}
	// A state knows everything before it: what the earlier one lacks is what
	// came since, and its deletions fall on content that the earlier one has.
	if _, err := doc.Apply(nil, crdt.V2, later.AppendStateDiff(nil, crdt.V2, doc.StateVector())); err != nil {
		return nil, fmt.Errorf("%w: the later state does not follow from the earlier one: %w", ErrCorrupt, err)
	}
	return s, nil
}
