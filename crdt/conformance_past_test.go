package crdt_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

func snapshotOf(w *world, s *vectors.Step) (string, error) {
	return differBytes(s, "s", w.docs[s.Doc].Snapshot(s.Version())), nil
}

func snapDecode(w *world, s *vectors.Step) (string, error) {
	sv, ds, err := replica.SnapshotParts(s.Version(), s.S)
	if err != nil {
		return "", err
	}
	want := clocks(s.Expect.Get("sv"))
	// As in decodeSV.
	maps.DeleteFunc(want, func(_ string, clock uint64) bool { return clock == 0 })
	if d := differMap(want, sv); d != "" {
		return d, nil
	}
	return differRanges(clockRanges(s.Expect.Get("ds")), ds), nil
}

func snapRecode(w *world, s *vectors.Step) (string, error) {
	got, err := replica.RecodeSnapshot(s.Version(), s.To, s.S)
	return differBytes(s, "s", got), err
}

func snapEqual(w *world, s *vectors.Step) (string, error) {
	a, err := crdt.DecodeSnapshot(crdt.Version(s.Version()), s.A)
	if err != nil {
		return "", err
	}
	b, err := crdt.DecodeSnapshot(crdt.Version(s.Version()), s.B)
	return differBool(s, "eq", a.Equal(b)), err
}

func snapContains(w *world, s *vectors.Step) (string, error) {
	snap, err := crdt.DecodeSnapshot(crdt.Version(s.Version()), s.S)
	if err != nil {
		return "", err
	}
	got, err := snap.ContainsUpdate(crdt.Version(s.UV), s.U)
	return differBool(s, "contains", got), err
}

func differBool(s *vectors.Step, field string, got bool) string {
	want := s.Expect.Get(field)
	if want.Kind != vectors.Bool || want.Bool != got {
		return fmt.Sprintf("want %s, got %v", want, got)
	}
	return ""
}

// fromSnapshot also checks that reading the past changes nothing.
func fromSnapshot(w *world, s *vectors.Step) (string, error) {
	r := w.docs[s.Doc]
	before := r.State(2)
	got, err := r.At(s.Version(), s.S, replica.Options{})
	if err != nil {
		return "", err
	}
	if err := got.Check(); err != nil {
		return "", err
	}
	w.docs[s.Into] = got
	return differ(before, r.State(2)), nil
}

func contentAt(w *world, s *vectors.Step) (string, error) {
	r := w.docs[s.Doc]
	before := r.State(2)
	got, err := r.ContentAt(s.Version(), s.S, s.Root, s.Type)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(before, r.State(2)) {
		return "reading changed the document", nil
	}
	want := s.Expect.Get("json")
	if s.Op == "deltaSnapshot" {
		want = s.Expect.Get("delta")
	}
	return vectors.Diff(want, got), nil
}

func deltaSnapshot(w *world, s *vectors.Step) (string, error) {
	if s.Prev == nil {
		return contentAt(w, s)
	}
	mark := replica.MarkWithID
	if !s.YChange {
		mark = nil
	}
	got, err := w.docs[s.Doc].DeltaBetween(s.Version(), s.Prev, s.S, s.Root, mark)
	return vectors.Diff(s.Expect.Get("delta"), got), err
}

func relpos(w *world, s *vectors.Step) (string, error) {
	p, err := w.docs[s.Doc].RelPos(s.Root, s.Type, s.Path, s.Index, s.Assoc)
	if err != nil {
		return "", err
	}
	if d := differBytes(s, "rp", crdt.AppendRelativePosition(nil, p)); d != "" {
		return d, nil
	}
	return vectors.Diff(s.Expect.Get("json"), replica.RelPosJSON(p)), nil
}

func relposDecode(w *world, s *vectors.Step) (string, error) {
	p, err := crdt.DecodeRelativePosition(s.RP)
	if err != nil {
		return "", err
	}
	if d := differBytes(s, "again", crdt.AppendRelativePosition(nil, p)); d != "" {
		return d, nil
	}
	return vectors.Diff(s.Expect.Get("json"), replica.RelPosJSON(p)), nil
}

func relposFromJSON(w *world, s *vectors.Step) (string, error) {
	var p crdt.RelativePosition
	if err := json.Unmarshal(s.JSON.JSON(), &p); err != nil {
		return "", err
	}
	return differBytes(s, "rp", crdt.AppendRelativePosition(nil, p)), nil
}

func abspos(w *world, s *vectors.Step) (string, error) {
	p, err := crdt.DecodeRelativePosition(s.RP)
	return vectors.Diff(s.Expect.Get("pos"), w.docs[s.Doc].AbsPos(p, s.FollowUndone)), err
}
