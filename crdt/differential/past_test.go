package differential

import (
	"encoding/base64"
	"fmt"
	"testing"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// TestPast reads the past of random histories and places relative positions in them, here and in Yjs.
// Surrogate pairs are never cut: where a view of Yjs cuts one, Yjs changes the document.
func TestPast(t *testing.T) {
	eachHistory(t, *runFor/3, runPast)
}

func runPast(p *peer, seed uint64) error {
	h, err := openLive(p, plan{seed: seed}, false, true)
	if err != nil {
		return err
	}
	h.plainText = true
	moments := map[*member][][]byte{}
	var positions [][]byte
	for step := range 40 + h.IntN(80) {
		h.draw(uint64(step+1) << 8)
		m := h.replicas[h.IntN(len(h.replicas))]
		var err error
		switch h.IntN(12) {
		case 0, 1, 2, 3, 4:
			err = h.edit(step, m)
		case 5, 6, 7:
			err = h.deliver(m)
		case 8:
			moments[m], err = h.moment(m, moments[m])
		case 9:
			if s := moments[m]; len(s) > 0 {
				err = h.comparePast(m, s[h.IntN(len(s))], s[h.IntN(len(s))])
			}
		case 10:
			positions, err = h.place(m, positions)
		default:
			if len(positions) > 0 {
				err = h.resolve(m, positions[h.IntN(len(positions))])
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w\n%s", step, err, h.tail())
		}
	}
	for _, m := range h.replicas {
		for _, s := range moments[m] {
			if err := h.comparePast(m, s, moments[m][h.IntN(len(moments[m]))]); err != nil {
				return fmt.Errorf("at the end: %w\n%s", err, h.tail())
			}
		}
		for _, rp := range positions {
			if err := h.resolve(m, rp); err != nil {
				return fmt.Errorf("at the end: %w\n%s", err, h.tail())
			}
		}
	}
	return h.settle()
}

// moment takes a snapshot. Snapshots are kept as V1.
func (h *live) moment(m *member, all [][]byte) ([][]byte, error) {
	for version := 1; version <= 2; version++ {
		answer, err := h.peer.call("snapshot", arg{"doc", m.name()}, arg{"v", version})
		if err != nil {
			return all, err
		}
		if err := differs("snapshot", answer.Get("s").Str, m.ours.Snapshot(version)); err != nil {
			return all, err
		}
	}
	s := m.ours.Snapshot(1)
	return append(all, s), nil
}

func (h *live) comparePast(m *member, prev, s []byte) error {
	theirs, err := h.peer.call("past", arg{"doc", m.name()}, arg{"s", b64(s)}, arg{"prev", b64(prev)}, arg{"v", 1})
	if err != nil {
		return err
	}
	before := m.ours.State(2)
	past, err := m.ours.At(1, s, replica.Options{KeepDeleted: true})
	if err != nil {
		return err
	}
	if err := past.Check(); err != nil {
		return err
	}
	if err := differs("document of the past", theirs.Get("state").Str, past.State(2)); err != nil {
		return err
	}
	for form, read := range map[string]func(root string) (vectors.Value, error){
		"deltas": func(root string) (vectors.Value, error) { return m.ours.ContentAt(1, s, root, "") },
		"changes": func(root string) (vectors.Value, error) {
			return m.ours.DeltaBetween(1, prev, s, root, replica.MarkWithID)
		},
		"json": func(root string) (vectors.Value, error) { return m.ours.JSONAt(1, s, root) },
	} {
		for _, f := range theirs.Get(form).Fields {
			ours, err := read(f.Key)
			if err != nil {
				return err
			}
			if d := vectors.Diff(withoutLoading(f.Value), withoutLoading(ours)); d != "" {
				return fmt.Errorf("%s: %s of %s%s", m.name(), form, f.Key, d)
			}
		}
	}
	if err := differs("state after looking at the past", b64(before), m.ours.State(2)); err != nil {
		return err
	}
	return differs("state after Yjs looked at the past", theirs.Get("after").Str, m.ours.State(2))
}

// place makes a relative position in a root.
func (h *live) place(m *member, all [][]byte) ([][]byte, error) {
	name := h.names[h.IntN(len(h.names))]
	if h.roots[name] == "map" {
		return all, nil
	}
	rp, err := h.placeIn(m, []vectors.Value{str(name)})
	return append(all, rp), err
}

// placeIn makes one in the type at a path.
func (h *live) placeIn(m *member, path []vectors.Value) ([]byte, error) {
	index, assoc := h.IntN(12), []int{0, 0, -1, -1, 1}[h.IntN(5)]
	name := path[0].Text()
	p, err := m.ours.RelPos(name, h.roots[name], path[1:], index, assoc)
	if err != nil {
		return nil, err
	}
	answer, err := h.peer.call("relpos", arg{"doc", m.name()}, arg{"path", rawJSON(vectors.MakeList(path...).JSON())}, arg{"index", index}, arg{"assoc", assoc})
	if err != nil {
		return nil, err
	}
	if got := string(p.AppendJSON(nil)); got != answer.Get("json").Str {
		return nil, fmt.Errorf("%s: position %d of %s: Yjs has %s, we %s", m.name(), index, name, answer.Get("json").Str, got)
	}
	return base64.StdEncoding.DecodeString(answer.Get("rp").Str)
}

// resolve finds a relative position, both ways.
func (h *live) resolve(m *member, rp []byte) error {
	p, err := crdt.DecodeRelativePosition(rp)
	if err != nil {
		return err
	}
	for _, follow := range []bool{true, false} {
		answer, err := h.peer.call("abspos", arg{"doc", m.name()}, arg{"rp", b64(rp)}, arg{"follow", follow})
		if err != nil {
			return err
		}
		if d := vectors.Diff(answer.Get("pos"), m.ours.AbsPos(p, &follow)); d != "" {
			return fmt.Errorf("%s: position %s, followed %v%s", m.name(), b64(rp), follow, d)
		}
	}
	return nil
}

// withoutLoading drops whether subdocuments load, which is for each copy of a document to decide.
func withoutLoading(v vectors.Value) vectors.Value {
	out := v
	out.List, out.Fields = nil, nil
	for _, e := range v.List {
		out.List = append(out.List, withoutLoading(e))
	}
	for _, f := range v.Fields {
		if f.Key != "shouldLoad" {
			out.Fields = append(out.Fields, vectors.Field{Key: f.Key, Value: withoutLoading(f.Value)})
		}
	}
	return out
}
