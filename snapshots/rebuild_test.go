package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/crdt"
	"ysync/internal/testyjs"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// cutOff is a log that is cut off after some documents.
type cutOff struct {
	*memory.Log
	left atomic.Int64 // of several goroutines
}

func (c *cutOff) Receive(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	if c.left.Add(-1) < 0 {
		return persistence.ErrUnknown
	}
	return c.Log.Receive(ctx, rec, read)
}

func TestRebuildFromTheStoreAlone(t *testing.T) {
	store, err := dir.Open(vfs.NewMem(), "/s")
	if err != nil {
		t.Fatal(err)
	}
	old := memory.New()
	var all []*rig
	want := make(map[string]int) // how many updates the store has of each
	for i, shape := range []string{"snapshot and segment", "segments only", "snapshot only", "old snapshot, newer segments", "all of it", "nothing stored"} {
		r := newRig(t, fmt.Sprintf("doc/%d %s ü", i, shape), old, store)
		w := workload()
		r.append(w[:12]...)
		switch i {
		case 0:
			r.save()
			r.segment()
		case 1:
			r.segment()
		case 2:
			r.save()
		case 3:
			r.save()
			r.append(w[12:30]...)
			r.segment()
		case 4:
			for n := 12; n < len(w); n += 10 {
				r.append(w[n:min(n+10, len(w))]...)
				r.save()
				r.segment()
				r.trim()
			}
		}
		if i < 5 {
			want[r.document] = len(r.updates)
		}
		// What came after the last segment is lost with the log.
		r.append((&typist{client: 77}).write("too late"))
		all = append(all, r)
	}
	// One that is damaged beyond repair must not stop the others.
	broken := newRig(t, "broken", old, store)
	broken.append(workload()...)
	broken.save()
	for o, err := range store.List(t.Context(), snapshots.Folder("broken")) {
		if err != nil {
			t.Fatal(err)
		}
		broken.rewrite(o.Key, damages["flipped"])
	}

	fresh := &cutOff{Log: memory.New()}
	var seen []snapshots.RebuildProgress
	opts := snapshots.RebuildOptions{Workers: 2, Progress: func(p snapshots.RebuildProgress) { seen = append(seen, p) }}
	first, err := snapshots.Rebuild(t.Context(), store, fresh, opts)
	if err != nil {
		t.Fatal(err)
	}
	if first.Failed < 2 {
		t.Fatalf("the cut-off log changed nothing: %+v", first)
	}
	fresh.left.Store(1000)
	seen = nil
	p, err := snapshots.Rebuild(t.Context(), store, fresh, opts)
	if err != nil {
		t.Fatal(err)
	}
	if p.Total != 6 || p.Done != 6 || p.Failed != 1 || p.Rebuilt+p.Present != 5 || len(seen) != 6 || seen[5] != p {
		t.Errorf("the outcome is %+v, told of in %d steps", p, len(seen))
	}
	for _, r := range all {
		n, stored := want[r.document]
		r.log = fresh
		r.updates = r.updates[:n]
		r.keeper = snapshots.New(store, fresh, snapshots.Options{SegmentBytes: 300})
		rec := r.record()
		if !stored {
			if rec.Exists() {
				t.Errorf("%s is there", r.document)
			}
			continue
		}
		doc, _, _, err := r.keeper.Load(t.Context(), r.document)
		if err != nil {
			t.Errorf("%s: %v", r.document, err)
			continue
		}
		r.same(doc, r.updates)
		// A server goes on with it.
		claimed, err := fresh.Claim(t.Context(), r.document, "boot 2", rec.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		r.epoch = claimed.Epoch
		late := &typist{client: 78}
		for range 3 {
			r.append(late.write("and on "))
			r.save()
			r.segment()
			r.trim()
		}
		r.load()
		for range r.keeper.History(t.Context(), r.document, 1, rec.Head, r.record().Head) {
		}
		doc, point, err := r.keeper.At(t.Context(), r.document, snapshots.AtPosition(rec.Head), snapshots.AtOptions{})
		if err != nil || point.Position != rec.Head {
			t.Errorf("%s: the moment of the loss is %+v, %v", r.document, point, err)
			continue
		}
		r.same(doc, r.updates[:n])
	}
	// A log that has gone another way is left alone.
	other := memory.New()
	r := newRig(t, all[0].document, other, store)
	r.append(workload()[0])
	if p, err := snapshots.Rebuild(t.Context(), store, other, opts); err != nil || p.Failed != 2 {
		t.Errorf("into a log that is in use: %+v, %v", p, err)
	}
	if rec := r.record(); rec.Head != 1 {
		t.Errorf("the log in use was written to: %+v", rec)
	}
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

var rebuildDocuments = flag.Int("rebuild", 300, "how many documents are rebuilt at a time")

// TestRebuildManyDocuments rebuilds into a database on a disk, and prints how
// long it took.
func TestRebuildManyDocuments(t *testing.T) {
	folder := t.TempDir()
	store, err := dir.Open(vfs.Default, folder+"/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	updates := testyjs.Session(t, "friendsforever")[:400]
	half, whole := replica(updates[:300]).AppendState(nil, crdt.V2), replica(updates)
	var tail []persistence.Entry
	for i, u := range updates[300:] {
		tail = append(tail, persistence.Entry{Position: persistence.Position(301 + i), Epoch: 1, Time: start, Author: "ada", Update: u})
	}
	put := func(key string, file []byte, err error) {
		t.Helper()
		if err == nil {
			err = store.Put(t.Context(), key, file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	name := func(i int) string { return fmt.Sprintf("many/%d", i) }
	for i := range *rebuildDocuments {
		file, h, err := snapshots.EncodeSnapshot(snapshots.SnapshotHeader{
			Document: name(i), Generation: 1, Epoch: 1, Position: 300, Time: start,
		}, half)
		put(snapshots.SnapshotKey(h, sha(file)), file, err)
		file, sh, err := snapshots.EncodeSegment(snapshots.SegmentHeader{Document: name(i), Generation: 1, Epoch: 1}, tail)
		put(snapshots.SegmentKey(sh, sha(file)), file, err)
	}
	log, err := pebble.Open(pebble.Options{Dir: folder + "/log"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	began, cpu := time.Now(), processorTime()
	p, err := snapshots.Rebuild(t.Context(), store, log, snapshots.RebuildOptions{})
	took, cpu := time.Since(began), processorTime()-cpu
	if err != nil || p.Rebuilt != *rebuildDocuments || p.Failed != 0 || p.Entries != 100**rebuildDocuments {
		t.Fatalf("%+v, %v", p, err)
	}
	t.Logf("%d documents of %d entries rebuilt in %v, %v of processor time: %v each", p.Rebuilt, len(tail), took, cpu, cpu/time.Duration(p.Rebuilt))
	k := snapshots.New(store, log, snapshots.Options{})
	for _, i := range []int{0, *rebuildDocuments - 1} {
		doc, _, tail, err := k.Load(t.Context(), name(i))
		if err != nil || !bytes.Equal(content(doc), content(whole)) || tail.Entries != 100 {
			t.Errorf("document %d: tail %+v, %v", i, tail, err)
		}
	}
}

func TestErase(t *testing.T) {
	r := memoryRig(t)
	r.append(workload()...)
	r.save()
	r.segment()
	r.append((&typist{client: 5}).write("more"))
	r.save()
	other := newRig(t, "other", r.log, r.store)
	other.append(workload()[0])
	other.save()
	// A damaged file goes as well.
	r.rewrite(r.record().Snapshot.Key, damages["empty"])
	var keys []string
	for o, err := range r.store.List(t.Context(), snapshots.Folder(r.document)) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	e, err := r.keeper.Erase(t.Context(), r.document, start)
	if err != nil {
		t.Fatal(err)
	}
	if e.Snapshots != 2 || e.Segments == 0 || e.Other != 0 || e.Entries != uint64(len(r.updates)) || e.Bytes == 0 || !slices.Equal(e.Keys, keys) {
		t.Errorf("erased was %+v", e)
	}
	if rec := r.record(); !rec.Tombstone.Equal(start) {
		t.Errorf("the record is %+v", rec)
	}
	again, err := r.keeper.Erase(t.Context(), r.document, start.Add(time.Hour))
	if err != nil || again.Snapshots+again.Segments+int(again.Entries) != 0 || !again.Tombstone.Equal(start) {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	if _, _, _, err := r.keeper.Load(t.Context(), r.document); !errors.Is(err, persistence.ErrErased) {
		t.Errorf("Load = %v", err)
	}
	other.load()
	if infos, err := r.keeper.Snapshots(t.Context(), "other"); err != nil || len(infos) != 1 {
		t.Errorf("the other document has %d snapshots: %v", len(infos), err)
	}
}

// failingStore fails a number of deletions from one on.
type failingStore struct {
	snapshots.Store
	left int
}

var errDisk = errors.New("the disk fails")

func (f *failingStore) Delete(ctx context.Context, key string) error {
	if f.left--; f.left < 0 {
		return errDisk
	}
	return f.Store.Delete(ctx, key)
}

func TestEraseGoesOnWhereItStopped(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	r := memoryRig(t)
	for _, u := range workload() {
		r.append(u)
		if rng.IntN(4) == 0 {
			r.segment()
		}
	}
	failing := &failingStore{Store: r.store, left: 3}
	k := snapshots.New(failing, r.log, snapshots.Options{})
	first, err := k.Erase(t.Context(), r.document, start)
	if !errors.Is(err, errDisk) || first.Segments != 3 {
		t.Fatalf("Erase = %+v, %v", first, err)
	}
	failing.left = 1000
	second, err := k.Erase(t.Context(), r.document, start)
	if err != nil || second.Segments == 0 {
		t.Fatalf("Erase = %+v, %v", second, err)
	}
	for o := range r.store.List(t.Context(), "") {
		t.Errorf("%s is left", o.Key)
	}
}
