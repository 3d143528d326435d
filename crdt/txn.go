package crdt

import "slices"

// Txn is one transaction on a Doc: a group of changes with one Commit. It is
// valid only within the function it was given to.
type Txn struct {
	// Origin is what Apply or Transact was given: who caused the change.
	Origin any

	doc   *Doc
	epoch uint64
	// local is false for changes that came in as an update.
	local bool
	err   error // the first operation that failed; later ones do nothing

	// touched are the clients that got blocks.
	touched []touchedClient
	// deletes are the units deleted, in order of deletion; sorted and merged
	// at phase 1 of the commit.
	deletes []deleteRange
	// condemned says that an item with content was deleted.
	condemned bool
	// tidy says that the deletes are sorted, merged and in the delete set of the
	// document, and that there is nothing to collect or to merge.
	tidy bool
	// deleteOrder are the clients of deletes in order of their first deletion,
	// kept for cleanFormats when there are several.
	deleteOrder []clientRef
	// mergeIDs are blocks to merge with their neighbours at the commit
	// (Yjs: _mergeStructs).
	mergeIDs []unitID

	// tracked says that changed is kept.
	tracked bool
	// changed are the types that were modified and existed before, in order,
	// with what changed of them (Yjs: Transaction.changed). A type's place is in
	// branch.changedAt.
	changed      []*changedType
	changedOrder []branchRef
	firstChanged changedType // the first of changed: most transactions change one type
	// called are those of them whose observers were called, in order.
	called []branchRef
	// events are, for those of called that somebody observed, what they got.
	events []*Event
	// observed says that all observers were called: events are frozen.
	observed bool

	// formatCleanup asks for phase 3 (Yjs: _needFormattingCleanup).
	formatCleanup bool

	// subdocs are the changes of references to other documents; nil for none.
	subdocs *subdocChanges

	// firstBranch is the number of the first type made in the transaction.
	firstBranch branchRef

	commit Commit
}

// changedType says what of a type changed.
type changedType struct {
	seq  bool // the sequence
	keys []keyRef
	has  map[keyRef]struct{} // the keys, once there are more than few
}

func (ct *changedType) addKey(k keyRef) {
	n := len(ct.keys)
	if n > few {
		ct.has[k] = struct{}{}
		if len(ct.has) > n {
			ct.keys = append(ct.keys, k)
		}
		return
	}
	if slices.Contains(ct.keys, k) {
		return
	}
	if ct.keys = append(ct.keys, k); n == few {
		ct.has = make(map[keyRef]struct{}, 2*few)
		for _, k := range ct.keys {
			ct.has[k] = struct{}{}
		}
	}
}

// touchedClient is the state of a client before and after a transaction; after
// is only set by its commit.
type touchedClient struct {
	client clientRef
	before uint32
	after  uint32
}

type deleteRange struct {
	client clientRef
	clock  uint32
	length uint32
}

// Doc is the document.
func (tx *Txn) Doc() *Doc { return tx.doc }

// Local tells whether the change was made here rather than received.
func (tx *Txn) Local() bool { return tx.local }

// Err is the first operation that failed, nil if none did.
func (tx *Txn) Err() error { return tx.err }

// fail notes the first error. Types call it and then do nothing.
func (tx *Txn) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// before is the state of a client before the transaction
// (Yjs: transaction.beforeState).
func (tx *Txn) before(c clientRef) uint32 {
	cl := tx.doc.clients[c]
	if i := int(cl.touchedAt); i < len(tx.touched) && tx.touched[i].client == c {
		return tx.touched[i].before
	}
	if tx.epoch != tx.doc.epoch {
		return tx.beforeOthers(c)
	}
	return cl.state
}

// beforeOthers is before once other transactions have begun, whose own units do
// not count.
func (tx *Txn) beforeOthers(c clientRef) uint32 {
	d := tx.doc
	open := d.work.cleanups
	for at := max(0, slices.Index(open, tx)); at < len(open); at++ {
		for _, t := range open[at].touched {
			if t.client == c {
				return t.before
			}
		}
	}
	return d.clients[c].state
}

// touch notes the state of a client before it gets its first block.
func (tx *Txn) touch(c clientRef) {
	cl := tx.doc.clients[c]
	if i := int(cl.touchedAt); i >= len(tx.touched) || tx.touched[i].client != c {
		cl.touchedAt = uint32(len(tx.touched))
		tx.touched = append(tx.touched, touchedClient{client: c, before: cl.state})
	}
}

// noteDeleted adds units to deletes.
func (tx *Txn) noteDeleted(it *item) {
	if n := len(tx.deletes); n > 0 {
		if last := &tx.deletes[n-1]; last.client == it.client && last.clock+last.length == it.clock {
			last.length += it.length
			return
		}
	}
	tx.deletes = append(tx.deletes, deleteRange{it.client, it.clock, it.length})
}

func (tx *Txn) mergeLater(u unitID) { tx.mergeIDs = append(tx.mergeIDs, u) }

// markChanged notes a change in a chain, if its type existed before and lives
// (Yjs: addChangedTypeToTransaction).
func (tx *Txn) markChanged(ch *chain) {
	if !tx.tracked {
		return
	}
	d, b := tx.doc, ch.branch
	if r := d.branches[b].item; r != 0 {
		it := d.item(r)
		if it.clock >= tx.before(it.client) || it.deleted() {
			return
		}
	}
	ct := tx.changeOf(b)
	if ct == nil {
		if ct = &tx.firstChanged; len(tx.changed) > 0 || d.watch != nil {
			ct = &changedType{} // an Event may outlive the transaction
		}
		d.branches[b].changedAt = uint32(len(tx.changed))
		tx.changed = append(tx.changed, ct)
		tx.changedOrder = append(tx.changedOrder, b)
	}
	if ch.key == 0 {
		ct.seq = true
		return
	}
	ct.addKey(ch.key)
}

// changeOf is what changed of a type; nil if nothing did.
func (tx *Txn) changeOf(b branchRef) *changedType {
	i := tx.doc.branches[b].changedAt
	if int(i) < len(tx.changedOrder) && tx.changedOrder[i] == b {
		return tx.changed[i]
	}
	return nil
}

// unmarkChanged forgets a type that was deleted.
func (tx *Txn) unmarkChanged(b branchRef) {
	if tx.changeOf(b) == nil {
		return
	}
	branches := tx.doc.branches
	i := int(branches[b].changedAt)
	tx.changed = slices.Delete(tx.changed, i, i+1)
	tx.changedOrder = slices.Delete(tx.changedOrder, i, i+1)
	for ; i < len(tx.changedOrder); i++ {
		branches[tx.changedOrder[i]].changedAt = uint32(i)
	}
}

// insertItem makes a local item between left and right, either of which may
// be 0, in the sequence of b (key 0) or under a key, and integrates it. For a
// key, left is the current item of the key and right is 0. left must end and
// right must start at a block boundary: split first. It returns 0 after an
// error (the clock of the client is used up).
func (tx *Txn) insertItem(b branchRef, key keyRef, left, right itemRef, ct content) itemRef {
	d := tx.doc
	c := d.clientFor(d.self)
	clock := d.clients[c].state
	if uint64(clock)+uint64(ct.length) > maxClock || len(d.arena.buf)+len(ct.data) > maxArena || len(d.keys) > maxArena {
		tx.fail(ErrLimit)
		return 0
	}
	r := d.slab.alloc()
	it := d.item(r)
	if ct.kind == kindString && !d.arena.surrogates && len(ct.data) != int(ct.length) && hasSurrogate(ct.data) {
		d.arena.surrogates = true
	}
	it.clock, it.length, it.client, it.kind = clock, ct.length, c, ct.kind
	it.left, it.right = left, right
	if left != 0 {
		it.origin = d.item(left).lastID()
	}
	if right != 0 {
		it.rightOrigin = d.item(right).id()
	}
	if ct.kind == kindType {
		it.off = uint32(ct.branch)
	} else {
		it.size = uint32(len(ct.data))
		it.off = d.arena.put(ct.data)
	}
	if key == 0 {
		it.chain = d.seqChain(b)
	} else {
		it.chain = d.keyChain(b, key)
	}
	tx.integrate(r)
	return r
}

// newBranch makes a type for contentType to insert.
func (tx *Txn) newBranch(kind TypeKind, name string) branchRef {
	var k keyRef
	if kind.named() {
		k = tx.doc.intern(name)
	}
	return tx.doc.newBranch(kind, k)
}
