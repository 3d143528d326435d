package hub

import (
	"context"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/syncproto"
)

// counted counts how documents are read.
type counted struct {
	Snapshots
	loads, resumes atomic.Int64
}

func (c *counted) Load(ctx context.Context, document string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	c.loads.Add(1)
	return c.Snapshots.Load(ctx, document)
}

func (c *counted) Resume(
	ctx context.Context, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail,
) (persistence.Record, persistence.Tail, error) {
	c.resumes.Add(1)
	return c.Snapshots.Resume(ctx, doc, rec, tail)
}

// held is how much is kept.
func (p *prepared) held() (documents, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.docs), int(p.bytes)
}

// A document that was read ahead is opened by the tail of its log: with all that
// its owner wrote until it gave it up. A copy that nobody wants is forgotten.
func TestPreparedDocumentsAreOpenedByTheTail(t *testing.T) {
	var next *Hub
	var reads counted
	run(t, Options{Logger: zap.NewNop()}, func(t *testing.T, w *world) {
		ctx := context.Background()
		opt := w.hub.opt
		reads.Snapshots = opt.Snapshots
		opt.Snapshots, opt.Boot = &reads, "next"
		var err error
		if next, err = New(opt); err != nil {
			t.Fatal(err)
		}
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("before "))
		settle(a)
		pass(commitPause * 2)
		for _, name := range []string{"d", "nothing"} {
			if err := next.Prepare(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		if documents, _ := next.prepared.held(); next.Holds("d") || documents != 1 {
			t.Error("reading ahead opened a document, or made one")
		}
		a.send(syncproto.KindUpdate, a.write("meanwhile "))
		settle(a)
		if err := w.hub.Release(ctx, "d"); err != nil {
			t.Fatal(err)
		}
		came := join(t, next, "d", 2)
		settle(came)
		if got := came.text(); got != a.text() {
			t.Errorf("the next owner has %q, want %q", got, a.text())
		}
		if l, r := reads.loads.Load(), reads.resumes.Load(); l != 2 || r != 1 {
			t.Errorf("read whole %d times, by the tail %d times", l, r)
		}
		came.send(syncproto.KindUpdate, came.write("after"))
		settle(came)
		pass(commitPause * 2)
		if rec, err := w.log.Open(ctx, "d"); err != nil || rec.Head != 3 || rec.Owner != "next" {
			t.Errorf("the record is %+v, %v", rec, err)
		}
		if err := next.Release(ctx, "d"); err != nil {
			t.Fatal(err)
		}

		// Read ahead and not opened in time.
		if err := next.Prepare(ctx, "d"); err != nil {
			t.Fatal(err)
		}
		if _, bytes := next.prepared.held(); bytes == 0 {
			t.Error("nothing was read")
		}
		pass(2 * preparedFor)
		if documents, bytes := next.prepared.held(); bytes != 0 || documents != 0 {
			t.Errorf("%d bytes of %d documents are kept", bytes, documents)
		}
		if err := next.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := next.Prepare(ctx, "d"); err != ErrClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}
