package hub

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/snapshots"
	"ysync/syncproto"
)

// pickyKeeper is a keeper that stores refused updates only sometimes.
type pickyKeeper struct {
	Snapshots
	mu    sync.Mutex
	err   error         // what storing fails with
	gate  chan struct{} // storing waits for it; nil for not
	tries int
}

func (k *pickyKeeper) Refuse(ctx context.Context, document string, at time.Time, author, reason string, update []byte) error {
	k.mu.Lock()
	err, gate := k.err, k.gate
	k.tries++
	k.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return err
	}
	return k.Snapshots.Refuse(ctx, document, at, author, reason, update)
}

func (k *pickyKeeper) let(err error, gate chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.gate = err, gate
}

// tooDeep is an update that no document takes.
func tooDeep(t *testing.T) []byte {
	t.Helper()
	doc := crdt.New(crdt.Options{})
	doc.SetLimits(crdt.Limits{TypeDepth: 1 << 14})
	c, err := doc.Transact(nil, func(tx *crdt.Txn) {
		v := crdt.NewMap()
		for range 600 {
			v = crdt.NewMap(crdt.Field{Key: "x", Value: v})
		}
		doc.Map("m").Set(tx, "deep", v)
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.AppendUpdate(nil, crdt.V1)
}

// kept are the refused updates in the store.
func (w *world) kept(document string) (all []snapshots.Refused) {
	w.t.Helper()
	away(func() {
		for r, err := range w.keep.real.Refused(context.Background(), document) {
			if err != nil || r.Err != nil {
				w.t.Error(err, r.Err)
				return
			}
			all = append(all, r)
		}
	})
	return all
}

// TestRefusedUpdatesAreStored: while the store is away a refused update waits, and
// then it is stored, outlives the process, and goes when the document is erased,
// also when it is just being stored.
func TestRefusedUpdatesAreStored(t *testing.T) {
	k := &pickyKeeper{err: errors.New("away")}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, Logger: zap.NewNop()}}
		w.start()
		k.Snapshots = w.keep
		refused := func(document string, session uint64) {
			t.Helper()
			c := join(t, w.hub, document, session)
			settle(c)
			c.send(syncproto.KindUpdate, tooDeep(t))
			if end := ended(t, c); end.Code != CodeRefused {
				t.Errorf("it ended with %v", end)
			}
		}
		refused("d", 1)
		pass(10 * time.Second)
		if n := len(w.hub.Refused()); n != 1 || w.hub.Stats().Refused != 1 || len(w.kept("d")) != 0 || k.tries < 3 || k.tries > 5 {
			t.Errorf("%d wait, %d tries", n, k.tries)
		}
		k.let(nil, nil)
		pass(time.Minute)
		all := w.kept("d")
		if len(all) != 1 || len(w.hub.Refused()) != 0 {
			t.Fatalf("%d are stored, %d wait", len(all), len(w.hub.Refused()))
		}
		w.stop()
		k.Snapshots = nil
		w.start()
		k.Snapshots = w.keep
		away(func() {
			update, err := w.keep.real.RefusedUpdate(context.Background(), "d", all[0].ID)
			if want := all[0].Bytes; err != nil || int64(len(update)) != want || !bytes.Contains(update, []byte("deep")) {
				t.Errorf("%d bytes come back of %d: %v", len(update), want, err)
			}
		})

		gate := make(chan struct{})
		k.let(nil, gate)
		refused("e", 2)
		erased := make(chan error)
		go func() { erased <- w.hub.Erase(context.Background(), "e") }()
		synctest.Wait()
		select {
		case err := <-erased:
			t.Errorf("erased while something of it is being stored: %v", err)
		default:
		}
		close(gate)
		if err := <-erased; err != nil {
			t.Error(err)
		}
		w.stop()
	})
}

// A hub that closes while the store is away does not wait for it; one whose store
// is there stores what waits.
func TestRefusedUpdatesWhenTheHubCloses(t *testing.T) {
	for _, away := range []error{nil, errors.New("away")} {
		k := &pickyKeeper{}
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, opt: Options{Snapshots: k, Logger: zap.NewNop()}}
			w.start()
			k.Snapshots = w.keep
			k.let(errors.New("away"), nil)
			c := join(t, w.hub, "d", 1)
			settle(c)
			c.send(syncproto.KindUpdate, tooDeep(t))
			settle(c)
			pass(30 * time.Second)
			k.let(away, nil)
			begun := time.Now()
			w.stop()
			if took := time.Since(begun); took > time.Second {
				t.Errorf("closing took %v", took)
			}
			want := 1
			if away != nil {
				want = 0
			}
			if n := len(w.kept("d")); n != want {
				t.Errorf("%d are stored, want %d", n, want)
			}
		})
	}
}
