package replica

import (
	"fmt"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// UndoOptions say how an undo manager starts.
type UndoOptions struct {
	Scope         []string // names of roots
	Whole         bool     // the scope is the document
	CaptureWindow int64    // milliseconds; 0 for none
	Now           func() int64
	Origins       []any
	// OverwriteRemote is ignoreRemoteMapChanges.
	OverwriteRemote bool
	// DeleteFilter is as in crdt.UndoOptions.
	DeleteFilter func(crdt.UndoDeletion) bool
}

// Undo is an undo manager and what it reported.
type Undo struct {
	r       *Replica
	manager *crdt.UndoManager
	events  []vectors.Value
}

// NewUndo makes an undo manager.
func (r *Replica) NewUndo(o UndoOptions) (*Undo, error) {
	var scope []crdt.Scope
	for _, name := range o.Scope {
		s, err := r.Scope(vectors.MakeString(name))
		if err != nil {
			return nil, err
		}
		scope = append(scope, s)
	}
	if o.Whole {
		scope = append(scope, r.Doc)
	}
	opts := crdt.UndoOptions{Origins: o.Origins, OverwriteRemote: o.OverwriteRemote, DeleteFilter: o.DeleteFilter}
	if o.CaptureWindow > 0 {
		opts.Now, opts.CaptureWindow = o.Now, o.CaptureWindow
	}
	m, err := crdt.NewUndoManager(r.Doc, opts, scope...)
	if err != nil {
		return nil, err
	}
	u := &Undo{r: r, manager: m}
	m.Observe(u.record)
	return u, nil
}

// Scope is the type at a path, or without one the document, for an undo manager.
func (r *Replica) Scope(path ...vectors.Value) (crdt.Scope, error) {
	if len(path) == 0 {
		return r.Doc, nil
	}
	v, err := r.Resolve(path)
	if err != nil {
		return nil, err
	}
	switch kind, _ := v.TypeKind(); kind {
	case crdt.KindText, crdt.KindXMLText:
		return v.Text(), nil
	case crdt.KindArray:
		return v.Array(), nil
	case crdt.KindMap, crdt.KindXMLHook:
		return v.Map(), nil
	case crdt.KindXMLFragment, crdt.KindXMLElement:
		return v.XMLFragment(), nil
	}
	return nil, fmt.Errorf("replica: %s cannot be undone", vectors.MakeList(path...))
}

func (u *Undo) record(e *crdt.StackEvent) {
	text := func(key, s string) vectors.Field {
		return vectors.Field{Key: key, Value: vectors.MakeString(s)}
	}
	if e.Kind == crdt.StackCleared {
		u.events = append(u.events, vectors.MakeObject(text("e", "stack-cleared"),
			vectors.Field{Key: "type", Value: vectors.MakeNull()},
			vectors.Field{Key: "undoCleared", Value: boolean(e.ClearedUndo)},
			vectors.Field{Key: "redoCleared", Value: boolean(e.ClearedRedo)}))
		return
	}
	name := map[crdt.StackEventKind]string{
		crdt.StackAdded: "stack-item-added", crdt.StackUpdated: "stack-item-updated", crdt.StackPopped: "stack-item-popped",
	}[e.Kind]
	stack := map[crdt.StackKind]string{crdt.UndoStack: "undo", crdt.RedoStack: "redo"}[e.Stack]
	u.events = append(u.events, vectors.MakeObject(text("e", name), text("type", stack)))
}

// Events are the events since the last call, as they were recorded.
func (u *Undo) Events() vectors.Value {
	events := vectors.MakeList(u.events...)
	u.events = nil
	return events
}

// Sizes are how many steps wait on the stacks.
func (u *Undo) Sizes() (undo, redo int) {
	return len(u.manager.Stack(crdt.UndoStack)), len(u.manager.Stack(crdt.RedoStack))
}

// Do undoes, redoes, stops capturing, clears or closes. It tells whether a step was taken back and returns what
// the document emitted.
func (u *Undo) Do(what string) (popped bool, out []Emitted, err error) {
	var c *crdt.Commit
	switch what {
	case "undo":
		c, err = u.manager.Undo()
	case "redo":
		c, err = u.manager.Redo()
	case "stop":
		u.manager.StopCapturing()
	case "clear":
		u.manager.Clear()
	case "clearUndo":
		u.manager.ClearUndo()
	case "clearRedo":
		u.manager.ClearRedo()
	case "close":
		u.manager.Close()
	default:
		err = fmt.Errorf("replica: unknown action %q", what)
	}
	if err != nil {
		return false, nil, err
	}
	return c != nil, u.r.Emitted(c), nil
}
