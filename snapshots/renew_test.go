package snapshots_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
)

// reset begins the next generation, as the document's owner does, at a time.
func (r *rig) reset(at time.Time, from *crdt.Doc) persistence.Record {
	r.Helper()
	rec := r.record()
	rec.Epoch = r.epoch
	retired, err := r.keeper.Retired(r.Context(), rec)
	if err != nil {
		r.Fatal(err)
	}
	doc, _, _, err := r.keeper.Load(r.Context(), r.document)
	if err != nil {
		r.Fatal(err)
	}
	p, err := r.keeper.Renew(r.Context(), rec, from, doc.AppendStored(nil, crdt.V2), retired, persistence.NewEntry{Time: at, Author: "ann"})
	if err != nil {
		r.Fatal(err)
	}
	if err := r.log.Reset(r.Context(), r.document, r.epoch, rec.Head, p); err != nil {
		r.Fatal(err)
	}
	return r.claim()
}

func (r *rig) claim() persistence.Record {
	r.Helper()
	rec, err := r.log.Claim(r.Context(), r.document, "boot", r.record().Epoch)
	if err != nil {
		r.Fatal(err)
	}
	r.epoch = rec.Epoch
	return rec
}

// types appends what a client types into the document as it is.
func (r *rig) types(client crdt.ClientID, text string, at time.Time) {
	r.Helper()
	doc, rec, _, err := r.keeper.Load(r.Context(), r.document)
	if err != nil {
		r.Fatal(err)
	}
	mine := crdt.New(crdt.Options{ClientID: client})
	if _, err := mine.Apply(nil, crdt.V1, doc.AppendState(nil, crdt.V1)); err != nil {
		r.Fatal(err)
	}
	c, err := mine.Transact(nil, func(tx *crdt.Txn) { mine.Text("t").Insert(tx, mine.Text("t").Len(), text) })
	if err != nil {
		r.Fatal(err)
	}
	res := r.log.Append(r.Context(), []persistence.Batch{{
		Document: r.document, Generation: rec.Generation, Epoch: r.epoch,
		Entries: []persistence.NewEntry{{Time: at, Author: "mira", Update: c.AppendUpdate(nil, crdt.V1)}},
	}})
	if res[0].Err != nil {
		r.Fatal(res[0].Err)
	}
}

func (r *rig) wantAt(m snapshots.Moment, text string, g persistence.Generation, at persistence.Position) {
	r.Helper()
	doc, p, err := r.keeper.At(r.Context(), r.document, m, snapshots.AtOptions{})
	if err != nil {
		r.Errorf("%v: %v", m, err)
		return
	}
	if got := doc.Text("t").String(); got != text || p.Generation != g || p.Position != at || p.Short != nil {
		r.Errorf("%v: %q at %d of generation %d (%v), want %q at %d of %d", m, got, p.Position, p.Generation, p.Short, text, at, g)
	}
}

// threeGenerations is a document that was reset twice: "ab" at 0 s and 10 s,
// reset at 20 s; "abc" at 30 s, reset at 40 s to "a"; "ad" at 50 s.
func threeGenerations(t *testing.T) *rig {
	r := memoryRig(t)
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	r.types(1, "a", second(0))
	doc, _, err := r.keeper.At(t.Context(), r.document, snapshots.Now(), snapshots.AtOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.types(2, "b", second(10))
	rec := r.record()
	p, err := r.keeper.Save(t.Context(), rec, 2, second(10), "both", replica(r.entries()).AppendState(nil, crdt.V2))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.log.SetSnapshot(t.Context(), r.document, r.epoch, p); err != nil {
		t.Fatal(err)
	}
	r.segment()
	r.reset(second(20), nil)
	r.types(3, "c", second(30))
	r.segment()
	r.reset(second(40), doc)
	r.types(4, "d", second(50))
	return r
}

// entries are the updates in the log.
func (r *rig) entries() (updates [][]byte) {
	r.Helper()
	for e, err := range r.log.Read(r.Context(), r.document, r.record().Trimmed) {
		if err != nil {
			r.Fatal(err)
		}
		updates = append(updates, e.Update)
	}
	return updates
}

func (r *rig) checkGenerations() {
	r.Helper()
	second := func(n int) snapshots.Moment { return snapshots.AtTime(start.Add(time.Duration(n) * time.Second)) }
	r.wantAt(snapshots.Now(), "ad", 3, 2)
	r.wantAt(second(60), "ad", 3, 2)
	r.wantAt(second(45), "a", 3, 1)
	r.wantAt(second(40), "a", 3, 1)
	r.wantAt(second(39), "abc", 2, 2)
	r.wantAt(second(20), "ab", 2, 1)
	r.wantAt(second(19), "ab", 1, 2)
	r.wantAt(second(5), "a", 1, 1)
	r.wantAt(snapshots.AtLabel("both"), "ab", 1, 2)
	r.wantAt(snapshots.AtPosition(1), "a", 3, 1)
	r.wantAt(snapshots.AtPosition(1).In(1), "a", 1, 1)
	r.wantAt(snapshots.AtPosition(2).In(2), "abc", 2, 2)
	r.wantAt(snapshots.AtPosition(0), "", 3, 0)
}

func (r *rig) wantRetired() {
	r.Helper()
	clients, err := r.keeper.Retired(r.Context(), r.record())
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range []crdt.ClientID{1, 2, 3} {
		if !slices.Contains(clients, c) {
			r.Errorf("client %d is not among the retired %v", c, clients)
		}
	}
	if len(clients) != 4 || slices.Contains(clients, 4) {
		r.Errorf("retired are %v; want 1, 2, 3 and the server's own of generation 2", clients)
	}
}

func TestHistoryAcrossResets(t *testing.T) {
	r := threeGenerations(t)
	r.checkGenerations()
	r.wantRetired()
	doc, rec, _, err := r.keeper.Load(t.Context(), r.document)
	if err != nil || doc.Text("t").String() != "ad" || rec.Generation != 3 || rec.Head != 2 {
		t.Errorf("loaded %+v, %v", rec, err)
	}
	var authors []string
	for s, err := range r.keeper.Timeline(t.Context(), r.document, snapshots.TimelineOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		authors = append(authors, s.Author)
	}
	if !slices.Equal(authors, []string{"ann", "mira"}) {
		t.Errorf("who worked on it: %q", authors)
	}
	_, err = r.keeper.Diff(t.Context(), r.document, snapshots.AtTime(start), snapshots.Now(), snapshots.DiffOptions{})
	if !errors.Is(err, snapshots.ErrMoment) {
		t.Errorf("a diff across a reset: %v", err)
	}
	kinds := map[string]int{}
	for f, err := range r.keeper.Check(t.Context(), r.document) {
		if err != nil || f.Err != nil {
			t.Errorf("%s: %v, %v", f.Key, f.Err, err)
		}
		kinds[f.Kind]++
	}
	if kinds["retired"] != 2 {
		t.Errorf("checked: %v", kinds)
	}
	if len(r.damaged) > 0 {
		t.Errorf("damaged: %q", r.damaged)
	}
}

// TestDamagedBeginning damages the files with which a generation begins, one
// after the other.
func TestDamagedBeginning(t *testing.T) {
	for _, ext := range []string{".retired", ".snapshot", ".segment"} {
		t.Run(ext, func(t *testing.T) {
			r := threeGenerations(t)
			for o, err := range r.store.List(t.Context(), snapshots.Folder(r.document)) {
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(o.Key, ext) && strings.Contains(o.Key, "/00000000000000000003-") {
					if err := r.store.Delete(t.Context(), o.Key); err != nil {
						t.Fatal(err)
					}
				}
			}
			doc, _, _, err := r.keeper.Load(t.Context(), r.document)
			if err != nil || doc.Text("t").String() != "ad" {
				t.Errorf("loaded: %v", err)
			}
			r.wantRetired()
		})
	}
}

// TestRetiredClientsThatNobodyKnows: without them a document is not loaded as
// if nobody were retired.
func TestRetiredClientsThatNobodyKnows(t *testing.T) {
	r := threeGenerations(t)
	for o, err := range r.store.List(t.Context(), snapshots.Folder(r.document)) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(o.Key, ".retired") || !strings.Contains(o.Key, "/00000000000000000003-") {
			if err := r.store.Delete(t.Context(), o.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if clients, err := r.keeper.Retired(t.Context(), r.record()); err == nil {
		t.Errorf("retired are %v", clients)
	}
}

// TestRebuildAfterResets fills a log from the files, with a reset that was cut
// off before the log knew of it: in one case the document went on, in the other
// the reset was made again.
func TestRebuildAfterResets(t *testing.T) {
	for _, again := range []bool{false, true} {
		r := threeGenerations(t)
		r.segment()
		rec, at := r.record(), start.Add(time.Minute)
		doc := crdt.New(crdt.Options{})
		if _, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, "never") }); err != nil {
			t.Fatal(err)
		}
		state := doc.AppendState(nil, crdt.V2)
		if _, err := r.keeper.Renew(t.Context(), rec, doc, state, nil, persistence.NewEntry{Time: at}); err != nil {
			t.Fatal(err)
		}
		r.claim()
		want, generation := "ade", persistence.Generation(3)
		if again {
			r.reset(at.Add(time.Second), nil)
			generation = 4
		}
		r.types(5, "e", at.Add(2*time.Second))
		r.segment()
		r.wantAt(snapshots.Now(), want, generation, r.record().Head)
		if again {
			r.wantAt(snapshots.AtPosition(1), "ad", 4, 1)
		}
		log := memory.New()
		if p, err := snapshots.Rebuild(t.Context(), r.store, log, snapshots.RebuildOptions{}); err != nil || p.Failed > 0 {
			t.Fatalf("rebuild: %+v, %v", p, err)
		}
		head := r.record().Head
		r = newRig(t, r.document, log, r.store)
		r.wantAt(snapshots.Now(), want, generation, head)
		r.wantAt(snapshots.AtTime(start.Add(5*time.Second)), "a", 1, 1)
	}
}

// TestRetainAcrossResets thins the generations out like one; what says who is
// retired stays.
func TestRetainAcrossResets(t *testing.T) {
	r := threeGenerations(t)
	r.segment()
	policy := snapshots.Policy{Full: time.Hour, Hourly: 2 * time.Hour, Daily: 4 * time.Hour}
	if _, err := r.keeper.Retain(t.Context(), r.document, start.Add(30*time.Minute), policy); err != nil {
		t.Fatal(err)
	}
	r.checkGenerations()
	plan, err := r.keeper.Retain(t.Context(), r.document, start.Add(1000*time.Hour), policy)
	if err != nil || plan.Removed == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	r.wantAt(snapshots.Now(), "ad", 3, 2)
	r.wantAt(snapshots.AtLabel("both"), "ab", 1, 2)
	_, _, err = r.keeper.At(t.Context(), r.document, snapshots.AtTime(start.Add(30*time.Second)), snapshots.AtOptions{})
	if !errors.Is(err, snapshots.ErrThinned) {
		t.Errorf("a moment of a generation that is gone: %v", err)
	}
	r.wantRetired()
	if _, err := r.keeper.Erase(t.Context(), r.document, start); err != nil {
		t.Fatal(err)
	}
	for o := range r.store.List(t.Context(), snapshots.Folder(r.document)) {
		t.Errorf("%s is left after an erasure", o.Key)
	}
}

// TestRetiredFormat pins the file that names retired clients.
func TestRetiredFormat(t *testing.T) {
	want := []crdt.ClientID{1, 2, 300, 1<<53 - 1}
	made, err := snapshots.EncodeRetired("d", 2, 7, start, want)
	if err != nil {
		t.Fatal(err)
	}
	if *snapshots.Update {
		if err := os.WriteFile("testdata/v1.retired", made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("testdata/v1.retired")
	if err != nil {
		t.Fatal(err)
	}
	clients, err := snapshots.DecodeRetired(file, "d", 2, 7)
	if err != nil || !slices.Equal(clients, want) {
		t.Errorf("%v, %v", clients, err)
	}
	for i := range file {
		bad := slices.Clone(file)
		bad[i] ^= 0x40
		if _, err := snapshots.DecodeRetired(bad, "d", 2, 7); err == nil {
			t.Fatalf("a flipped bit in byte %d was not found", i)
		}
		if _, err := snapshots.DecodeRetired(file[:i], "d", 2, 7); err == nil {
			t.Fatalf("%d bytes of the file were taken for all", i)
		}
	}
}
