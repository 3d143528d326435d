package crdt_test

import (
	"fmt"
	"maps"
	"slices"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// undoManagers gives each client of a case one over all roots, if the case is with undo.
func (k *checker) undoManagers(c *vectors.Case, clients []*replica.Replica) []*replica.Undo {
	if !c.Undo {
		return nil
	}
	var managers []*replica.Undo
	for _, r := range clients {
		u, err := r.NewUndo(replica.UndoOptions{Scope: slices.Sorted(maps.Keys(c.Roots)), Origins: []any{"local"}})
		k.must("undo manager", err)
		managers = append(managers, u)
	}
	return managers
}

func undoNew(w *world, s *vectors.Step) (string, error) {
	o := replica.UndoOptions{
		Scope: s.Scope, Whole: s.Whole, CaptureWindow: 500, Now: func() int64 { return w.now },
		OverwriteRemote: s.IgnoreRemoteMapChanges,
	}
	if s.CaptureTimeout != nil {
		o.CaptureWindow = *s.CaptureTimeout
	}
	for _, origin := range s.TrackedOrigins {
		o.Origins = append(o.Origins, origin)
	}
	u, err := w.docs[s.Doc].NewUndo(o)
	w.undo[s.UM] = u
	return silent, err
}

func undo(w *world, s *vectors.Step) (string, error) {
	u := w.undo[s.UM]
	popped, emitted, err := u.Do(s.Do)
	if err != nil {
		return "", err
	}
	if want := s.Expect.Get("popped"); want.Kind == vectors.Bool && want.Bool != popped {
		return fmt.Sprintf("popped is %v", popped), nil
	}
	undo, redo := u.Sizes()
	if undo != int(s.Expect.Get("undo").Num) || redo != int(s.Expect.Get("redo").Num) {
		return fmt.Sprintf("stacks of %d and %d, want %s and %s", undo, redo, s.Expect.Get("undo"), s.Expect.Get("redo")), nil
	}
	if d := vectors.Diff(s.Expect.Get("ev"), u.Events()); d != "" {
		return "events" + d, nil
	}
	for name, r := range w.docs {
		if err := r.Check(); err != nil {
			return "", fmt.Errorf("document %s: %w", name, err)
		}
	}
	return differEmitted(s.Expect.Get("emitted"), emitted), nil
}
