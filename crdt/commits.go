package crdt

import "slices"

// OnCommit calls fn after each transaction that added or deleted something, local
// or remote, when nothing is left to do for it: Commit.AppendUpdate then gives the
// bytes for other replicas (Yjs: the events update and updateV2, whose origin is
// Commit.Origin). The Commit is valid within the call. A transaction that fn
// begins is made at once, and its own commit is reported when all is done for this
// one. What follows from a transaction comes on its own, so fn has no use for
// Commit.Next. fn must not panic.
//
// Commits cost a document nothing beside the calls: changed types are not tracked
// for them.
func (d *Doc) OnCommit(fn func(*Commit)) (stop func()) {
	w := d.watching()
	p := &fn
	w.commits = append(slices.Clip(w.commits), p)
	return func() { w.commits = without(w.commits, p) }
}

// OnSubdocs calls fn after each transaction that inserted, deleted, loaded or
// reset references to other documents, after OnCommit for the same transaction.
// A deleted reference is reported a second time by an event of its own, as in Yjs,
// where the other document is destroyed after the first. (Yjs: the event subdocs.)
func (d *Doc) OnSubdocs(fn func(*SubdocsEvent)) (stop func()) {
	w := d.watching()
	p := &fn
	w.subdocs = append(slices.Clip(w.subdocs), p)
	return func() { w.subdocs = without(w.subdocs, p) }
}

// without is a copy without one element: a call that goes through the old slice
// is not disturbed.
func without[T comparable](s []T, e T) []T {
	return slices.DeleteFunc(slices.Clone(s), func(have T) bool { return have == e })
}

// committed tells the watchers of a transaction that it is cleaned up.
func (w *watchers) committed(tx *Txn) {
	c := &tx.commit
	w.current = c
	if len(w.commits) > 0 && !c.Empty() {
		for _, fn := range w.commits {
			(*fn)(c)
		}
	}
	if s := tx.subdocs; s != nil && s.event != nil {
		for _, fn := range w.subdocs {
			(*fn)(s.event)
		}
		tx.doc.forgetSubdocs(s.removed)
	}
	w.current = nil
}
