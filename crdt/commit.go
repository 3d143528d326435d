package crdt

// Commit is what one transaction did. It is valid until the next transaction
// of its Doc begins.
type Commit struct {
	tx *Txn
}

// Transact runs fn in a transaction of local changes. There is no roll-back:
// the first operation that fails is returned as the error, those after it do
// nothing and those before it stay. origin is handed to observers.
// (Yjs: transact.)
func (d *Doc) Transact(origin any, fn func(*Txn)) (*Commit, error) {
	tx := d.begin(origin)
	tx.local = true
	fn(tx)
	d.tx = nil
	d.finish()
	return &tx.commit, tx.err
}

// begin opens a transaction.
func (d *Doc) begin(origin any) *Txn {
	d.epoch++
	tx := &Txn{Origin: origin, doc: d, epoch: d.epoch}
	tx.commit.tx = tx
	tx.tracked = !d.opts.NoFormatCleanup || d.types.tracks(d)
	d.tx = tx
	d.cleanups = append(d.cleanups, tx)
	return tx
}

// followUp runs fn in a transaction that a commit phase of tx asks for; its
// own commit follows that of tx and is reached by Commit.Next.
func (d *Doc) followUp(origin any, fn func(*Txn)) {
	tx := d.begin(origin)
	tx.local = true
	fn(tx)
	d.tx = nil
}

// finish runs the commit phases of all open clean-ups, in order.
func (d *Doc) finish() {
	for i := 0; i < len(d.cleanups); i++ {
		d.cleanups[i].cleanup()
	}
	d.cleanups = d.cleanups[:0]
}

// cleanup runs the phases of a commit (Yjs: cleanupTransactions):
//
//  1. sort and merge the deletes of the transaction
//  2. call observers
//  3. remove redundant formats, in a transaction of its own
//  4. collect deleted content
//  5. merge neighbouring blocks
func (tx *Txn) cleanup() {
	d := tx.doc
	d.types.observe(d, tx)
	if tx.formatCleanup {
		d.types.cleanFormats(d, tx)
	}
}
