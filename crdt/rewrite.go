package crdt

import "fmt"

// Rewrite makes a document with the same content and none of the history: all that is not deleted,
// made by one client in one transaction. opts are those of the new document. Its client must be one that
// this document does not know, or ErrRange is the error; 0 draws one. Nothing of the old IDs is left, so
// the two must never be merged: whoever has the old document, or edits of it, has to start anew.
//
// Root types keep their names, kinds and order. What is pending is left out. The document stays as it
// is. It takes time in proportion to its blocks.
func (d *Doc) Rewrite(opts Options) (*Doc, error) {
	fresh := New(opts)
	for opts.ClientID == 0 && d.findClient(fresh.self) != 0 {
		fresh.self = newClientID()
	}
	if d.findClient(fresh.self) != 0 {
		return nil, fmt.Errorf("%w: the document has blocks of client %d", ErrRange, fresh.self)
	}
	for b := range d.roots() {
		if br := d.branch(b); br.kind != KindUndefined || d.hasContent(b) {
			fresh.root(d.key(br.name), br.kind)
		}
	}
	// What this document holds was judged when it came in.
	limits := fresh.limits
	wide := *limits
	wide.TypeDepth = max(limits.TypeDepth, int(d.maxDepth))
	fresh.limits = &wide
	_, err := fresh.Transact(nil, func(tx *Txn) { tx.Revert(d) })
	fresh.limits = limits
	if err != nil {
		return nil, fmt.Errorf("rewrite: %w", err)
	}
	return fresh, nil
}
