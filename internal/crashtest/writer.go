package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

const (
	// maxAsked is how many acknowledgements a writer waits for at a time.
	maxAsked = 4
	// editEvery is the longest pause between two edits of a writer.
	editEvery = 40 * time.Millisecond
	// holdFor is the longest time for which a dependency is withheld: longer
	// than the time between two snapshots.
	holdFor = 2500 * time.Millisecond
	// maxOffline is how many edits a writer makes while it is not connected.
	maxOffline = 3
)

// habit is how a writer sends.
type habit uint8

const (
	plain    habit = iota
	withhold       // by two connections, the second update first
)

// manner is how writers behave towards servers; the zero value is for one that
// is killed and never ends a session itself.
type manner struct {
	// pause is the longest pause between two edits; editEvery if 0.
	pause time.Duration
	// bears says which ends of a session by the server are in order; nil for none.
	bears func(error) bool
	// settled hears of acknowledged edits, from the goroutine of the writer.
	settled func(w *writer, edits []*edit)
	// leaves says whether a writer without open edits may go when it is drained;
	// nil for at once.
	leaves func(w *writer) bool
}

// writer is one author at work on one document, with a replica. It belongs to
// the goroutine of run.
type writer struct {
	author   *author
	document string
	habit    habit
	manner   manner
	rng      *rand.Rand
	ledger   *ledger
	gate     *gate
	// drain closes when no more edits are to be made.
	drain <-chan struct{}

	doc *crdt.Doc
	// open are the edits in doc that are not acknowledged.
	open map[*edit]struct{}
	// held are two edits of which the second was sent on its own; they are in
	// neither doc nor open.
	held []*edit
}

func (w *writer) draining() bool {
	select {
	case <-w.drain:
		return true
	default:
		return false
	}
}

// run edits until drained with nothing left open, or until ctx ends.
func (w *writer) run(ctx context.Context) error {
	for {
		if !w.draining() {
			for range w.rng.IntN(maxOffline + 1) {
				w.edit()
			}
		}
		dial, down, err := w.gate.enter(ctx)
		if err != nil {
			return err
		}
		err = w.connected(ctx, dial)
		w.release()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return nil
		case closedByServer(err) && (w.manner.bears == nil || !w.manner.bears(err)):
			w.ledger.fault("%s: the server ended a session: %v", w.document, err)
		case errors.Is(err, errProtocol):
			w.ledger.fault("%s: %v", w.document, err)
			return err
		}
		// Wait for the end of this server, so that a writer does not redial
		// one that is being killed as fast as it can.
		select {
		case <-down:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// errProtocol marks what a correct server never sends.
var errProtocol = errors.New("protocol")

// connected plays one connection (or two). It returns nil when drained.
func (w *writer) connected(ctx context.Context, dial dialer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := w.join(ctx, dial)
	if err != nil {
		return err
	}
	defer first.hangUp()
	links := []*link{first}
	var second <-chan []byte
	if w.habit == withhold {
		l, err := w.join(ctx, dial)
		if err != nil {
			return err
		}
		defer l.hangUp()
		links, second = append(links, l), l.frames
	}
	next := time.NewTimer(w.pause())
	defer next.Stop()
	drain := w.drain
	for {
		if w.draining() {
			drain = nil
			if err := w.letGo(ctx, first); err != nil {
				return err
			}
			if len(w.open) == 0 && (w.manner.leaves == nil || w.manner.leaves(w)) {
				return nil
			}
		}
		select {
		case frame, ok := <-first.frames:
			if !ok {
				return first.err
			}
			if err := w.receive(ctx, first, frame); err != nil {
				return err
			}
		case frame, ok := <-second:
			if !ok {
				return links[1].err
			}
			if err := w.receive(ctx, links[1], frame); err != nil {
				return err
			}
		case <-drain:
		case <-next.C:
			next.Reset(w.pause())
			if w.draining() {
				continue
			}
			if err := w.act(ctx, links, next); err != nil {
				return err
			}
		}
	}
}

// join connects and starts the sync.
func (w *writer) join(ctx context.Context, dial dialer) (*link, error) {
	l, err := dial(ctx, w.document)
	if err != nil {
		return nil, err
	}
	if err := l.write(ctx, syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, w.doc.StateVector()))); err != nil {
		l.hangUp()
		return nil, err
	}
	return l, nil
}

func (w *writer) pause() time.Duration {
	return time.Duration(w.rng.Int64N(int64(cmp.Or(w.manner.pause, editEvery))))
}

// act makes the next edit and sends it, or half of it.
func (w *writer) act(ctx context.Context, links []*link, next *time.Timer) error {
	switch {
	case len(w.held) > 0:
		return w.letGo(ctx, links[0])
	case len(links[0].requests) >= maxAsked:
		return nil
	case len(links) == 2 && w.rng.IntN(4) == 0:
		k := kind(w.rng.IntN(int(kindMap)))
		w.held = []*edit{w.author.make(k, w.document, nil), w.author.make(k, w.document, nil)}
		for _, e := range w.held {
			w.ledger.made(e)
		}
		next.Reset(time.Duration(w.rng.Int64N(int64(holdFor))))
		return w.send(ctx, links[1], w.held[1])
	default:
		return w.send(ctx, links[0], w.edit())
	}
}

// edit makes an edit in the replica.
func (w *writer) edit() *edit {
	k := kind(w.rng.IntN(int(kindCount)))
	var target *edit
	if k == kindErase {
		// Only what the replica has: a deletion of the unknown would wait.
		target = w.ledger.victim(w.document, w.rng)
		if target == nil || uint64(w.doc.StateVector().Get(crdt.ClientID(target.author.client))) < target.clock+target.length {
			k, target = kindText, nil
		}
	}
	e := w.author.make(k, w.document, target)
	w.ledger.made(e)
	w.apply(e)
	return e
}

// apply puts an edit into the replica.
func (w *writer) apply(e *edit) {
	if _, err := w.doc.Apply(nil, crdt.V1, e.update); err != nil {
		w.ledger.fault("%s: the replica refuses %v: %v", w.document, e, err)
	}
	w.open[e] = struct{}{}
}

func (w *writer) send(ctx context.Context, l *link, e *edit) error {
	if err := l.write(ctx, syncproto.AppendUpdate(nil, e.update)); err != nil {
		return err
	}
	return l.ask(ctx, []*edit{e})
}

// release puts what was withheld into the replica.
func (w *writer) release() {
	for _, e := range w.held {
		w.apply(e)
	}
	w.held = nil
}

// letGo sends the withheld dependency on the other connection.
func (w *writer) letGo(ctx context.Context, l *link) error {
	if len(w.held) == 0 {
		return nil
	}
	e := w.held[0]
	w.release()
	return w.send(ctx, l, e)
}

func (w *writer) receive(ctx context.Context, l *link, frame []byte) error {
	return messages(frame, func(m syncproto.Message) error {
		switch m.Kind {
		case syncproto.KindSyncStep1:
			return w.answer(ctx, l, m.Payload)
		case syncproto.KindSyncStep2, syncproto.KindUpdate:
			if _, err := w.doc.Apply(nil, crdt.V1, m.Payload); err != nil {
				return fmt.Errorf("%w: the replica refuses what the server sent: %w", errProtocol, err)
			}
		case syncproto.KindAck:
			edits, err := l.answered(m.Payload)
			if err != nil {
				return fmt.Errorf("%w: %w", errProtocol, err)
			}
			w.settle(edits)
		case syncproto.KindAwareness:
		default:
			return fmt.Errorf("%w: the server sent a message %v, type %d", errProtocol, m.Kind, m.Type)
		}
		return nil
	})
}

// answer sends what the server lacks, which is all that is open at the least,
// and asks for its acknowledgement.
func (w *writer) answer(ctx context.Context, l *link, states []byte) error {
	sv, err := crdt.DecodeStateVector(states)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	lacks := w.doc.AppendDiff(nil, crdt.V1, sv)
	if len(w.held) > 0 && l.awaits(w.held[1]) {
		// A client that has sent an update has it, also where what it depends on
		// is missing.
		if lacks, err = crdt.Merge(crdt.V1, lacks, w.held[1].update); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
	}
	if err := l.write(ctx, syncproto.AppendSyncStep2(nil, lacks)); err != nil {
		return err
	}
	edits := make([]*edit, 0, len(w.open))
	for e := range w.open {
		edits = append(edits, e)
	}
	return l.ask(ctx, edits)
}

// settle notes acknowledged edits.
func (w *writer) settle(edits []*edit) {
	for _, e := range edits {
		if len(w.held) > 0 && e == w.held[1] {
			w.ledger.fault("%s: %v was acknowledged while its dependency was withheld", w.document, e)
		}
		delete(w.open, e)
	}
	w.ledger.settle(edits)
	if w.manner.settled != nil {
		w.manner.settled(w, edits)
	}
}

// startWriters starts everybody; the channel closes when all have ended.
func startWriters(ctx context.Context, cfg config, names []string, l *ledger, g *gate, drain <-chan struct{}) <-chan struct{} {
	var wg sync.WaitGroup
	for i := range cfg.writers + cfg.withholders {
		id := cfg.firstWriter + i
		rng := rand.New(rand.NewPCG(cfg.seed, uint64(id)+1))
		w := &writer{
			author:   newAuthor(id, uint64(rng.Uint32())),
			document: names[i%len(names)],
			manner:   cfg.manner,
			rng:      rng,
			ledger:   l, gate: g, drain: drain,
			doc:  crdt.New(crdt.Options{}),
			open: make(map[*edit]struct{}),
		}
		if i >= cfg.writers {
			w.habit = withhold
		}
		wg.Go(func() {
			if err := w.run(ctx); err != nil && ctx.Err() == nil {
				l.fault("writer %d: %v", w.author.id, err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}
