package crdt

// mergeLists merges two lists of blocks of one client, each in order and not
// overlapping in itself, as merging two updates does (Yjs: mergeUpdatesV2).
// secondFirst tells which one is in front if both start at the same clock. The
// second result tells whether the second list came to its end last.
func mergeLists(first, second []waitingBlock, secondFirst func() bool) (out []waitingBlock, secondLast bool) {
	a, b := first, second // a is in front
	swapped := false
	if len(a) > 0 && len(b) > 0 && a[0].clock == b[0].clock && secondFirst() {
		a, b, swapped = b, a, true
	}
	out = make([]waitingBlock, 0, len(first)+len(second))
	var cur waitingBlock // the last one of out
	take := func(w waitingBlock) { out, cur = append(out, w), w }
	for len(a) > 0 || len(b) > 0 {
		if len(a) == 0 || len(b) > 0 && comesBefore(b[0], a[0]) {
			a, b, swapped = b, a, !swapped
		}
		secondLast = swapped
		if len(out) == 0 {
			take(a[0])
			a = a[1:]
		} else {
			skipped := false
			for len(a) > 0 && a[0].end() <= cur.end() {
				a, skipped = a[1:], true
			}
			if len(a) == 0 || skipped && a[0].clock > cur.end() {
				continue
			}
			head := a[0]
			if head.clock < cur.end() {
				head = head.slice(cur.end() - head.clock)
			}
			if head.clock == cur.end() && cur.item == nil && head.item == nil {
				cur.length += head.length
				out[len(out)-1] = cur
				continue
			}
			take(head)
			a = a[1:]
		}
		for len(a) > 0 && a[0].clock == cur.end() {
			take(a[0])
			a = a[1:]
		}
	}
	return out, secondLast
}

// comesBefore tells whether the sort of Yjs puts b before a, which is in front
// of it. Of a gc block and an item at the same clock either comes before the
// other.
func comesBefore(b, a waitingBlock) bool {
	return b.clock < a.clock || b.clock == a.clock && (b.item == nil) != (a.item == nil)
}
