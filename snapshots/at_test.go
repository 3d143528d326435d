package snapshots_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/crdt"
	"ysync/internal/testyjs"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// recorded is a document with a past that is known: what it held after each of
// some entries, and when each entry came.
type recorded struct {
	*rig
	live  *crdt.Doc
	times []time.Time // of entry i+1
	// authors of the entries, by turns.
	authors []string
	// content at the positions that are asked for later.
	content map[persistence.Position][]byte
}

func record(t *testing.T, store snapshots.Store) *recorded {
	t.Helper()
	if store == nil {
		s, err := dir.Open(vfs.NewMem(), "/s")
		if err != nil {
			t.Fatal(err)
		}
		store = s
	}
	r := &recorded{
		rig: newRig(t, "d", memory.New(), store), live: replica(nil), authors: []string{"mira"},
		content: map[persistence.Position][]byte{0: content(replica(nil))},
	}
	r.keeper = r.keeperOf(r.log)
	return r
}

// keeperOf is a keeper with segments of a usual size.
func (r *recorded) keeperOf(log persistence.Log) *snapshots.Keeper {
	return snapshots.New(r.store, log, snapshots.Options{
		Damaged: r.noteDamage, SegmentBytes: 64 << 10,
	})
}

// content is all that a document shows and knows.
func content(d *crdt.Doc) []byte { return d.AppendJSON(nil, nil) }

func (r *recorded) head() persistence.Position { return persistence.Position(len(r.times)) }

// add appends updates, at the times that next gives, and notes the content
// after the last.
func (r *recorded) add(next func() time.Time, updates ...[]byte) {
	r.Helper()
	var entries []persistence.NewEntry
	for _, u := range updates {
		at := next()
		r.times = append(r.times, time.UnixMilli(at.UnixMilli()).UTC())
		entries = append(entries, persistence.NewEntry{Time: at, Author: r.authors[len(r.times)%len(r.authors)], Update: u})
		if _, err := r.live.Apply(nil, crdt.V1, u); err != nil {
			r.Fatal(err)
		}
	}
	if len(entries) == 0 {
		return
	}
	res := r.log.Append(r.Context(), []persistence.Batch{{Document: r.document, Generation: 1, Epoch: r.epoch, Entries: entries}})
	if res[0].Err != nil {
		r.Fatal(res[0].Err)
	}
	r.content[r.head()] = content(r.live)
}

// store stores a snapshot of the present state and moves the pointer.
func (r *recorded) snapshot(label string) persistence.Pointer {
	r.Helper()
	rec := r.record()
	p, err := r.keeper.Save(r.Context(), rec, rec.Head, rec.Updated, label, r.live.AppendState(nil, crdt.V2))
	if err != nil {
		r.Fatal(err)
	}
	if rec.Snapshot.Position < p.Position {
		if err := r.log.SetSnapshot(r.Context(), r.document, r.epoch, p); err != nil {
			r.Fatal(err)
		}
	}
	return p
}

// at fails unless the moment gives the content of a position.
func (r *recorded) at(m snapshots.Moment, want persistence.Position) snapshots.Point {
	r.Helper()
	doc, p, err := r.keeper.At(r.Context(), r.document, m, snapshots.AtOptions{})
	switch {
	case err != nil:
		r.Fatalf("At(%v) = %v", m, err)
	case p.Short != nil:
		r.Fatalf("At(%v) falls short at %d: %v", m, p.Position, p.Short)
	case p.Position != want:
		r.Fatalf("At(%v) is position %d, want %d", m, p.Position, want)
	case want > 0 && !p.Time.Equal(r.times[want-1]):
		r.Fatalf("At(%v) has the time %v, want %v", m, p.Time, r.times[want-1])
	case !bytes.Equal(content(doc), r.content[want]):
		r.Fatalf("At(%v) has other content than position %d had", m, want)
	}
	return p
}

// lastAt is the position of the newest entry that is not after at.
func (r *recorded) lastAt(at time.Time) persistence.Position {
	n, _ := slices.BinarySearchFunc(r.times, at, func(e, at time.Time) int {
		if e.After(at) {
			return 1
		}
		return -1
	})
	return persistence.Position(n)
}

// life appends a session in pieces, with pauses, snapshots, segments and trims
// at random in between, and notes the content after each piece.
func (r *recorded) life(rng *rand.Rand, updates [][]byte, pieces int) {
	r.Helper()
	at := start
	next := func() time.Time {
		at = at.Add(time.Duration(rng.IntN(400)) * time.Millisecond)
		return at
	}
	for i := range pieces {
		from, to := len(updates)*i/pieces, len(updates)*(i+1)/pieces
		r.add(next, updates[from:to]...)
		switch rng.IntN(6) {
		case 0:
			r.snapshot("")
		case 1:
			r.segment()
		case 2:
			r.snapshot("")
			r.segment()
			r.trim()
		}
		at = at.Add(time.Duration(1+rng.IntN(3_600_000)) * time.Millisecond)
	}
}

// positions are those whose content is noted, in order.
func (r *recorded) positions() []persistence.Position {
	return slices.Sorted(maps.Keys(r.content))
}

// moments asks for n of the noted positions, each by position and by times at
// which it was the newest.
func (r *recorded) moments(rng *rand.Rand, n int) {
	r.Helper()
	noted := r.positions()
	rng.Shuffle(len(noted), func(i, j int) { noted[i], noted[j] = noted[j], noted[i] })
	for _, p := range noted[:min(n, len(noted))] {
		r.at(snapshots.AtPosition(p), p)
		if p == 0 {
			r.at(snapshots.AtTime(r.times[0].Add(-time.Millisecond)), 0)
			continue
		}
		at := r.times[p-1]
		if r.lastAt(at) == p {
			r.at(snapshots.AtTime(at), p)
		}
		if p < r.head() && r.times[p].Sub(at) > time.Millisecond {
			r.at(snapshots.AtTime(at.Add(r.times[p].Sub(at)/2)), p)
		}
	}
	r.at(snapshots.Now(), r.head())
}

func TestAnyMomentOfASession(t *testing.T) {
	for _, name := range []string{"friendsforever", "sveltecomponent"} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, uint64(len(name))))
			r := record(t, nil)
			r.life(rng, testyjs.Session(t, name), 50)
			r.moments(rng, 50)
			r.segment()
			// The same with the database gone: the files alone.
			r.keeper = r.keeperOf(nil)
			doc, p, err := r.keeper.At(t.Context(), "d", snapshots.Now(), snapshots.AtOptions{})
			if err != nil || !errors.Is(p.Short, snapshots.ErrNoLog) || p.Position != r.head() {
				t.Fatalf("without a log, now is %+v, %v", p, err)
			}
			if !bytes.Equal(content(doc), r.content[r.head()]) {
				t.Error("without a log, now has other content")
			}
			for p := range r.content {
				r.at(snapshots.AtPosition(p), p)
			}
		})
	}
}

func TestMomentsThatAreNone(t *testing.T) {
	r := record(t, nil)
	if _, _, err := r.keeper.At(t.Context(), "never", snapshots.Now(), snapshots.AtOptions{}); !errors.Is(err, snapshots.ErrNoDocument) {
		t.Errorf("a document that was never written: %v", err)
	}
	r.add(func() time.Time { return start }, workload()...)
	r.snapshot("mine")
	for _, m := range []snapshots.Moment{snapshots.AtPosition(r.head() + 1), snapshots.AtLabel("other")} {
		if _, _, err := r.keeper.At(t.Context(), "d", m, snapshots.AtOptions{}); !errors.Is(err, snapshots.ErrMoment) {
			t.Errorf("%v: %v", m, err)
		}
	}
	if _, _, err := r.keeper.At(t.Context(), "d", snapshots.Now().In(2), snapshots.AtOptions{}); !errors.Is(err, snapshots.ErrNoDocument) {
		t.Errorf("a generation that never was: %v", err)
	}
	if p := r.at(snapshots.AtLabel("mine"), r.head()); p.Base != r.head() || p.Replayed != 0 {
		t.Errorf("the label gives %+v", p)
	}
	if err := r.log.Erase(t.Context(), "d", start); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.keeper.At(t.Context(), "d", snapshots.Now(), snapshots.AtOptions{}); !errors.Is(err, persistence.ErrErased) {
		t.Errorf("an erased document: %v", err)
	}
}

// TestMomentsUnderDamage damages files at random: a moment is either given
// exactly, or refused with the damage as the reason; never something else.
func TestMomentsUnderDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 3))
	kinds := []string{"missing", "flipped", "cut", "empty"}
	given, refused := 0, 0
	for range 12 {
		r := record(t, nil)
		r.life(rng, testyjs.Session(t, "seph-blog1")[:8000], 40)
		r.snapshot("")
		r.segment()
		r.trim()
		var keys []string
		for o, err := range r.store.List(t.Context(), snapshots.Folder("d")) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, o.Key)
		}
		for range 1 + rng.IntN(4) {
			i := rng.IntN(len(keys))
			r.rewrite(keys[i], damages[kinds[rng.IntN(len(kinds))]])
			keys = slices.Delete(keys, i, i+1)
		}
		for p, want := range r.content {
			doc, got, err := r.keeper.At(t.Context(), "d", snapshots.AtPosition(p), snapshots.AtOptions{})
			switch {
			case err == nil && (got.Position != p || got.Short != nil || !bytes.Equal(content(doc), want)):
				t.Fatalf("position %d gives %+v", p, got)
			case err == nil:
				given++
				continue
			case !errors.Is(err, snapshots.ErrCorrupt) && !errors.Is(err, snapshots.ErrThinned):
				t.Fatalf("position %d: %v", p, err)
			}
			refused++
			doc, got, err = r.keeper.At(t.Context(), "d", snapshots.AtTime(r.times[p-1]), snapshots.AtOptions{Salvage: true})
			if err != nil || got.Short == nil || got.Position >= p {
				t.Fatalf("what can be saved of position %d: %+v, %v", p, got, err)
			}
			if want, noted := r.content[got.Position]; noted && !bytes.Equal(content(doc), want) {
				t.Fatalf("what was saved at position %d is not what was there", got.Position)
			}
		}
	}
	if given == 0 || refused == 0 {
		t.Errorf("%d moments were given, %d refused: the test shows too little", given, refused)
	}
	t.Logf("%d moments given, %d refused", given, refused)
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]snapshots.Moment{
		"":                          snapshots.Now(),
		"now":                       snapshots.Now(),
		"#12":                       snapshots.AtPosition(12),
		"label:before import":       snapshots.AtLabel("before import"),
		"2h ago":                    snapshots.AtTime(now.Add(-2 * time.Hour)),
		"1w 2 days 3m ago":          snapshots.AtTime(now.Add(-(9*24*time.Hour + 3*time.Minute))),
		"1h30m ago":                 snapshots.AtTime(now.Add(-90 * time.Minute)),
		"2026-11-17T14:05:00Z":      snapshots.AtTime(time.Date(2026, 11, 17, 14, 5, 0, 0, time.UTC)),
		"2026-11-17T14:05:00+01:00": snapshots.AtTime(time.Date(2026, 11, 17, 13, 5, 0, 0, time.UTC)),
		"2026-11-17 14:05":          snapshots.AtTime(time.Date(2026, 11, 17, 13, 5, 0, 0, time.UTC)),
		"2026-11-17":                snapshots.AtTime(time.Date(2026, 11, 16, 23, 0, 0, 0, time.UTC)),
	} {
		got, err := snapshots.ParseMoment(text, now)
		if err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
		if back, err := snapshots.ParseMoment(got.String(), now); err != nil || back != got {
			t.Errorf("%q reads back as %v, %v", got, back, err)
		}
	}
	for _, text := range []string{"#", "#-1", "yesterday", "ago", "2 ago", "h ago", "5y ago", "99999999999w ago", "4294967295w 1w ago", "2026-13-01", "label:", "-2h ago"} {
		if got, err := snapshots.ParseMoment(text, now); !errors.Is(err, snapshots.ErrMoment) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func sha(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }
