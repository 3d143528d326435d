package crdt

import (
	"fmt"
	"slices"
)

// StackKind names one of the two stacks of an UndoManager.
type StackKind uint8

const (
	// UndoStack holds what can be undone.
	UndoStack StackKind = iota
	// RedoStack holds what can be redone.
	RedoStack
)

// StackItem is one step on a stack: what was inserted and deleted by the transactions that it is made
// of (Yjs: StackItem).
type StackItem struct {
	doc        *Doc
	insertions undoSet
	deletions  undoSet
	meta       map[any]any
}

// Insertions are the units that the step inserted. Some may have been deleted since.
func (s *StackItem) Insertions() IDSet { return s.insertions.public(s.doc) }

// Deletions are the units that the step deleted.
func (s *StackItem) Deletions() IDSet { return s.deletions.public(s.doc) }

// SetMeta attaches a value to the step, such as the selection to restore. The key must be comparable.
func (s *StackItem) SetMeta(key, value any) {
	if s.meta == nil {
		s.meta = make(map[any]any)
	}
	s.meta[key] = value
}

// Meta is the value attached under key; nil if there is none.
func (s *StackItem) Meta(key any) any { return s.meta[key] }

// StackEventKind says what happened to a stack.
type StackEventKind uint8

const (
	// StackAdded: a step was put on a stack.
	StackAdded StackEventKind = iota
	// StackUpdated: a transaction was added to the newest step of the undo stack.
	StackUpdated
	// StackPopped: a step was taken off a stack, and undone or redone.
	StackPopped
	// StackCleared: the steps of one or both stacks were forgotten.
	StackCleared
)

// StackEvent says what happened to the stacks of an UndoManager (Yjs: StackItemEvent).
type StackEvent struct {
	Kind StackEventKind
	// Stack is where the step is or, for StackPopped, was.
	Stack StackKind
	// Item is the step; nil for StackCleared.
	Item *StackItem
	// Origin is that of the transaction; the UndoManager itself for StackPopped.
	Origin any
	// ClearedUndo and ClearedRedo say which stacks were cleared, of those that were asked for.
	ClearedUndo bool
	ClearedRedo bool

	doc     *Doc
	changed []branchRef
}

// Changed tells whether the transaction changed a type or something below it (Yjs:
// changedParentTypes); for the document, whether it changed anything.
func (e *StackEvent) Changed(s Scope) bool {
	d, b := s.undoScope()
	if d == nil || d != e.doc {
		return false
	}
	if b == 0 {
		return len(e.changed) > 0
	}
	for _, c := range e.changed {
		if d.within(c, b) {
			return true
		}
	}
	return false
}

// within tells whether type b is type above or below it.
func (d *Doc) within(b, above branchRef) bool {
	for b != above {
		r := d.branches[b].item
		if r == 0 || d.item(r).isGC() {
			return false
		}
		b = d.parentOf(d.item(r))
	}
	return true
}

// undoSet is a set of known units. Its clients keep the order in which they came, for it decides in
// which order things are redone and thus which clocks they get (Yjs: the order of a Map).
type undoSet []undoClient

type undoClient struct {
	client clientRef
	ranges ranges
}

func (s *undoSet) add(c clientRef, from, to uint32) {
	i := slices.IndexFunc(*s, func(uc undoClient) bool { return uc.client == c })
	if i < 0 {
		i = len(*s)
		*s = append(*s, undoClient{client: c})
	}
	(*s)[i].ranges.add(from, to)
}

func (s undoSet) has(u unitID) bool {
	for i := range s {
		if s[i].client == u.client {
			return s[i].ranges.has(u.clock)
		}
	}
	return false
}

// each visits the blocks of the set, cut at its borders (Yjs: iterateDeletedStructs).
func (s undoSet) each(tx *Txn, visit func(itemRef)) {
	for _, c := range s {
		for _, r := range c.ranges {
			tx.eachDeleted(deleteRange{c.client, r.from, r.to - r.from}, visit)
		}
	}
}

func (s undoSet) public(d *Doc) IDSet {
	var out IDSet
	for _, c := range s {
		for _, r := range c.ranges {
			out.Add(d.clients[c.client].id, Range{Clock(r.from), Clock(r.to)})
		}
	}
	return out
}

// checkUndo verifies what undoing adds: each copy that Doc.redone leads to is known and newer than
// what it is a copy of, the flags of both say the same, and the stacks hold known units only.
func (d *Doc) checkUndo(seen map[itemRef]bool) error {
	flagged := 0
	for r := range seen {
		it := d.item(r)
		if it.flags&flagRedone == 0 {
			continue
		}
		flagged++
		id, ok := d.redone[r]
		switch c := d.findClient(id.Client); {
		case !ok:
			return fmt.Errorf("item %d: redone by nothing", r)
		case c == 0 || id.Clock+Clock(it.length) > Clock(d.clients[c].state):
			return fmt.Errorf("item %d: redone by %v, which is unknown", r, id)
		case c == it.client && uint32(id.Clock) < it.end():
			return fmt.Errorf("item %d: redone by %v, which is older", r, id)
		case !it.deleted() || it.isGC():
			return fmt.Errorf("item %d: redone, but lives or was collected", r)
		case !d.marksCopies(it, unitID{c, uint32(id.Clock)}):
			return fmt.Errorf("item %d: redone by %v in its sequence, without the flag", r, id)
		}
	}
	if flagged != len(d.redone) {
		return fmt.Errorf("%d items are redone, %d have the flag", len(d.redone), flagged)
	}
	if d.watch == nil {
		return nil
	}
	for _, u := range d.watch.undo {
		for _, stack := range [][]*StackItem{u.stacks[UndoStack], u.stacks[RedoStack]} {
			for i, s := range stack {
				if err := s.check(); err != nil {
					return fmt.Errorf("undo: step %d of %d: %w", i, len(stack), err)
				}
			}
		}
	}
	return nil
}

// marksCopies tells whether the copy of an item has its flag, if it is in the same sequence.
func (d *Doc) marksCopies(it *item, made unitID) bool {
	for end := made.clock + it.length; made.clock < end; {
		c := d.item(d.blockAt(made))
		if c.chain == it.chain && d.chain(c.chain).key == 0 && c.flags&flagCopy == 0 {
			return false
		}
		made.clock = c.end()
	}
	return true
}

func (s *StackItem) check() error {
	for _, set := range []undoSet{s.insertions, s.deletions} {
		for i, c := range set {
			last := uint32(0)
			for j, r := range c.ranges {
				if r.from >= r.to || j > 0 && r.from <= last {
					return fmt.Errorf("ranges %v", c.ranges)
				}
				last = r.to
			}
			if last > s.doc.clients[c.client].state || len(c.ranges) == 0 {
				return fmt.Errorf("units up to %d, client has %d", last, s.doc.clients[c.client].state)
			}
			if slices.ContainsFunc(set[:i], func(o undoClient) bool { return o.client == c.client }) {
				return fmt.Errorf("client %d comes twice", c.client)
			}
		}
	}
	for _, c := range s.deletions {
		for _, r := range c.ranges {
			if !s.doc.clients[c.client].deleted.settled().covers(r) {
				return fmt.Errorf("deletes %v, which is not deleted", r)
			}
		}
	}
	return nil
}
