package snapshots_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	database "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// hospital is a rig on stores that can be damaged, and the bytes that repairs
// put aside.
type hospital struct {
	*rig
	disk  *vfs.MemFS
	aside map[string][]byte
}

func newHospital(t *testing.T) *hospital {
	t.Helper()
	h := &hospital{disk: vfs.NewMem(), aside: map[string][]byte{}}
	store, err := dir.Open(h.disk, "/s")
	if err != nil {
		t.Fatal(err)
	}
	h.rig = newRig(t, "d", h.open(t), store)
	t.Cleanup(func() {
		if err := h.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hospital) open(t *testing.T) persistence.Log {
	t.Helper()
	log, err := pebble.Open(pebble.Options{Dir: "/log", FS: h.disk, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// operate changes the stored value of entries; nil removes one.
func (h *hospital) operate(edit func([]byte) []byte, at ...persistence.Position) {
	h.Helper()
	generation := uint64(h.record().Generation)
	if err := h.log.Close(); err != nil {
		h.Fatal(err)
	}
	db, err := database.Open("/log", &database.Options{FS: h.disk, FormatMajorVersion: database.FormatTableFormatV6, Logger: quiet{}})
	if err != nil {
		h.Fatal(err)
	}
	for _, p := range at {
		key := append([]byte("e"+h.document), 0, 1)
		key = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, generation), uint64(p))
		value, closer, err := db.Get(key)
		if err != nil {
			h.Fatal(err)
		}
		value = edit(bytes.Clone(value))
		if err := closer.Close(); err != nil {
			h.Fatal(err)
		}
		if value == nil {
			err = db.Delete(key, database.Sync)
		} else {
			err = db.Set(key, value, database.Sync)
		}
		if err != nil {
			h.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		h.Fatal(err)
	}
	h.log = h.open(h.T)
	h.keeper = snapshots.New(h.store, h.log, snapshots.Options{SegmentBytes: 300})
}

type quiet struct{ database.Logger }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func flip(b []byte) []byte { b[len(b)-1] ^= 1; return b }
func gone([]byte) []byte   { return nil }

// keys are the files with an extension.
func (h *hospital) keys(ext string) (keys []string) {
	h.Helper()
	for o, err := range h.store.List(h.Context(), snapshots.Folder(h.document)) {
		if err != nil {
			h.Fatal(err)
		}
		if strings.HasSuffix(o.Key, ext) {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// repair rehearses a repair, which must change nothing, and does it.
func (h *hospital) repair() snapshots.Repair {
	h.Helper()
	before := h.record()
	planned, err := h.keeper.Repair(h.Context(), h.document, snapshots.RepairOptions{})
	if err != nil {
		h.Fatal(err)
	}
	if after := h.record(); after != before || planned.Repaired {
		h.Errorf("the rehearsal made %+v of %+v", after, before)
	}
	done, err := h.keeper.Repair(h.Context(), h.document, snapshots.RepairOptions{
		Owner: "hospital", Author: "operator", Now: start.Add(time.Hour),
		Aside: func(name string, content []byte) (string, error) {
			h.aside[name] = content
			return "aside/" + name, nil
		},
	})
	if err != nil {
		h.Fatal(err)
	}
	if done.Lost != planned.Lost || len(done.Findings) != len(planned.Findings) || done.Damage != planned.Damage {
		h.Errorf("planned was\n%+v\ndone was\n%+v", planned, done)
	}
	return done
}

// healthy checks that nothing is left to repair and that the document holds
// the updates, all but some.
func (h *hospital) healthy(lost ...persistence.Position) {
	h.Helper()
	want := crdt.New(crdt.Options{NoFormatCleanup: true})
	for i, u := range h.updates {
		skip := false
		for _, p := range lost {
			skip = skip || int(p) == i+1
		}
		if skip {
			continue
		}
		if _, err := want.Apply(nil, crdt.V1, u); err != nil {
			h.Fatal(err)
		}
	}
	doc, rec, _, err := h.keeper.Load(h.Context(), h.document)
	if err != nil {
		h.Fatal(err)
	}
	if !doc.StateVector().Equal(want.StateVector()) || doc.Pending().Blocks != want.Pending().Blocks {
		h.Errorf("the repaired document has %v, pending %+v; want %v, %+v", doc.StateVector(), doc.Pending(), want.StateVector(), want.Pending())
	}
	for f, err := range h.keeper.Check(h.Context(), h.document) {
		if err != nil || f.Err != nil {
			h.Errorf("%s: %v", f.Key, errors.Join(err, f.Err))
		}
	}
	again, err := h.keeper.Repair(h.Context(), h.document, snapshots.RepairOptions{Aside: func(name string, _ []byte) (string, error) {
		h.Errorf("%s is put aside again", name)
		return "", nil
	}, Owner: "x", Now: start})
	if err != nil || again.Repaired {
		h.Errorf("a second repair: %+v, %v", again, err)
	}
	if now := h.record(); now.Epoch != rec.Epoch {
		h.Error("a second repair claims the document")
	}
	// The history goes through: a replay of it without snapshots is the state.
	past := crdt.New(crdt.Options{NoFormatCleanup: true})
	for e, err := range h.keeper.Entries(h.Context(), h.document, 0, 0, rec.Head) {
		if err != nil {
			h.Fatalf("the history: %v", err)
		}
		if _, err := past.Apply(nil, crdt.V1, e.Update); err != nil {
			h.Fatal(err)
		}
	}
	if !past.StateVector().Equal(want.StateVector()) {
		h.Error("the history holds something else than the document")
	}
}

func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(h *hospital)
		loads   bool // before the repair
		lost    []persistence.Position
		what    string
		aside   int
	}{
		"an entry that nothing else holds": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.operate(flip, 5)
		}, false, []persistence.Position{5}, "entry", 1},
		"the last entry": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.operate(flip, 8)
		}, false, []persistence.Position{8}, "entry", 1},
		"all entries": {func(h *hospital) {
			h.append(workload()[:3]...)
			h.operate(flip, 1, 2, 3)
		}, false, []persistence.Position{1, 2, 3}, "entry", 3},
		"an entry that is gone": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.operate(gone, 3, 4)
		}, false, []persistence.Position{3, 4}, "entry", 0},
		"an entry that a segment holds": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.append(workload()[8:10]...)
			h.operate(flip, 5)
		}, false, nil, "entry", 1},
		"an entry behind a snapshot": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.append(workload()[8:10]...)
			h.operate(flip, 5)
		}, true, nil, "entry", 1},
		"the newest snapshot": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.append(workload()[8:10]...)
			h.save()
			h.rewrite(h.keys(".snapshot")[1], flip)
		}, true, nil, "snapshot", 1},
		"the newest snapshot, gone": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.rewrite(h.keys(".snapshot")[0], gone)
		}, true, nil, "snapshot", 0},
		"both snapshots, with the history": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.save()
			h.append(workload()[8:10]...)
			h.save()
			h.segment()
			h.trim()
			for _, key := range h.keys(".snapshot") {
				h.rewrite(key, flip)
			}
		}, true, nil, "snapshot", 2},
		"a segment that the log can replace": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.rewrite(h.keys(".segment")[0], flip)
		}, true, nil, "segment", 1},
		"a segment that is gone": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.rewrite(h.keys(".segment")[0], gone)
		}, true, nil, "history", 0},
		"everything at once": {func(h *hospital) {
			h.append(workload()[:8]...)
			h.segment()
			h.save()
			h.append(workload()[8:12]...)
			h.save()
			h.rewrite(h.keys(".snapshot")[1], flip)
			h.rewrite(h.keys(".segment")[0], flip)
			h.operate(flip, 2, 10)
		}, false, []persistence.Position{10}, "entry", 4},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital(t)
			c.prepare(h)
			h.keeper = snapshots.New(h.store, h.log, snapshots.Options{SegmentBytes: 300})
			done := h.repair()
			if (done.Damage == "") != c.loads || !done.Repaired || done.Lost != len(c.lost) || len(h.aside) != c.aside {
				t.Errorf("%+v; %d aside", done, len(h.aside))
			}
			found := false
			for _, f := range done.Findings {
				found = found || f.What == c.what
				if f.Remedy == "" || f.Damage == "" || f.Aside != "" && h.aside[strings.TrimPrefix(f.Aside, "aside/")] == nil {
					t.Errorf("finding %+v", f)
				}
			}
			if !found {
				t.Errorf("no finding of %s: %+v", c.what, done.Findings)
			}
			if name != "everything at once" {
				h.healthy(c.lost...)
			}
		})
	}
}

// What waits for an entry that is lost counts when a client brings it back.
func TestRepairKeepsWhatWaits(t *testing.T) {
	h := newHospital(t)
	h.append(workload()[:8]...)
	h.operate(flip, 1)
	done := h.repair()
	if done.PendingBlocks == 0 || done.Findings[len(done.Findings)-1].What != "pending" {
		t.Fatalf("nothing waits: %+v", done)
	}
	doc, _, _, err := h.keeper.Load(t.Context(), h.document)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := doc.Apply(nil, crdt.V1, h.updates[0]); err != nil {
		t.Fatal(err)
	}
	if want := replica(h.updates); !doc.StateVector().Equal(want.StateVector()) || doc.Pending().Blocks != want.Pending().Blocks {
		t.Errorf("with the lost update it has %v, pending %+v", doc.StateVector(), doc.Pending())
	}
}

// A document that was reset is repaired in its generation, out of nothing of
// the one before, nor of a reset that was cut off.
func TestRepairAfterReset(t *testing.T) {
	for name, damage := range map[string]func(h *hospital){
		"an entry":     func(h *hospital) { h.operate(flip, 2) },
		"the snapshot": func(h *hospital) { keys := h.keys(".snapshot"); h.rewrite(keys[len(keys)-1], flip) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHospital(t)
			h.append(newUpdateOf(t, 7, "before"))
			h.segment()
			h.save()
			cutOff := crdt.New(crdt.Options{ClientID: 9})
			if _, err := cutOff.Transact(nil, func(tx *crdt.Txn) { cutOff.Text("t").Insert(tx, 0, "never") }); err != nil {
				t.Fatal(err)
			}
			if _, err := h.keeper.Renew(t.Context(), h.record(), cutOff, cutOff.AppendState(nil, crdt.V2), nil, persistence.NewEntry{Time: start}); err != nil {
				t.Fatal(err)
			}
			h.claim()
			rec := h.reset(start.Add(time.Minute), nil)
			res := h.log.Append(t.Context(), []persistence.Batch{{
				Document: h.document, Generation: rec.Generation, Epoch: rec.Epoch,
				Entries: []persistence.NewEntry{{Time: start.Add(time.Hour), Update: newUpdateOf(t, 8, "after")}},
			}})
			if res[0].Err != nil {
				t.Fatal(res[0].Err)
			}
			damage(h)
			h.keeper = snapshots.New(h.store, h.log, snapshots.Options{SegmentBytes: 300})
			done := h.repair()
			lost := 0
			if name == "an entry" {
				lost = 1
			}
			if !done.Repaired || done.Lost != lost || done.Generation != rec.Generation {
				t.Errorf("%+v", done)
			}
			doc, now, _, err := h.keeper.Load(t.Context(), h.document)
			if err != nil {
				t.Fatal(err)
			}
			text := doc.Text("t").String()
			if now.Generation != rec.Generation || !strings.Contains(text, "before") || strings.Contains(text, "never") || strings.Contains(text, "after") != (lost == 0) {
				t.Errorf("generation %d holds %q", now.Generation, text)
			}
		})
	}
}

// newUpdateOf is an update of a client that puts text into "t".
func newUpdateOf(t *testing.T, client crdt.ClientID, text string) []byte {
	t.Helper()
	doc := crdt.New(crdt.Options{ClientID: client})
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, text) })
	if err != nil {
		t.Fatal(err)
	}
	return commit.AppendUpdate(nil, crdt.V1)
}

// The owner that was at work before the repair cannot write any more.
func TestRepairFencesTheOwner(t *testing.T) {
	h := newHospital(t)
	h.append(workload()[:8]...)
	h.operate(flip, 5)
	h.repair()
	res := h.log.Append(t.Context(), []persistence.Batch{{
		Document: h.document, Generation: 1, Epoch: h.epoch, Entries: []persistence.NewEntry{{Time: start, Update: []byte{0, 0}}},
	}})
	if !errors.Is(res[0].Err, persistence.ErrFenced) {
		t.Errorf("an append of the old owner: %v", res[0].Err)
	}
}

func TestRepairRefuses(t *testing.T) {
	h := newHospital(t)
	for name, want := range map[string]error{"none": snapshots.ErrNoDocument, "erased": persistence.ErrErased} {
		if want == persistence.ErrErased {
			if err := h.log.Erase(t.Context(), name, start); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.keeper.Repair(t.Context(), name, snapshots.RepairOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.append(workload()[:8]...)
	h.operate(flip, 5)
	full := errors.New("no room")
	before := h.record()
	_, err := h.keeper.Repair(t.Context(), h.document, snapshots.RepairOptions{
		Owner: "x", Now: start, Aside: func(string, []byte) (string, error) { return "", full },
	})
	before.Epoch, before.Owner = before.Epoch+1, "x"
	if after := h.record(); !errors.Is(err, full) || after != before {
		t.Errorf("what cannot be put aside: %v, and %+v of %+v", err, after, before)
	}
}

// keptState is a ScrubStates in memory.
type keptState struct {
	mu    sync.Mutex
	state snapshots.ScrubState // guarded by mu
	saves int
	then  func(saves int)
}

func (k *keptState) Load() (snapshots.ScrubState, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state, nil
}

// now is what was saved last.
func (k *keptState) now() snapshots.ScrubState {
	state, _ := k.Load() // never fails
	return state
}

func (k *keptState) Save(s snapshots.ScrubState) error {
	k.mu.Lock()
	k.state = s
	k.mu.Unlock()
	k.saves++
	if k.then != nil {
		k.then(k.saves)
	}
	return nil
}

// A scrub finds damage in files and entries, and goes on where it was stopped.
func TestScrub(t *testing.T) {
	h := newHospital(t)
	h.append(workload()[:8]...)
	h.segment()
	h.save()
	for i := range 10 {
		other := newRig(t, fmt.Sprint("other", i), h.log, h.store)
		other.append(workload()[:8]...)
		other.segment()
	}
	h.rewrite(h.keys(".segment")[0], flip)
	h.operate(flip, 2, 7)
	registry := prometheus.NewRegistry()
	core, lines := observer.New(zapcore.ErrorLevel)
	states, now := &keptState{}, start
	s := &snapshots.Scrubber{
		Keeper: h.keeper, Metrics: metrics.New(registry), Logger: zap.New(core), States: states,
		// Every look at the clock is a minute later: the state is kept after every document.
		Now: func() time.Time { now = now.Add(time.Minute); return now },
	}
	ctx, cancel := context.WithCancel(t.Context())
	states.then = func(n int) {
		if n == 3 {
			cancel()
		}
	}
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if half := states.now(); half.After != "other1" || !half.Ended.IsZero() || half.Bytes == 0 || half.Damaged != 1 || half.Documents != 3 {
		t.Errorf("stopped at %+v", half)
	}
	if n := lines.FilterMessageSnippet("DAMAGED").Len(); n != 3 {
		t.Errorf("%d lines on damage: %v", n, lines.All())
	}
	state := states.now()
	if err := s.Pass(t.Context(), &state); err != nil {
		t.Fatal(err)
	}
	if full := states.now(); full.Ended.IsZero() || full.Documents != 11 || full.Damaged != 1 || full != state {
		t.Errorf("at the end: %+v", full)
	}
	if n := lines.FilterMessageSnippet("DAMAGED").Len(); n != 3 {
		t.Errorf("%d lines on damage after a pass that was stopped", n)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			found[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if found["ysync_scrub_damaged_documents"] != 1 || found["ysync_scrub_damage_total"] != 3 || found["ysync_scrub_documents_total"] != 11 ||
		found["ysync_scrub_bytes_total"] != float64(state.Bytes) {
		t.Errorf("metrics: %v", found)
	}
}

// A pass takes as long as its rate says, and the next one waits for its time.
func TestScrubIsSlow(t *testing.T) {
	first := memoryRig(t)
	for i := range 10 {
		other := newRig(t, fmt.Sprint("other", i), first.log, first.store)
		other.append(workload()[:8]...)
		other.segment()
	}
	states := &keptState{}
	s := &snapshots.Scrubber{
		Keeper: first.keeper, Metrics: metrics.New(prometheus.NewRegistry()), Logger: zap.NewNop(), Rate: 100, Every: 24 * time.Hour, States: states,
	}
	defer snapshots.DropCoders()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		began := time.Now()
		go func() { done <- s.Run(ctx) }()
		<-time.After(time.Hour)
		synctest.Wait()
		state := states.now()
		took := state.Ended.Sub(began)
		if want := time.Duration(state.Bytes) * time.Second / 100; state.Documents != 11 || took < want-2*time.Second || took > want+2*time.Second {
			t.Errorf("%+v took %v, want %v", state, took, want)
		}
		<-time.After(24 * time.Hour)
		synctest.Wait()
		if again := states.now(); !again.Began.Equal(began.Add(24*time.Hour)) || again.Documents != 11 {
			t.Errorf("the next pass: %+v", again)
		}
		cancel()
		<-done
	})
}
