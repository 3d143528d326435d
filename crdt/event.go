package crdt

import (
	"cmp"
	"slices"
	"sort"
)

// Event says what one transaction changed in one shared type that existed before
// it and was not deleted by it (Yjs: YEvent).
//
// What an Event tells is worked out when it is first asked for, from the blocks
// of the document, and kept. The old content is gone once the observers of the
// transaction were called, so ask within the call: then an Event is frozen. It
// still gives what was asked for before, and nothing else. An Event that several
// observers get is the same one.
type Event struct {
	tx      *Txn
	epoch   uint64 // of tx, which is used again for other transactions
	changed *changedType
	target  branchRef
	current branchRef // whose observers are being called

	doc    *Doc
	origin any
	local  bool

	// states before the transaction, once others have begun
	beforeOf map[clientRef]uint32

	// what was asked for
	path        []Value
	pathOf      branchRef // the type that path starts at
	keys        []KeyChange
	delta       Delta
	list        []ListOp
	added, gone IDSet
	hasKeys     bool
	hasDelta    bool
	hasList     bool
	hasUnits    bool
}

// KeyAction says what happened to a key.
type KeyAction uint8

// What can happen to a key.
const (
	// KeyAdd says that the key had no value before.
	KeyAdd KeyAction = iota + 1
	// KeyUpdate says that the key got another value.
	KeyUpdate
	// KeyDelete says that the key has no value any more.
	KeyDelete
)

// String is the name that Yjs has for the action.
func (a KeyAction) String() string {
	switch a {
	case KeyAdd:
		return "add"
	case KeyUpdate:
		return "update"
	case KeyDelete:
		return "delete"
	}
	return "none"
}

// KeyChange is the change of one key of a map, or of one attribute.
type KeyChange struct {
	Key    string
	Action KeyAction
	// Old is the value before, undefined for KeyAdd. A shared type among the old
	// values is a deleted one: it reads as empty.
	Old Value
}

// ListOp is one operation of a change to a list.
type ListOp struct {
	Kind DeltaKind
	// Insert are the values that DeltaInsert inserts.
	Insert []Value
	// Len is how many elements DeltaRetain skips or DeltaDelete deletes.
	Len int
}

func (tx *Txn) newEvent(b branchRef) *Event {
	return &Event{
		tx: tx, epoch: tx.epoch, changed: tx.changeOf(b), target: b, current: b,
		doc: tx.doc, origin: tx.Origin, local: tx.local,
	}
}

// open tells whether the blocks are still as they were after the transaction.
func (e *Event) open() bool { return e.tx.epoch == e.epoch && !e.tx.observed }

// Target is the type that changed.
func (e *Event) Target() Value { return e.doc.typeValue(e.target) }

// CurrentTarget is the type whose observers are being called: for Observe the
// target, for ObserveDeep the type given there.
func (e *Event) CurrentTarget() Value { return e.doc.typeValue(e.current) }

// Doc is the document.
func (e *Event) Doc() *Doc { return e.doc }

// Origin is what Apply or Transact was given.
func (e *Event) Origin() any { return e.origin }

// Local tells whether the change was made here rather than received.
func (e *Event) Local() bool { return e.local }

// Commit is the transaction as a whole; nil once the Event is frozen. The update
// it gives now is sound, but the one of OnCommit is smaller: blocks are merged and
// deleted content is dropped after the observers.
func (e *Event) Commit() *Commit {
	if !e.open() {
		return nil
	}
	return &e.tx.commit
}

// Path leads from CurrentTarget to Target: a key is a string, an index a number.
// (Yjs: YEvent.path.)
func (e *Event) Path() []Value {
	if e.pathOf != e.current && e.open() {
		e.path, e.pathOf = e.doc.pathTo(e.current, e.target), e.current
	}
	return e.path
}

// pathTo leads from a type to one below it (Yjs: getPathTo).
func (d *Doc) pathTo(from, to branchRef) []Value {
	path := []Value{}
	for to != 0 && to != from && d.branch(to).item != 0 {
		r := d.branch(to).item
		ch := d.chain(d.item(r).chain)
		if ch.key != 0 {
			path = append(path, Value{kind: ValueString, str: d.key(ch.key)})
		} else {
			index := 0
			for at := ch.first; at != r && at != 0; at = d.item(at).right {
				index += d.item(at).visibleUnits()
			}
			path = append(path, Int(index))
		}
		to = ch.branch
	}
	slices.Reverse(path)
	return path
}

// SequenceChanged tells whether the sequence changed: text, elements, children.
func (e *Event) SequenceChanged() bool { return e.changed.seq }

// KeysTouched are the keys that were set or deleted, in order, also those that
// are as they were before (Yjs: keysChanged, attributesChanged).
func (e *Event) KeysTouched() []string {
	if len(e.changed.keys) == 0 {
		return nil
	}
	out := make([]string, 0, len(e.changed.keys))
	for _, k := range e.changed.keys {
		out = append(out, e.doc.key(k))
	}
	return out
}

// Adds tells whether the transaction made a unit, even if it deleted it again
// (Yjs: YEvent.adds). It is false once the Event is frozen.
func (e *Event) Adds(id ID) bool {
	c := e.doc.findClient(id.Client)
	return e.open() && c != 0 && id.Clock >= Clock(e.before(c))
}

// Deletes tells whether the transaction deleted a unit, even one that it made
// itself (Yjs: YEvent.deletes). It is false once the Event is frozen.
func (e *Event) Deletes(id ID) bool {
	c := e.doc.findClient(id.Client)
	return e.open() && c != 0 && e.tx.hasDeleted(unitID{c, uint32(min(id.Clock, maxClock))})
}

// before is the state of a client before the transaction.
func (e *Event) before(c clientRef) uint32 {
	if e.beforeOf == nil {
		if e.tx.epoch == e.doc.epoch {
			return e.tx.before(c)
		}
		e.beforeOf = make(map[clientRef]uint32, len(e.tx.touched))
		for _, t := range e.tx.touched {
			e.beforeOf[t.client] = t.before
		}
	}
	clock, ok := e.beforeOf[c]
	if !ok {
		clock = e.tx.before(c)
		e.beforeOf[c] = clock
	}
	return clock
}

func (e *Event) adds(it *item) bool { return it.clock >= e.before(it.client) }

func (e *Event) deletes(it *item) bool { return e.tx.hasDeleted(it.id()) }

// hasDeleted tells whether a unit is among the sorted deletes.
func (tx *Txn) hasDeleted(u unitID) bool {
	i := sort.Search(len(tx.deletes), func(i int) bool {
		r := &tx.deletes[i]
		return r.client > u.client || r.client == u.client && r.clock > u.clock
	}) - 1
	if i < 0 {
		return false
	}
	r := &tx.deletes[i]
	return r.client == u.client && u.clock < r.clock+r.length
}

// Keys are the keys, or attributes, that changed, in the order of their first
// change. A key that is as before, with or without a value, is left out.
// (Yjs: YEvent.keys.)
func (e *Event) Keys() []KeyChange {
	if !e.hasKeys && e.open() {
		e.hasKeys = true
		for _, k := range e.changed.keys {
			if c, changed := e.keyChange(k); changed {
				e.keys = append(e.keys, c)
			}
		}
	}
	return e.keys
}

func (e *Event) keyChange(k keyRef) (c KeyChange, changed bool) {
	d := e.doc
	r := d.keyItem(e.target, k)
	if r == 0 {
		return c, false
	}
	c.Key = d.key(k)
	it := d.item(r)
	if !e.adds(it) {
		c.Action, c.Old = KeyDelete, d.lastValue(it)
		return c, e.deletes(it)
	}
	prev := it.left
	for prev != 0 && e.adds(d.item(prev)) {
		prev = d.item(prev).left
	}
	had := prev != 0 && e.deletes(d.item(prev))
	if had {
		c.Old = d.lastValue(d.item(prev))
	}
	switch has := !e.deletes(it); {
	case has && had:
		c.Action = KeyUpdate
	case has:
		c.Action = KeyAdd
	case had:
		c.Action = KeyDelete
	default:
		return c, false
	}
	return c, true
}

// List is the change of the elements of an array or of the children of an XML
// node, for a text of its units one by one. Values that were inserted and deleted
// within the transaction do not show. (Yjs: YEvent.changes.delta.)
func (e *Event) List() []ListOp {
	if !e.hasList && e.open() {
		e.hasList = true
		if e.changed.seq {
			e.list = e.readList()
		}
	}
	return e.list
}

func (e *Event) readList() (ops []ListOp) {
	d := e.doc
	last := func(k DeltaKind) *ListOp {
		if n := len(ops); n == 0 || ops[n-1].Kind != k {
			ops = append(ops, ListOp{Kind: k})
		}
		return &ops[len(ops)-1]
	}
	for r := d.start(e.target); r != 0; {
		it := d.item(r)
		r = it.right
		switch adds := e.adds(it); {
		case it.deleted():
			if !adds && e.deletes(it) {
				last(DeltaDelete).Len += int(it.length)
			}
		case adds:
			op := last(DeltaInsert)
			d.eachValue(it, func(v Value) bool {
				op.Insert = append(op.Insert, v)
				return true
			})
		default:
			last(DeltaRetain).Len += int(it.length)
		}
	}
	if n := len(ops); n > 0 && ops[n-1].Kind == DeltaRetain {
		ops = ops[:n-1]
	}
	return ops
}

// Added are the units in the sequence that the transaction inserted, without
// those that it deleted again (Yjs: YEvent.changes.added).
func (e *Event) Added() IDSet {
	e.readUnits()
	return e.added
}

// Deleted are the units in the sequence that the transaction deleted, without
// those that it had inserted itself (Yjs: YEvent.changes.deleted).
func (e *Event) Deleted() IDSet {
	e.readUnits()
	return e.gone
}

func (e *Event) readUnits() {
	if e.hasUnits || !e.open() {
		return
	}
	e.hasUnits = true
	if !e.changed.seq {
		return
	}
	d := e.doc
	var added, gone []deleteRange
	for r := d.start(e.target); r != 0; {
		it := d.item(r)
		r = it.right
		switch adds := e.adds(it); {
		case !it.deleted() && adds:
			added = append(added, deleteRange{it.client, it.clock, it.length})
		case it.deleted() && !adds && e.deletes(it):
			gone = append(gone, deleteRange{it.client, it.clock, it.length})
		}
	}
	byClient := func(a, b deleteRange) int { return cmp.Compare(a.client, b.client) }
	slices.SortFunc(added, byClient)
	slices.SortFunc(gone, byClient)
	e.added, e.gone = d.idSet(added), d.idSet(gone)
}

// sortByDepth sorts events by the length of their paths, those of the same
// length as they came.
func (d *Doc) sortByDepth(events []*Event) {
	slices.SortStableFunc(events, func(a, b *Event) int {
		return cmp.Compare(d.branch(a.target).depth, d.branch(b.target).depth)
	})
}
