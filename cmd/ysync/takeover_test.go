package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
	"ysync/persistence"
	"ysync/persistence/postgres"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/syncproto"
)

// watchedLog counts claims, and lets none begin before it is told to.
type watchedLog struct {
	*postgres.Log
	begin        chan struct{}
	single, many atomic.Int64
}

func (l *watchedLog) Claim(ctx context.Context, name, owner string, seen persistence.Epoch) (persistence.Record, error) {
	l.single.Add(1)
	return l.Log.Claim(ctx, name, owner, seen)
}

func (l *watchedLog) ClaimAll(ctx context.Context, owner string, seen []persistence.Holding) ([]persistence.Record, error) {
	<-l.begin
	l.many.Add(1)
	return l.Log.ClaimAll(context.WithoutCancel(ctx), owner, seen)
}

// watchedKeeper notes in which order documents are read.
type watchedKeeper struct {
	*snapshots.Keeper
	mu   sync.Mutex
	rank map[string]int
}

func (k *watchedKeeper) Load(ctx context.Context, name string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	k.mu.Lock()
	k.rank[name] = len(k.rank)
	k.mu.Unlock()
	return k.Keeper.Load(ctx, name)
}

// Two thousand documents of a node that died are claimed by few statements, and
// all writable soon, those first that somebody has written to.
func TestManyDocumentsOfADeadNode(t *testing.T) {
	const all, writers = 2000, 200
	database, redis := testpg.Start(t), testredis.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	real, err := postgres.Open(ctx, postgres.Options{URL: database.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	log := &watchedLog{Log: real, begin: make(chan struct{})}
	name := func(i int) string { return fmt.Sprintf("plan-%04d", i) }

	// What the dead node left.
	doc := crdt.New(crdt.Options{ClientID: 1})
	update := insert(t, doc, "before ")
	batches := make([]persistence.Batch, all)
	each(all, 64, func(i int) {
		r, err := real.Claim(ctx, name(i), "dead", 0)
		if err != nil {
			t.Error(err)
			return
		}
		batches[i] = persistence.Batch{
			Document: name(i), Generation: r.Generation, Epoch: r.Epoch, Entries: []persistence.NewEntry{{Time: time.Now(), Update: update}},
		}
	})
	for _, r := range real.Append(ctx, batches) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}

	m := metrics.New(prometheus.NewRegistry())
	member, err := cluster.Join(ctx, cluster.Options{
		Self: cluster.Node{Boot: "alive", Name: "alive", Weight: 1}, Redis: redis.URL(), Log: log, Logger: zap.NewNop(), Metrics: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := dir.Open(vfs.NewMem(), "/")
	if err != nil {
		t.Fatal(err)
	}
	keeper := &watchedKeeper{Keeper: snapshots.New(files, log, snapshots.Options{}), rank: map[string]int{}}
	h, err := hub.New(hub.Options{Log: log, Snapshots: keeper, Placement: member, Boot: "alive", Logger: zap.NewNop(), Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := member.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := real.Close(); err != nil {
			t.Error(err)
		}
	})

	// Readers come first; then those who wait to write.
	subs := make([]*hub.Subscription, all)
	woken := make([]chan struct{}, all)
	for i := range subs {
		woken[i] = make(chan struct{}, 1)
		if subs[i], err = h.Subscribe(name(i), hub.Peer{Session: uint64(i) + 1, CanWrite: true}, func() {
			select {
			case woken[i] <- struct{}{}:
			default:
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	write := func(i int) {
		client := crdt.New(crdt.Options{ClientID: crdt.ClientID(1000 + i)})
		for _, msg := range []syncproto.Message{
			{Kind: syncproto.KindUpdate, Payload: insert(t, client, "after")}, {Kind: syncproto.KindAck, Payload: []byte{1, 7}},
		} {
			if err := subs[i].Send(ctx, msg); err != nil {
				t.Errorf("%s: %v", name(i), err)
			}
		}
	}
	for i := range all {
		if i >= all-writers {
			write(i)
		} else if err := subs[i].Send(ctx, syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: []byte{0}}); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	close(log.begin)
	var acked [2]atomic.Int64 // the last acknowledgement, of writers and of all
	each(all, all, func(i int) {
		waits, wrote := i >= all-writers, i >= all-writers
		for {
			frame, ok := subs[i].Next()
			switch {
			case ok && !wrote: // what was asked for: the document is there
				write(i)
				wrote = true
				continue
			case ok && frame[0] == 102:
				took := int64(time.Since(start))
				last := &acked[1]
				if waits {
					last = &acked[0]
				}
				for old := last.Load(); old < took && !last.CompareAndSwap(old, took); old = last.Load() {
				}
				return
			case ok:
				continue
			case subs[i].End() != nil:
				t.Errorf("%s: %v", name(i), subs[i].End())
				return
			}
			select {
			case <-woken[i]:
			case <-ctx.Done():
				t.Errorf("%s is not writable", name(i))
				return
			}
		}
	})
	t.Logf("%d documents of a dead node: those with waiting writers writable within %v, all within %v; %d claims by %d statements, %d one by one",
		all, time.Duration(acked[0].Load()), time.Duration(acked[1].Load()), all, log.many.Load(), log.single.Load())
	if many := log.many.Load(); many > all/20 {
		t.Errorf("%d statements for %d claims", many, all)
	}
	if single := log.single.Load(); single > all/20 {
		t.Errorf("%d documents were claimed one by one", single)
	}
	// Those that were being opened when the writers came, and the writers.
	late := 0
	for i := all - writers; i < all; i++ {
		if keeper.rank[name(i)] > persistence.MaxHoldings+2*writers {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d of %d documents with waiting writers were read late", late, writers)
	}
}

// insert makes a document's edit and returns its update.
func insert(t *testing.T, doc *crdt.Doc, text string) []byte {
	t.Helper()
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, text) })
	if err != nil {
		t.Fatal(err)
	}
	return commit.AppendUpdate(nil, crdt.V1)
}

// each calls f for 0 to n-1, some at a time.
func each(n, together int, f func(int)) {
	var work sync.WaitGroup
	next := atomic.Int64{}
	for range together {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	work.Wait()
}
