package differential

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// history is one random history of several replicas. It is run here first, by
// which it is written down; the peer then runs what was written, each replica
// with the same steps in the same order, and what every step makes must be the
// same. Each step draws from a generator of its own, so that a history keeps
// its character when steps are left out of it.
type history struct {
	plan
	random
	pcg      rand.PCG
	shape    shape
	roots    map[string]string
	names    []string
	replicas []*member
	updates  []update
	steps    []json.RawMessage // as the peer reads them
	sums     []uint64          // of what each step made here
	needs    []int             // how many of did were done up to each step
	work     work

	// wrote, if set, is called with every step.
	wrote func(m made, name string, args []any) error

	// wanted is the step whose result is kept in result; -1 for none.
	wanted int
	result made
}

// plan says what of a history is done.
type plan struct {
	seed uint64
	// careful compares the whole state after every step.
	careful bool
	// only holds the atoms to do; all if nil.
	only map[atom]bool
	// did are the atoms that were done.
	did []atom
}

// atom is a step, or one edit of a step that is a transaction.
type atom struct{ step, edit int }

// settling is the step that delivers everything.
const settling = 1 << 20

func (p *plan) does(step, edit int) bool {
	a := atom{step, edit}
	if p.only != nil && !p.only[a] {
		return false
	}
	p.did = append(p.did, a)
	return true
}

// work counts what was done.
type work struct{ histories, operations, deliveries, steps, states int }

func (w *work) add(v work) {
	w.histories += v.histories
	w.operations += v.operations
	w.deliveries += v.deliveries
	w.steps += v.steps
	w.states += v.states
}

// shape is the character of a history.
type shape struct {
	steps  int
	edits  int // at most, in a transaction
	behind int // how many updates wait before most steps deliver some
	roots  int
	undoes bool // there are undo managers
	// versions are the versions in which updates go around.
	versions []int
}

// sizes are the numbers of steps and of edits in one. Time goes with the square
// of both together.
var sizes = []struct{ steps, edits int }{{150, 1}, {150, 4}, {150, 16}, {75, 64}, {40, 64}, {40, 200}, {20, 200}, {20, 200}}

type member struct {
	index   int
	keeps   bool // deleted content
	ours    *replica.Replica
	undo    *replica.Undo
	inbox   []int // updates made by others and not delivered yet
	history []int // updates delivered before, for repeats
}

// update is an update in the versions that go around.
type update struct{ v1, v2 []byte }

func (u update) bytes(version int) []byte {
	if version == 2 {
		return u.v2
	}
	return u.v1
}

// made is what a step made.
type made struct {
	bytes   [][]byte
	emitted []replica.Emitted
	state   *member
	content *member
}

// newHistory draws what a history is like.
func newHistory(p plan) *history {
	h := &history{plan: p, wanted: -1, steps: []json.RawMessage{}}
	h.random = random{Rand: rand.New(&h.pcg)}
	h.draw(0)
	h.plainText = h.IntN(2) == 0
	size := sizes[h.IntN(len(sizes))]
	h.shape = shape{
		steps:    size.steps/5 + h.IntN(size.steps),
		edits:    size.edits,
		undoes:   h.IntN(3) == 0,
		versions: [][]int{{1}, {2}, {1, 2}}[h.IntN(3)],
		behind:   []int{1, 3, 10, 40}[h.IntN(4)],
		roots:    1 + h.IntN(4),
	}
	h.names = []string{"text", "array", "map", "xml"}
	h.Shuffle(len(h.names), func(i, j int) { h.names[i], h.names[j] = h.names[j], h.names[i] })
	h.names = h.names[:h.shape.roots]
	slices.Sort(h.names)
	h.roots = map[string]string{}
	for _, n := range h.names {
		h.roots[n] = n
	}
	for i := range 3 + h.IntN(4) {
		id := uint64(h.Uint32()) + 1
		switch h.IntN(8) {
		case 0, 1:
			id = h.Uint64N(1<<53-1) + 1
		case 2, 3:
			id = uint64(1 + i)
		}
		keeps := h.IntN(3) == 0
		h.replicas = append(h.replicas, &member{
			index: i,
			keeps: keeps,
			ours:  replica.New(replica.Options{ClientID: id, KeepDeleted: keeps, Roots: h.roots, Versions: h.shape.versions}),
		})
	}
	for _, m := range h.replicas {
		if h.shape.undoes {
			m.manage(h.names)
		}
	}
	return h
}

// manage gives a replica an undo manager of all roots, for which every
// transaction is a step of its own.
func (m *member) manage(roots []string) {
	undo, err := m.ours.NewUndo(replica.UndoOptions{Scope: roots, Origins: []any{"local"}})
	if err != nil {
		panic(err) // the roots exist
	}
	m.undo = undo
}

func (h *history) version() int { return h.shape.versions[h.IntN(len(h.shape.versions))] }

// draw starts the generator of a step or an edit.
func (h *history) draw(n uint64) { h.pcg.Seed(h.seed, n+1) }

// run does all steps; the error is of a step that failed here.
func (h *history) run() error {
	h.work.histories++
	for step := range h.shape.steps {
		h.draw(uint64(step+1) << 8)
		if err := h.step(step); err != nil {
			return fmt.Errorf("step %d: %w", len(h.steps), err)
		}
	}
	if !h.does(settling, 0) {
		return nil
	}
	h.draw(settling << 8)
	return h.settle()
}

func (h *history) step(step int) error {
	m := h.replicas[h.IntN(len(h.replicas))]
	n := h.IntN(40)
	if n < 20 {
		return h.edit(step, m)
	}
	if !h.does(step, 0) {
		return nil
	}
	switch {
	case n < 25 && m.undo != nil:
		return h.undo(m)
	case n < 34:
		for len(m.inbox) >= h.shape.behind {
			if err := h.deliver(m); err != nil {
				return err
			}
		}
		return h.deliver(m)
	case n < 37:
		return h.sync(m, h.replicas[h.IntN(len(h.replicas))])
	case n < 38:
		return h.mergeOverlapping()
	case n < 39:
		return h.compare(m)
	}
	return h.compareContent(m)
}

// write writes down a step, and what it made here.
func (h *history) write(m made, name string, args ...any) error {
	line, err := json.Marshal(append([]any{name}, args...))
	if err != nil {
		return err
	}
	if h.wanted == len(h.steps) {
		h.result = m
	}
	h.steps = append(h.steps, line)
	h.sums = append(h.sums, m.sum(h.names))
	h.needs = append(h.needs, len(h.did))
	h.work.steps++
	if h.wrote != nil {
		return h.wrote(m, name, args)
	}
	return nil
}

func (m made) sum(names []string) uint64 {
	var h sum
	for _, b := range m.bytes {
		h.bytes(b)
	}
	if m.emitted != nil {
		h.emitted(m.emitted)
	}
	if m.state != nil {
		h.state(m.state.ours.Doc)
	}
	if m.content != nil {
		for _, n := range names {
			t := m.content.root(n)
			h.shared(t)
			if f := t.XMLFragment(); f.Valid() {
				h.text(f.String())
			}
		}
	}
	return h.value()
}

func (m *member) root(name string) crdt.Value {
	switch d := m.ours.Doc; name {
	case "text":
		return d.Text(name).Value()
	case "array":
		return d.Array(name).Value()
	case "map":
		return d.Map(name).Value()
	}
	return m.ours.Doc.XMLFragment("xml").Value()
}

// edit makes random edits in one transaction.
func (h *history) edit(step int, m *member) error {
	var ops []vectors.Op
	n := 1 + h.IntN(h.shape.edits)
	i := 0
	done := 0
	next := func() (vectors.Op, bool) {
		for ; done == len(ops) && i < n; i++ {
			if h.does(step, i) {
				h.draw(uint64(step+1)<<8 + uint64(i+1))
				name := h.names[h.IntN(len(h.names))]
				ops = h.appendEdit(ops, h.place(name, m.root(name)))
			}
		}
		if done == len(ops) {
			return vectors.Op{}, false
		}
		done++
		return ops[done-1], true
	}
	emitted, err := m.ours.EditEach("local", next)
	if err != nil {
		return fmt.Errorf("r%d: %s: %w", m.index, encodeOps(ops), err)
	}
	if len(ops) == 0 {
		return nil
	}
	h.work.operations += len(ops)
	return h.emit(m, made{emitted: notNil(emitted)}, "edit", m.index, encodeOps(ops))
}

// undo undoes or redoes the last edit of a replica.
func (h *history) undo(m *member) error {
	what := []string{"undo", "undo", "redo"}[h.IntN(3)]
	popped, emitted, err := m.undo.Do(what)
	if err != nil {
		return fmt.Errorf("r%d: %s: %w", m.index, what, err)
	}
	h.work.operations++
	did := []byte{0}
	if popped {
		did[0] = 1
	}
	return h.emit(m, made{bytes: [][]byte{did}, emitted: notNil(emitted)}, "undo", m.index, what)
}

func notNil(es []replica.Emitted) []replica.Emitted {
	if es == nil {
		return []replica.Emitted{}
	}
	return es
}

// emit writes down a step and hands the updates that were made by it to the
// other replicas.
func (h *history) emit(m *member, made made, name string, args ...any) error {
	for _, e := range made.emitted {
		if !e.Local {
			continue
		}
		h.updates = append(h.updates, update{e.V1, e.V2})
		for _, other := range h.replicas {
			if other != m {
				other.inbox = append(other.inbox, len(h.updates)-1)
			}
		}
	}
	if err := h.write(made, name, args...); err != nil || !h.careful {
		return err
	}
	return h.compare(m)
}

// deliver applies some waiting updates: one, a repeated one, or several merged,
// in any order, whole or without what is known.
func (h *history) deliver(m *member) error {
	version := h.version()
	if len(m.history) > 0 && h.IntN(12) == 0 {
		return h.apply(m, version, []int{m.history[h.IntN(len(m.history))]})
	}
	if len(m.inbox) == 0 {
		return nil
	}
	take := 1
	if h.IntN(4) == 0 || len(m.inbox) > 10 && h.IntN(2) == 0 {
		take = 1 + h.IntN(min(12, len(m.inbox)))
	}
	shuffled := h.IntN(2) == 0
	var us []int
	for range take {
		i := 0
		if shuffled {
			i = h.IntN(len(m.inbox))
		}
		us = append(us, m.inbox[i])
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
	m.history = append(m.history, us...)
	return h.apply(m, version, us)
}

func (h *history) apply(m *member, version int, us []int) error {
	u, err := h.merge(version, us)
	if err != nil {
		return err
	}
	cut := h.IntN(10) == 0
	if cut {
		if u, err = replica.Diff(version, u, m.ours.SV()); err != nil {
			return err
		}
	}
	emitted, err := m.ours.Apply(version, u)
	if err != nil {
		return fmt.Errorf("r%d gets %v in V%d: %w", m.index, us, version, err)
	}
	h.work.deliveries += len(us)
	return h.emit(m, made{bytes: [][]byte{u}, emitted: notNil(emitted)}, "deliver", m.index, version, us, cut)
}

func (h *history) merge(version int, us []int) ([]byte, error) {
	if len(us) == 1 {
		return h.updates[us[0]].bytes(version), nil
	}
	var parts [][]byte
	for _, u := range us {
		parts = append(parts, h.updates[u].bytes(version))
	}
	return replica.Merge(version, parts)
}

// sync gives to one replica what a second one has and it lacks itself, or a
// third one does.
func (h *history) sync(m, from *member) error {
	lacks := m
	if h.IntN(4) == 0 {
		lacks = h.replicas[h.IntN(len(h.replicas))]
	}
	if m == from {
		return nil
	}
	return h.syncWith(m, from, lacks)
}

func (h *history) syncWith(m, from, lacks *member) error {
	version := h.version()
	sv := lacks.ours.SV()
	u, err := from.ours.StateDiff(version, sv)
	if err != nil {
		return err
	}
	bytes := [][]byte{u}
	cut := h.IntN(3) == 0
	if cut {
		c, err := replica.Diff(version, from.ours.State(version), sv)
		if err != nil {
			return err
		}
		bytes = append(bytes, c)
	}
	emitted, err := m.ours.Apply(version, u)
	if err != nil {
		return fmt.Errorf("r%d syncs from r%d in V%d: %w", m.index, from.index, version, err)
	}
	h.work.deliveries++
	return h.emit(m, made{bytes: bytes, emitted: notNil(emitted)}, "sync", m.index, from.index, lacks.index, version, cut)
}

// mergeOverlapping merges states and updates that hold the same units in blocks
// cut differently, and converts the result.
func (h *history) mergeOverlapping() error {
	version := h.version()
	var us [][]byte
	sources := []any{}
	for range 2 + h.IntN(4) {
		m, other := h.replicas[h.IntN(len(h.replicas))], h.replicas[h.IntN(len(h.replicas))]
		n := h.IntN(3)
		switch {
		case n == 0 && len(m.history) > 0:
			k := m.history[h.IntN(len(m.history))]
			us = append(us, h.updates[k].bytes(version))
			sources = append(sources, []any{"update", k})
		case n == 1:
			u, err := m.ours.StateDiff(version, other.ours.SV())
			if err != nil {
				return err
			}
			us = append(us, u)
			sources = append(sources, []any{"diff", m.index, other.index})
		default:
			us = append(us, m.ours.State(version))
			sources = append(sources, []any{"state", m.index})
		}
	}
	u, err := replica.Merge(version, us)
	if err != nil {
		return err
	}
	converted, err := replica.Convert(3-version, u)
	if err != nil {
		return err
	}
	return h.write(made{bytes: [][]byte{u, converted}}, "merge", version, sources)
}

// compare compares all that a replica stores.
func (h *history) compare(m *member) error {
	if err := m.ours.Check(); err != nil {
		return fmt.Errorf("r%d: %w", m.index, err)
	}
	h.work.states++
	return h.write(made{state: m}, "state", m.index)
}

// compareContent compares all that applications see of a replica.
func (h *history) compareContent(m *member) error {
	return h.write(made{content: m}, "content", m.index)
}

// settle delivers everything to everybody and compares.
func (h *history) settle() error {
	if h.IntN(2) == 0 {
		if err := h.share(); err != nil {
			return err
		}
	}
	if err := h.deliverAll(); err != nil {
		return err
	}
	for _, m := range h.replicas {
		if m.ours.Pending() == nil {
			continue
		}
		// Blocks that wait for each other's clients, of which one comes alone
		// and then waits too, are not tried again, in Yjs as here.
		if err := h.share(); err != nil {
			return err
		}
		break
	}
	for _, m := range h.replicas {
		if err := h.compare(m); err != nil {
			return err
		}
		if err := h.compareContent(m); err != nil {
			return err
		}
		if m.ours.Pending() != nil {
			return fmt.Errorf("settled: r%d waits: %+v", m.index, m.ours.Doc.Pending())
		}
		if !m.ours.Doc.StateVector().Equal(h.replicas[0].ours.Doc.StateVector()) {
			return fmt.Errorf("settled: r0 and r%d have other state vectors", m.index)
		}
	}
	return nil
}

func (h *history) deliverAll() error {
	for more := true; more; {
		more = false
		for _, m := range h.replicas {
			for len(m.inbox) > 0 {
				more = true
				if err := h.deliver(m); err != nil {
					return fmt.Errorf("settling: %w", err)
				}
			}
		}
	}
	return nil
}

// share syncs all replicas from each other, after which none has need of what
// is on its way to it.
func (h *history) share() error {
	for more := true; more; {
		more = false
		for _, m := range h.replicas {
			for _, from := range h.replicas {
				if m.ours.Doc.StateVector().Contains(from.ours.Doc.StateVector()) {
					continue
				}
				more = true
				if err := h.syncWith(m, from, m); err != nil {
					return err
				}
			}
		}
	}
	for _, m := range h.replicas {
		m.inbox = nil
	}
	return nil
}

// script is the history as the peer reads it.
func (h *history) script() json.RawMessage {
	type replica struct {
		Client uint64 `json:"client"`
		GC     bool   `json:"gc"`
	}
	var rs []replica
	for _, m := range h.replicas {
		rs = append(rs, replica{uint64(m.ours.Doc.ClientID()), !m.keeps})
	}
	b, err := json.Marshal(map[string]any{"replicas": rs, "versions": h.shape.versions, "undoes": h.shape.undoes, "roots": h.roots, "steps": h.steps})
	if err != nil {
		panic(err) // numbers, strings and JSON
	}
	return b
}
