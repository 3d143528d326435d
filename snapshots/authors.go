package snapshots

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ysync/crdt"
	"ysync/persistence"
)

// Authors knows who made and who deleted the units of a document, as far as
// the entries tell. It is not safe for use by several goroutines.
type Authors struct {
	// From and To are the positions of the entries that it knows of: From+1 … To.
	// Of what came before only the client IDs are known by those who used them
	// again.
	From, To persistence.Position

	bound     map[crdt.ClientID]string
	delivered claims
	deleted   claims
}

// Author says who made a unit.
type Author struct {
	// Subject is the one to whom the client ID is bound: the author of the first
	// update that holds blocks of this client and of no other. "" in open mode,
	// or when Known is false.
	Subject string
	// Known is whether the client ID is bound.
	Known bool
	// DeliveredBy is who first sent the unit, when the client ID is not bound:
	// somebody who synchronised what others had made.
	DeliveredBy string
}

// Authors reads the entries of a document up to a position and learns from them
// who wrote and who deleted what. deletedAfter is the position from which on
// deletions are of interest; a deletion that came twice is of the first who
// sent it after that. Memory grows with the client IDs and the deleted ranges.
//
// Who wrote what retention has removed the entries of is kept; who deleted
// something there is not. From tells where knowledge begins.
func (k *Keeper) Authors(
	ctx context.Context, document string, generation persistence.Generation, deletedAfter, to persistence.Position,
) (*Authors, error) {
	t, err := k.follow(ctx, document, generation)
	if err == nil {
		var a *Authors
		if a, err = t.authors(ctx, deletedAfter, to); err == nil {
			return a, nil
		}
	}
	return nil, &DocumentError{"authors", document, err}
}

func (t *trail) authors(ctx context.Context, deletedAfter, to persistence.Position) (*Authors, error) {
	a, err := t.storedAuthors(ctx)
	if err != nil {
		return nil, err
	}
	// Of the entries that the file speaks for only the deletions are asked.
	known, began := a.To, persistence.Position(0)
	defer func() {
		if began > known {
			a.From = began
		}
	}()
	for e, err := range t.readOn(ctx, min(known, deletedAfter), min(to, t.reach()), &began) {
		if err != nil {
			return nil, err
		}
		if err := a.learn(e, e.Position > deletedAfter); err != nil {
			return nil, err
		}
		a.To = max(a.To, e.Position)
	}
	return a, nil
}

// learn takes in an entry; entries come in order.
func (a *Authors) learn(e persistence.Entry, deletes bool) error {
	c, err := crdt.ContentsOf(crdt.V1, e.Update)
	if err != nil {
		return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, e.Position, err)
	}
	live := c.Blocks.Clients() == 1
	for client, r := range c.Blocks.All() {
		if _, ok := a.bound[client]; ok {
			continue
		}
		if live {
			a.bound[client] = e.Author
		} else {
			a.delivered.add(client, r, e.Author)
		}
	}
	if deletes {
		for client, r := range c.Deletes.All() {
			a.deleted.add(client, r, e.Author)
		}
	}
	return nil
}

// Wrote says who made a unit, and up to which clock of the same client the
// answer is the same.
func (a *Authors) Wrote(id crdt.ID) (by Author, until crdt.Clock) {
	if s, ok := a.bound[id.Client]; ok {
		return Author{Subject: s, Known: true}, math.MaxUint64
	}
	s, _, until := a.delivered.find(id)
	return Author{DeliveredBy: s}, until
}

// Deleted says who deleted a unit, if somebody did, and up to which clock of
// the same client the answer is the same.
func (a *Authors) Deleted(id crdt.ID) (subject string, ok bool, until crdt.Clock) {
	return a.deleted.find(id)
}

// readOn is read that goes on behind what is missing; began is set to where
// the last piece without a gap begins.
func (t *trail) readOn(
	ctx context.Context, after, to persistence.Position, began *persistence.Position,
) func(func(persistence.Entry, error) bool) {
	return func(yield func(persistence.Entry, error) bool) {
		*began = after
		at := after
		for {
			var fault error
			for e, err := range t.read(ctx, at, to) {
				if err != nil {
					fault = err
					break
				}
				at = e.Position
				if !yield(e, nil) {
					return
				}
			}
			switch {
			case fault == nil, errors.Is(fault, ErrNoLog):
				return
			case ctx.Err() != nil, !errors.Is(fault, ErrThinned) && !errors.Is(fault, ErrCorrupt):
				yield(persistence.Entry{}, fault)
				return
			}
			// Damage was logged when it was found; what lies behind it counts
			// all the same.
			t.damage = nil
			next := t.next(at)
			if next >= to || next == at {
				return
			}
			at = next
			*began = at
		}
	}
}
