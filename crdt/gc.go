package crdt

// collect drops the content of what the transaction deleted
// (Yjs: tryGcDeleteSet). Kept items stay.
func (tx *Txn) collect() {
	d := tx.doc
	for _, r := range tx.deletes {
		x := &d.clients[r.client].blocks
		for e := range x.from(x.find(r.clock)) {
			if e.clock >= r.clock+r.length {
				break
			}
			if it := d.item(e.ref); !it.isGC() && it.deleted() && !it.keep() {
				d.collectItem(it)
			}
		}
	}
}

// collectItem turns a deleted item into one without content; below a type,
// items become gc blocks (Yjs: Item.gc).
func (d *Doc) collectItem(it *item) {
	if it.kind == kindType {
		d.collectBranch(it.branch())
	}
	d.dropContent(it)
	it.kind = kindDeleted
}

// collectBranch turns everything below a type into gc blocks
// (Yjs: ContentType.gc).
func (d *Doc) collectBranch(b branchRef) {
	stack := []branchRef{b}
	for len(stack) > 0 {
		b, stack = stack[len(stack)-1], stack[:len(stack)-1]
		br := d.branch(b)
		if br.flags&branchIndexed != 0 {
			d.types.branchCollected(d, b)
		}
		br.flags |= branchCollected
		if br.seq != 0 {
			stack = d.collectChain(br.seq, stack)
		}
		for c := br.firstKey; c != 0; {
			stack = d.collectChain(c, stack)
			if br.keyChains > few {
				d.index.chains.remove(uint32(c), d.hashChain)
			}
			c = d.chains[c].nextKey
		}
		br.seq, br.firstKey, br.lastKey, br.keyChains = 0, 0, 0, 0
	}
}

func (d *Doc) collectChain(c chainRef, stack []branchRef) []branchRef {
	ch := d.chain(c)
	for r := ch.first; r != 0; {
		it := d.item(r)
		next := it.right
		if b := it.branch(); b != 0 {
			stack = append(stack, b)
		}
		if it.flags&flagRedone != 0 {
			delete(d.redone, r)
		}
		d.dropContent(it)
		*it = item{clock: it.clock, length: it.length, client: it.client, kind: kindGC, flags: flagDeleted}
		r = next
	}
	ch.first, ch.last = 0, 0
	return stack
}
