package crdt

import (
	"fmt"
	"slices"

	"ysync/internal/lib0"
)

// Check verifies the invariants of the package comment: every block, link,
// length and chain, the delete set, what waits, what undoing keeps, the indexes of
// positions and the bytes of all content. It returns the first fault. It
// walks the whole document and allocates in proportion to it.
func (d *Doc) Check() error {
	seen := make(map[itemRef]bool, d.slab.live)
	total := 0
	for c := 1; c < len(d.clients); c++ {
		if err := d.checkClient(clientRef(c), seen); err != nil {
			return err
		}
		total += d.clients[c].blocks.len()
	}
	if total != int(d.slab.live) {
		return fmt.Errorf("%d blocks in the index, %d in the slab", total, d.slab.live)
	}
	chained := 0
	for b := 1; b < len(d.branches); b++ {
		n, err := d.checkBranch(branchRef(b), seen)
		if err != nil {
			return fmt.Errorf("type %d: %w", b, err)
		}
		chained += n
	}
	for r := range seen {
		if !d.item(r).isGC() {
			chained--
		}
	}
	if chained != 0 {
		return fmt.Errorf("%d items too many in chains", chained)
	}
	if err := d.checkUndo(seen); err != nil {
		return err
	}
	if err := d.pending.check(d); err != nil {
		return fmt.Errorf("pending: %w", err)
	}
	if err := d.types.check(d); err != nil {
		return err
	}
	return d.checkArena()
}

// checkClient verifies the index of a client and its share of the delete set.
func (d *Doc) checkClient(ref clientRef, seen map[itemRef]bool) error {
	c := d.clients[ref]
	if err := c.blocks.check(); err != nil {
		return fmt.Errorf("client %d: %w", c.id, err)
	}
	var clock uint32
	var deleted ranges
	i := -1
	for e := range c.blocks.all() {
		it := d.item(e.ref)
		i++
		switch {
		case seen[e.ref]:
			return fmt.Errorf("block %d of client %d: item %d is used twice", i, c.id, e.ref)
		case it.flags&flagFree != 0:
			return fmt.Errorf("block %d of client %d: item %d is free", i, c.id, e.ref)
		case it.clock != e.clock || e.clock != clock || it.client != ref || it.length == 0:
			return fmt.Errorf("block %d of client %d: clock %d, index %d, want %d", i, c.id, it.clock, e.clock, clock)
		case it.isGC() && (it.chain != 0 || !it.deleted()):
			return fmt.Errorf("block %d of client %d: gc block with a chain", i, c.id)
		case !it.isGC() && it.chain == 0:
			return fmt.Errorf("block %d of client %d: item without a chain", i, c.id)
		case it.kind == kindDeleted && !it.deleted():
			return fmt.Errorf("block %d of client %d: collected item is not deleted", i, c.id)
		}
		if it.kind == kindString {
			if n := lib0.UTF16Len(d.data(it)); n != int(it.length) {
				return fmt.Errorf("block %d of client %d: text of %d units, length %d", i, c.id, n, it.length)
			}
		}
		seen[e.ref] = true
		clock += it.length
		if it.deleted() {
			deleted.add(it.clock, it.end())
		}
	}
	if clock != c.state {
		return fmt.Errorf("client %d: state %d, blocks end at %d", c.id, c.state, clock)
	}
	if have := c.deleted.settled(); !slices.Equal(have, deleted) {
		return fmt.Errorf("client %d: delete set %v, blocks say %v", c.id, have, deleted)
	}
	return nil
}

// checkBranch verifies the chains of a type and returns how many items they hold.
func (d *Doc) checkBranch(b branchRef, seen map[itemRef]bool) (int, error) {
	br := d.branch(b)
	parentGone := false
	if br.item != 0 {
		it := d.item(br.item)
		parentGone = it.deleted() || it.isGC()
	}
	total, length := 0, uint32(0)
	if br.seq != 0 {
		n, l, err := d.checkChain(br.seq, b, 0, parentGone, seen)
		if err != nil {
			return 0, fmt.Errorf("sequence: %w", err)
		}
		total, length = n, l
	}
	if length != br.length && br.flags&branchCollected == 0 {
		return 0, fmt.Errorf("length %d, items have %d", br.length, length)
	}
	keys := uint32(0)
	for c := br.firstKey; c != 0; c = d.chains[c].nextKey {
		k := d.chains[c].key
		if d.findChain(b, k) != c {
			return 0, fmt.Errorf("key %q: chain is not in the index", d.key(k))
		}
		n, _, err := d.checkChain(c, b, k, parentGone, seen)
		if err != nil {
			return 0, fmt.Errorf("key %q: %w", d.key(k), err)
		}
		total += n
		keys++
	}
	if min(keys, few+1) != uint32(br.keyChains) {
		return 0, fmt.Errorf("%d keys, want %d", keys, br.keyChains)
	}
	return total, nil
}

// checkChain verifies the links of a chain; it returns how many items and
// countable units that are not deleted it holds.
func (d *Doc) checkChain(c chainRef, b branchRef, k keyRef, parentGone bool, seen map[itemRef]bool) (int, uint32, error) {
	ch := d.chain(c)
	if ch.branch != b || ch.key != k {
		return 0, 0, fmt.Errorf("chain %d belongs to type %d, key %d", c, ch.branch, ch.key)
	}
	n, length, left := 0, uint32(0), itemRef(0)
	for r := ch.first; r != 0; r = d.item(r).right {
		it := d.item(r)
		switch {
		case !seen[r]:
			return 0, 0, fmt.Errorf("item %d is linked but in no index", r)
		case it.left != left:
			return 0, 0, fmt.Errorf("item %d: left is %d, want %d", r, it.left, left)
		case it.chain != c:
			return 0, 0, fmt.Errorf("item %d: chain %d, want %d", r, it.chain, c)
		case parentGone && !it.deleted():
			return 0, 0, fmt.Errorf("item %d lives below a deleted type", r)
		case k != 0 && it.right != 0 && !it.deleted():
			return 0, 0, fmt.Errorf("item %d is not the value of its key but lives", r)
		case n > int(d.slab.live):
			return 0, 0, fmt.Errorf("chain does not end")
		}
		if bb := it.branch(); bb != 0 && d.branch(bb).item != r {
			return 0, 0, fmt.Errorf("item %d: its type is carried by item %d", r, d.branch(bb).item)
		}
		if it.countable() && !it.deleted() {
			length += it.length
		}
		left = r
		n++
	}
	if k != 0 && ch.last != left {
		return 0, 0, fmt.Errorf("last item is %d, want %d", ch.last, left)
	}
	return n, length, nil
}

// checkArena verifies that no two items share bytes and that the dead ones are
// counted.
func (d *Doc) checkArena() error {
	live := 0
	for c := range d.clients {
		for e := range d.clients[c].blocks.all() {
			it := d.item(e.ref)
			if it.size == 0 || it.kind == kindType {
				continue
			}
			if s := d.seam; (it.kind == kindAny || it.kind == kindJSON) && it.id() == s.id && s.units <= it.length &&
				len(skipValues(d.data(it), s.units)) != int(it.size-s.bytes) {
				return fmt.Errorf("item %d: value %d is not at byte %d", e.ref, s.units, s.bytes)
			}
			if int(it.off)+int(it.size) > len(d.arena.buf) {
				return fmt.Errorf("item %d: content beyond the arena", e.ref)
			}
			live += int(it.capacity())
		}
	}
	if live+int(d.arena.dead) != len(d.arena.buf) {
		return fmt.Errorf("arena of %d bytes: %d live, %d dead", len(d.arena.buf), live, d.arena.dead)
	}
	return nil
}
