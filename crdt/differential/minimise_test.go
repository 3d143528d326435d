package differential

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ysync/internal/vectors"
)

// errDifferent says that the hashes of a step differ.
var errDifferent = errors.New("not what Yjs made")

// try runs one history in both; nil if they agree.
func (p *peer) try(one plan) *failure {
	h := newHistory(one)
	bad := h.run()
	if err := p.send("run", arg{"history", h.script()}); err != nil {
		return &failure{h.plan, 0, err}
	}
	line, err := p.receive()
	if err != nil {
		return &failure{h.plan, 0, err}
	}
	f := h.judge(line)
	if f == nil && bad != nil {
		f = &failure{h.plan, len(h.steps), bad}
	}
	if f != nil && f.step < len(h.needs) {
		f.plan.did = h.did[:h.needs[f.step]]
	}
	return f
}

// minimising is how long a failure is made smaller.
const minimising = time.Minute

// minimise leaves steps out of a failed history while it fails, and tells all
// about what is left.
func minimise(t *testing.T, f *failure) string {
	p, err := startPeer(t)
	if err != nil {
		return err.Error()
	}
	try := func(atoms []atom) *failure {
		one := plan{seed: f.plan.seed, careful: true, only: map[atom]bool{}}
		for _, a := range atoms {
			one.only[a] = true
		}
		g := p.try(one)
		if g != nil && errors.Is(g.err, errHung) {
			if p, err = startPeer(t); err != nil {
				return nil
			}
		}
		return g
	}
	if g := p.try(plan{seed: f.plan.seed, careful: true}); g != nil {
		f = g
	}
	atoms := f.plan.did
	end := time.Now().Add(minimising)
	for size := len(atoms) / 2; size > 0; size /= 2 {
		for at := 0; at < len(atoms) && time.Now().Before(end); {
			without := append(append([]atom(nil), atoms[:at]...), atoms[min(at+size, len(atoms)):]...)
			if g := try(without); g != nil && g.plan.did != nil {
				f, atoms = g, g.plan.did
			} else {
				at += size
			}
		}
	}
	return p.explain(f)
}

// explain tells the whole history and how the failed step differs.
func (p *peer) explain(f *failure) string {
	one := plan{seed: f.plan.seed, careful: f.plan.careful, only: map[atom]bool{}}
	var atoms []string
	for _, a := range f.plan.did {
		one.only[a] = true
		atoms = append(atoms, a.String())
	}
	h := newHistory(one)
	h.wanted = f.step
	_ = h.run() // its failure is f
	var out strings.Builder
	fmt.Fprintf(&out, "%v\nagain with -seed %d -only %s\n", f, f.plan.seed, strings.Join(atoms, ","))
	for _, m := range h.replicas {
		fmt.Fprintf(&out, "  r%d: client %d, keeps deleted content: %v\n", m.index, m.ours.Doc.ClientID(), m.keeps)
	}
	for i, s := range h.steps[:min(f.step+1, len(h.steps))] {
		fmt.Fprintf(&out, "  %d %s\n", i, s)
	}
	if errors.Is(f.err, errDifferent) {
		fmt.Fprintln(&out, p.detail(h))
	}
	return out.String()
}

// detail tells how a step differs.
func (p *peer) detail(h *history) error {
	// The replica of a state or of content is at its last step, not at the
	// wanted one, unless the history is cut there.
	h.steps = h.steps[:h.wanted+1]
	answered, err := p.call("run", arg{"history", json.RawMessage(h.script())}, arg{"detail", h.wanted})
	if err != nil {
		return err
	}
	theirs, ours := answered.Get("detail"), h.result
	for i, b := range ours.bytes {
		if err := differs(fmt.Sprintf("bytes %d", i), theirs.Get("bytes").List[i].Str, b); err != nil {
			return err
		}
	}
	if ours.emitted != nil {
		if n := len(theirs.Get("emitted").List); n != len(ours.emitted) {
			return fmt.Errorf("Yjs emitted %d updates, we %d: %s", n, len(ours.emitted), theirs.Get("emitted"))
		}
		for i, e := range ours.emitted {
			them := theirs.Get("emitted").List[i]
			if err := errors.Join(differs("V1", them.Get("v1").Str, e.V1), differs("V2", them.Get("v2").Str, e.V2)); err != nil {
				return err
			}
			if them.Get("local").Bool != e.Local {
				return fmt.Errorf("update %d: local is %v", i, e.Local)
			}
		}
	}
	if ours.state != nil {
		if err := differAll(theirs, ours.state.ours, nil, false); err != nil {
			return err
		}
	}
	if ours.content != nil {
		for _, n := range h.names {
			got, err := ours.content.ours.Content("deep", n, n)
			if err != nil {
				return err
			}
			if d := vectors.Diff(theirs.Get("deep").Get(n), got); d != "" {
				return fmt.Errorf("%s%s", n, d)
			}
		}
	}
	return errors.New("only their hashes differ")
}
