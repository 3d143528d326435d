package crdt

import "iter"

// MentionsOf yields the clients that an update speaks of: those of its blocks,
// of the blocks that these stand next to or inside of, and of what it deletes;
// some several times. A state vector tells only of the first. It reads an
// update without keeping any of it; a bad one ends with an error, one of those
// of Merge.
func MentionsOf(v Version, update []byte) iter.Seq2[ClientID, error] {
	return func(yield func(ClientID, error) bool) {
		r, err := newUpdateReader(v, update, 0)
		if err != nil {
			yield(0, err)
			return
		}
		var b rawBlock
		for r.next(&b) {
			if !yield(b.client, nil) ||
				b.hasOrigin && b.origin.Client != b.client && !yield(b.origin.Client, nil) ||
				b.hasRight && !yield(b.right.Client, nil) ||
				b.hasParent && !yield(b.parent.Client, nil) {
				return
			}
		}
		var run deleteRun
		for r.nextDelete(&run) {
			if !yield(run.client, nil) {
				return
			}
		}
		if err := r.check(); err != nil {
			yield(0, err)
		}
	}
}
