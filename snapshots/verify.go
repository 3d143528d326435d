package snapshots

import (
	"bytes"
	"context"
	"fmt"

	"ysync/crdt"
	"ysync/persistence"
)

// summary is what a state is compared by after a repair.
type summary struct {
	states  crdt.StateVector
	deletes crdt.IDSet
	pending crdt.Pending
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

// decodes tells whether a state (update V2) applies to an empty document, and the
// document knows what the bytes say without one. They count blocks that wait, so
// that the two only have to agree when none does.
func decodes(state []byte) error {
	doc := replayDoc()
	if _, err := doc.Apply(nil, crdt.V2, state); err != nil {
		return fmt.Errorf("the state does not apply: %w", err)
	}
	states, err := crdt.StateVectorOf(crdt.V2, state)
	if err != nil {
		return err
	}
	if pending := doc.Pending(); pending.Empty() && !states.Equal(doc.StateVector()) {
		return fmt.Errorf("the document has another state vector than its bytes")
	}
	return nil
}

// verifySnapshot reads the object at p back and compares it with what was to be
// written: header, digest, and the bytes of the state, which were seen to decode.
func (k *Keeper) verifySnapshot(ctx context.Context, p persistence.Pointer, h SnapshotHeader, want []byte) error {
	got, state, err := k.fetch(ctx, p)
	if err != nil {
		return err
	}
	if got != h {
		return fmt.Errorf("the header reads back as %+v, written was %+v", got, h)
	}
	if !bytes.Equal(state, want) {
		return fmt.Errorf("the state reads back otherwise")
	}
	return nil
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
