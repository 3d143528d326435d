package pebble_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence"
)

// moment is the disk as a power failure at one moment leaves it, and what had
// been acknowledged by then.
type moment struct {
	what string
	disk *vfs.MemFS
	told map[string]told
}

// blackout runs a workload on a disk that forgets what is not synced. At every
// fsync, before and after, the power fails in a copy of the world: a log is
// opened on what is left and audited. It returns what was wrong, by moment.
// tap may come between the log and the disk, wrap between the workload and the log.
func blackout(t *testing.T, seed uint64, ops int, tap func(vfs.FS) vfs.FS, wrap func(persistence.Log) persistence.Log) (wrong map[string][]string, moments int) {
	t.Helper()
	disk := newCrashDisk()
	ledger := newLedger()
	queue := make(chan moment, 8)
	var audits sync.WaitGroup
	var mu sync.Mutex
	wrong = make(map[string][]string)
	for range 2 {
		audits.Go(func() {
			for m := range queue {
				w := auditMoment(ledger, m)
				mu.Lock()
				if moments++; len(w) > 0 {
					wrong[m.what] = w
				}
				mu.Unlock()
			}
		})
	}

	var crash sync.Mutex // one failure at a time
	dice := newDice(int64(seed))
	fails := 0
	fail := func(when, name string) {
		crash.Lock()
		defer crash.Unlock()
		fails++
		// Told first, then the disk: what is acknowledged in between is not
		// promised at this moment.
		told := ledger.told()
		for _, percent := range []int{0, 50} {
			if percent > 0 && fails%4 != 0 {
				continue
			}
			clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: dice})
			queue <- moment{what: fmt.Sprintf("seed %d, failure %d %s the fsync of %s, %d%% of the rest kept", seed, fails, when, name, percent), disk: clone, told: told}
		}
	}
	o := small("data/log")
	o.FS = &tapFS{FS: tap(disk), sync: func(name string, do func() error) error {
		fail("before", name)
		err := do()
		fail("after", name)
		return err
	}}
	log, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{seed: seed, workers: 4, ops: ops, size: 6000, log: wrap(log), ledger: ledger}
	w.run()
	if n := w.failed.Load(); n > 0 {
		t.Errorf("%d operations failed on a good disk", n)
	}
	fail("without", "anything")
	if err := w.log.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	close(queue)
	audits.Wait()
	return wrong, moments
}

// auditMoment opens what a power failure left, audits it, and sees that it can
// be written on.
func auditMoment(l *ledger, m moment) []string {
	o := small("data/log")
	o.FS = m.disk
	log, err := open(o)
	if err != nil {
		return []string{"lost: " + err.Error()}
	}
	defer func() { _ = log.Close() }()
	wrong := l.audit(log, m.told)
	r, err := log.Open(context.Background(), "w0/a")
	if err == nil {
		r, err = log.Claim(context.Background(), r.Document, "after", r.Epoch)
	}
	if err != nil {
		return append(wrong, "can't be claimed again: "+err.Error())
	}
	b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch, Entries: []persistence.NewEntry{{Time: start}}}
	if res := log.Append(context.Background(), []persistence.Batch{b})[0]; res.Err != nil || res.First != r.Head+1 {
		wrong = append(wrong, fmt.Sprintf("can't be written on: %+v", res))
	}
	return wrong
}

func newDice(seed int64) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 7)) }

// fullSweep reports whether the long versions of the fault tests shall run.
func fullSweep() bool { return os.Getenv("YSYNC_FAULTS") == "full" }

func untapped(files vfs.FS) vfs.FS                  { return files }
func unwrapped(log persistence.Log) persistence.Log { return log }

// No acknowledged write is lost at any moment of a power failure.
func TestPowerLoss(t *testing.T) {
	seeds, ops := uint64(1), 150
	if fullSweep() {
		seeds, ops = 10, 400
	}
	for seed := range seeds {
		wrong, moments := blackout(t, seed, ops, untapped, unwrapped)
		for what, w := range wrong {
			t.Errorf("%s:\n\t%s", what, strings.Join(w, "\n\t"))
		}
		if moments < 100 {
			t.Errorf("only %d moments were tried", moments)
		}
		t.Logf("seed %d: %d moments", seed, moments)
	}
}

// The audit is worth something: it finds the bugs that it is there for.
func TestPowerLossAuditFindsPlantedBugs(t *testing.T) {
	skip := func(match string) func(vfs.FS) vfs.FS {
		return func(files vfs.FS) vfs.FS {
			return &tapFS{FS: files, sync: func(name string, do func() error) error {
				if strings.Contains(name, match) {
					return nil
				}
				return do()
			}}
		}
	}
	for name, bug := range map[string]struct {
		tap  func(vfs.FS) vfs.FS
		wrap func(persistence.Log) persistence.Log
	}{
		"fsync does nothing":                        {skip(""), unwrapped},
		"fsync of the write-ahead log does nothing": {skip(".log"), unwrapped},
		"acknowledged before the commit":            {untapped, func(l persistence.Log) persistence.Log { return &hasty{Log: l} }},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, moments := blackout(t, 1, 60, bug.tap, bug.wrap)
			found := 0
			for _, w := range wrong {
				found += losses(w)
			}
			if found == 0 {
				t.Errorf("the audit found nothing in %d moments", moments)
			}
			t.Logf("%d losses found in %d of %d moments", found, len(wrong), moments)
		})
	}
}

// hasty is a log that acknowledges an append when it has been handed over, and
// works it off before the next call: the planted bug.
type hasty struct {
	persistence.Log

	mu      sync.Mutex
	pending map[string]chan struct{} // per document, closed when worked off
}

func (h *hasty) settle(document string) {
	h.mu.Lock()
	done := h.pending[document]
	h.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (h *hasty) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	results := make([]persistence.Result, len(batches))
	done := make(chan struct{})
	for i, b := range batches {
		h.settle(b.Document)
		r, err := h.Open(ctx, b.Document)
		if err == nil {
			_, err = r.Appended(&b)
		}
		results[i] = persistence.Result{First: r.Head + 1, Last: r.Head + persistence.Position(len(b.Entries)), Err: err}
		h.mu.Lock()
		if h.pending == nil {
			h.pending = make(map[string]chan struct{})
		}
		h.pending[b.Document] = done
		h.mu.Unlock()
	}
	go func() {
		defer close(done)
		h.Log.Append(ctx, batches)
	}()
	return results
}

func (h *hasty) Claim(ctx context.Context, document, owner string, seen persistence.Epoch) (persistence.Record, error) {
	h.settle(document)
	return h.Log.Claim(ctx, document, owner, seen)
}

func (h *hasty) SetSnapshot(ctx context.Context, document string, e persistence.Epoch, p persistence.Pointer) error {
	h.settle(document)
	return h.Log.SetSnapshot(ctx, document, e, p)
}

func (h *hasty) SetSegmented(ctx context.Context, document string, e persistence.Epoch, p persistence.Position) error {
	h.settle(document)
	return h.Log.SetSegmented(ctx, document, e, p)
}

func (h *hasty) Erase(ctx context.Context, document string, at time.Time) error {
	h.settle(document)
	return h.Log.Erase(ctx, document, at)
}

func (h *hasty) Close() error {
	h.mu.Lock()
	for _, done := range h.pending {
		<-done
	}
	h.mu.Unlock()
	return h.Log.Close()
}
