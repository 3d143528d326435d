package snapshots_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/storetest"
)

// loseEverywhere plays the workload, with snapshots, segments and trims, on a
// folder that loses power before every operation of the file system. The log
// stands for a database of its own, which loses nothing. Each time a keeper on
// what is left of the folder has to find every file that the log points at.
func loseEverywhere(t *testing.T, wrap func(vfs.FS) vfs.FS) (audits int, faults []error) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(3, 4))
	var r *rig
	lose := func() {
		if r == nil {
			return
		}
		for _, percent := range []int{0, 50} {
			audits++
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			if err := r.audit(crashed); err != nil {
				faults = append(faults, err)
			}
		}
	}
	store, err := dir.Open(errorfs.Wrap(wrap(mem), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			lose()
		}
		return nil
	})), "/data/s")
	if err != nil {
		t.Fatal(err)
	}
	r = newRig(t, "d", memory.New(), store)
	for i, u := range workload() {
		r.append(u)
		if i%11 == 5 {
			r.save()
			r.segment()
			r.trim()
			lose()
		}
	}
	return audits, faults
}

// audit opens the folder as a power loss left it, next to the log of r.
func (r *rig) audit(crashed vfs.FS) error {
	store, err := dir.Open(crashed, "/data/s")
	if err != nil {
		return err
	}
	core, lines := observer.New(zapcore.ErrorLevel)
	k := snapshots.New(store, r.log, snapshots.Options{Logger: zap.New(core)})
	doc, rec, _, err := k.Load(r.Context(), r.document)
	if err != nil {
		return err
	}
	if lines.Len() > 0 {
		return fmt.Errorf("%s: %v", lines.All()[0].Message, lines.All()[0].ContextMap())
	}
	if !doc.StateVector().Equal(replica(r.updates).StateVector()) {
		return errors.New("the document is not what was written")
	}
	for _, err := range k.History(r.Context(), r.document, rec.Generation, 0, rec.Segmented) {
		if err != nil {
			return err
		}
	}
	// Every moment can still be given.
	for p := persistence.Position(0); p <= rec.Head; p += 13 {
		doc, _, err := k.At(r.Context(), r.document, snapshots.AtPosition(p), snapshots.AtOptions{})
		if err != nil {
			return err
		}
		want := replica(r.updates[:p])
		if !bytes.Equal(doc.AppendState(nil, crdt.V2), want.AppendState(nil, crdt.V2)) {
			return fmt.Errorf("position %d is not what it was", p)
		}
	}
	infos, err := k.Snapshots(r.Context(), r.document)
	if err != nil {
		return err
	}
	for _, i := range infos { // whole files only, whether something points at them or not
		file, err := store.Get(r.Context(), i.Key, 1<<20)
		if err != nil {
			return err
		}
		if _, _, err := snapshots.DecodeSnapshot(file); err != nil {
			return fmt.Errorf("%s: %w", i.Key, err)
		}
	}
	return nil
}

func TestPowerLossDuringSaveAndSegment(t *testing.T) {
	audits, faults := loseEverywhere(t, func(f vfs.FS) vfs.FS { return f })
	if len(faults) > 0 {
		t.Fatalf("%d of %d audits failed, first: %v", len(faults), audits, faults[0])
	}
	if audits < 100 {
		t.Errorf("only %d power losses", audits)
	}
	t.Logf("%d power losses", audits)
}

func TestPowerLossAuditFindsMissingSyncs(t *testing.T) {
	for name, bug := range map[string]storetest.Unsynced{"file": {Files: true}, "folder": {Folders: true}} {
		t.Run(name, func(t *testing.T) {
			audits, faults := loseEverywhere(t, func(f vfs.FS) vfs.FS {
				bug.FS = f
				return bug
			})
			if len(faults) == 0 {
				t.Fatal("the audit passes a store that does not sync")
			}
			t.Logf("%d of %d audits failed, first: %v", len(faults), audits, faults[0])
		})
	}
}

// failingFS fails one operation of a kind: the one after `left` others.
type failingFS struct {
	kind  errorfs.OpReadWrite
	left  int
	fired bool
	armed bool
}

func (f *failingFS) MaybeError(op errorfs.Op) error {
	if !f.armed || f.fired || op.Kind.ReadOrWrite() != f.kind {
		return nil
	}
	if f.left--; f.left >= 0 {
		return nil
	}
	f.fired = true
	return errorfs.ErrInjected
}

func (f *failingFS) String() string { return "one fault" }

// TestDiskFaultAtEveryOperation fails each operation of a Save, a Segment and a
// Load once. Nothing points at what failed, the next try succeeds, and a load
// goes on with the older snapshot.
func TestDiskFaultAtEveryOperation(t *testing.T) {
	for _, kind := range []errorfs.OpReadWrite{errorfs.OpIsRead, errorfs.OpIsWrite} {
		for n := 0; ; n++ {
			fault := &failingFS{kind: kind, left: n}
			store, err := dir.Open(errorfs.Wrap(vfs.NewMem(), fault), "/s")
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, "d", memory.New(), store)
			all := workload()
			r.append(all[:10]...)
			r.save()
			r.append(all[10:]...)
			fault.armed = true

			rec := r.record()
			state := replica(r.updates).AppendState(nil, crdt.V2)
			var p persistence.Pointer
			for try := 0; p.IsZero(); try++ {
				if p, err = r.keeper.Save(t.Context(), rec, rec.Head, start, "", state); err != nil && try > 0 {
					t.Fatalf("%s, operation %d: Save fails after the fault: %v", kind, n, err)
				}
			}
			if err := r.log.SetSnapshot(t.Context(), "d", r.epoch, p); err != nil {
				t.Fatal(err)
			}
			for try := 0; ; try++ {
				to, err := r.keeper.Segment(t.Context(), rec, rec.Head)
				if err == nil && to == rec.Head {
					break
				}
				if err == nil || try > 0 {
					t.Fatalf("%s, operation %d: Segment = %d, %v", kind, n, to, err)
				}
				if err := r.log.SetSegmented(t.Context(), "d", r.epoch, to); err != nil {
					t.Fatal(err)
				}
				rec = r.record()
			}
			r.load()
			if !fault.fired {
				t.Logf("%s: %d faults", kind, n)
				break
			}
		}
	}
}
