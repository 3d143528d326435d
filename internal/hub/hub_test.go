package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/syncproto"
)

// world is a hub on a log and a snapshot store that outlive it.
type world struct {
	t     testing.TB
	store memory.Store
	files vfs.FS
	log   *faultyLog
	keep  keeper
	hub   *Hub
	boots int
	opt   Options
}

// start runs a hub on the world's stores. Options that are needed are filled in.
func (w *world) start() *Hub {
	w.t.Helper()
	inner, err := w.store.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	w.boots++
	w.log = &faultyLog{Shared: inner}
	if w.files == nil {
		w.files = vfs.NewMem()
	}
	files, err := dir.Open(w.files, "/snapshots")
	if err != nil {
		w.t.Fatal(err)
	}
	w.keep = keeper{snapshots.New(files, w.log, snapshots.Options{})}
	opt := w.opt
	opt.Log, opt.Metrics = w.log, metrics.New(prometheus.NewRegistry())
	if opt.Snapshots == nil {
		opt.Snapshots = w.keep
	}
	opt.Boot = "boot" + string(rune('0'+w.boots))
	if opt.Logger == nil {
		opt.Logger = zaptest.NewLogger(w.t, zaptest.Level(zap.ErrorLevel))
	}
	opt.Runners = 2
	h, err := New(opt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hub = h
	return h
}

// stop ends the hub as an orderly exit does.
func (w *world) stop() {
	w.t.Helper()
	if err := w.hub.Close(context.Background()); err != nil {
		w.t.Errorf("Close: %v", err)
	}
	if err := w.log.Close(); err != nil {
		w.t.Error(err)
	}
}

// kill ends the hub as a crash does: nothing more is written.
func (w *world) kill() {
	w.t.Helper()
	w.log.refuse(errors.New("killed"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.hub.Close(ctx)
	if err := w.log.Close(); err != nil {
		w.t.Error(err)
	}
}

// run gives a test a world, in virtual time.
func run(t *testing.T, opt Options, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: opt}
		w.start()
		f(t, w)
		w.stop()
	})
}

// settle lets everything happen that happens without the time going on, and
// lets the replicas take in what they are sent.
func settle(cs ...*connected) {
	for busy := true; busy; {
		synctest.Wait()
		busy = false
		for _, c := range cs {
			busy = c.drain() > 0 || busy
		}
	}
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// stored counts the snapshots and segments of a document.
func (w *world) stored(document string) int {
	w.t.Helper()
	snaps, err := w.keep.Snapshots(context.Background(), document)
	if err != nil {
		w.t.Fatal(err)
	}
	segs, err := w.keep.Segments(context.Background(), document)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(snaps) + len(segs)
}

func (w *world) record(document string) persistence.Record {
	w.t.Helper()
	rec, err := w.log.Open(context.Background(), document)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// durable is the text that the log and the snapshots hold.
func (w *world) durable(document string) string {
	w.t.Helper()
	doc, _, _, err := w.keep.Load(context.Background(), document)
	if err != nil {
		w.t.Fatal(err)
	}
	return doc.Text("t").String()
}

func TestEditsReachReadersAndTheLog(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, b := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, b)
		if a.synced != 1 || a.asked != 1 {
			t.Fatalf("the handshake gave %d SyncStep2 and %d SyncStep1", a.synced, a.asked)
		}
		a.send(syncproto.KindUpdate, a.write("hello"))
		a.send(syncproto.KindAck, ackRequest(1))
		settle(a, b)
		b.send(syncproto.KindUpdate, b.write(" world"))
		settle(a, b)
		pass(commitPause)
		if a.text() != "hello world" || b.text() != "hello world" {
			t.Errorf("a has %q, b has %q", a.text(), b.text())
		}
		if a.updates != 1 || b.updates != 1 {
			t.Errorf("a got %d updates and b %d: nobody gets its own", a.updates, b.updates)
		}
		if len(a.acks) != 1 || a.acks[0] != 1 {
			t.Errorf("acknowledged: %v", a.acks)
		}
		if got := w.durable("d"); got != "hello world" {
			t.Errorf("the log has %q", got)
		}
	})
}

func TestStateOutlivesTheHub(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("kept"))
		settle(a)
		w.stop()
		var end *EndError
		if err := a.sub.End(); !errors.As(err, &end) || end.Code != CodeRestart {
			t.Errorf("the subscription ended with %v", err)
		}
		w.start()
		b := join(t, w.hub, "d", 2)
		settle(b)
		if b.text() != "kept" {
			t.Errorf("b has %q", b.text())
		}
		if rec := w.record("d"); rec.Segmented != 1 {
			t.Errorf("segments cover %d of 1", rec.Segmented)
		}
	})
}

func TestOpeningWritesNothing(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindAck, ackRequest(7))
		a.send(syncproto.KindSyncStep2, a.state())
		settle(a)
		if len(a.acks) != 1 {
			t.Errorf("%d acknowledgements", len(a.acks))
		}
		a.sub.Close()
		pass(5 * time.Minute)
		if rec := w.record("d"); rec.Exists() || rec.Epoch != 0 {
			t.Errorf("the log has %+v", rec)
		}
		if s := w.hub.Stats(); s.Documents != 0 || s.Subscriptions != 0 {
			t.Errorf("held: %+v", s)
		}
		if n := w.stored("d"); n != 0 {
			t.Errorf("%d snapshots or segments were written", n)
		}
		if _, err := w.hub.Document(context.Background(), "d"); !errors.Is(err, ErrNotFound) {
			t.Errorf("Document: %v", err)
		}
	})
}

func TestDocumentAndSnapshotOnRequest(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("text"))
		settle(a)
		s, err := w.hub.Document(context.Background(), "d")
		if err != nil || s.Position != 1 {
			t.Fatalf("Document: %+v, %v", s, err)
		}
		copied := crdt.New(crdt.Options{})
		if _, err := copied.Apply(nil, crdt.V2, s.Update); err != nil || copied.Text("t").String() != "text" {
			t.Errorf("the copy has %q, %v", copied.Text("t").String(), err)
		}
		p, err := w.hub.Snapshot(context.Background(), "d", "before the meeting")
		if err != nil || p.Position != 1 {
			t.Fatalf("Snapshot: %+v, %v", p, err)
		}
		if rec := w.record("d"); rec.Snapshot != p || rec.Segmented != 1 {
			t.Errorf("the record is %+v", rec)
		}
		if again, err := w.hub.Snapshot(context.Background(), "d", ""); err != nil || again != p {
			t.Errorf("a snapshot of nothing new: %+v, %v", again, err)
		}
		if _, err := w.hub.Snapshot(context.Background(), "d", "again"); err != nil {
			t.Errorf("a labelled snapshot of nothing new: %v", err)
		}
	})
}
