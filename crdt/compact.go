package crdt

// Compact joins updates into one with the same effect, as Merge does, and joins
// the blocks that continue one another: many single keystrokes become one
// block. It needs no document, so what the updates depend on may be elsewhere.
// The result may hold skips and then is not for clients. Errors are those of Merge.
func Compact(v Version, updates ...[]byte) ([]byte, error) {
	return mergeUpdates(v, updates, rawWriter{e: newEncoder(v, nil), joins: true})
}

// continues tells whether b is the next part of the run that a began
// (Yjs: Item.mergeWith without the links, which units of one run always have).
func (a *rawBlock) continues(b *rawBlock) bool {
	if a.client != b.client || a.end() != b.clock || a.kind != b.kind {
		return false
	}
	if a.kind == kindGC || a.kind == kindSkip {
		return true
	}
	return a.kind.mergeable() && b.hasOrigin && b.origin == ID{a.client, Clock(a.end() - 1)} &&
		a.hasRight == b.hasRight && a.right == b.right &&
		!(a.kind == kindString && cutBetween(a.data, b.data))
}

// extend appends b to a, whose data must be its own.
func (a *rawBlock) extend(b *rawBlock) {
	a.length += b.length
	a.data = append(a.data, b.data...)
}
