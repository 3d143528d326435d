package hub

import (
	"context"
	"errors"
	"fmt"
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

// Twenty seeders with one key, while the log fails now and then: the content is
// there once, and all are told so after it is durable.
func TestSeedRacesItself(t *testing.T) {
	run(t, quiet, func(t *testing.T, w *world) {
		w.log.refuse(errors.New("busy"))
		var changed, done int
		var mu sync.Mutex
		for i := range 20 {
			go func() {
				out, err := w.hub.Seed(context.Background(), "d", "seeder", "k", newReplica(t, crdt.ClientID(i+1)).write(fmt.Sprint("<", i, ">")))
				mu.Lock()
				defer mu.Unlock()
				done++
				if err != nil || out.Position != 1 {
					t.Errorf("seed %d: %+v, %v", i, out, err)
				}
				if out.Changed {
					changed++
				}
			}()
		}
		pass(3 * time.Second)
		mu.Lock()
		if done > 0 {
			t.Errorf("%d were told of what is not durable", done)
		}
		mu.Unlock()
		w.log.refuse(nil)
		pass(3 * time.Second)
		if changed != 1 || done != 20 {
			t.Errorf("%d of 20 changed it, %d done", changed, done)
		}
		if text := w.durable("d"); strings.Count(text, "<") != 1 {
			t.Errorf("the document is %q", text)
		}
		if rec, err := w.log.Open(context.Background(), "d"); err != nil || rec.SeedKey != "k" || rec.Head != 1 {
			t.Errorf("%+v, %v", rec, err)
		}
	})
}

// Dying between the key and the content leaves a document that can be seeded,
// with the same key or another.
func TestSeedAfterADeathInBetween(t *testing.T) {
	for _, key := range []string{"k", "other"} {
		run(t, quiet, func(t *testing.T, w *world) {
			ctx := context.Background()
			if _, err := w.log.Claim(ctx, "d", "dead", 0); err != nil {
				t.Fatal(err)
			}
			if err := w.log.SetSeed(ctx, "d", 1, "k"); err != nil {
				t.Fatal(err)
			}
			out, err := w.hub.Seed(ctx, "d", "", key, newReplica(t, 1).write("s"))
			if err != nil || !out.Changed || w.durable("d") != "s" {
				t.Errorf("%+v, %v: %q", out, err, w.durable("d"))
			}
			if _, err := w.hub.Seed(ctx, "d", "", "third", newReplica(t, 2).write("s")); !errors.Is(err, ErrExists) {
				t.Errorf("a third key: %v", err)
			}
		})
	}
}

func TestEditOfADocumentThatNobodyHasOpen(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		ctx := context.Background()
		out, err := w.hub.Edit(ctx, "d", Terms{Author: "x"}, insert(0, "hello"))
		if err != nil || !out.Changed || out.Position != 1 || w.durable("d") != "hello" {
			t.Fatalf("%+v, %v: %q", out, err, w.durable("d"))
		}
		stats, loaded, err := w.hub.Inspect(ctx, "d")
		if err != nil || !loaded || stats.Committed != 1 || !stats.Owned || stats.Tail.Entries != 1 {
			t.Errorf("%+v, %v, %v", stats, loaded, err)
		}
		pass(2 * time.Minute)
		if _, loaded, err := w.hub.Inspect(ctx, "d"); loaded || err != nil {
			t.Errorf("still loaded: %v, %v", loaded, err)
		}
	})
}

// heldKeeper stores no snapshot until it is released.
type heldKeeper struct {
	Snapshots
	release chan struct{}
}

func (k *heldKeeper) Save(
	ctx context.Context, rec persistence.Record, position persistence.Position, at time.Time, label string, state []byte,
) (persistence.Pointer, error) {
	<-k.release
	return k.Snapshots.Save(ctx, rec, position, at, label, state)
}

func TestEraseEndsSessionsAndWaitsForJobs(t *testing.T) {
	k := new(heldKeeper)
	run(t, Options{Logger: zap.NewNop(), Snapshots: k}, func(t *testing.T, w *world) {
		// In here, or waiting for it would keep the time from going on.
		k.Snapshots, k.release = w.keep, make(chan struct{})
		ctx := context.Background()
		a, reader := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, reader)
		a.send(syncproto.KindUpdate, a.write("secret"))
		settle(a, reader)
		var snapshot, erased error
		answered, returned := false, false
		go func() {
			_, snapshot = w.hub.Snapshot(ctx, "d", "")
			answered = true
		}()
		pass(time.Minute)
		if answered {
			t.Fatalf("the snapshot does not wait: %v", snapshot)
		}
		go func() {
			erased = w.hub.Erase(ctx, "d")
			returned = true
		}()
		pass(time.Minute)
		if returned || !answered || snapshot == nil {
			t.Errorf("while a snapshot is being stored, Erase returned: %v (%v); the snapshot was refused: %v (%v)",
				returned, erased, answered, snapshot)
		}
		close(k.release)
		synctest.Wait()
		if !returned || erased != nil {
			t.Fatalf("Erase returned: %v, %v", returned, erased)
		}
		left := w.stored("d")
		if pass(time.Minute); left == 0 || w.stored("d") != left {
			t.Errorf("%d files were there after Erase, later %d", left, w.stored("d"))
		}
		for _, c := range []*connected{a, reader, join(t, w.hub, "d", 3)} {
			synctest.Wait()
			end, ok := errors.AsType[*EndError](c.sub.End())
			if !ok || end.Code != CodeErased {
				t.Errorf("the session ended with %v", c.sub.End())
			}
		}
		if _, err := w.hub.Edit(ctx, "d", Terms{}, insert(0, "x")); !errors.Is(err, ErrEnded) {
			t.Errorf("an edit of an erased document: %v", err)
		}
		if err := w.hub.Erase(ctx, "d"); err != nil {
			t.Errorf("erasing again: %v", err)
		}
		rec, err := w.log.Open(ctx, "d")
		if err != nil || rec.Tombstone.IsZero() {
			t.Errorf("%+v, %v", rec, err)
		}
		for _, err := range w.log.Read(ctx, "d", 0) {
			if !errors.Is(err, persistence.ErrErased) {
				t.Errorf("the log still has entries: %v", err)
			}
		}
	})
}
