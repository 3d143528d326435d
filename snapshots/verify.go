package snapshots

import (
	"context"
	"fmt"

	"ysync/crdt"
	"ysync/persistence"
)

// summary is what a state is compared by after a round through the store.
type summary struct {
	states  crdt.StateVector
	deletes crdt.IDSet
	pending crdt.Pending
}

// summarize decodes a state (update V2) into a fresh document.
func summarize(state []byte) (summary, error) {
	doc := replayDoc()
	if _, err := doc.Apply(nil, crdt.V2, state); err != nil {
		return summary{}, fmt.Errorf("the state does not apply: %w", err)
	}
	return summary{doc.StateVector(), doc.Deletes(), doc.Pending()}, nil
}

// difference names the first thing in which two summaries differ, or is nil.
func (s summary) difference(other summary) error {
	switch {
	case !s.states.Equal(other.states):
		return fmt.Errorf("the state vectors differ")
	case !s.deletes.Equal(&other.deletes):
		return fmt.Errorf("the delete sets differ")
	case s.pending.Blocks != other.pending.Blocks, s.pending.Deletes != other.pending.Deletes,
		!s.pending.Missing.Equal(other.pending.Missing):
		return fmt.Errorf("what is pending differs: %+v, %+v", s.pending, other.pending)
	}
	return nil
}

// verifySnapshot reads the object at p back and compares it with what was to be
// written. Header, digest and bytes have to match, and the state has to decode
// into a document that knows, has deleted and waits for the same.
func (k *Keeper) verifySnapshot(ctx context.Context, p persistence.Pointer, h SnapshotHeader, want summary) error {
	got, state, err := k.fetch(ctx, p)
	if err != nil {
		return err
	}
	if got != h {
		return fmt.Errorf("the header reads back as %+v, written was %+v", got, h)
	}
	back, err := summarize(state)
	if err != nil {
		return err
	}
	// The state vector once more, out of the bytes without a document. It
	// counts blocks that wait, so that it only has to agree when none does.
	if states, err := crdt.StateVectorOf(crdt.V2, state); err != nil {
		return err
	} else if back.pending.Empty() && !states.Equal(back.states) {
		return fmt.Errorf("the document has another state vector than its bytes")
	}
	return want.difference(back)
}

// verifySegment reads a segment back and compares it entry by entry.
func (k *Keeper) verifySegment(ctx context.Context, key string, h SegmentHeader, want []persistence.Entry) error {
	got, entries, err := k.fetchSegment(ctx, key)
	if err != nil {
		return err
	}
	if got != h {
		return fmt.Errorf("the header reads back as %+v, written was %+v", got, h)
	}
	if len(entries) != len(want) {
		return fmt.Errorf("%d entries read back, %d were written", len(entries), len(want))
	}
	for i := range want {
		if !sameEntry(entries[i], want[i]) {
			return fmt.Errorf("entry %d reads back otherwise", want[i].Position)
		}
	}
	return nil
}
