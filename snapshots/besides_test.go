package snapshots_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/snapshots"
)

// besides is a hospital with a document that was reset and has all files that lie
// beside snapshots and segments.
func besides(t *testing.T) *hospital {
	t.Helper()
	h := newHospital(t)
	h.append(newUpdateOf(t, 7, "before"))
	h.segment()
	h.save()
	h.reset(start.Add(time.Minute), nil)
	for n := range 2 {
		bound := map[crdt.ClientID]string{8: "ann", 9: fmt.Sprint("bob", n)}
		key, file := snapshots.AuthorsFile(h.document, 2, persistence.Position(n), bound)
		if err := h.store.Put(t.Context(), key, file); err != nil {
			t.Fatal(err)
		}
	}
	h.refuse("too much", start)
	return h
}

func (h *hospital) refuse(text string, at time.Time) []byte {
	h.Helper()
	update := newUpdateOf(h.T, 9, text)
	if err := h.keeper.Refuse(h.Context(), h.document, at, "mallory", "the document is too large", update); err != nil {
		h.Fatal(err)
	}
	return update
}

var extensions = []string{".authors", ".retired", ".refused"}

// TestFlippedBitsBesides turns every bit of the files beside snapshots and
// segments, one at a time: each is found, in the file that has it.
func TestFlippedBitsBesides(t *testing.T) {
	h := besides(t)
	check := func() (damaged []string) {
		t.Helper()
		for f, err := range h.keeper.Check(t.Context(), h.document) {
			if err != nil {
				t.Fatal(err)
			}
			if f.Err != nil {
				damaged = append(damaged, f.Key)
				if !snapshots.Damaged(f.Err) {
					t.Errorf("%s: %v", f.Key, f.Err)
				}
			}
		}
		return damaged
	}
	if d := check(); len(d) != 0 {
		t.Fatalf("damaged before anything was done: %v", d)
	}
	for _, ext := range extensions {
		key := h.keys(ext)[0]
		good, err := h.store.Get(t.Context(), key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(good) {
			h.rewrite(key, func([]byte) []byte {
				b := bytes.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				return b
			})
			if d := check(); !slices.Equal(d, []string{key}) {
				t.Fatalf("bit %d of %s: %v are damaged", bit, key, d)
			}
		}
		h.rewrite(key, func([]byte) []byte { return good })
		t.Logf("%s: %d bits", ext, 8*len(good))
	}
}

// TestCareBesides: the scrub counts damage of these files, and a repair puts them
// aside and leaves a document that is served.
func TestCareBesides(t *testing.T) {
	h := besides(t)
	retired := func() []crdt.ClientID {
		t.Helper()
		clients, err := h.keeper.Retired(t.Context(), h.record())
		if err != nil {
			t.Fatal(err)
		}
		return clients
	}
	want := retired()
	for _, ext := range extensions {
		h.rewrite(h.keys(ext)[0], flip)
	}
	registry := prometheus.NewRegistry()
	s := &snapshots.Scrubber{Keeper: h.keeper, Metrics: metrics.New(registry), Logger: zap.NewNop()}
	if err := s.Pass(t.Context(), &snapshots.ScrubState{}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "ysync_scrub_damage_total" {
			for _, m := range f.GetMetric() {
				counted["."+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	for _, ext := range extensions {
		if counted[ext] != 1 {
			t.Errorf("the scrub counted %v", counted)
		}
	}
	done := h.repair()
	if !done.Repaired || len(done.Findings) != 3 || len(h.aside) != 3 || done.Lost != 0 {
		t.Errorf("%+v, aside %d", done, len(h.aside))
	}
	if got := retired(); !slices.Equal(got, want) {
		t.Errorf("%v are retired after the repair, %v were", got, want)
	}
	for _, ext := range extensions {
		if n := len(h.keys(ext)); ext == ".refused" && n != 0 || ext != ".refused" && n != 1 {
			t.Errorf("%d files %s are left", n, ext)
		}
	}
	again, err := h.keeper.Repair(t.Context(), h.document, snapshots.RepairOptions{})
	if err != nil || len(again.Findings) != 0 {
		t.Errorf("after it: %+v, %v", again, err)
	}
}

// TestRefusedUpdates: they are kept once, listed, fetched and dropped, bounded
// with the oldest out first, and go when the document is erased.
func TestRefusedUpdates(t *testing.T) {
	h := newHospital(t)
	list := func(document string) (all []snapshots.Refused) {
		t.Helper()
		for r, err := range h.keeper.Refused(t.Context(), document) {
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			all = append(all, r)
		}
		return all
	}
	first := h.refuse("first", start)
	h.refuse("first", start.Add(time.Hour)) // brought again
	all := list("")
	if len(all) != 1 {
		t.Fatalf("kept are %+v", all)
	}
	r := all[0]
	if r.Document != h.document || !r.Time.Equal(start) || r.Author != "mallory" || r.Reason != "the document is too large" || r.Bytes != int64(len(first)) {
		t.Errorf("%+v", r)
	}
	if got, err := h.keeper.RefusedUpdate(t.Context(), h.document, r.ID); err != nil || !bytes.Equal(got, first) {
		t.Errorf("% x, %v", got, err)
	}
	for i := range snapshots.MaxRefused {
		h.refuse(fmt.Sprint("more ", i), start.Add(time.Duration(i+1)*time.Minute))
	}
	if all = list(h.document); len(all) != snapshots.MaxRefused {
		t.Errorf("%d are kept", len(all))
	}
	if _, err := h.keeper.RefusedUpdate(t.Context(), h.document, r.ID); !errors.Is(err, snapshots.ErrNotFound) {
		t.Errorf("the oldest is still there: %v", err)
	}
	for _, id := range []string{"", "../x", strings.Repeat("0", 32), strings.Repeat("G", 32)} {
		if err := h.keeper.DropRefused(t.Context(), h.document, id); !errors.Is(err, snapshots.ErrNotFound) {
			t.Errorf("%q dropped: %v", id, err)
		}
	}
	if err := h.keeper.DropRefused(t.Context(), h.document, all[0].ID); err != nil {
		t.Error(err)
	}
	if n := len(list(h.document)); n != snapshots.MaxRefused-1 {
		t.Errorf("%d are kept after one was dropped", n)
	}
	h.append(newUpdateOf(t, 7, "x"))
	if _, err := h.keeper.Erase(t.Context(), h.document, start); err != nil {
		t.Fatal(err)
	}
	if n := len(list("")); n != 0 {
		t.Errorf("%d are left of an erased document", n)
	}
}

// The bytes of refused updates of a document are bounded; the newest is kept
// whatever its size.
func TestRefusedBytesAreBounded(t *testing.T) {
	h := newHospital(t)
	h.keeper = snapshots.New(h.store, h.log, snapshots.Options{RefusedBytes: 2 << 10})
	for i := range 5 {
		noise := make([]byte, 1<<10)
		rand.NewChaCha8([32]byte{byte(i)}).Read(noise)
		h.refuse(hex.EncodeToString(noise), start.Add(time.Duration(i)*time.Minute))
	}
	var kept []time.Duration
	for r, err := range h.keeper.Refused(t.Context(), h.document) {
		if err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
		kept = append(kept, r.Time.Sub(start))
	}
	if !slices.Equal(kept, []time.Duration{4 * time.Minute}) {
		t.Errorf("kept are those of %v", kept)
	}
}

// TestFormatsBesides pins the files of authors and of refused updates.
func TestFormatsBesides(t *testing.T) {
	h := newHospital(t)
	key, authors := snapshots.AuthorsFile("d", 2, 7, map[crdt.ClientID]string{1: "ann", 300: "bob", 1<<53 - 1: ""})
	update := []byte{1, 1, 7, 0, 4, 1, 1, 't', 2, 'h', 'e', 0}
	if err := h.keeper.Refuse(t.Context(), "d", start, "mallory", "too large", update); err != nil {
		t.Fatal(err)
	}
	refusedKey := h.keys(".refused")[0]
	refused, err := h.store.Get(t.Context(), refusedKey, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string][]byte{"testdata/v1.authors": authors, "testdata/v1.refused": refused} {
		if *snapshots.Update {
			if err := os.WriteFile(name, made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	pinned, err := os.ReadFile("testdata/v1.refused")
	if err != nil {
		t.Fatal(err)
	}
	h.rewrite(refusedKey, func([]byte) []byte { return pinned })
	if got, err := h.keeper.RefusedUpdate(t.Context(), "d", snapshots.RefusedID(update)); err != nil || !bytes.Equal(got, update) {
		t.Errorf("the refused update: % x, %v", got, err)
	}
	if pinned, err = os.ReadFile("testdata/v1.authors"); err != nil {
		t.Fatal(err)
	}
	if err := h.store.Put(t.Context(), key, pinned); err != nil {
		t.Fatal(err)
	}
	for f, err := range h.keeper.Check(t.Context(), "d") {
		if err != nil || f.Err != nil {
			t.Errorf("%s: %v", f.Key, errors.Join(err, f.Err))
		}
	}
}
