package crdt

import "slices"

// watchers are those who watch a Doc. A Doc has none until somebody does, so that
// a transaction that nobody watches pays one comparison with nil.
type watchers struct {
	// tracking is how many of them need the changed types of transactions.
	tracking int
	types    map[branchRef]*typeWatchers
	deep     int // how many observe deep
	// after are called at the end of the observer calls, before deleted content
	// is collected.
	after []*func(*Txn)
	// commits and subdocs are called when all is done for a transaction.
	commits []*func(*Commit)
	subdocs []*func(*SubdocsEvent)
	undo    []*UndoManager
	// current is the commit that commits are being called for.
	current *Commit
}

// watching returns the watchers of the document, making them as needed.
func (d *Doc) watching() *watchers {
	if d.watch == nil {
		d.watch = new(watchers)
	}
	return d.watch
}

// tracks tells whether the changed types of local transactions must be kept.
func (w *watchers) tracks() bool { return w != nil && w.tracking > 0 }

// track says that one more watcher needs the changed types, from the open
// transaction on.
func (d *Doc) track() {
	d.watching().tracking++
	if d.tx != nil {
		d.tx.trackFromHere()
	}
}

// afterTransaction adds fn to what is called for every transaction, local and
// remote, empty ones too, after the observers of types and before formats are
// cleaned up and deleted content is collected: what the transaction deleted can
// still be read, and an item can still be kept from collection (Yjs: the event
// afterTransaction). fn may ask the Txn for Origin, Local, deletes (sorted and
// merged), before, touched (with the states after it), called and changedWithin.
// A transaction that fn makes waits in line. stop ends the calls.
func (d *Doc) afterTransaction(fn func(*Txn)) (stop func()) {
	d.track()
	w := d.watch
	p := &fn
	w.after = append(slices.Clip(w.after), p)
	return func() {
		if slices.Contains(w.after, p) {
			w.after = without(w.after, p)
			w.tracking--
		}
	}
}

// callObservers runs phase 2 of a commit: for each type that changed and lives,
// its observers, then those of the types around it, then the watchers of the
// whole transaction.
func (tx *Txn) callObservers() {
	d := tx.doc
	if tx.tracked {
		for i := 0; i < len(tx.changedOrder); i++ {
			b := tx.changedOrder[i]
			if d.typeDeleted(b) {
				continue
			}
			if d.watch != nil {
				tx.callType(b)
			}
			d.types.observe(d, tx, b)
		}
	}
	if d.watch != nil {
		tx.callDeep()
		for _, fn := range d.watch.after {
			(*fn)(tx)
		}
	}
	tx.observed = true
	// Deleted references make transactions of their own, which undo managers see.
	if w := d.watch; w != nil && len(w.subdocs)+len(w.after) > 0 && tx.subdocs != nil {
		tx.subdocs.note(tx)
	}
}

// changedWithin tells whether a type or one below it had its observers called
// (Yjs: Transaction.changedParentTypes has it).
func (tx *Txn) changedWithin(b branchRef) bool {
	depth := tx.doc.branch(b).depth
	for _, c := range tx.called {
		for c != 0 && c != b && tx.doc.branch(c).depth > depth {
			c = tx.doc.parentBranch(c)
		}
		if c == b {
			return true
		}
	}
	return false
}

// parentBranch is the type that a type lives in; 0 for a root, and if the item
// that carries it was collected.
func (d *Doc) parentBranch(b branchRef) branchRef {
	if r := d.branch(b).item; r != 0 {
		return d.parentOf(d.item(r))
	}
	return 0
}

// trackFromHere makes up for changes that were made before anybody watched: it
// cuts the blocks where the transaction's own units start and end, as if no
// border had been moved, and notes the types they are in.
func (tx *Txn) trackFromHere() {
	if tx.tracked {
		return
	}
	tx.tracked = true
	d := tx.doc
	for _, t := range tx.touched {
		c := d.clients[t.client]
		for clock := t.before; clock < c.state; {
			it := d.item(tx.cleanStart(unitID{t.client, clock}))
			tx.markItem(it)
			clock = it.end()
		}
	}
	for _, del := range tx.deletes {
		tx.eachDeleted(del, func(r itemRef) { tx.markItem(d.item(r)) })
	}
}

func (tx *Txn) markItem(it *item) {
	if !it.isGC() {
		tx.markChanged(tx.doc.chain(it.chain))
	}
}
