package simtest

import (
	"bytes"
	"hash/fnv"
	"slices"

	"ysync/crdt"
	"ysync/persistence"
)

// shadow is what the log was told, kept beside it and never trimmed: the
// judge's own record of every claim and every entry. It is written while a call
// takes effect, with database.effect held.
type shadow struct {
	w    *world
	docs map[string]*account
}

// account is what the shadow knows of one document.
type account struct {
	name  string
	epoch persistence.Epoch
	owner map[persistence.Epoch]string // who claimed it; empty for nobody
	gens  []*generation
}

// generation is one history of a document.
type generation struct {
	number  persistence.Generation
	first   persistence.Position // of the entries kept here, less one
	base    []byte               // what it began with (update V2), nil for nothing
	entries []kept
	// replay is the entries, applied in order.
	replay *crdt.Doc
	// units are hashes of the content of units, by who made them.
	units map[crdt.ID]uint64
	// deletes is what replay has deleted at the entry counted.
	deletes   crdt.IDSet
	deletesAt int
}

// kept is one entry of the log.
type kept struct {
	position persistence.Position
	epoch    persistence.Epoch
	update   []byte
}

func newShadow(w *world) *shadow { return &shadow{w: w, docs: map[string]*account{}} }

func (s *shadow) of(document string) *account {
	a := s.docs[document]
	if a == nil {
		a = &account{name: document, owner: map[persistence.Epoch]string{}}
		a.begin(1, 0)
		s.docs[document] = a
	}
	return a
}

func (a *account) begin(number persistence.Generation, first persistence.Position) *generation {
	g := &generation{number: number, first: first, replay: newReplay(), units: map[crdt.ID]uint64{}}
	a.gens = append(a.gens, g)
	return g
}

// newReplay is a document that is exactly what it is given, as those of servers are.
func newReplay() *crdt.Doc {
	return crdt.New(crdt.Options{ClientID: 1, NoFormatCleanup: true, RetryAll: true})
}

func (a *account) now() *generation { return a.gens[len(a.gens)-1] }

func (g *generation) head() persistence.Position {
	return g.first + persistence.Position(len(g.entries))
}

func (s *shadow) claimed(document, boot string, r persistence.Record) {
	a := s.of(document)
	if r.Epoch != a.epoch+1 {
		s.w.fault("I3", "%s: %s claimed epoch %d after epoch %d", document, boot, r.Epoch, a.epoch)
	}
	a.epoch = r.Epoch
	a.owner[r.Epoch] = boot
}

func (s *shadow) released(document string) { s.of(document).epoch++ }

func (s *shadow) pointed(document string, p persistence.Pointer) {
	a := s.of(document)
	if p.Position > a.now().head() {
		s.w.fault("I6", "%s: a snapshot at %d, the log ends at %d", document, p.Position, a.now().head())
	}
}

// renewed begins the next generation with the content of the snapshot.
func (s *shadow) renewed(document string, p persistence.Pointer) {
	a := s.of(document)
	a.epoch++
	before := a.now()
	g := a.begin(before.number+1, persistence.FirstOfReset)
	state, err := s.w.snapshotState(p)
	if g.base = state; err == nil {
		_, err = g.replay.Apply(nil, crdt.V2, state)
	}
	if err != nil {
		s.w.fault("I6", "%s: the snapshot of generation %d: %v", document, g.number, err)
	}
	for client, clock := range g.replay.StateVector().All() {
		s.w.madeBy(client, clock)
		if before.replay.StateVector().Get(client) > 0 {
			s.w.fault("I14", "%s: client %d of generation %d is in generation %d", document, client, before.number, g.number)
		}
	}
	if was, is := content(before.replay), content(g.replay); was != is {
		s.w.fault("I14", "%s: generation %d begins with %s, the one before ended with %s", document, g.number, is, was)
	}
}

// appended judges what one append has committed, and keeps it.
func (s *shadow) appended(boot string, b *persistence.Batch, r persistence.Result) {
	w, a := s.w, s.of(b.Document)
	if a.owner[b.Epoch] != boot || b.Epoch != a.epoch {
		w.fault("I3", "%s: %s wrote entries %d to %d under epoch %d of %q, the newest is %d",
			b.Document, boot, r.First, r.Last, b.Epoch, a.owner[b.Epoch], a.epoch)
	}
	g := a.now()
	if b.Generation != g.number {
		w.fault("I14", "%s: entries of generation %d in generation %d", b.Document, b.Generation, g.number)
	}
	if r.First != g.head()+1 || int(r.Last-r.First)+1 != len(b.Entries) {
		w.fault("I3", "%s: entries %d to %d come after %d", b.Document, r.First, r.Last, g.head())
	}
	for i, e := range b.Entries {
		g.take(w, b.Document, kept{r.First + persistence.Position(i), b.Epoch, e.Update})
	}
}

// recently is among how many entries nothing may be twice.
const recently = 16

// take judges one entry: who made what is in it, and that nobody ever made
// anything else under the same name.
func (g *generation) take(w *world, document string, e kept) {
	e.update = append([]byte(nil), e.update...)
	if n := len(g.entries); n > 0 && g.entries[n-1].epoch > e.epoch {
		w.fault("I3", "%s: epoch %d after epoch %d", at(document, e.position), e.epoch, g.entries[n-1].epoch)
	}
	for _, before := range slices.Backward(g.entries[max(0, len(g.entries)-recently):]) {
		// What waits may be there twice: at first it was logged for what came with it.
		if g.replay.Pending().Empty() && before.epoch == e.epoch && bytes.Equal(before.update, e.update) {
			w.fault("I4", "%s: what is at %d already, under the same claim", at(document, e.position), before.position)
			break
		}
	}
	g.entries = append(g.entries, e)
	_, err := crdt.WalkStructs(crdt.V1, e.update, func(s *crdt.Struct) {
		if s.Kind == crdt.ContentSkip {
			return
		}
		if end := s.ID.Clock + crdt.Clock(s.Len); end > w.made(s.ID.Client) {
			w.fault("I5", "%s: units of client %d up to %d, which made %d", at(document, e.position), s.ID.Client, end, w.made(s.ID.Client))
		}
		g.identify(w, document, e.position, s)
	})
	if err != nil {
		w.fault("I5", "%s: %v", at(document, e.position), err)
	}
	if w.retired(document, g.number, e.update) {
		w.fault("I14", "%s: an update of an earlier generation", at(document, e.position))
	}
	if _, err := g.replay.Apply(nil, crdt.V1, e.update); err != nil {
		w.fault("I5", "%s: %v", at(document, e.position), err)
	}
}

// identify compares the content of a block with what was seen of the same units.
func (g *generation) identify(w *world, document string, p persistence.Position, s *crdt.Struct) {
	if s.Kind == crdt.ContentGC || s.Kind == crdt.ContentDeleted {
		return
	}
	var parts []string
	switch s.Kind {
	case crdt.ContentString:
		for _, r := range s.Text() {
			parts = append(parts, string(r))
		}
	default:
		for v := range s.Values() {
			parts = append(parts, string(v.AppendJSON(nil)))
		}
	}
	if uint64(len(parts)) != s.Len {
		return // what has halves of pairs, or no values
	}
	for i, part := range parts {
		id := crdt.ID{Client: s.ID.Client, Clock: s.ID.Clock + crdt.Clock(i)}
		h := fnv.New64a()
		_, _ = h.Write([]byte(part))
		sum := h.Sum64()
		if was, seen := g.units[id]; seen && was != sum {
			w.fault("I8", "%s: unit %d of client %d has two contents", at(document, p), id.Clock, id.Client)
			return
		}
		g.units[id] = sum
	}
}

// deleted is what the log deletes.
func (g *generation) deleted() *crdt.IDSet {
	if g.deletesAt != len(g.entries) {
		g.deletes, g.deletesAt = g.replay.Deletes(), len(g.entries)
	}
	return &g.deletes
}

// content is what a document shows, for comparing.
func content(d *crdt.Doc) string {
	out := append([]byte(d.Text(textRoot).String()), '|')
	fields := d.Map(mapRoot)
	for _, key := range slices.Sorted(fields.Keys()) {
		out = append(append(out, key...), '=')
		out = append(fields.At(key).AppendJSON(out), ' ')
	}
	out = append(out, '|')
	for v := range d.Array(arrayRoot).Values() {
		out = append(v.AppendJSON(out), ' ')
	}
	return string(out)
}

const (
	textRoot  = "text"
	mapRoot   = "map"
	arrayRoot = "array"
)
