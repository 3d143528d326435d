package crdt

// client holds the blocks of one client, in clock order.
type client struct {
	id     ClientID
	blocks blockIndex
	// state is the clock after the last block: exclusive, it names the next
	// block, never an existing one.
	state     uint32
	touchedAt uint32 // place in Txn.touched of the newest transaction, if the client is there
	// deleted are the deleted clocks.
	deleted growingRanges
	// name is the varuint of id, the first byte lowest.
	name uint64
}

// noClient stands for those that are not known. It is shared and must not be
// written to.
var noClient client

// clientFor returns the number of a client, giving it one as needed.
func (d *Doc) clientFor(id ClientID) clientRef {
	if c := d.findClient(id); c != 0 {
		return c
	}
	c := clientRef(len(d.clients))
	cl := &client{id: id}
	cl.setName()
	d.clients = append(d.clients, cl)
	d.lastClient = c
	switch {
	case c > few+1:
		d.index.clients.add(uint32(c), d.hashClient)
	case c > few:
		x := d.indexed()
		x.clients = refTable{}
		for c := 1; c < len(d.clients); c++ {
			x.clients.add(uint32(c), d.hashClient)
		}
	}
	return c
}

func (d *Doc) hashClient(c uint32) uint64 { return hashNumber(uint64(d.clients[c].id)) }

// findClient returns the number of a client; 0 when it has none.
func (d *Doc) findClient(id ClientID) clientRef {
	if c := d.lastClient; c != 0 && d.clients[c].id == id {
		return c
	}
	if len(d.clients) > few+1 {
		c := clientRef(d.index.clients.find(hashNumber(uint64(id)), func(c uint32) bool { return d.clients[c].id == id }))
		if c != 0 {
			d.lastClient = c
		}
		return c
	}
	for c := 1; c < len(d.clients); c++ {
		if d.clients[c].id == id {
			d.lastClient = clientRef(c)
			return d.lastClient
		}
	}
	return 0
}

// state is the clock after the last known unit of a client (Yjs: getState).
func (d *Doc) state(id ClientID) uint32 {
	return d.clients[d.findClient(id)].state
}

// blockAt returns the block that holds a known unit (Yjs: getItem).
func (d *Doc) blockAt(u unitID) itemRef {
	x := &d.clients[u.client].blocks
	return x.at(x.find(u.clock)).ref
}

// publicID turns an interned ID into a public one.
func (d *Doc) publicID(u unitID) ID {
	return ID{d.clients[u.client].id, Clock(u.clock)}
}

// appendBlock adds a block at the end of its client (Yjs: addStruct).
func (d *Doc) appendBlock(r itemRef) {
	it := d.item(r)
	c := d.clients[it.client]
	c.blocks.append(blockEntry{it.clock, r})
	c.state = it.clock + it.length
}

// cleanStart returns the block that starts at a known unit, splitting an item
// as needed; a gc block is returned as it is (Yjs: getItemCleanStart).
func (tx *Txn) cleanStart(u unitID) itemRef {
	d := tx.doc
	x := &d.clients[u.client].blocks
	p := x.find(u.clock)
	r := x.at(p).ref
	it := d.item(r)
	if it.clock < u.clock && !it.isGC() {
		return tx.splitAt(r, p, u.clock-it.clock)
	}
	return r
}

// cleanEnd returns the block that ends with a known unit, splitting an item
// as needed; a gc block is returned as it is (Yjs: getItemCleanEnd).
func (tx *Txn) cleanEnd(u unitID) itemRef {
	d := tx.doc
	x := &d.clients[u.client].blocks
	p := x.find(u.clock)
	r := x.at(p).ref
	it := d.item(r)
	if u.clock != it.clock+it.length-1 && !it.isGC() {
		tx.splitAt(r, p, u.clock-it.clock+1)
	}
	return r
}

// split cuts an item after diff units, 0 < diff < length, and returns the
// right part; r stays the left one (Yjs: splitItem).
func (tx *Txn) split(r itemRef, diff uint32) itemRef {
	it := tx.doc.item(r)
	return tx.splitAt(r, tx.doc.clients[it.client].blocks.find(it.clock), diff)
}

// splitAt is split for the block at a place in the index of its client.
func (tx *Txn) splitAt(r itemRef, p blockPos, diff uint32) itemRef {
	d := tx.doc
	n := d.slab.alloc()
	left, right := d.item(r), d.item(n)
	*right = item{
		clock:       left.clock + diff,
		length:      left.length - diff,
		left:        r,
		right:       left.right,
		client:      left.client,
		chain:       left.chain,
		origin:      unitID{left.client, left.clock + diff - 1},
		rightOrigin: left.rightOrigin,
		kind:        left.kind,
		flags:       left.flags & (flagDeleted | flagKeep | flagCopy),
	}
	d.splitContent(left, right, diff)
	if left.flags&flagRedone != 0 {
		id := d.redone[r]
		id.Clock += Clock(diff)
		d.setRedone(n, id)
	}
	left.right = n
	left.length = diff
	if right.right != 0 {
		d.item(right.right).left = n
	} else if ch := d.chain(right.chain); ch.key != 0 {
		ch.last = n
	}
	tx.mergeLater(right.id())
	d.clients[right.client].blocks.insertAfter(p, blockEntry{right.clock, n})
	switch ch := d.chain(right.chain); {
	case ch.key != 0:
		// Values of a key with several units are deleted, or about to be by the
		// update that brought them; a damaged update may forget to.
		tx.deleteItem(r)
	case d.branch(ch.branch).flags&branchIndexed != 0:
		d.types.itemSplit(d, r, n)
	}
	return n
}

// setRedone notes which item redid r.
func (d *Doc) setRedone(r itemRef, id ID) {
	if d.redone == nil {
		d.redone = make(map[itemRef]ID)
	}
	d.redone[r] = id
	d.item(r).flags |= flagRedone
}
