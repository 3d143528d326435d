package differential

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// live is a history of which each step is made in Yjs at once, so that it can
// be asked about more than the hashes of what was made.
type live struct {
	*history
	peer     *peer
	observed bool // the events of all types are compared
}

// openLive begins a history of which all replicas exist in Yjs too; keep makes
// all of them keep deleted content.
func openLive(p *peer, one plan, observed, keep bool) (*live, error) {
	l := &live{newHistory(one), p, observed}
	l.shape.undoes = false // which no command of the peer does
	l.wrote = l.mirror
	if _, err := p.call("reset"); err != nil {
		return nil, err
	}
	for _, m := range l.replicas {
		m.keeps = m.keeps || keep
		id := m.ours.Doc.ClientID()
		m.undo = nil
		m.ours = replica.New(replica.Options{ClientID: uint64(id), KeepDeleted: m.keeps, Roots: l.roots})
		if _, err := p.call("new", arg{"doc", m.name()}, arg{"clientID", id}, arg{"gc", !m.keeps}, arg{"roots", l.roots}, arg{"observe", observed}); err != nil {
			return nil, err
		}
		for _, n := range l.names {
			if !observed {
				break
			}
			if err := m.ours.Observe(n, l.roots[n]); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

func (m *member) name() string { return fmt.Sprintf("r%d", m.index) }

// mirror makes a step in Yjs and compares.
func (l *live) mirror(m made, name string, args []any) error {
	switch name {
	case "edit":
		return l.emitted(l.replicas[args[0].(int)], m, "edit", arg{"ops", args[1].(json.RawMessage)})
	case "deliver":
		return l.emitted(l.replicas[args[0].(int)], m, "apply", arg{"v", args[1]}, arg{"u", b64(m.bytes[0])})
	case "sync":
		return l.emitted(l.replicas[args[0].(int)], m, "apply", arg{"v", args[3]}, arg{"u", b64(m.bytes[0])})
	case "state":
		theirs, err := l.peer.call("all", arg{"doc", m.state.name()})
		if err != nil {
			return err
		}
		return differAll(theirs, m.state.ours, l.roots, false)
	}
	return nil
}

// emitted runs a command in Yjs and compares updates and events.
func (l *live) emitted(m *member, ours made, op string, args ...arg) error {
	answer, err := l.peer.call(op, append(args, arg{"doc", m.name()})...)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name(), err)
	}
	theirs := answer.Get("emitted").List
	if len(theirs) != len(ours.emitted) {
		return fmt.Errorf("%s: Yjs emitted %d updates, we %d", m.name(), len(theirs), len(ours.emitted))
	}
	for i, e := range ours.emitted {
		if err := differs("V1", theirs[i].Get("v1").Str, e.V1); err != nil {
			return err
		}
		if err := differs("V2", theirs[i].Get("v2").Str, e.V2); err != nil {
			return err
		}
	}
	if d := vectors.Diff(answer.Get("subdocs"), m.ours.Subdocs()); d != "" {
		return fmt.Errorf("%s: events of subdocuments%s", m.name(), d)
	}
	if !l.observed {
		return nil
	}
	// The order of the events depends on the order in which blocks that had to
	// wait are integrated, which is not the same.
	if d := vectors.Diff(sorted(answer.Get("events")), sorted(m.ours.Events())); d != "" {
		return fmt.Errorf("%s: events%s", m.name(), d)
	}
	return nil
}

// tail is the end of the history.
func (l *live) tail() string {
	out := ""
	for _, line := range l.steps[max(0, len(l.steps)-12):] {
		out += "  " + string(line) + "\n"
	}
	return out
}

// The events of observers, step by step.
func TestEvents(t *testing.T) {
	eachHistory(t, *runFor/4, func(p *peer, seed uint64) error {
		l, err := openLive(p, plan{seed: seed}, true, false)
		if err != nil {
			return err
		}
		if err := l.run(); err != nil {
			return fmt.Errorf("%w\n%s", err, l.tail())
		}
		return nil
	})
}

// sorted orders a list that is compared as a set.
func sorted(v vectors.Value) vectors.Value {
	var list []vectors.Value
	for _, e := range v.List {
		list = append(list, inOrder(e))
	}
	return vectors.MakeList(vectors.SortBy(list)...)
}

// inOrder orders the keys of all objects in a value.
func inOrder(v vectors.Value) vectors.Value {
	v.List, v.Fields = slices.Clone(v.List), slices.Clone(v.Fields)
	for i := range v.List {
		v.List[i] = inOrder(v.List[i])
	}
	for i := range v.Fields {
		v.Fields[i].Value = inOrder(v.Fields[i].Value)
	}
	slices.SortFunc(v.Fields, func(a, b vectors.Field) int { return strings.Compare(a.Key, b.Key) })
	return v
}
