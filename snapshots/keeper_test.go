package snapshots_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

var start = time.UnixMilli(1_790_000_000_000)

// rig is a document in a log, with a keeper and its store. The owner's part,
// which is to move pointers and to trim, is played by its methods.
type rig struct {
	*testing.T
	document string
	epoch    persistence.Epoch
	log      persistence.Log
	store    snapshots.Store
	keeper   *snapshots.Keeper
	lines    *observer.ObservedLogs
	damage   sync.Mutex // guards damaged while the keeper is at work
	damaged  []string
	updates  [][]byte // everything appended
}

// noteDamage is a keeper's Damaged.
func (r *rig) noteDamage(_, key string, _ error) {
	r.damage.Lock()
	defer r.damage.Unlock()
	r.damaged = append(r.damaged, key)
}

func newRig(t *testing.T, document string, log persistence.Log, store snapshots.Store) *rig {
	t.Helper()
	core, lines := observer.New(zapcore.DebugLevel)
	r := &rig{T: t, document: document, log: log, store: store, lines: lines}
	r.keeper = snapshots.New(store, log, snapshots.Options{
		Logger:       zap.New(core),
		Damaged:      r.noteDamage,
		SegmentBytes: 300,
	})
	rec, err := log.Open(t.Context(), document)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err = log.Claim(t.Context(), document, "boot", rec.Epoch); err != nil {
		t.Fatal(err)
	}
	r.epoch = rec.Epoch
	return r
}

func memoryRig(t *testing.T) *rig {
	t.Helper()
	store, err := dir.Open(vfs.NewMem(), "/s")
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, "trips/../ü ☂", memory.New(), store)
}

func (r *rig) record() persistence.Record {
	r.Helper()
	rec, err := r.log.Open(r.Context(), r.document)
	if err != nil {
		r.Fatal(err)
	}
	return rec
}

func (r *rig) append(updates ...[]byte) {
	r.Helper()
	for _, u := range updates {
		res := r.log.Append(r.Context(), []persistence.Batch{{
			Document: r.document, Generation: 1, Epoch: r.epoch,
			Entries: []persistence.NewEntry{{Time: start.Add(time.Duration(len(r.updates)) * time.Second), Author: "mira", Update: u}},
		}})
		if res[0].Err != nil {
			r.Fatal(res[0].Err)
		}
		r.updates = append(r.updates, u)
	}
}

// save takes a snapshot of everything appended and points at it.
func (r *rig) save() persistence.Pointer {
	r.Helper()
	rec := r.record()
	p, err := r.keeper.Save(r.Context(), rec, rec.Head, start, "label", replica(r.updates).AppendState(nil, crdt.V2))
	if err != nil {
		r.Fatal(err)
	}
	if err := r.log.SetSnapshot(r.Context(), r.document, r.epoch, p); err != nil {
		r.Fatal(err)
	}
	return p
}

func (r *rig) segment() {
	r.Helper()
	rec := r.record()
	to, err := r.keeper.Segment(r.Context(), rec, rec.Head)
	if err != nil {
		r.Fatal(err)
	}
	if to != rec.Head {
		r.Fatalf("Segment covers up to %d of %d", to, rec.Head)
	}
	if err := r.log.SetSegmented(r.Context(), r.document, r.epoch, to); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) trim() {
	r.Helper()
	rec := r.record()
	if err := r.log.Trim(r.Context(), r.document, r.epoch, r.keeper.Trimmable(r.Context(), rec)); err != nil {
		r.Fatal(err)
	}
}

// rewrite replaces a stored object by what edit makes of it; nil removes it.
func (r *rig) rewrite(key string, edit func([]byte) []byte) {
	r.Helper()
	b, err := r.store.Get(r.Context(), key, 1<<30)
	if err != nil {
		r.Fatal(err)
	}
	if err := r.store.Delete(r.Context(), key); err != nil {
		r.Fatal(err)
	}
	if b = edit(b); b != nil {
		if err := r.store.Put(r.Context(), key, b); err != nil {
			r.Fatal(err)
		}
	}
}

var damages = map[string]func([]byte) []byte{
	"missing": func([]byte) []byte { return nil },
	"flipped": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
	"cut":     func(b []byte) []byte { return b[:len(b)-1] },
	"empty":   func([]byte) []byte { return []byte{} },
}

// same fails unless doc is what the updates make, pending parts included.
func (r *rig) same(doc *crdt.Doc, updates [][]byte) {
	r.Helper()
	want := replica(updates)
	if !doc.StateVector().Equal(want.StateVector()) {
		r.Error("the state vector differs")
	}
	got, del := doc.Deletes(), want.Deletes()
	if !got.Equal(&del) {
		r.Error("the delete set differs")
	}
	if !bytes.Equal(doc.AppendState(nil, crdt.V2), want.AppendState(nil, crdt.V2)) {
		r.Error("the states differ")
	}
}

// load loads and compares with all updates; it returns the tail.
func (r *rig) load() persistence.Tail {
	r.Helper()
	doc, rec, tail, err := r.keeper.Load(r.Context(), r.document)
	if err != nil {
		r.Fatal(err)
	}
	if want := r.record(); rec != want {
		r.Errorf("Load returns record %+v, want %+v", rec, want)
	}
	r.same(doc, r.updates)
	return tail
}

func (r *rig) wantErrorLine(msg, key string) {
	r.Helper()
	for _, l := range r.lines.FilterLevelExact(zapcore.ErrorLevel).FilterMessage(msg).All() {
		f := l.ContextMap()
		if f["document"] == r.document && f["key"] == key && f["error"] != "" {
			return
		}
	}
	r.Errorf("no error line %q about %s in %v", msg, key, r.lines.All())
}

const fallbackLine = "snapshot unusable, falling back to an older one"

func TestLoadOfANewDocumentIsEmpty(t *testing.T) {
	store, err := dir.Open(vfs.NewMem(), "/s")
	if err != nil {
		t.Fatal(err)
	}
	k := snapshots.New(store, memory.New(), snapshots.Options{})
	doc, rec, tail, err := k.Load(t.Context(), "never written")
	if err != nil || rec.Exists() || tail != (persistence.Tail{}) || doc.StateVector().Len() != 0 {
		t.Errorf("Load = %v, %+v, %+v, %v", doc, rec, tail, err)
	}
}

// TestLoadAtEveryPosition saves at each position in turn, also where blocks and
// deletes are pending, and loads after each following entry.
func TestLoadAtEveryPosition(t *testing.T) {
	all := workload()
	r := memoryRig(t)
	pending, since := 0, 0
	for i, u := range all {
		r.append(u)
		since++
		if tail := r.load(); tail.Entries != since {
			t.Errorf("%d entries replayed, %d came since the snapshot", tail.Entries, since)
		}
		if i%3 == 0 {
			r.save()
			since = 0
			if tail := r.load(); tail.Entries != 0 || tail.Bytes != 0 {
				t.Errorf("tail %+v right after a snapshot", tail)
			}
			if p := replica(r.updates).Pending(); !p.Empty() {
				pending++
			}
		}
	}
	if pending == 0 {
		t.Error("nothing was pending in any snapshot")
	}
	if len(r.lines.All()) != 0 {
		t.Errorf("log lines: %v", r.lines.All())
	}
	if p := replica(all).Pending(); !p.Empty() {
		t.Error("the workload leaves something pending")
	}
}

// TestPendingComesBackFromASnapshotAlone loads a state whose dependency arrives
// only after the snapshot, with nothing of it left in the log.
func TestPendingComesBackFromASnapshotAlone(t *testing.T) {
	r := memoryRig(t)
	all := workload()
	r.append(all[:6]...) // blocks and a delete wait
	r.save()
	r.append(all[6 : len(all)-2]...)
	r.save()
	r.segment()
	r.trim()
	if rec := r.record(); rec.Trimmed != 6 {
		t.Fatalf("trimmed up to %d, want 6", rec.Trimmed)
	}
	r.append(all[len(all)-2:]...)
	r.load()
	if p := replica(r.updates).Pending(); !p.Empty() {
		t.Errorf("the workload leaves %+v pending", p)
	}
}

func TestDamagedNewestSnapshotIsPassedOver(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			r := memoryRig(t)
			all := workload()
			r.append(all[:10]...)
			r.save()
			r.append(all[10:20]...)
			newest := r.save()
			r.segment()
			r.trim()
			r.append(all[20:]...)
			r.rewrite(newest.Key, damage)
			if tail := r.load(); tail.Entries != len(all)-10 {
				t.Errorf("%d entries replayed, want %d", tail.Entries, len(all)-10)
			}
			r.wantErrorLine(fallbackLine, newest.Key)
			if !slices.Equal(r.damaged, []string{newest.Key}) {
				t.Errorf("the damage hook was told %q", r.damaged)
			}
			if got, want := r.keeper.Trimmable(t.Context(), r.record()), r.record().Trimmed; got != want {
				t.Errorf("Trimmable = %d with one snapshot left, want %d", got, want)
			}
		})
	}
}

func TestAnotherFileUnderThePointerIsDamage(t *testing.T) {
	r := memoryRig(t)
	all := workload()
	r.append(all[:10]...)
	first := r.save()
	r.append(all[10:]...)
	second := r.save()
	older, err := r.store.Get(t.Context(), first.Key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	r.rewrite(second.Key, func([]byte) []byte { return older })
	if tail := r.load(); tail.Entries != len(all)-10 {
		t.Errorf("%d entries replayed, want %d", tail.Entries, len(all)-10)
	}
	r.wantErrorLine(fallbackLine, second.Key)
}

func TestBothSnapshotsDamaged(t *testing.T) {
	for name, damage := range damages {
		for _, trim := range []string{"untrimmed", "trimmed", "history damaged"} {
			t.Run(name+", "+trim, func(t *testing.T) {
				r := memoryRig(t)
				all := workload()
				r.append(all[:10]...)
				older := r.save()
				r.append(all[10:20]...)
				newer := r.save()
				r.append(all[20:]...)
				r.segment()
				if trim != "untrimmed" {
					r.trim()
					if r.record().Trimmed != older.Position {
						t.Fatalf("trimmed up to %d", r.record().Trimmed)
					}
				}
				r.rewrite(older.Key, damage)
				r.rewrite(newer.Key, damage)
				if trim != "history damaged" {
					r.load()
				} else {
					segments, err := r.keeper.Segments(t.Context(), r.document)
					if err != nil {
						t.Fatal(err)
					}
					r.rewrite(segments[0].Key, damage)
					doc, _, _, err := r.keeper.Load(t.Context(), r.document)
					if !errors.Is(err, snapshots.ErrUnrecoverable) || doc != nil {
						t.Errorf("Load = %v, %v, want ErrUnrecoverable", doc, err)
					}
				}
				r.wantErrorLine(fallbackLine, older.Key)
				r.wantErrorLine(fallbackLine, newer.Key)
			})
		}
	}
}

func TestNewerFormatIsNotPassedOver(t *testing.T) {
	r := memoryRig(t)
	r.append(workload()...)
	p := r.save()
	newer := snapshots.NewerSnapshot(t, r.document)
	r.rewrite(p.Key, func([]byte) []byte { return newer })
	if _, _, _, err := r.keeper.Load(t.Context(), r.document); !errors.Is(err, snapshots.ErrNewerFormat) {
		t.Errorf("Load = %v, want ErrNewerFormat", err)
	}
}

func TestErasedDocument(t *testing.T) {
	r := memoryRig(t)
	r.append(workload()...)
	if err := r.log.Erase(t.Context(), r.document, start); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.keeper.Load(t.Context(), r.document); !errors.Is(err, persistence.ErrErased) {
		t.Errorf("Load = %v, want ErrErased", err)
	}
}

func TestSegmentsHoldTheWholeLog(t *testing.T) {
	r := memoryRig(t)
	for i, u := range workload() {
		r.append(u)
		if i%9 == 0 {
			r.segment()
		}
	}
	r.segment()
	rec := r.record()
	var want, got []persistence.Entry
	for e, err := range r.log.Read(t.Context(), r.document, 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	for e, err := range r.keeper.History(t.Context(), r.document, rec.Generation, 0, rec.Head) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the history is %v, want %v", got, want)
	}
	infos, err := r.keeper.Segments(t.Context(), r.document)
	if err != nil {
		t.Fatal(err)
	}
	var next persistence.Position
	for _, i := range infos {
		if i.Err != nil || i.Header.Document != r.document || i.Header.From != next || i.Header.First.Before(start) {
			t.Errorf("segment %+v, want one from %d", i, next)
		}
		next = i.Header.To
	}
	if next != rec.Head {
		t.Errorf("the segments reach to %d of %d", next, rec.Head)
	}
	if len(infos) < 7 {
		t.Errorf("%d files: large ranges were not divided", len(infos))
	}
	if to, err := r.keeper.Segment(t.Context(), rec, rec.Head); err != nil || to != rec.Head {
		t.Errorf("Segment with nothing to do = %d, %v", to, err)
	}
}

// TestOverlappingSegments has segments that a dead writer did not record.
func TestOverlappingSegments(t *testing.T) {
	r := memoryRig(t)
	all := workload()
	r.append(all[:10]...)
	rec := r.record()
	if _, err := r.keeper.Segment(t.Context(), rec, 7); err != nil {
		t.Fatal(err)
	}
	r.append(all[10:]...)
	r.segment()
	infos, err := r.keeper.Segments(t.Context(), r.document)
	if err != nil {
		t.Fatal(err)
	}
	for victim := range infos { // damage one of the two that cover the start, or one with no double
		b, err := r.store.Get(t.Context(), infos[victim].Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		r.rewrite(infos[victim].Key, damages["flipped"])
		var bad error
		next := persistence.Position(1)
		for e, err := range r.keeper.History(t.Context(), r.document, 1, 0, persistence.Position(len(all))) {
			if err != nil {
				bad = err
				break
			}
			if e.Position != next || !bytes.Equal(e.Update, all[next-1]) {
				t.Fatalf("entry %d stands where %d belongs", e.Position, next)
			}
			next++
		}
		h := infos[victim].Header
		doubled := slices.ContainsFunc(infos, func(o snapshots.SegmentInfo) bool {
			return o.Key != infos[victim].Key && o.Header.From <= h.From && o.Header.To >= h.To
		})
		if doubled != (bad == nil) {
			t.Errorf("segment (%d, %d] damaged, doubled %v: history ends with %v", h.From, h.To, doubled, bad)
		}
		if bad != nil && !errors.Is(bad, snapshots.ErrCorrupt) {
			t.Errorf("history ends with %v, want ErrCorrupt", bad)
		}
		r.rewrite(infos[victim].Key, func([]byte) []byte { return b })
	}
}

func TestSnapshotsAreListed(t *testing.T) {
	r := memoryRig(t)
	all := workload()
	var keys []string
	for i := 0; i < len(all); i += 10 {
		r.append(all[i:min(i+10, len(all))]...)
		keys = append(keys, r.save().Key)
	}
	r.segment()
	r.rewrite(keys[1], func(b []byte) []byte { return b[:40] })
	infos, err := r.keeper.Snapshots(t.Context(), r.document)
	if err != nil || len(infos) != len(keys) {
		t.Fatalf("Snapshots = %d infos, %v, want %d", len(infos), err, len(keys))
	}
	for i, info := range infos {
		if info.Key != keys[i] {
			t.Errorf("%d is %s, want %s", i, info.Key, keys[i])
		}
		if i == 1 {
			if !errors.Is(info.Err, snapshots.ErrCorrupt) {
				t.Errorf("the cut file is listed with %v", info.Err)
			}
			continue
		}
		h := info.Header
		if info.Err != nil || h.Document != r.document || h.Label != "label" || !h.Time.Equal(start) || h.Position == 0 || h.RawBytes == 0 {
			t.Errorf("%d is %+v", i, info)
		}
	}
}

func TestSaveRefusesAStateThatDoesNotApply(t *testing.T) {
	r := memoryRig(t)
	r.append(workload()[0])
	if p, err := r.keeper.Save(t.Context(), r.record(), 1, start, "", []byte("nonsense")); err == nil || !p.IsZero() {
		t.Errorf("Save = %+v, %v", p, err)
	}
}

// liar is a store that loses or changes what it is given without an error.
type liar struct {
	snapshots.Store
	lie func([]byte) []byte
}

func (l liar) Put(ctx context.Context, key string, blob []byte) error {
	if blob = l.lie(bytes.Clone(blob)); blob == nil {
		return nil
	}
	return l.Store.Put(ctx, key, blob)
}

func TestAStoreThatLiesGetsNoPointer(t *testing.T) {
	for name, lie := range damages {
		t.Run(name, func(t *testing.T) {
			honest, err := dir.Open(vfs.NewMem(), "/s")
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, "d", memory.New(), liar{honest, lie})
			r.append(workload()...)
			rec := r.record()
			p, err := r.keeper.Save(t.Context(), rec, rec.Head, start, "", replica(r.updates).AppendState(nil, crdt.V2))
			if !errors.Is(err, snapshots.ErrVerify) || !p.IsZero() {
				t.Errorf("Save = %+v, %v, want ErrVerify", p, err)
			}
			if to, err := r.keeper.Segment(t.Context(), rec, rec.Head); !errors.Is(err, snapshots.ErrVerify) || to != 0 {
				t.Errorf("Segment = %d, %v, want 0, ErrVerify", to, err)
			}
		})
	}
}

func TestConcurrentSavesAndLoads(t *testing.T) {
	r := memoryRig(t)
	r.append(workload()...)
	rec := r.record()
	state := replica(r.updates).AppendState(nil, crdt.V2)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p, err := r.keeper.Save(t.Context(), rec, rec.Head, start.Add(time.Duration(i%4)*time.Second), "", state)
			if err != nil || p.IsZero() {
				t.Errorf("Save = %+v, %v", p, err)
			}
			if _, _, _, err := r.keeper.Load(t.Context(), r.document); err != nil {
				t.Errorf("Load = %v", err)
			}
			if to, err := r.keeper.Segment(t.Context(), rec, rec.Head); err != nil || to != rec.Head {
				t.Errorf("Segment = %d, %v", to, err)
			}
		})
	}
	wg.Wait()
	if infos, err := r.keeper.Snapshots(t.Context(), r.document); err != nil || len(infos) != 4 {
		t.Errorf("%d files, %v, want one for each of 4 moments", len(infos), err)
	}
}

// TestStoredDocumentKeepsLoading loads a document, with something pending, from
// a snapshot file that an earlier release wrote.
func TestStoredDocumentKeepsLoading(t *testing.T) {
	const fixture = "testdata/v1-pending.snapshot"
	updates := workload()[:20]
	if *snapshots.Update {
		file, _, err := snapshots.EncodeSnapshot(snapshots.SnapshotHeader{
			Document: "trips/../ü ☂", Generation: 1, Epoch: 1, Position: 20, Time: start,
		}, replica(updates).AppendState(nil, crdt.V2))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(fixture, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	r := memoryRig(t)
	r.append(updates...)
	p := persistence.Pointer{Position: 20, Key: "old/v1.snapshot", SHA256: sha256.Sum256(file)}
	if err := r.store.Put(t.Context(), p.Key, file); err != nil {
		t.Fatal(err)
	}
	if err := r.log.SetSnapshot(t.Context(), r.document, r.epoch, p); err != nil {
		t.Fatal(err)
	}
	if tail := r.load(); tail.Entries != 0 {
		t.Errorf("%d entries replayed", tail.Entries)
	}
	if p := replica(updates).Pending(); p.Empty() {
		t.Error("nothing is pending in the fixture")
	}
	r.append(workload()[20:]...)
	r.load()
}

// What is in the log is there when it is loaded, however it was cut into entries:
// an owner may have been brought at once what is in two entries that wait for
// each other's blocks.
func TestLoadLeavesNothingWaitingInVain(t *testing.T) {
	insert := func(d *crdt.Doc, at int, s string) []byte {
		text := d.Text("t")
		commit, err := d.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, at, s) })
		if err != nil {
			t.Fatal(err)
		}
		return commit.AppendUpdate(nil, crdt.V1)
	}
	a, b := crdt.New(crdt.Options{ClientID: 5}), crdt.New(crdt.Options{ClientID: 9})
	first := insert(a, 0, "first")
	if _, err := b.Apply(nil, crdt.V1, first); err != nil {
		t.Fatal(err)
	}
	reply := insert(b, 2, "reply")
	insert(a, 5, "lost")
	later, err := crdt.Merge(crdt.V1, reply, insert(a, 9, "later"))
	if err != nil {
		t.Fatal(err)
	}
	r := memoryRig(t)
	r.append(later, first)
	doc, _, _, err := r.keeper.Load(t.Context(), r.document)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.Text("t").String(); got != "fireplyrst" {
		t.Errorf("%q was loaded, and %+v waits", got, doc.Pending())
	}
}
