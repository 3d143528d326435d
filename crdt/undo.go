package crdt

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// DefaultCaptureWindow is for how many milliseconds changes join a step, if UndoOptions do not say.
const DefaultCaptureWindow = 500

// Scope is what an UndoManager watches: a shared type with everything below it, or a whole *Doc. With
// the document, transactions that changed nothing become steps too, as in Yjs: Undo with nothing to undo,
// and the one that follows when a subdocument was deleted. Undo passes over such steps.
type Scope interface {
	undoScope() (*Doc, branchRef)
}

func (n node) undoScope() (*Doc, branchRef) { return n.doc, n.b }
func (d *Doc) undoScope() (*Doc, branchRef) { return d, 0 }

// UndoOptions configure an UndoManager. The zero value is valid.
type UndoOptions struct {
	// Now is the time in milliseconds; this package reads no clock. Changes closer together than
	// CaptureWindow become one step. Without Now, each transaction is a step of its own.
	Now func() int64
	// CaptureWindow is in milliseconds; 0 stands for DefaultCaptureWindow (Yjs: captureTimeout).
	CaptureWindow int64
	// Origins are the origins of transactions that become steps (Yjs: trackedOrigins). One that is a
	// reflect.Type stands for all origins of this type. nil stands for transactions whose origin is
	// nil, which those of Apply are too if it is given none. The UndoManager itself is always one.
	Origins []any
	// Captures, if set, tells whether a transaction may become part of a step. It must not change the
	// document (Yjs: captureTransaction).
	Captures func(*Commit) bool
	// DeleteFilter, if set, tells whether undoing may delete something; false protects it.
	DeleteFilter func(UndoDeletion) bool
	// OverwriteRemote lets undoing replace the value of a key, or an attribute, that somebody else set
	// since. By default that change wins (Yjs: ignoreRemoteMapChanges).
	OverwriteRemote bool
}

// UndoDeletion is a run of units that undoing or redoing is about to delete.
type UndoDeletion struct {
	doc *Doc
	ref itemRef
}

// ID is that of the first unit.
func (u UndoDeletion) ID() ID { return u.doc.publicID(u.doc.item(u.ref).id()) }

// Len is how many units there are.
func (u UndoDeletion) Len() int { return int(u.doc.item(u.ref).length) }

// Parent is the type that holds the units.
func (u UndoDeletion) Parent() Value { return u.doc.typeValue(u.doc.parentOf(u.doc.item(u.ref))) }

// Key is the key or attribute whose value this is; ok is false in a sequence.
func (u UndoDeletion) Key() (key string, ok bool) {
	k := u.doc.chain(u.doc.item(u.ref).chain).key
	return u.doc.key(k), k != 0
}

// Type is the shared type that the unit is; undefined for anything else.
func (u UndoDeletion) Type() Value {
	if b := u.doc.item(u.ref).branch(); b != 0 {
		return u.doc.typeValue(b)
	}
	return Value{}
}

// UndoManager undoes and redoes the changes that some origins make to some types, leaving those of
// everybody else in place (Yjs: UndoManager). It takes part in the transactions of its Doc, belongs
// to the same goroutine, and keeps what can come back from being collected.
type UndoManager struct {
	// static after NewUndoManager
	doc  *Doc
	opts UndoOptions
	stop func()

	scope     []branchRef // 0 stands for the document
	origins   []any
	observers []*func(*StackEvent)

	stacks     [2][]*StackItem // by StackKind
	busy       [2]bool         // within Undo, within Redo
	current    *StackItem      // what is being undone or redone
	capturing  bool            // the next change may join the newest step
	lastChange int64
}

// NewUndoManager watches parts of a document. It sees the transactions that end after it was made. An
// error, which wraps ErrRange, says that a scope is of another document.
func NewUndoManager(d *Doc, opts UndoOptions, scope ...Scope) (*UndoManager, error) {
	u := &UndoManager{doc: d, opts: opts, origins: slices.Clone(opts.Origins)}
	if opts.Origins == nil {
		u.origins = []any{nil}
	}
	if opts.CaptureWindow == 0 {
		u.opts.CaptureWindow = DefaultCaptureWindow
	}
	if err := u.AddToScope(scope...); err != nil {
		return nil, err
	}
	u.AddTrackedOrigin(u)
	u.stop = d.afterTransaction(u.capture)
	d.watch.undo = append(d.watch.undo, u)
	return u, nil
}

// Close ends the watching and forgets the observers. What was kept stays kept: Clear first to allow its
// collection (Yjs: destroy).
func (u *UndoManager) Close() {
	u.observers = nil
	u.RemoveTrackedOrigin(u)
	u.stop()
	w := u.doc.watch
	w.undo = slices.DeleteFunc(slices.Clone(w.undo), func(o *UndoManager) bool { return o == u })
}

// AddToScope watches more parts. An error, which wraps ErrRange, says that one is of another document.
func (u *UndoManager) AddToScope(scope ...Scope) error {
	for _, s := range scope {
		d, b := s.undoScope()
		if d != u.doc {
			return fmt.Errorf("%w: the scope is not of the document", ErrRange)
		}
		if !slices.Contains(u.scope, b) {
			u.scope = append(u.scope, b)
		}
	}
	return nil
}

// AddTrackedOrigin watches transactions of one more origin; see UndoOptions.Origins.
func (u *UndoManager) AddTrackedOrigin(origin any) {
	if !u.hasOrigin(origin) {
		u.origins = append(u.origins, origin)
	}
}

// RemoveTrackedOrigin watches transactions of an origin no more.
func (u *UndoManager) RemoveTrackedOrigin(origin any) {
	u.origins = slices.DeleteFunc(u.origins, func(o any) bool { return sameOrigin(o, origin) })
}

func (u *UndoManager) hasOrigin(origin any) bool {
	return slices.ContainsFunc(u.origins, func(o any) bool { return sameOrigin(o, origin) })
}

// sameOrigin compares origins of any types; what cannot be compared is the same as nothing.
func sameOrigin(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// tracks tells whether transactions of an origin become steps.
func (u *UndoManager) tracks(origin any) bool {
	return u.hasOrigin(origin) || origin != nil && u.hasOrigin(reflect.TypeOf(origin))
}

// Observe calls fn for each event of the stacks, until stop is called. fn may start transactions.
func (u *UndoManager) Observe(fn func(*StackEvent)) (stop func()) {
	entry := &fn
	u.observers = append(u.observers, entry)
	return func() {
		u.observers = slices.DeleteFunc(slices.Clone(u.observers), func(o *func(*StackEvent)) bool { return o == entry })
	}
}

func (u *UndoManager) emit(e StackEvent) {
	e.doc = u.doc
	for _, fn := range u.observers {
		(*fn)(&e)
	}
}

// Stack is the steps of a stack, the newest last.
func (u *UndoManager) Stack(k StackKind) []*StackItem { return slices.Clone(u.stacks[k]) }

// CanUndo tells whether a step waits to be undone. It may turn out to have no effect any more.
func (u *UndoManager) CanUndo() bool { return len(u.stacks[UndoStack]) > 0 }

// CanRedo tells whether a step waits to be redone.
func (u *UndoManager) CanRedo() bool { return len(u.stacks[RedoStack]) > 0 }

// StopCapturing makes the next change a step of its own, however soon it comes.
func (u *UndoManager) StopCapturing() { u.capturing = false }

// Clear forgets all steps.
func (u *UndoManager) Clear() { u.clear(true, true) }

// ClearUndo forgets what can be undone.
func (u *UndoManager) ClearUndo() { u.clear(true, false) }

// ClearRedo forgets what can be redone.
func (u *UndoManager) ClearRedo() { u.clear(false, true) }

func (u *UndoManager) clear(undo, redo bool) {
	if !(undo && u.CanUndo()) && !(redo && u.CanRedo()) {
		return
	}
	// The transaction changes nothing, but cuts blocks, which its commit joins again. With the
	// document as scope and nil as origin it becomes a step, as in Yjs.
	_, _ = u.doc.Transact(nil, func(tx *Txn) { // nothing in it fails
		if undo {
			u.forget(tx, UndoStack)
		}
		if redo {
			u.forget(tx, RedoStack)
		}
		u.emit(StackEvent{Kind: StackCleared, ClearedUndo: undo, ClearedRedo: redo})
	})
}

// forget empties a stack; what its steps deleted may be collected with what is above it.
func (u *UndoManager) forget(tx *Txn, k StackKind) {
	for _, s := range u.stacks[k] {
		u.keep(tx, s.deletions, false)
	}
	u.stacks[k] = nil
}

func (u *UndoManager) keep(tx *Txn, set undoSet, keep bool) {
	d := u.doc
	set.each(tx, func(r itemRef) {
		if u.covers(r) {
			d.keepItem(r, keep)
		}
	})
}

// covers tells whether an item is in the scope; gc blocks never are.
func (u *UndoManager) covers(r itemRef) bool {
	it := u.doc.item(r)
	return !it.isGC() && u.coversType(u.doc.parentOf(it))
}

// coversType tells whether a type or one above it is in the scope.
func (u *UndoManager) coversType(b branchRef) bool {
	return slices.ContainsFunc(u.scope, func(s branchRef) bool { return s == 0 || u.doc.within(b, s) })
}

// remembers tells whether a step deleted a unit.
func (u *UndoManager) remembers(id unitID) bool {
	for _, stack := range u.stacks {
		for _, s := range stack {
			if s.deletions.has(id) {
				return true
			}
		}
	}
	return false
}

// Undo takes back the newest step that still has an effect. The commit's update is to be passed on
// like that of any transaction; it is nil if there was nothing to undo. Within a transaction, Undo
// becomes part of that one, which then is an ordinary change. The error is that of a limit.
func (u *UndoManager) Undo() (*Commit, error) { return u.pop(UndoStack) }

// Redo takes back the newest Undo that still has an effect. A change that is neither Undo nor Redo
// forgets all Undos.
func (u *UndoManager) Redo() (*Commit, error) { return u.pop(RedoStack) }

// pop undoes the newest step of a stack that has an effect (Yjs: popStackItem).
func (u *UndoManager) pop(k StackKind) (*Commit, error) {
	u.busy[k] = true
	c, err := u.doc.Transact(u, func(tx *Txn) {
		tx.trackFromHere() // a closed manager has the changed types not tracked
		for u.current == nil && len(u.stacks[k]) > 0 {
			last := len(u.stacks[k]) - 1
			s := u.stacks[k][last]
			u.stacks[k] = u.stacks[k][:last]
			if u.revert(tx, s) {
				u.current = s
			}
		}
		for i, b := range tx.changedOrder {
			if tx.changed[i].seq {
				u.doc.types.forget(u.doc, b)
			}
		}
	})
	u.busy[k] = false
	s := u.current
	if s == nil {
		return nil, err
	}
	u.emit(StackEvent{Kind: StackPopped, Stack: k, Item: s, Origin: u, changed: slices.Clone(c.tx.called)})
	u.current = nil
	return c, err
}

// revert deletes what a step inserted and inserts copies of what it deleted. It tells whether it did
// anything.
func (u *UndoManager) revert(tx *Txn, s *StackItem) bool {
	d := u.doc
	var inserted []itemRef
	s.insertions.each(tx, func(r itemRef) {
		if d.item(r).flags&flagRedone != 0 {
			u := d.item(r).id()
			var diff uint32
			if r, diff = d.followRedone(u); diff > 0 {
				at := d.item(r).id()
				r = tx.cleanStart(unitID{at.client, at.clock + diff})
			}
		}
		if !d.item(r).deleted() && u.covers(r) {
			inserted = append(inserted, r)
		}
	})
	back := redoing{u: u, tx: tx, stack: s, isIn: make(map[itemRef]bool), last: make(map[itemRef]lastRedone)}
	s.deletions.each(tx, func(r itemRef) {
		// What the step both inserted and deleted does not come back.
		if u.covers(r) && !s.insertions.has(d.item(r).id()) {
			back.items = append(back.items, r)
			back.isIn[r] = true
		}
	})
	done := false
	for _, r := range back.items {
		if back.redo(r) != 0 {
			done = true
		}
	}
	// Backwards, so that the filter sees children before their parent is gone.
	for _, r := range slices.Backward(inserted) {
		if u.opts.DeleteFilter == nil || u.opts.DeleteFilter(UndoDeletion{d, r}) {
			tx.deleteItem(r)
			done = true
		}
	}
	return done
}

// capture makes a finished transaction a step, or part of one (Yjs:
// UndoManager.afterTransactionHandler).
func (u *UndoManager) capture(tx *Txn) {
	if u.opts.Captures != nil && !u.opts.Captures(&tx.commit) {
		return
	}
	touches := func(b branchRef) bool { return b == 0 || tx.changedWithin(b) }
	if !slices.ContainsFunc(u.scope, touches) || !u.tracks(tx.Origin) {
		return
	}
	undoing, redoing := u.busy[UndoStack], u.busy[RedoStack]
	k := UndoStack
	if undoing {
		k = RedoStack
		u.capturing = false
	} else if !redoing {
		u.clear(false, true)
	}
	e := StackEvent{Stack: k, Origin: tx.Origin, changed: slices.Clone(tx.called)}
	now := int64(0)
	if u.opts.Now != nil {
		now = u.opts.Now()
	}
	n := len(u.stacks[k])
	if u.capturing && now-u.lastChange < u.opts.CaptureWindow && n > 0 && !undoing && !redoing {
		e.Kind, e.Item = StackUpdated, u.stacks[k][n-1]
	} else {
		e.Kind, e.Item = StackAdded, &StackItem{doc: u.doc}
		u.stacks[k] = append(u.stacks[k], e.Item)
	}
	e.Item.include(tx)
	if !undoing && !redoing {
		u.capturing, u.lastChange = u.opts.Now != nil, now
	}
	var deleted undoSet
	deleted.addDeletes(tx)
	u.keep(tx, deleted, true)
	u.emit(e)
}

// include adds what a transaction did.
func (s *StackItem) include(tx *Txn) {
	s.deletions.addDeletes(tx)
	// New clients come after those known before, which are numbered in the order in which they came.
	touched := slices.Clone(tx.touched)
	slices.SortStableFunc(touched, func(a, b touchedClient) int {
		return cmp.Compare(a.age(), b.age())
	})
	for _, t := range touched {
		s.insertions.add(t.client, t.before, t.after)
	}
}

// age is the number of a client known before the transaction, and the same high one for all others.
func (t touchedClient) age() clientRef {
	if t.before == 0 {
		return math.MaxUint32
	}
	return t.client
}

func (s *undoSet) addDeletes(tx *Txn) {
	for r := range tx.deletesInOrder() {
		s.add(r.client, r.clock, r.clock+r.length)
	}
}
