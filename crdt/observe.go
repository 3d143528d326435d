package crdt

import "slices"

// typeWatchers are those who observe one type.
type typeWatchers struct {
	own  observers[func(*Event)]
	deep observers[func([]*Event)]
}

// observers are functions to call. During a call those that are added are called
// as well, and those that are removed are still called, as in Yjs.
type observers[F any] struct{ list *[]*F }

func (o *observers[F]) add(fn *F) {
	if o.list == nil {
		o.list = new([]*F)
	}
	*o.list = append(*o.list, fn)
}

// remove reports whether fn was there.
func (o *observers[F]) remove(fn *F) bool {
	if o.list == nil {
		return false
	}
	rest := slices.DeleteFunc(slices.Clone(*o.list), func(have *F) bool { return have == fn })
	removed := len(rest) < len(*o.list)
	o.list = &rest
	if len(rest) == 0 {
		o.list = nil
	}
	return removed
}

func (o *observers[F]) each(call func(F)) {
	list := o.list
	for i := 0; list != nil && i < len(*list); i++ {
		call(*(*list)[i])
	}
}

// Observe calls fn after each transaction that changed this type itself: its
// text, elements, keys or attributes, not those of the types in it. A type that is
// made or deleted by the transaction gets no call. stop ends the calls; a call
// that is under way for several observers still reaches one that is stopped
// meanwhile. Observers cost a document nothing until there is one.
//
// Observers run when the transaction is over and before deleted content is
// collected, those of the types that changed first first. fn may read the document
// and begin transactions: their changes are made at once, and their observers are
// called when all is done for this one. fn must not panic. (Yjs:
// AbstractType.observe.)
func (n node) Observe(fn func(*Event)) (stop func()) {
	if n.doc == nil {
		return func() {}
	}
	w := n.doc.watchingType(n.b)
	w.own.add(&fn)
	return func() {
		if w.own.remove(&fn) {
			n.doc.watch.unwatch(n.b, w)
		}
	}
}

// ObserveDeep calls fn after each transaction that changed this type or one below
// it, with an Event for each of them, those nearest to this type first. Deep
// observers run after all those of Observe, for which see the rest. fn must not
// keep the slice. (Yjs: AbstractType.observeDeep.)
func (n node) ObserveDeep(fn func([]*Event)) (stop func()) {
	if n.doc == nil {
		return func() {}
	}
	w := n.doc.watchingType(n.b)
	w.deep.add(&fn)
	n.doc.watch.deep++
	return func() {
		if w.deep.remove(&fn) {
			n.doc.watch.deep--
			n.doc.watch.unwatch(n.b, w)
		}
	}
}

func (d *Doc) watchingType(b branchRef) *typeWatchers {
	d.track()
	t := d.watch.types[b]
	if t == nil {
		t = new(typeWatchers)
		if d.watch.types == nil {
			d.watch.types = make(map[branchRef]*typeWatchers)
		}
		d.watch.types[b] = t
	}
	return t
}

// unwatch says that one observer of a type is gone.
func (w *watchers) unwatch(b branchRef, t *typeWatchers) {
	w.tracking--
	if t.own.list == nil && t.deep.list == nil && w.types[b] == t {
		delete(w.types, b)
	}
}

// callType calls the observers of a changed type.
func (tx *Txn) callType(b branchRef) {
	d := tx.doc
	if d.branch(b).kind == KindUndefined {
		return
	}
	tx.called = append(tx.called, b)
	tx.events = append(tx.events, nil)
	if t := d.watch.types[b]; t != nil && t.own.list != nil {
		e := tx.newEvent(b)
		tx.events[len(tx.events)-1] = e
		t.own.each(func(fn func(*Event)) { fn(e) })
	}
}

// callDeep calls the deep observers of the changed types and of the types around
// them.
func (tx *Txn) callDeep() {
	d := tx.doc
	w := d.watch
	if w.deep == 0 {
		return
	}
	var order []branchRef
	lists := make(map[branchRef][]*Event)
	for i, b := range tx.called {
		for up := b; up != 0; up = d.parentBranch(up) {
			if t := w.types[up]; t == nil || t.deep.list == nil || d.typeDeleted(up) {
				continue
			}
			if tx.events[i] == nil {
				tx.events[i] = tx.newEvent(b)
			}
			if lists[up] == nil {
				order = append(order, up)
			}
			lists[up] = append(lists[up], tx.events[i])
		}
	}
	for _, b := range order {
		events := slices.DeleteFunc(lists[b], func(e *Event) bool { return d.typeDeleted(e.target) })
		t := w.types[b]
		if t == nil || len(events) == 0 {
			continue
		}
		for _, e := range events {
			e.current = b
		}
		d.sortByDepth(events)
		t.deep.each(func(fn func([]*Event)) { fn(events) })
	}
}

// ObserveDeep observes the shared type that v holds, of whatever kind; see the
// method of the same name of the types. It does nothing if v holds none that is in
// a document.
func (v Value) ObserveDeep(fn func([]*Event)) (stop func()) {
	return v.handleAny().ObserveDeep(fn)
}

// Observe observes the shared type that v holds; see ObserveDeep.
func (v Value) Observe(fn func(*Event)) (stop func()) { return v.handleAny().Observe(fn) }
