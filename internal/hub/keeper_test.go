package hub

import (
	"context"
	"sync"
	"time"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/snapshots"
)

// keeper is the real keeper, called from a goroutine without virtual time: its
// pools of compressors are the process's and outlive the time of one test. A
// caller waits for it by a mutex, which keeps virtual time from going on.
type keeper struct{ real *snapshots.Keeper }

var outside = sync.OnceValue(func() chan func() {
	calls := make(chan func())
	for range 8 {
		go func() {
			for f := range calls {
				f()
			}
		}()
	}
	return calls
})

// The channel must belong to no test's time.
var calls = outside()

func away(f func()) {
	var done sync.Mutex
	done.Lock()
	calls <- func() {
		f()
		done.Unlock()
	}
	done.Lock()
}

func (k keeper) Resume(
	_ context.Context, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail,
) (now persistence.Record, more persistence.Tail, err error) {
	away(func() { now, more, err = k.real.Resume(context.Background(), doc, rec, tail) })
	return now, more, err
}

func (k keeper) Load(_ context.Context, document string) (doc *crdt.Doc, rec persistence.Record, tail persistence.Tail, err error) {
	away(func() { doc, rec, tail, err = k.real.Load(context.Background(), document) })
	return doc, rec, tail, err
}

func (k keeper) Save(_ context.Context, rec persistence.Record, position persistence.Position, at time.Time, label string, state []byte) (p persistence.Pointer, err error) {
	away(func() { p, err = k.real.Save(context.Background(), rec, position, at, label, state) })
	return p, err
}

func (k keeper) Segment(_ context.Context, rec persistence.Record, to persistence.Position) (p persistence.Position, err error) {
	away(func() { p, err = k.real.Segment(context.Background(), rec, to) })
	return p, err
}

func (k keeper) Retired(_ context.Context, rec persistence.Record) (clients []crdt.ClientID, err error) {
	away(func() { clients, err = k.real.Retired(context.Background(), rec) })
	return clients, err
}

func (k keeper) Renew(
	_ context.Context, rec persistence.Record, from *crdt.Doc, state []byte, retired []crdt.ClientID, by persistence.NewEntry,
) (p persistence.Pointer, err error) {
	away(func() { p, err = k.real.Renew(context.Background(), rec, from, state, retired, by) })
	return p, err
}

func (k keeper) Refuse(_ context.Context, document string, at time.Time, author, reason string, update []byte) (err error) {
	away(func() { err = k.real.Refuse(context.Background(), document, at, author, reason, update) })
	return err
}

func (k keeper) Trimmable(_ context.Context, rec persistence.Record) (p persistence.Position) {
	away(func() { p = k.real.Trimmable(context.Background(), rec) })
	return p
}

func (k keeper) Snapshots(_ context.Context, document string) (list []snapshots.SnapshotInfo, err error) {
	away(func() { list, err = k.real.Snapshots(context.Background(), document) })
	return list, err
}

func (k keeper) Segments(_ context.Context, document string) (list []snapshots.SegmentInfo, err error) {
	away(func() { list, err = k.real.Segments(context.Background(), document) })
	return list, err
}
