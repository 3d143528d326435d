package hub

import (
	"ysync/crdt"
	"ysync/persistence"
)

// change is an order to the core to change the document on behalf of nobody's
// session. Exactly one of update and edit is set.
type change struct {
	terms  Terms
	seed   string // the idempotency key; empty when it is no seeding
	update []byte // update V1
	edit   func(*crdt.Txn)
}

// waitingChange is a change that was judged against version and is answered
// when the log has that.
type waitingChange struct {
	request *request
	version persistence.Position
}

// change takes in a change that the server makes. It goes the way of every
// update: one transaction, logged under the next version, relayed to everybody.
// Its answer waits for the commit of what it was judged against.
func (c *core) change(r *request) {
	if err := c.refuseChange(r); err != nil {
		c.fx.answers = append(c.fx.answers, answer{r, err})
		return
	}
	order := r.change
	if order.update != nil {
		retired, err := c.mentionsRetired(order.update)
		if retired {
			err = ErrRetired
		}
		if err != nil {
			c.opt.count.refused.Inc()
			c.fx.answers = append(c.fx.answers, answer{r, err})
			return
		}
	}
	if order.seed != "" && c.version > 0 {
		c.answerLater(r)
		return
	}
	var commit *crdt.Commit
	var err error
	if order.edit != nil {
		commit, err = c.doc.Transact(nil, order.edit)
	} else {
		commit, err = c.doc.Apply(nil, crdt.V1, order.update)
	}
	if err != nil {
		c.opt.count.refused.Inc()
		// A transaction that failed half way is not undone: what it did is in
		// the document, so it has to be in the log too.
		if commit == nil || commit.Empty() {
			c.fx.answers = append(c.fx.answers, answer{r, err})
			return
		}
		r.err = err
	}
	r.outcome = OutcomeOf(commit)
	if r.outcome.Changed || r.outcome.Pending && !c.loggedPending(order.update) {
		c.logChange(order, commit)
	}
	c.answerLater(r)
}

// refuseChange says why a change can't be made.
func (c *core) refuseChange(r *request) error {
	order := r.change
	switch {
	case c.draining:
		return endRestart
	case c.discarding || c.openBytes >= c.limits.DocumentUncommittedBytes:
		return ErrNotCommitting
	case order.terms.At != nil && *order.terms.At != c.version:
		r.outcome.Position = c.version
		return ErrChanged
	case order.seed != "" && c.version > 0 && order.seed == c.record.SeedKey:
		return nil // as it was seeded already
	case (order.terms.New || order.seed != "") && c.version > 0:
		return ErrExists
	case order.edit == nil && c.tooLarge(order.update):
		return ErrTooLarge
	case order.edit == nil && c.doc.PendingBytes() > c.limits.PendingBytes:
		return ErrTooLarge
	}
	return nil
}

// logChange gives a change to the log and to the sessions.
func (c *core) logChange(order *change, commit *crdt.Commit) {
	update := order.update
	if order.edit != nil {
		update = commit.AppendUpdate(nil, crdt.V1)
	}
	c.opt.count.updateBytes.Add(float64(len(update)))
	if order.seed != "" {
		c.record.SeedKey, c.fx.seed = order.seed, order.seed
	}
	if commit.LeftPending() {
		c.opt.count.pending.Inc()
	} else {
		c.opt.count.applied.Inc()
	}
	c.publish(nil, order.terms.Author, update, commit)
	if !commit.Empty() && c.pendings > 0 {
		c.settlePending()
	}
}

// answerLater answers a change once the log has what it was judged against.
func (c *core) answerLater(r *request) {
	r.outcome.Position = c.version
	if c.version <= c.committed {
		c.fx.answers = append(c.fx.answers, answer{r, r.err})
		return
	}
	c.changes = append(c.changes, waitingChange{r, c.version})
}

// answerChanges answers what a commit made due.
func (c *core) answerChanges() {
	n := 0
	for n < len(c.changes) && c.changes[n].version <= c.committed {
		r := c.changes[n].request
		c.fx.answers = append(c.fx.answers, answer{r, r.err})
		n++
	}
	c.changes = append(c.changes[:0], c.changes[n:]...)
	if len(c.changes) == 0 {
		c.changes = nil
	}
}

// failChanges answers those that wait for a commit of which nothing will be
// heard any more.
func (c *core) failChanges(why error) {
	for _, w := range c.changes {
		c.fx.answers = append(c.fx.answers, answer{w.request, why})
	}
	c.changes = nil
}

// inspect answers a question about the state of things.
func (c *core) inspect(r *request) {
	r.stats = DocumentStats{
		Subscriptions:    len(c.subs) - len(c.groups),
		Presences:        c.presence.Len(),
		Version:          c.version,
		Committed:        c.committed,
		UncommittedBytes: c.openBytes,
		MemoryBytes:      c.doc.Bytes(),
		Units:            c.doc.Units(),
		Pending:          c.doc.Pending(),
		Owned:            c.owned,
		Discarding:       c.discarding,
		Tail:             c.stored.tail,
		Unsegmented:      c.stored.unsegmented,
		Storing:          c.stored.running != nil || c.stored.frozen != nil,
	}
	for _, s := range c.subs {
		if s.at.writes {
			r.stats.Writers++
		}
	}
	c.fx.answers = append(c.fx.answers, answer{r, nil})
}
