package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

const (
	logFolder      = "data/log"
	snapshotFolder = "data/snapshots"
	// storeEvery is the interval of snapshots and segments in a blackout.
	storeEvery = 30 * time.Millisecond
)

// blackout is the workload on a hub in this process, whose log and snapshots
// lie on a file system in memory that forgets what was not synced. At every
// sync the power fails in a copy of it, which is audited.
type blackout struct {
	config
	disk   *vfs.MemFS
	ledger *ledger
	names  []string
	// losses is how many power losses are wanted; enough closes then.
	losses int
	enough chan struct{}

	mu   sync.Mutex // one power loss at a time; guards the fields below
	rng  *rand.Rand
	lost int
	over bool
}

// run plays the workload until there were enough power losses or a fault.
func (b *blackout) run(ctx context.Context) (report, error) {
	b.disk = vfs.NewCrashableMem()
	b.ledger, b.enough = newLedger(), make(chan struct{})
	b.rng = rand.New(rand.NewPCG(b.seed, 0))
	for i := range b.documents {
		b.names = append(b.names, fmt.Sprintf("blackout/%d", i))
	}
	tapped := errorfs.Wrap(b.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			b.lose()
		}
		return nil
	}))
	log, err := pebble.Open(pebble.Options{Dir: logFolder, FS: tapped, MemTableBytes: 256 << 10})
	if err != nil {
		return report{}, err
	}
	files, err := dir.Open(tapped, snapshotFolder)
	if err != nil {
		return report{}, errors.Join(err, log.Close())
	}
	core, lines := observer.New(zapcore.ErrorLevel)
	h, err := hub.New(hub.Options{
		Log: log, Snapshots: snapshots.New(files, log, snapshots.Options{Logger: zap.New(core)}), Boot: "boot",
		SnapshotInterval: storeEvery, SegmentInterval: storeEvery,
		Logger: zap.New(core), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		return report{}, errors.Join(err, log.Close())
	}
	err = b.play(ctx, h)
	for _, l := range lines.All() {
		b.ledger.fault("the hub logged: %s %v", l.Message, l.ContextMap())
	}
	stop, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err = errors.Join(err, h.Close(stop), log.Close())
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.ledger.report()
	r.crashes = b.lost
	return r, err
}

// play lets writers write, and fails the power between syncs too.
func (b *blackout) play(ctx context.Context, h *hub.Hub) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGate()
	g.lift(attach(h))
	done := startWriters(ctx, b.config, b.names, b.ledger, g, nil)
	defer func() {
		cancel()
		<-done
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-b.enough:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			b.lose()
		}
	}
}

// lose fails the power in a copy of the disk and audits what is left. What is
// acknowledged after the copy was made is not asked for.
func (b *blackout) lose() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	want := make(map[string][]*edit)
	for _, name := range b.names {
		want[name] = b.ledger.wanted(name, acknowledged)
	}
	percent := []int{0, 0, 50}[b.lost%3]
	left := b.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: b.rng})
	when := fmt.Sprintf("power loss %d, %d%% of what was not synced survives", b.lost, percent)
	if err := b.audit(when, left, want); err != nil {
		b.ledger.fault("%s: %v", when, err)
	}
	if b.lost++; b.lost >= b.losses || b.ledger.broken() {
		b.over = true
		close(b.enough)
	}
}

// audit opens what is left of the disk and reads every document.
func (b *blackout) audit(when string, left vfs.FS, want map[string][]*edit) (err error) {
	log, err := pebble.Open(pebble.Options{Dir: logFolder, FS: left, MemTableBytes: 256 << 10})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	files, err := dir.Open(left, snapshotFolder)
	if err != nil {
		return err
	}
	core, lines := observer.New(zapcore.ErrorLevel)
	keeper := snapshots.New(files, log, snapshots.Options{Logger: zap.New(core)})
	for _, name := range b.names {
		doc, rec, _, err := keeper.Load(context.Background(), name)
		if err != nil {
			return err
		}
		b.ledger.audit(when, name, doc, want[name])
		for _, p := range []persistence.Pointer{rec.Snapshot, rec.Previous} {
			if err := sameAsHistory(keeper, files, rec, p); err != nil {
				return err
			}
		}
	}
	for _, l := range lines.All() {
		return fmt.Errorf("%s %v", l.Message, l.ContextMap())
	}
	return nil
}

// sameAsHistory compares a snapshot with what the history up to its position
// makes, where segments reach so far.
func sameAsHistory(k *snapshots.Keeper, files snapshots.Store, rec persistence.Record, p persistence.Pointer) error {
	if p.IsZero() || p.Position > rec.Segmented {
		return nil
	}
	file, err := files.Get(context.Background(), p.Key, 1<<30)
	if err != nil {
		return err
	}
	_, state, err := snapshots.DecodeSnapshot(file)
	if err != nil {
		return err
	}
	server := crdt.Options{NoFormatCleanup: true, RetryAll: true}
	stored, replayed := crdt.New(server), crdt.New(server)
	if _, err := stored.Apply(nil, crdt.V2, state); err != nil {
		return err
	}
	for e, err := range k.History(context.Background(), rec.Document, rec.Generation, 0, p.Position) {
		if err != nil {
			return err
		}
		if _, err := replayed.Apply(nil, crdt.V1, e.Update); err != nil {
			return err
		}
	}
	a, b := stored.Deletes(), replayed.Deletes()
	waits, waited := stored.Pending(), replayed.Pending()
	switch {
	case !stored.StateVector().Equal(replayed.StateVector()):
		return fmt.Errorf("the snapshot of %s at %d has another state vector than its history", rec.Document, p.Position)
	case !a.Equal(&b):
		return fmt.Errorf("the snapshot of %s at %d has other deletes than its history", rec.Document, p.Position)
	case waits.Blocks != waited.Blocks, waits.Deletes != waited.Deletes, !waits.Missing.Equal(waited.Missing):
		return fmt.Errorf("in the snapshot of %s at %d waits %+v, in its history %+v", rec.Document, p.Position, waits, waited)
	}
	return nil
}
