package pebble_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/persistence/pebble"
)

// fault is one way in which one operation of the disk fails.
type fault struct {
	name string
	// hits reports whether an operation is of the kind that is counted.
	hits func(errorfs.OpKind) bool
	err  error
	// short makes a failing write write half of its bytes first.
	short bool
}

func isSync(k errorfs.OpKind) bool {
	return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo
}

func isWrite(k errorfs.OpKind) bool { return k == errorfs.OpFileWrite || k == errorfs.OpFileWriteAt }

// isOther is everything else that changes the disk.
func isOther(k errorfs.OpKind) bool {
	return k.ReadOrWrite() == errorfs.OpIsWrite && !isSync(k) && !isWrite(k) && k != errorfs.OpFileClose && k != errorfs.OpLock
}

var faults = []fault{
	{name: "fsync EIO", hits: isSync, err: syscall.EIO},
	{name: "write EIO", hits: isWrite, err: syscall.EIO},
	{name: "write ENOSPC", hits: isWrite, err: syscall.ENOSPC},
	{name: "short write", hits: isWrite, err: syscall.ENOSPC, short: true},
	{name: "other EIO", hits: isOther, err: syscall.EIO},
}

// outcome is how a run with one failing operation ended.
type outcome struct {
	operations int64 // of the kind counted, in all
	hit        bool
	opened     bool
	stopped    bool
	failed     int64
	lines      []string // errors in the log
	wrong      []string
}

// runWithFault runs a workload while the nth operation that f counts fails,
// and audits what is left: once as a process leaves it that ended (the page
// cache survives), once as a power failure at that moment leaves it.
func runWithFault(t *testing.T, f fault, nth int64, ops int) outcome {
	t.Helper()
	disk := newCrashDisk()
	var count atomic.Int64
	var hit atomic.Bool
	strike := func(kind errorfs.OpKind) bool {
		return f.hits(kind) && count.Add(1) == nth && hit.CompareAndSwap(false, true)
	}
	files := vfs.FS(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !f.short && strike(op.Kind) {
			return f.err
		}
		return nil
	})))
	if f.short {
		files = &tapFS{FS: files, write: func(_ string, b []byte, do func([]byte) (int, error)) (int, error) {
			if !strike(errorfs.OpFileWrite) {
				return do(b)
			}
			n, err := do(b[:len(b)/2])
			return n, errors.Join(f.err, err)
		}}
	}
	lines, seen := observer.New(zapcore.WarnLevel)
	stopped := make(chan struct{})
	var once sync.Once
	o := small("data/log")
	o.FS, o.Logger = files, zap.New(lines)
	o = pebble.WithExit(o, func(code int) {
		if code != pebble.ExitDiskFailed {
			t.Errorf("exit code %d", code)
		}
		once.Do(func() { close(stopped) })
		// A process that ended runs on in nobody: whoever comes here, and
		// whoever waits for the disk, stays.
		select {}
	})

	var out outcome
	ledger := newLedger()
	told := make(chan map[string]told, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		log, err := open(o)
		if err != nil {
			out.lines = append(out.lines, err.Error())
			return
		}
		out.opened = true
		w := &workload{seed: uint64(nth), workers: 4, ops: ops, size: 200, log: log, ledger: ledger}
		w.run()
		out.failed = w.failed.Load()
		if err := log.Close(); err != nil {
			out.lines = append(out.lines, err.Error())
		}
	}()
	result := outcome{}
	select {
	case <-finished:
		result = out
	case <-stopped:
		result.opened, result.stopped = true, true
	}
	told <- ledger.told()
	for _, e := range seen.FilterLevelExact(zapcore.ErrorLevel).All() {
		result.lines = append(result.lines, fmt.Sprint(e.Message, " ", e.ContextMap()))
	}
	result.operations, result.hit = count.Load(), hit.Load()
	promised := <-told
	for _, percent := range []int{100, 0} {
		m := moment{disk: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: newDice(nth)}), told: promised}
		for _, w := range auditMoment(ledger, m) {
			result.wrong = append(result.wrong, fmt.Sprintf("with %d%% of what was not synced: %s", percent, w))
		}
	}
	return result
}

// Each write and each fsync of a workload fails once: nothing acknowledged is
// lost, nothing is torn, and one clear line says what happened.
func TestEveryDiskFault(t *testing.T) {
	ops, samples := 200, int64(12)
	if fullSweep() {
		ops, samples = 1000, 1<<40
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			clean := runWithFault(t, f, -1, ops)
			if len(clean.wrong) > 0 || clean.failed > 0 || clean.stopped || len(clean.lines) > 0 {
				t.Fatalf("without a fault: %+v", clean)
			}
			step := max(1, clean.operations/samples)
			stops, errs, unnoticed := 0, 0, 0
			for nth := int64(1); nth <= clean.operations; nth += step {
				r := runWithFault(t, f, nth, ops)
				if !r.hit {
					continue // this run had fewer operations
				}
				if len(r.wrong) > 0 {
					t.Errorf("operation %d: %s", nth, strings.Join(r.wrong, "\n\t"))
				}
				switch {
				case r.stopped && len(r.lines) != 1:
					t.Errorf("operation %d: the process stopped with the lines %q", nth, r.lines)
				case r.stopped:
					stops++
				case f.name == "fsync EIO" && r.opened:
					t.Errorf("operation %d: an fsync failed and the process went on", nth)
				case r.failed > 0 || len(r.lines) > 0:
					errs++
				default:
					unnoticed++
				}
				for _, line := range r.lines {
					if strings.Contains(line, "\n") {
						t.Errorf("operation %d: not one line: %q", nth, line)
					}
				}
			}
			t.Logf("of %d operations, every %d. failed: %d stops, %d errors, %d made good", clean.operations, step, stops, errs, unnoticed)
		})
	}
}
