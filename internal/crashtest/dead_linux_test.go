package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// legacy is the documents that a node leaves behind when it is killed, each with
// one client at a node that lives on.
type legacy struct {
	binary, dir string
	documents   int
	waiting     int // of the clients have an edit under way that the dead owner did not acknowledge
}

// heir is the client of a document whose owner is killed.
type heir struct {
	*writer
	link   *link
	waits  bool
	killed time.Time // the owner; the zero time before
	// back and acked are how long after the kill it heard of the next owner, which
	// asks it what it has, and until an edit of it was acknowledged.
	back, acked time.Duration
}

// bequest is what was seen of a legacy.
type bequest struct {
	waiting, others []*heir
	faults          []string
}

const (
	// atOnce bounds what is connected or read at a time.
	atOnce = 32
	// inheritTimeout bounds the wait for all documents on any machine.
	inheritTimeout = 2 * time.Minute
)

// leave kills the owner of all documents and waits until each has taken an edit.
func (g legacy) leave(ctx context.Context) (b bequest, err error) {
	site, err := newSite(g.dir, nil)
	defer func() { err = errors.Join(err, site.close()) }()
	if err != nil {
		return b, err
	}
	// Weights have one node own them all; after its death the others share them.
	// Otherwise it runs as it is installed.
	args := []string{"--snapshot-interval", "0s", "--segment-interval", "60s", "--idle-unload", "30s"}
	if err := site.add(ctx, g.binary, nil, append([]string{"--node-weight", "1000"}, args...)...); err != nil {
		return b, err
	}
	for range nodeCount - 1 {
		if err := site.add(ctx, g.binary, nil, append([]string{"--node-weight", "0.001"}, args...)...); err != nil {
			return b, err
		}
	}
	if err := site.whole(ctx); err != nil {
		return b, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ledger := newLedger()
	heirs := make([]*heir, g.documents)
	err = together(g.documents, func(i int) (err error) {
		heirs[i], err = g.connect(ctx, site, ledger, i)
		return err
	})
	if err != nil {
		return b, err
	}
	owner := site.nodes[0]
	has, err := site.documentsOf(ctx, owner)
	if err == nil && len(has) != g.documents {
		err = fmt.Errorf("%s has %d of %d documents", owner.name, len(has), g.documents)
	}
	if err != nil {
		return b, err
	}

	soon, give := context.WithTimeout(ctx, inheritTimeout)
	defer give()
	start := time.Now()
	if err := owner.signal(syscall.SIGKILL); err != nil {
		return b, err
	}
	failed := make(chan error, len(heirs))
	for _, h := range heirs {
		go func() { failed <- h.inherit(soon, start) }()
	}
	for range heirs {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return b, err
	}
	for _, h := range heirs {
		if h.waits {
			b.waiting = append(b.waiting, h)
		} else {
			b.others = append(b.others, h)
		}
	}
	if err := site.read(ctx); err != nil {
		return b, err
	}
	err = together(g.documents, func(i int) error {
		name := heirs[i].document
		doc, _, _, err := site.keeper.Load(ctx, name)
		if err == nil {
			ledger.audit("at the end, in the database", name, doc, ledger.wanted(name, everything))
		}
		return err
	})
	b.faults = ledger.report().faults
	for _, n := range site.nodes[1:] {
		b.faults = append(b.faults, n.current().complaints()...)
	}
	return b, err
}

// connect makes one document, which has an edit that is acknowledged.
func (g legacy) connect(ctx context.Context, site *site, ledger *ledger, i int) (*heir, error) {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	h := &heir{
		writer: &writer{
			author: newAuthor(i, uint64(rng.Uint32())), document: fmt.Sprintf("left/document %d", i), rng: rng, ledger: ledger,
			doc: crdt.New(crdt.Options{}), open: make(map[*edit]struct{}),
		},
		// Spread over the order in which they come.
		waits: i%(g.documents/g.waiting) == 0,
	}
	var err error
	if h.link, err = h.join(ctx, site.anywhere(rng, 0, site.nodes[1+i%2])); err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, calmTimeout)
	defer cancel()
	if err := h.change(soon); err != nil {
		return nil, err
	}
	return h, h.until(soon, func() bool { return len(h.open) == 0 })
}

// change makes an edit and sends it.
func (h *heir) change(ctx context.Context) error { return h.send(ctx, h.link, h.edit()) }

// inherit sees the document through the death of its owner.
func (h *heir) inherit(ctx context.Context, killed time.Time) error {
	h.killed = killed
	if h.waits {
		if err := h.change(ctx); err != nil {
			return err
		}
	}
	if err := h.until(ctx, func() bool { return h.back > 0 }); err != nil {
		return err
	}
	if !h.waits {
		if err := h.change(ctx); err != nil {
			return err
		}
	}
	err := h.until(ctx, func() bool { return len(h.open) == 0 })
	h.acked = time.Since(killed)
	return err
}

// until takes in what comes until something holds.
func (h *heir) until(ctx context.Context, holds func() bool) error {
	for !holds() {
		select {
		case frame, ok := <-h.link.frames:
			if !ok {
				return fmt.Errorf("%s: the connection ended: %w", h.document, h.link.err)
			}
			err := messages(frame, func(m syncproto.Message) error {
				if m.Kind == syncproto.KindSyncStep1 && !h.killed.IsZero() {
					h.back = time.Since(h.killed)
				}
				return nil
			})
			if err = errors.Join(err, h.receive(ctx, h.link, frame)); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("%s, which waits (%v): back after %v: %w", h.document, h.waits, h.back, ctx.Err())
		}
	}
	return nil
}

// together calls f for 0 to n-1, atOnce at a time.
func together(n int, f func(int) error) error {
	var all sync.WaitGroup
	slots, failed := make(chan struct{}, atOnce), make([]error, n)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			failed[i] = f(i)
			<-slots
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// times are those of heirs, in order.
func times(of []*heir, which func(*heir) time.Duration) []time.Duration {
	var all []time.Duration
	for _, h := range of {
		all = append(all, which(h).Round(time.Millisecond))
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

func (h *heir) wasBack() time.Duration  { return h.back }
func (h *heir) wasAcked() time.Duration { return h.acked }

// play plays a legacy, and returns when documents were back, in order: those
// whose clients waited, and the others.
func (g legacy) play(t *testing.T) (waiting, others []time.Duration, last time.Duration) {
	t.Helper()
	b, err := g.leave(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range b.faults {
		t.Error(f)
	}
	for what, heirs := range map[string][]*heir{"waiting writers": b.waiting, "readers": b.others} {
		back, acked := times(heirs, (*heir).wasBack), times(heirs, (*heir).wasAcked)
		n := len(heirs)
		last = max(last, acked[n-1])
		t.Logf("%d documents of %s: at their next owner p50 %v, last %v; an edit acknowledged p50 %v, last %v",
			n, what, back[n/2], back[n-1], acked[n/2], acked[n-1])
	}
	return times(b.waiting, (*heir).wasBack), times(b.others, (*heir).wasBack), last
}

// TestDocumentsOfADeadNode kills the owner of a hundred documents: those who wait
// for acknowledgements at other nodes get them, and the others can write.
func TestDocumentsOfADeadNode(t *testing.T) {
	needSite(t)
	legacy{binary: buildServer(t), dir: t.TempDir(), documents: 100, waiting: 10}.play(t)
}
