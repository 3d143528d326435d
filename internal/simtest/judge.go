package simtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/snapshots"
)

// judgeAck judges one acknowledgement at the moment that the client hears of it:
// later others might have brought again what was lost (I1, I4).
func (w *world) judgeAck(c *client, a ask) {
	w.database.effect.Lock()
	defer w.database.effect.Unlock()
	why := ""
	for _, g := range slices.Backward(w.database.shadow.of(c.document).gens) {
		missing := g.holds(c, a)
		if missing == "" {
			return
		}
		if why == "" {
			why = missing
		}
	}
	w.fault("I1", "client %d got acknowledgement %d, asked for at %v: %s", c.id, a.number, a.at.Sub(w.began), why)
}

// holds tells what of that for which an acknowledgement stands is not in the
// log; nothing if all is.
func (g *generation) holds(c *client, a ask) string {
	if have := g.replay.StateVector().Get(c.id); have < a.clock {
		return fmt.Sprintf("its units up to %d are in the log, it stands for %d", have, a.clock)
	}
	deleted := g.deleted()
	for _, d := range c.deletes[min(c.settled, a.deletes):a.deletes] {
		if d.covered(a) && !deleted.Contains(d.id) {
			return fmt.Sprintf("its deletion of %v is not in the log", d.id)
		}
	}
	return ""
}

// echoed judges an own update that came back: it is the acknowledgement of
// those that asked for that.
func (c *client) echoed(update []byte) {
	held, err := crdt.ContentsOf(crdt.V1, update)
	if err != nil {
		return
	}
	var clock crdt.Clock
	for client, r := range held.Blocks.All() {
		if client == c.id {
			clock = max(clock, r.To)
		}
	}
	if clock > 0 {
		c.w.count("echoes")
		c.w.judgeAck(c, ask{clock: clock, at: time.Now()})
	}
}

// retired tells whether an update names a client of an earlier generation.
func (w *world) retired(document string, number persistence.Generation, update []byte) bool {
	if number == 1 {
		return false
	}
	a := w.database.shadow.of(document)
	for client := range crdt.MentionsOf(crdt.V1, update) {
		for _, g := range a.gens[:len(a.gens)-1] {
			if g.replay.StateVector().Get(client) > 0 {
				return true
			}
		}
	}
	return false
}

// The bounds of a run's end.
const (
	// healWithin is how long after the last fault has healed every document has
	// to be writable for everybody (I11).
	healWithin = 25 * time.Second
	// calmWithin is how long it then may take until all hold the same (I2, I7).
	calmWithin = 10 * time.Second
	// seenWithin is how long a newcomer may wait to see all that are there, and
	// ghostsWithin how long those may be shown that went (I12).
	seenWithin   = 3 * time.Second
	ghostsWithin = 35 * time.Second
	// heldTwiceWithin is how long two nodes may have one document open.
	heldTwiceWithin = 5 * time.Second
)

// eventually waits until a condition holds, and returns what is wrong if it does
// not in time.
func (w *world) eventually(within time.Duration, wrong func() string) string {
	until := time.Now().Add(within)
	for {
		text := wrong()
		if text == "" || !time.Now().Before(until) {
			return text
		}
		rest(w.ctx, 50*time.Millisecond)
	}
}

// judge brings a run to its end and judges what is left. It returns how long
// that took until all was well.
func (w *world) judge() time.Duration {
	start := time.Now()
	w.tracef("all is healed")
	finished := make([]bool, len(w.clients))
	for i, c := range w.clients {
		c.do(func() {
			c.finish(func() { w.with(func() { finished[i] = true }) })
		})
	}
	if wrong := w.eventually(healWithin, func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		if i := slices.Index(finished, false); i >= 0 {
			return fmt.Sprintf("client %d of %s is not acknowledged", w.clients[i].id, w.clients[i].document)
		}
		return ""
	}); wrong != "" {
		w.fault("I11", "%v after all had healed: %s", healWithin, wrong)
		return time.Since(start)
	}
	w.tracef("all are acknowledged")
	if wrong := w.eventually(calmWithin, func() string { return w.different(lacks) }); wrong != "" {
		w.fault("I2", "%v after all were acknowledged: %s", calmWithin, wrong)
	}
	// What was relayed, and died with its author and the owner, is with those
	// alone who heard it: they bring it when they connect.
	if w.different(differ) != "" {
		w.count("brought by a full exchange")
		for _, c := range w.clients {
			c.do(func() {
				if c.conn != nil {
					c.conn.cancel()
				}
			})
		}
		if wrong := w.eventually(calmWithin, func() string { return w.different(differ) }); wrong != "" {
			w.fault("I2", "%v after all had connected anew: %s", calmWithin, wrong)
		}
	}
	took := time.Since(start)
	if wrong := w.eventually(heldTwiceWithin, w.heldTwice); wrong != "" {
		w.fault("I3", "%s", wrong)
	}
	w.judgeLogs()
	w.judgePresence()
	return took
}

// replicas are the clients of a document, newcomers too.
func (w *world) replicas(document string) []*client {
	return slices.DeleteFunc(slices.Clone(w.clients), func(c *client) bool { return c.document != document })
}

// comparison says what may not be.
type comparison uint8

const (
	// lacks: somebody lacks what the log has.
	lacks comparison = iota
	// differ: somebody has anything else than the log.
	differ
)

// different tells what differs between those who have a document and its log.
func (w *world) different(by comparison) string {
	for _, document := range w.names {
		w.database.effect.Lock()
		log := loggedBy(w.database.shadow.of(document).now().replay)
		w.database.effect.Unlock()
		for _, c := range w.replicas(document) {
			why := ""
			c.do(func() { why = log.unlike(c, by) })
			if why != "" {
				return fmt.Sprintf("client %d of %s %s", c.id, document, why)
			}
		}
	}
	return ""
}

// logged is what the log of a document comes to.
type logged struct {
	vector  crdt.StateVector
	deletes crdt.IDSet
	shows   string
	waits   awaited
}

func loggedBy(d *crdt.Doc) logged {
	return logged{d.StateVector(), d.Deletes(), content(d), awaitedBy(d)}
}

// unlike tells what somebody has otherwise than the log.
func (l *logged) unlike(c *client, by comparison) string {
	theirs := c.replica.Deletes()
	missing := l.deletes.Clone()
	missing.Subtract(&theirs)
	sv := c.replica.StateVector()
	same := sv.Equal(l.vector) && theirs.Equal(&l.deletes)
	switch {
	case c.conn == nil || !c.wanting:
		return "is not connected"
	case !sv.Contains(l.vector):
		return fmt.Sprintf("has state %v, the log %v", clocks(sv), clocks(l.vector))
	case !missing.Empty():
		return fmt.Sprintf("lacks deletes %v", maps.Collect(missing.All()))
	case l.waits.has(sv) && !c.mayHaveMore():
		return fmt.Sprintf("has what is waited for in the log: %+v, deletes %v", l.waits.Pending, maps.Collect(l.waits.deletes.All()))
	case by == differ && !same && !c.mayHaveMore():
		return fmt.Sprintf("has more than the log: state %v, the log %v", clocks(sv), clocks(l.vector))
	case same && content(c.replica) != l.shows:
		return fmt.Sprintf("shows %s, the log %s", content(c.replica), l.shows)
	}
	return ""
}

// mayHaveMore tells whether a client may have for good what the log has not, and
// what is waited for there. Who may not write may: it was shown what died with
// the owner and with the page that made it, and nobody may take that from it. Who
// came when all was well may not: all that it has is from the present owner.
func (c *client) mayHaveMore() bool { return !c.writer && !c.late }

// awaited is what a document waits for.
type awaited struct {
	crdt.Pending
	deletes crdt.IDSet // those that wait for what they delete
}

func awaitedBy(d *crdt.Doc) awaited {
	a := awaited{Pending: d.Pending()}
	if a.Deletes == 0 {
		return a
	}
	held, err := crdt.ContentsOf(crdt.V1, d.AppendStored(nil, crdt.V1))
	if err != nil {
		panic(fmt.Sprintf("what a document stores: %v", err))
	}
	done := d.Deletes()
	a.deletes = held.Deletes
	a.deletes.Subtract(&done)
	return a
}

// has tells whether a replica with a state has what is waited for. Nobody need:
// what was never acknowledged is gone with the page that made it, and so may a
// deletion be left of something that only that page had.
func (a *awaited) has(sv crdt.StateVector) bool {
	if a.Blocks > 0 && sv.Contains(a.Missing) {
		return true
	}
	for client, r := range a.deletes.All() {
		if sv.Get(client) > r.From {
			return true
		}
	}
	return false
}

func clocks(sv crdt.StateVector) map[crdt.ClientID]crdt.Clock { return maps.Collect(sv.All()) }

// heldTwice tells of a document that is open at two nodes, or is not what its
// log says where it is open.
func (w *world) heldTwice() string {
	for _, document := range w.names {
		var at []string
		for _, n := range w.alive() {
			if !n.hub.Holds(document) {
				continue
			}
			at = append(at, n.boot)
			ctx, cancel := context.WithTimeout(n.ctx, time.Second)
			state, err := n.hub.Document(ctx, document)
			cancel()
			if errors.Is(err, hub.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Sprintf("%s at %s: %v", document, n.boot, err)
			}
			if why := w.unlike(document, state.Update); why != "" {
				return fmt.Sprintf("%s at %s %s", document, n.boot, why)
			}
		}
		if len(at) > 1 {
			return fmt.Sprintf("%s is open at %s", document, strings.Join(at, " and "))
		}
	}
	return ""
}

// unlike tells how a state (update V2) differs from the log.
func (w *world) unlike(document string, state []byte) string {
	w.database.effect.Lock()
	defer w.database.effect.Unlock()
	return differs(state, w.database.shadow.of(document).now().replay)
}

// differs tells how a state (update V2) differs from a document.
func differs(state []byte, from *crdt.Doc) string {
	d := newReplay()
	if _, err := d.Apply(nil, crdt.V2, state); err != nil {
		return err.Error()
	}
	return unequal(d, from)
}

// unequal tells how one document differs from another.
func unequal(a, b *crdt.Doc) string {
	mine, theirs := a.Deletes(), b.Deletes()
	waits, waited := a.Pending(), b.Pending()
	switch {
	case !a.StateVector().Equal(b.StateVector()):
		return fmt.Sprintf("has state %v, not %v", clocks(a.StateVector()), clocks(b.StateVector()))
	case !mine.Equal(&theirs):
		return "has other deletes"
	case waits.Blocks != waited.Blocks || waits.Deletes != waited.Deletes:
		return fmt.Sprintf("has %+v waiting, not %+v", waits, waited)
	case content(a) != content(b):
		return fmt.Sprintf("shows %s, not %s", content(a), content(b))
	}
	return ""
}

// judgeLogs loads every document as a node does that has never seen it, and
// compares it and its snapshots with the shadow (I1, I3, I6, I14).
func (w *world) judgeLogs() {
	reader := &node{place: 0, boot: "judge", dice: w.dice("judge")}
	reader.w, reader.running = w, newState(true)
	reader.ctx, reader.cancel = w.ctx, func() {}
	keeper := snapshots.New(&shelf{bucket: w.bucket, node: reader, dice: reader.dice}, w.database.log, snapshots.Options{Logger: w.logger("judge")})
	for _, document := range w.names {
		doc, rec, err := w.load(keeper, document)
		if err != nil {
			w.database.effect.Unlock()
			w.fault("I6", "%s does not load: %v", document, err)
			continue
		}
		a := w.database.shadow.of(document)
		g := a.now()
		if why := unequal(doc, g.replay); why != "" {
			w.fault("I6", "%s, loaded, %s", document, why)
		}
		if rec.Head != g.head() || rec.Epoch != a.epoch || rec.Exists() && rec.Generation != g.number {
			w.fault("I3", "%s has head %d, epoch %d, generation %d, the shadow %d, %d, %d", document, rec.Head, rec.Epoch, rec.Generation, g.head(), a.epoch, g.number)
		}
		for _, p := range []persistence.Pointer{rec.Previous, rec.Snapshot} {
			if p.IsZero() || p.Position <= g.first {
				continue
			}
			state, err := w.snapshotState(p)
			why := ""
			if err != nil {
				why = err.Error()
			} else if before := g.upTo(p.Position); before != nil {
				why = differs(state, before)
			}
			if why != "" {
				w.fault("I6", "the snapshot of %s %s", at(document, p.Position), why)
			}
		}
		w.database.effect.Unlock()
	}
}

// load loads a document, and again if its record changed meanwhile: an owner may
// release it at any time. It returns with database.effect held.
func (w *world) load(keeper *snapshots.Keeper, document string) (*crdt.Doc, persistence.Record, error) {
	for {
		doc, rec, _, err := keeper.Load(w.ctx, document)
		w.database.effect.Lock()
		if err != nil {
			return nil, rec, err
		}
		now, err := w.database.log.Open(w.ctx, document)
		if err != nil || now.Epoch == rec.Epoch && now.Head == rec.Head {
			return doc, rec, err
		}
		w.database.effect.Unlock()
	}
}

// upTo is the document as the entries up to a position make it; nil when they
// can't be applied.
func (g *generation) upTo(p persistence.Position) *crdt.Doc {
	d := newReplay()
	if g.base != nil {
		if _, err := d.Apply(nil, crdt.V2, g.base); err != nil {
			return nil
		}
	}
	for _, e := range g.entries[:p-g.first] {
		if _, err := d.Apply(nil, crdt.V1, e.update); err != nil {
			return nil
		}
	}
	return d
}

// judgePresence lets somebody come to every document, who must see all who are
// there in time; and nobody sees anybody else for long (I12).
func (w *world) judgePresence() {
	for _, document := range w.names {
		w.clients = append(w.clients, w.newcomer(document))
	}
	if wrong := w.eventually(seenWithin, func() string {
		for _, c := range w.clients[len(w.clients)-len(w.names):] {
			blind := false
			c.do(func() { blind = c.blind })
			if why := w.unseen(c); why != "" && !blind {
				return why
			}
		}
		return ""
	}); wrong != "" {
		w.fault("I12", "%v after it came %s", seenWithin, wrong)
	}
	if wrong := w.eventually(ghostsWithin, func() string {
		for _, c := range w.clients {
			if why := w.unseen(c); why != "" {
				return why
			}
			if why := w.ghost(c); why != "" {
				return why
			}
		}
		return ""
	}); wrong != "" {
		w.fault("I12", "%s", wrong)
	}
	if wrong := w.eventually(calmWithin, func() string { return w.different(differ) }); wrong != "" {
		w.fault("I2", "with somebody new: %s", wrong)
	}
}

// newcomer is a client that only looks.
func (w *world) newcomer(document string) *client {
	c := w.newClient(len(w.clients)+1, document)
	c.do(func() { c.calm, c.late, c.writer, c.retryAt = true, true, false, time.Now() })
	return c
}

// shows are the own states of all clients of a document.
func (w *world) shows(document string) map[uint64]string {
	states := map[uint64]string{}
	for _, c := range w.replicas(document) {
		c.do(func() {
			if c.conn != nil {
				states[uint64(c.id)] = string(c.presence.LocalState())
			}
		})
	}
	return states
}

// unseen tells whom a client does not see.
func (w *world) unseen(c *client) (why string) {
	states := w.shows(c.document)
	c.do(func() {
		for _, id := range slices.Sorted(maps.Keys(states)) {
			if got := string(c.presence.State(id)); got != states[id] {
				why = fmt.Sprintf("client %d sees %q of client %d, which shows %q", c.id, got, id, states[id])
				return
			}
		}
	})
	return why
}

// ghost tells whom a client sees that is not there.
func (w *world) ghost(c *client) (why string) {
	states := w.shows(c.document)
	c.do(func() {
		for id := range c.presence.States() {
			if _, there := states[id]; !there {
				why = fmt.Sprintf("client %d sees client %d, which is not there", c.id, id)
			}
		}
	})
	return why
}
