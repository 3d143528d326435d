package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/syncproto"
)

// quiet is for tests in which errors are logged on purpose.
var quiet = Options{Logger: zap.NewNop()}

func TestNothingIsAcknowledgedWhileTheLogStalls(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, b := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, b)
		release := w.log.stall()
		a.send(syncproto.KindUpdate, a.write("x"))
		a.send(syncproto.KindAck, ackRequest(1))
		settle(a, b)
		pass(5 * time.Second)
		settle(a, b)
		if b.text() != "x" || len(a.acks) != 0 || a.keepalive < 2 {
			t.Errorf("b has %q, %d acknowledgements, %d keepalives", b.text(), len(a.acks), a.keepalive)
		}
		release()
		settle(a, b)
		if len(a.acks) != 1 {
			t.Errorf("%d acknowledgements after the stall", len(a.acks))
		}
	})
}

// Entries that gather while a commit is under way are one append.
func TestCommitsAreGrouped(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		var all []*connected
		for i := range 10 {
			c := join(t, w.hub, fmt.Sprint("d", i), uint64(i+1))
			settle(c)
			c.send(syncproto.KindUpdate, c.write("x"))
			settle(c)
			all = append(all, c)
		}
		pass(commitPause)
		release := w.log.stall()
		all[0].send(syncproto.KindUpdate, all[0].write("y"))
		synctest.Wait()
		for _, c := range all {
			for range 10 {
				c.send(syncproto.KindUpdate, c.write("z"))
			}
		}
		synctest.Wait()
		before := w.log.count()
		release()
		settle(all...)
		pass(commitPause)
		settle(all...)
		if n := w.log.count() - before; n != 2 {
			t.Errorf("%d appends", n)
		}
		for i := range all {
			if got := w.durable(fmt.Sprint("d", i)); strings.Count(got, "z") != 10 {
				t.Errorf("document %d has %q", i, got)
			}
		}
	})
}

// A commit that nobody waits for begins commitPause after the one before; one
// that somebody waits for at once, and takes along what is there.
func TestCommitsThatNobodyWaitsFor(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, b := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, b)
		a.send(syncproto.KindUpdate, a.write("claim"))
		settle(a, b)
		pass(time.Second)

		before := w.log.count()
		appended := func(want int, when string) {
			t.Helper()
			settle(a, b)
			if n := w.log.count() - before; n != want {
				t.Errorf("%s: %d appends, want %d", when, n, want)
			}
		}
		a.send(syncproto.KindUpdate, a.write("1"))
		appended(1, "the first edit after a rest")
		a.send(syncproto.KindUpdate, a.write("2"))
		b.send(syncproto.KindUpdate, b.write("3"))
		appended(1, "edits right after it")
		if a.text() != b.text() || len(a.text()) != len("claim123") {
			t.Errorf("a delivery waits for the log: %q, %q", a.text(), b.text())
		}
		pass(commitPause - time.Nanosecond)
		appended(1, "a moment before the pause is over")
		pass(time.Nanosecond)
		appended(2, "after the pause")
		a.send(syncproto.KindUpdate, a.write("4"))
		appended(2, "one more edit")
		b.send(syncproto.KindAck, ackRequest(1))
		appended(3, "another client asks for an acknowledgement")
		if len(b.acks) != 1 {
			t.Errorf("%d acknowledgements", len(b.acks))
		}
		a.send(syncproto.KindUpdate, a.write("5"))
		a.send(syncproto.KindAck, ackRequest(2))
		appended(4, "an edit to be acknowledged")
		if len(a.acks) != 1 || w.durable("d") != a.text() {
			t.Errorf("%d acknowledgements; durable: %q", len(a.acks), w.durable("d"))
		}
	})
}

// Failing commits are tried again, in order, and nothing is acknowledged before
// they succeed.
func TestFailingCommitsAreRetried(t *testing.T) {
	for _, fault := range []error{errors.New("disk on fire"), persistence.ErrReadOnly} {
		run(t, quiet, func(t *testing.T, w *world) {
			a, b := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
			settle(a, b)
			a.send(syncproto.KindUpdate, a.write("1"))
			settle(a, b)
			w.log.refuse(fault)
			for i := range 5 {
				a.send(syncproto.KindUpdate, a.write(fmt.Sprint(i)))
				a.send(syncproto.KindAck, ackRequest(uint64(i)))
				settle(a, b)
				pass(time.Second)
			}
			if len(a.acks) != 0 || !w.hub.Stats().LogStalled {
				t.Errorf("%v: %d acknowledgements, %+v", fault, len(a.acks), w.hub.Stats())
			}
			w.log.refuse(nil)
			pass(10 * time.Second)
			settle(a, b)
			pass(10 * time.Second)
			settle(a, b)
			if len(a.acks) != 5 || w.durable("d") != "101234" || b.text() != "101234" {
				t.Errorf("%v: %d acknowledgements, the log has %q, b has %q", fault, len(a.acks), w.durable("d"), b.text())
			}
			if s := w.hub.Stats(); s.LogStalled || s.UncommittedBytes != 0 {
				t.Errorf("%v: %+v", fault, s)
			}
		})
	}
}

// A commit whose answer got lost is read back: neither logged twice nor
// forgotten.
func TestUnknownCommitsAreReadBack(t *testing.T) {
	for _, happened := range []bool{true, false} {
		run(t, quiet, func(t *testing.T, w *world) {
			a := join(t, w.hub, "d", 1)
			settle(a)
			a.send(syncproto.KindUpdate, a.write("1"))
			settle(a)
			w.log.loseAnswer(happened)
			a.send(syncproto.KindUpdate, a.write("2"))
			a.send(syncproto.KindAck, ackRequest(2))
			settle(a)
			if len(a.acks) != 0 {
				t.Error("acknowledged before it was read back")
			}
			a.send(syncproto.KindUpdate, a.write("3"))
			pass(time.Second)
			settle(a)
			if len(a.acks) != 1 {
				t.Errorf("happened %v: %d acknowledgements", happened, len(a.acks))
			}
			if rec := w.record("d"); rec.Head != 3 || w.durable("d") != "123" {
				t.Errorf("happened %v: head %d, %q", happened, rec.Head, w.durable("d"))
			}
		})
	}
}

// Another owner's claim ends the sessions with a code that makes them come
// back; nothing more is written or acknowledged, and the next load sees what
// the other one wrote.
func TestFencing(t *testing.T) {
	run(t, quiet, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("1"))
		settle(a)
		other := newReplica(t, 9)
		if _, err := other.doc.Apply(nil, crdt.V1, a.state()); err != nil {
			t.Fatal(err)
		}
		rec := w.record("d")
		rec, err := w.log.Claim(context.Background(), "d", "other", rec.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		res := w.log.Append(context.Background(), []persistence.Batch{{
			Document: "d", Generation: rec.Generation, Epoch: rec.Epoch,
			Entries: []persistence.NewEntry{{Time: time.Now(), Update: other.write("other")}},
		}})
		if res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		a.send(syncproto.KindUpdate, a.write("2"))
		a.send(syncproto.KindAck, ackRequest(1))
		settle(a)
		var end *EndError
		if err := a.sub.End(); !errors.As(err, &end) || end.Code != CodeRestart || len(a.acks) != 0 {
			t.Fatalf("ended with %v, %d acknowledgements", err, len(a.acks))
		}
		if err := a.sub.Send(context.Background(), syncproto.Message{Kind: syncproto.KindQueryAwareness}); !errors.Is(err, ErrEnded) {
			t.Errorf("Send after the end: %v", err)
		}
		again := subscribe(t, w.hub, "d", a.replica, Peer{Session: 2, CanWrite: true})
		again.send(syncproto.KindSyncStep1, again.vector())
		settle(again)
		if got := w.durable("d"); got != again.text() || !strings.Contains(got, "other") || !strings.Contains(got, "2") {
			t.Errorf("the log has %q, the client %q", got, again.text())
		}
	})
}

// The last owner wrote between our load and our claim: our copy is not the
// newest, and is dropped.
func TestAClaimThatFindsMoreThanWasLoaded(t *testing.T) {
	run(t, quiet, func(t *testing.T, w *world) {
		rec, err := w.log.Claim(context.Background(), "d", "last", 0)
		if err != nil {
			t.Fatal(err)
		}
		a := join(t, w.hub, "d", 1)
		settle(a)
		other := newReplica(t, 9)
		res := w.log.Append(context.Background(), []persistence.Batch{{
			Document: "d", Generation: rec.Generation, Epoch: rec.Epoch,
			Entries: []persistence.NewEntry{{Time: time.Now(), Update: other.write("late")}},
		}})
		if res[0].Err != nil {
			t.Fatal(res[0].Err)
		}
		a.send(syncproto.KindUpdate, a.write("x"))
		settle(a)
		if a.sub.End() == nil {
			t.Fatal("the session goes on with an old copy")
		}
		again := subscribe(t, w.hub, "d", a.replica, Peer{Session: 2, CanWrite: true})
		again.send(syncproto.KindSyncStep1, again.vector())
		settle(again)
		if got := w.durable("d"); got != again.text() || len(got) != 5 {
			t.Errorf("the log has %q, the client %q", got, again.text())
		}
	})
}

func TestAnErasedDocument(t *testing.T) {
	run(t, quiet, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("x"))
		settle(a)
		if err := w.log.Erase(context.Background(), "d", time.Now()); err != nil {
			t.Fatal(err)
		}
		a.send(syncproto.KindUpdate, a.write("y"))
		settle(a)
		pass(commitPause)
		b := join(t, w.hub, "d", 2)
		settle(b)
		for _, c := range []*connected{a, b} {
			var end *EndError
			if err := c.sub.End(); !errors.As(err, &end) || end.Code != CodeErased {
				t.Errorf("session %d ended with %v", c.sub.peer.Session, err)
			}
		}
	})
}

// slowKeeper loads when it is told to, and counts loads at a time.
type slowKeeper struct {
	Snapshots
	mu      sync.Mutex
	gate    chan struct{}
	err     error
	loads   int
	loading map[string]int
	double  bool
}

func (k *slowKeeper) Load(ctx context.Context, document string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	k.mu.Lock()
	k.loads++
	k.loading[document]++
	k.double = k.double || k.loading[document] > 1
	gate, err := k.gate, k.err
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.loading[document]--
		k.mu.Unlock()
	}()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, persistence.Record{}, persistence.Tail{}, ctx.Err()
		}
	}
	if err != nil {
		return nil, persistence.Record{}, persistence.Tail{}, err
	}
	return k.Snapshots.Load(ctx, document)
}

// Planted bug "double load": however many come at once, the document is loaded
// once, and they all meet.
func TestOneLoadForAll(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k}}
		k.gate = make(chan struct{})
		w.start()
		k.Snapshots = w.keep
		var all []*connected
		for i := range 50 {
			c := subscribe(t, w.hub, "d", newReplica(t, crdt.ClientID(i+1)), Peer{Session: uint64(i + 1), CanWrite: true})
			c.send(syncproto.KindSyncStep1, c.vector())
			all = append(all, c)
		}
		synctest.Wait()
		if all[0].drain() != 0 {
			t.Error("an answer before the document was loaded")
		}
		close(k.gate)
		settle(all...)
		all[0].send(syncproto.KindUpdate, all[0].write("x"))
		settle(all...)
		for _, c := range all {
			if c.text() != "x" {
				t.Fatal("they don't meet")
			}
		}
		if k.loads != 1 {
			t.Errorf("%d loads", k.loads)
		}
		w.stop()
	})
}

func TestALoadThatFails(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}, err: errors.New("no such bucket")}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, Logger: zap.NewNop()}}
		w.start()
		k.Snapshots = w.keep
		a := join(t, w.hub, "d", 1)
		synctest.Wait()
		var end *EndError
		if err := a.sub.End(); !errors.As(err, &end) || end.Code != CodeUnavailable {
			t.Errorf("ended with %v", err)
		}
		select {
		case <-a.woken:
		default:
			t.Error("the session was not woken")
		}
		k.err = nil
		b := join(t, w.hub, "d", 2)
		settle(b)
		if b.synced != 1 {
			t.Error("the next one is not served")
		}
		w.stop()
	})
}

// Sessions that come and go around the unload never see an older document, and
// no document is ever loaded twice at a time.
func TestUnloadAndReload(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, IdleUnload: time.Millisecond, Limits: Limits{PresenceGrace: time.Millisecond}}}
		w.start()
		k.Snapshots = w.keep
		rng := rand.New(rand.NewPCG(1, 2))
		want := ""
		for i := range 300 {
			c := join(t, w.hub, "d", uint64(i+1))
			settle(c)
			if c.text() != want {
				t.Fatalf("session %d found %q, want %q", i, short(c.text()), short(want))
			}
			c.send(syncproto.KindUpdate, c.write(fmt.Sprint(i, ".")))
			want = c.text()
			if rng.IntN(2) == 0 {
				settle(c)
			}
			c.sub.Close()
			if rng.IntN(3) > 0 {
				pass(time.Duration(rng.IntN(4)) * time.Millisecond)
			}
		}
		if k.double || k.loads < 20 {
			t.Errorf("%d loads, two at a time: %v", k.loads, k.double)
		}
		w.stop()
	})
}

// brokenKeeper stores no history.
type brokenKeeper struct{ Snapshots }

func (brokenKeeper) Segment(context.Context, persistence.Record, persistence.Position) (persistence.Position, error) {
	return 0, errors.New("the store is down")
}

// That history can't be stored is told while the document is open, and not for
// ever when nobody is left who could find that it can be again.
func TestFailingStoreIsOfOpenDocuments(t *testing.T) {
	k := new(brokenKeeper)
	run(t, Options{Logger: zap.NewNop(), Snapshots: k, SegmentInterval: time.Second, IdleUnload: time.Minute}, func(t *testing.T, w *world) {
		k.Snapshots = w.keep
		a := join(t, w.hub, "d", 1)
		settle(a)
		a.send(syncproto.KindUpdate, a.write("x"))
		settle(a)
		pass(2 * time.Second)
		if !w.hub.Stats().StoreFailing {
			t.Error("a store that fails is not told")
		}
		a.sub.Close()
		pass(5 * time.Minute)
		if s := w.hub.Stats(); s.StoreFailing || s.Documents != 0 {
			t.Errorf("after the document is gone: %+v", s)
		}
	})
}

// A disk that hangs does not keep the process from stopping.
func TestCloseOnADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: quiet}
		w.start()
		a := join(t, w.hub, "d", 1)
		settle(a)
		release := w.log.stall()
		a.send(syncproto.KindUpdate, a.write("x"))
		synctest.Wait()
		asked := make(chan error, 1)
		go func() {
			_, err := w.hub.Snapshot(context.Background(), "d", "l")
			asked <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := w.hub.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 12*time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		if a.sub.End() == nil {
			t.Error("the session goes on")
		}
		if err := <-asked; err == nil {
			t.Error("the snapshot was not refused")
		}
		release()
	})
}

// A command that comes in while the runner decides to unload keeps the document.
func TestACommandKeepsTheDocument(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		d := &document{hub: w.hub, name: "d", phase: live, queued: true}
		w.hub.shard("d").docs = map[string]*document{"d": d}
		w.hub.documents.Add(1)
		d.post(command{kind: cmdTick})
		if w.hub.remove(d, endRestart, ifIdle) {
			t.Error("removed with a command in its inbox")
		}
		if _, err := w.hub.Subscribe("d", Peer{Session: 1}, func() {}); err != nil || len(d.inbox) != 2 {
			t.Errorf("a subscription did not find it: %v", err)
		}
		if !w.hub.remove(d, endRestart, always) || w.hub.Stats().Subscriptions != 0 {
			t.Error("not removed, or a session left behind")
		}
	})
}

func TestASlowReaderIsEnded(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a, slow := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, slow)
		a.send(syncproto.KindUpdate, a.write("x"))
		for range 25 {
			pass(time.Second)
			settle(a)
		}
		if slow.sub.End() != nil {
			t.Error("ended too early")
		}
		slow.sub.Progress(1)
		for range 25 {
			pass(time.Second)
		}
		if slow.sub.End() != nil {
			t.Error("ended although it took something")
		}
		pass(20 * time.Second)
		var end *EndError
		if err := slow.sub.End(); !errors.As(err, &end) || end.Code != CodeSlow {
			t.Errorf("ended with %v", err)
		}
		if a.sub.End() != nil {
			t.Error("the other one was ended")
		}
	})
}

// Whoever fills its part of the inbox waits, and others don't wait for it.
func TestTheInboxIsBounded(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		k.gate = make(chan struct{})
		w := &world{t: t, opt: Options{Snapshots: k, Limits: Limits{SessionInboxBytes: 10_000, InboxBytes: 30_000}}}
		w.start()
		k.Snapshots = w.keep
		flood := subscribe(t, w.hub, "d", newReplica(t, 1), Peer{Session: 1, CanWrite: true})
		other := subscribe(t, w.hub, "d", newReplica(t, 2), Peer{Session: 2, CanWrite: true})
		sent := 0
		go func() {
			for range 100 {
				flood.send(syncproto.KindUpdate, flood.write(strings.Repeat("x", 1000)))
				sent++
			}
		}()
		synctest.Wait()
		if sent > 10 {
			t.Errorf("%d messages of 1000 bytes fit into 10000 bytes", sent)
		}
		other.send(syncproto.KindSyncStep1, []byte{0})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		big := syncproto.Message{Kind: syncproto.KindUpdate, Payload: make([]byte, 40_000)}
		if err := other.sub.Send(ctx, big); !errors.Is(err, context.Canceled) {
			t.Errorf("Send with a cancelled context: %v", err)
		}
		close(k.gate)
		synctest.Wait()
		settle(flood, other)
		if sent != 100 || other.doc.Text("t").Len() != 100_000 {
			t.Errorf("%d sent, %d arrived", sent, other.doc.Text("t").Len()/1000)
		}
		w.stop()
	})
}

// A session that asks and does not read waits; its close frees it.
func TestAskingWithoutReading(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		var err error
		asked := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for err == nil {
				err = a.sub.Send(context.Background(), syncproto.Message{Kind: syncproto.KindAck, Payload: ackRequest(1)})
				asked++
			}
		}()
		synctest.Wait()
		if n := a.sub.out.control; n > maxControlBytes+(1<<20) {
			t.Errorf("%d bytes of answers wait", n)
		}
		a.sub.Close()
		<-done
		if !errors.Is(err, ErrEnded) {
			t.Errorf("Send ended with %v", err)
		}
	})
}

// Close flushes, acknowledges, stores and ends; what was acknowledged is there
// afterwards.
func TestCloseFlushes(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		release := w.log.stall()
		a.send(syncproto.KindUpdate, a.write("x"))
		a.send(syncproto.KindAck, ackRequest(1))
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- w.hub.Close(context.Background()) }()
		synctest.Wait()
		if _, err := w.hub.Subscribe("d", Peer{Session: 3}, func() {}); !errors.Is(err, ErrClosed) {
			t.Errorf("Subscribe while closing: %v", err)
		}
		release()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		a.drain()
		if len(a.acks) != 1 || w.durable("d") != "x" {
			t.Errorf("%d acknowledgements, the log has %q", len(a.acks), w.durable("d"))
		}
		if rec := w.record("d"); rec.Segmented != rec.Head {
			t.Errorf("segments cover %d of %d", rec.Segmented, rec.Head)
		}
		if s := w.hub.Stats(); s.Documents != 0 || s.Subscriptions != 0 {
			t.Errorf("left over: %+v", s)
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: quiet}
		w.start()
		a := join(t, w.hub, "d", 1)
		settle(a)
		w.log.refuse(errors.New("down"))
		a.send(syncproto.KindUpdate, a.write("x"))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.hub.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if a.sub.End() == nil || w.hub.Stats().Documents != 0 {
			t.Error("the session goes on")
		}
		if err := w.hub.Close(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second Close: %v", err)
		}
	})
}
