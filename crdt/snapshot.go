package crdt

import (
	"errors"
	"fmt"
)

// Snapshot names a moment of a document: what was known then and what of it was deleted
// (Yjs: Snapshot). It holds no content. A document that keeps what is deleted can show itself as it
// was at a snapshot of its past. The zero value is the moment before the first edit
// (Yjs: emptySnapshot).
type Snapshot struct {
	State   StateVector
	Deletes IDSet
}

// Snapshot is the moment that the document is at (Yjs: snapshot). What is pending is not part of it.
// It takes time in proportion to the clients and the deleted ranges.
func (d *Doc) Snapshot() Snapshot { return Snapshot{d.StateVector(), d.Deletes()} }

// Equal tells whether both are the same moment (Yjs: equalSnapshots).
func (s Snapshot) Equal(other Snapshot) bool {
	return s.State.Equal(other.State) && s.Deletes.Equal(&other.Deletes)
}

// Shows tells whether a unit was there and not deleted (Yjs: isVisible).
func (s Snapshot) Shows(id ID) bool {
	return id.Clock < s.State.Get(id.Client) && !s.Deletes.Contains(id)
}

// ContainsUpdate tells whether everything that an update brings and deletes was known at the moment
// (Yjs: snapshotContainsUpdate). A skip in the update counts as if it brought its clocks. Errors are
// those of Merge; unlike Yjs, it reads the update to its end before it answers, and keeps none of it.
func (s Snapshot) ContainsUpdate(v Version, update []byte) (bool, error) {
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return false, err
	}
	known := true
	var b rawBlock
	for r.next(&b) {
		known = known && Clock(b.end()) <= s.State.Get(b.client)
	}
	var run deleteRun
	for r.nextDelete(&run) {
		known = known && s.Deletes.covers(run)
	}
	return known && r.check() == nil, r.check()
}

// AppendSnapshot appends a snapshot (Yjs: encodeSnapshot, encodeSnapshotV2).
func AppendSnapshot(dst []byte, v Version, s Snapshot) []byte {
	return AppendStateVector(AppendIDSet(dst, v, &s.Deletes), s.State)
}

// DecodeSnapshot reads a snapshot (Yjs: decodeSnapshot, decodeSnapshotV2). It allocates at most
// eight times the input and 64 KiB. Bytes after it are ignored, as in Yjs. The error wraps an *UpdateError, whose
// offset counts from the start of b. Clients with the clock 0, which no document writes, are dropped.
func DecodeSnapshot(v Version, b []byte) (Snapshot, error) {
	deletes, rest, err := readIDSet(v, b)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot: delete set: %w", err)
	}
	state, err := DecodeStateVector(b[rest:])
	if err != nil {
		var at *UpdateError
		if errors.As(err, &at) {
			at.Offset += rest
		}
		return Snapshot{}, fmt.Errorf("snapshot: %w", err)
	}
	return Snapshot{state, deletes}, nil
}

// Lost are the units that s shows and this document has no content for: those it does not know and
// those it has collected. A view at s is complete if there are none. It takes time in proportion to
// the blocks up to s.
func (d *Doc) Lost(s Snapshot) IDSet {
	var lost IDSet
	for id, clock := range s.State.All() {
		cl := d.clients[d.findClient(id)]
		for e := range cl.blocks.all() {
			it := d.item(e.ref)
			if Clock(it.clock) >= clock {
				break
			}
			if it.isGC() || it.kind == kindDeleted {
				lost.pushSome(deleteRun{id, Range{Clock(it.clock), min(Clock(it.end()), clock)}})
			}
		}
		lost.pushSome(deleteRun{id, Range{Clock(cl.state), clock}})
	}
	lost.normalise()
	lost.Subtract(&s.Deletes)
	return lost
}
