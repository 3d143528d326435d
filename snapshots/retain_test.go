package snapshots_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ysync/crdt"
	"ysync/internal/testyjs"
	"ysync/persistence"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

const day = 24 * time.Hour

// years writes a document for a long time: in pieces, with pauses of up to a
// few days, stored at random, with retention between.
type years struct {
	*recorded
	rng    *rand.Rand
	now    time.Time
	policy snapshots.Policy
	rest   [][]byte
	labels map[string]persistence.Position
}

func newYears(t *testing.T, store snapshots.Store, seed uint64, updates [][]byte) *years {
	y := &years{
		recorded: record(t, store), rng: rand.New(rand.NewPCG(seed, 9)), now: start,
		policy: snapshots.Policy{Full: 2 * day, Hourly: 5 * day, Daily: 20 * day},
		rest:   updates, labels: make(map[string]persistence.Position),
	}
	y.content[0] = content(replica(nil))
	return y
}

// step lets some time pass in which something happens.
func (y *years) step() {
	y.Helper()
	switch y.rng.IntN(10) {
	case 0, 1, 2, 3, 4:
		n := min(1+y.rng.IntN(20), len(y.rest))
		for _, u := range y.rest[:n] { // each alone, so that the content of each is noted
			y.add(func() time.Time { return y.now }, u)
			y.now = y.now.Add(time.Duration(y.rng.IntN(1_200_000)) * time.Millisecond)
		}
		y.rest = y.rest[n:]
	case 5:
		if y.head() > 0 {
			y.snapshot("")
		}
	case 6:
		if y.head() > 0 {
			label := fmt.Sprintf("label %d", len(y.labels))
			y.snapshot(label)
			y.labels[label] = y.head()
		}
	case 7:
		if y.head() > 0 {
			y.snapshot("")
			y.segment()
			y.trim()
		}
	case 8:
		if y.head() > 0 {
			y.segment()
		}
	case 9:
		y.now = y.now.Add(time.Duration(y.rng.Int64N(int64(3 * day))))
	}
}

// reachable checks every moment that the policy keeps at a time at which
// retention ran, and every label.
func (y *years) reachable(k *snapshots.Keeper, ran time.Time) error {
	check := func(m snapshots.Moment, want persistence.Position, exact bool) error {
		doc, p, err := k.At(y.Context(), y.document, m, snapshots.AtOptions{})
		switch {
		case err != nil:
			return fmt.Errorf("At(%v): %w", m, err)
		case p.Position != want:
			return fmt.Errorf("At(%v) is position %d, want %d (%v)", m, p.Position, want, p.Short)
		case exact && p.Short != nil:
			return fmt.Errorf("At(%v) falls short: %w", m, p.Short)
		case p.Short != nil && !errors.Is(p.Short, snapshots.ErrThinned):
			return fmt.Errorf("At(%v) falls short by %w", m, p.Short)
		case !bytes.Equal(content(doc), y.content[want]):
			return fmt.Errorf("At(%v) has other content", m)
		}
		return nil
	}
	moments := y.policy.Moments(ran)
	for _, at := range moments {
		if err := check(snapshots.AtTime(at), y.lastAt(at), false); err != nil {
			return err
		}
	}
	cut := moments[len(moments)-1]
	for p := y.lastAt(cut); p <= y.head(); p += 1 + persistence.Position(y.rng.IntN(12)) {
		if err := check(snapshots.AtPosition(p), p, true); err != nil {
			return err
		}
		if p > 0 && p == y.lastAt(y.times[p-1]) && y.times[p-1].After(cut) {
			if err := check(snapshots.AtTime(y.times[p-1]), p, true); err != nil {
				return err
			}
		}
	}
	for label, p := range y.labels {
		if err := check(snapshots.AtLabel(label), p, true); err != nil {
			return err
		}
	}
	return nil
}

var lives = flag.Int("lives", 12, "how many documents live through random years")

// TestRetentionKeepsEveryKeptMoment lets documents live through random years.
func TestRetentionKeepsEveryKeptMoment(t *testing.T) {
	updates := testyjs.Session(t, "sveltecomponent")
	removed, written := 0, 0
	for seed := range uint64(*lives) {
		rng := rand.New(rand.NewPCG(seed, 2))
		y := newYears(t, nil, seed, updates[:20+rng.IntN(230)])
		for step := range 10 + rng.IntN(40) {
			y.step()
			if y.head() == 0 || y.rng.IntN(5) > 0 {
				continue
			}
			dry, err := y.keeper.PlanRetention(t.Context(), "d", y.now, y.policy)
			if err != nil {
				t.Fatalf("seed %d, step %d: plan: %v", seed, step, err)
			}
			plan, err := y.keeper.Retain(t.Context(), "d", y.now, y.policy)
			if err != nil {
				t.Fatalf("seed %d, step %d: retain: %v", seed, step, err)
			}
			if len(dry.Write) != len(plan.Write) || !slices.Equal(dry.Remove, plan.Remove) {
				t.Fatalf("seed %d, step %d: planned was %+v, done %+v", seed, step, dry, plan)
			}
			removed, written = removed+plan.Removed, written+len(plan.Write)
			if err := y.reachable(y.keeper, y.now); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if again, err := y.keeper.Retain(t.Context(), "d", y.now, y.policy); err != nil || len(again.Write) > 0 {
				t.Fatalf("seed %d, step %d: a second run at the same time: %+v, %v", seed, step, again, err)
			}
			doc, _, _, err := y.keeper.Load(t.Context(), "d")
			if err != nil || !bytes.Equal(content(doc), y.content[y.head()]) {
				t.Fatalf("seed %d, step %d: the document does not load any more: %v", seed, step, err)
			}
		}
	}
	if removed == 0 || written == 0 {
		t.Errorf("%d files were removed, %d written: the test shows too little", removed, written)
	}
	t.Logf("%d files removed, %d written", removed, written)
}

// TestCrashInRetention stops retention before every change of a file, in a copy
// of the disk that has lost what was not synced. All that had to be kept at any
// run before is still there, and the next run ends well.
func TestCrashInRetention(t *testing.T) {
	updates := testyjs.Session(t, "friendsforever")
	audits := 0
	for seed := range uint64(3) {
		mem := vfs.NewCrashableMem()
		var crash func()
		tapped := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && crash != nil {
				crash()
			}
			return nil
		}))
		store, err := dir.Open(tapped, "/s")
		if err != nil {
			t.Fatal(err)
		}
		y := newYears(t, store, seed, updates[:200])
		rng := rand.New(rand.NewPCG(seed, 1))
		audit := func() {
			left, err := dir.Open(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(2) * 50, RNG: rng}), "/s")
			if err != nil {
				t.Fatal(err)
			}
			k := snapshots.New(left, y.log, snapshots.Options{SegmentBytes: 64 << 10})
			if err := y.reachable(k, y.now); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if _, err := k.Retain(t.Context(), "d", y.now, y.policy); err != nil {
				t.Fatalf("seed %d: the next run: %v", seed, err)
			}
			if err := y.reachable(k, y.now); err != nil {
				t.Fatalf("seed %d: after the next run: %v", seed, err)
			}
			audits++
		}
		for range 40 {
			y.step()
			if y.head() == 0 || y.rng.IntN(3) > 0 {
				continue
			}
			crash = func() {
				if rng.IntN(8) == 0 {
					audit()
				}
			}
			if _, err := y.keeper.Retain(t.Context(), "d", y.now, y.policy); err != nil {
				t.Fatal(err)
			}
			crash = nil
		}
	}
	if audits < 20 {
		t.Errorf("only %d crashes", audits)
	}
	t.Logf("%d crashes", audits)
}

func TestRetentionLeavesWhatIsInDoubt(t *testing.T) {
	build := func(t *testing.T) *years {
		y := newYears(t, nil, 4, nil)
		for i, u := range testyjs.Session(t, "sveltecomponent")[:200] {
			y.add(func() time.Time { return y.now }, u)
			y.now = y.now.Add(20 * time.Minute)
			if i%20 == 19 {
				y.snapshot("")
				y.segment()
				y.trim()
			}
		}
		y.now = y.now.Add(7 * day)
		return y
	}
	t.Run("no log", func(t *testing.T) {
		y := build(t)
		if _, err := y.keeperOf(nil).Retain(t.Context(), "d", y.now, y.policy); !errors.Is(err, snapshots.ErrNoLog) {
			t.Errorf("Retain without a log = %v", err)
		}
	})
	t.Run("everything for ever", func(t *testing.T) {
		y := build(t)
		if p, err := y.keeper.Retain(t.Context(), "d", y.now, snapshots.Policy{}); err != nil || !p.Empty() || p.Kept == 0 {
			t.Errorf("Retain with no bound = %+v, %v", p, err)
		}
	})
	for name, damage := range damages {
		if name == "missing" {
			continue // as if retention had removed it
		}
		t.Run("segment "+name, func(t *testing.T) {
			y := build(t)
			segments, err := y.keeper.Segments(t.Context(), "d")
			if err != nil {
				t.Fatal(err)
			}
			// The first one that a point would have to be rebuilt from, and every
			// snapshot after it that would make up for it.
			y.rewrite(segments[1].Key, damage)
			infos, err := y.keeper.Snapshots(t.Context(), "d")
			if err != nil {
				t.Fatal(err)
			}
			before := len(infos)
			_, err = y.keeper.Retain(t.Context(), "d", y.now, y.policy)
			if !errors.Is(err, snapshots.ErrCorrupt) {
				t.Fatalf("Retain = %v", err)
			}
			if infos, err = y.keeper.Snapshots(t.Context(), "d"); err != nil || len(infos) < before {
				t.Errorf("%d of %d snapshots are left: %v", len(infos), before, err)
			}
			if left, err := y.keeper.Segments(t.Context(), "d"); err != nil || len(left) != len(segments) {
				t.Errorf("%d of %d segments are left: %v", len(left), len(segments), err)
			}
		})
		t.Run("point "+name, func(t *testing.T) {
			y := build(t)
			infos, err := y.keeper.Snapshots(t.Context(), "d")
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range infos[:3] {
				y.rewrite(i.Key, damage)
			}
			if _, err := y.keeper.Retain(t.Context(), "d", y.now, y.policy); err != nil {
				t.Fatal(err)
			}
			if err := y.reachable(y.keeper, y.now); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMomentsOfAPolicy(t *testing.T) {
	now := time.Date(2026, 11, 22, 13, 40, 0, 0, time.UTC)
	got := snapshots.Policy{Full: 2 * time.Hour, Hourly: 14 * time.Hour, Daily: 2 * day}.Moments(now)
	var text []string
	for _, m := range got {
		text = append(text, m.Format("02T15"))
	}
	want := []string{"21T00", "22T00", "22T01", "22T02", "22T03", "22T04", "22T05", "22T06", "22T07", "22T08", "22T09", "22T10", "22T11"}
	if !slices.Equal(text, want) {
		t.Errorf("the moments are %v, want %v", text, want)
	}
	if got := (snapshots.Policy{Full: day}).Moments(now); len(got) != 1 {
		t.Errorf("with a full window only: %v", got)
	}
}

// TestAuthorsOutliveTheirEntries: who wrote what is there is the same before
// and after the entries went, and with the newest authors file damaged it is
// told from where on authors are known.
func TestAuthorsOutliveTheirEntries(t *testing.T) {
	y := newYears(t, nil, 6, nil)
	updates := testyjs.Session(t, "friendsforever")[:300]
	for i, u := range updates {
		// Something carried: two clients in one update.
		if i == 40 {
			guest := crdt.New(crdt.Options{ClientID: 4})
			other := crdt.New(crdt.Options{ClientID: 5})
			for _, d := range []*crdt.Doc{guest, other} {
				if _, err := d.Transact(nil, func(tx *crdt.Txn) { d.Text("more").Insert(tx, 0, "carried") }); err != nil {
					t.Fatal(err)
				}
			}
			both, err := crdt.Merge(crdt.V1, guest.AppendState(nil, crdt.V1), other.AppendState(nil, crdt.V1))
			if err != nil {
				t.Fatal(err)
			}
			y.add(func() time.Time { return y.now }, both)
		}
		c, err := crdt.ContentsOf(crdt.V1, u)
		if err != nil {
			t.Fatal(err)
		}
		for client := range c.Blocks.All() {
			y.authors = []string{fmt.Sprintf("user of %d", client)}
		}
		y.add(func() time.Time { return y.now }, u)
		y.now = y.now.Add(10 * time.Minute)
		if i%25 == 24 {
			y.snapshot("")
			y.segment()
			y.trim()
		}
	}
	written := func() (string, persistence.Position) {
		t.Helper()
		d, err := y.keeper.Diff(t.Context(), "d", snapshots.AtPosition(0), snapshots.Now(), snapshots.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return diffJSON(t, d), d.AuthorsSince
	}
	want, _ := written()
	var files []string
	for range 3 {
		y.now = y.now.Add(30 * time.Hour)
		if _, err := y.keeper.Retain(t.Context(), "d", y.now, y.policy); err != nil {
			t.Fatal(err)
		}
		if got, since := written(); got != want || since != 0 {
			t.Fatalf("the authors changed, known since %d", since)
		}
		y.add(func() time.Time { return y.now }, updates[0]) // known already: nothing changes
		y.snapshot("")
		y.segment()
	}
	for o := range y.store.List(t.Context(), snapshots.Folder("d")) {
		if strings.HasSuffix(o.Key, ".authors") {
			files = append(files, o.Key)
		}
	}
	segments, err := y.keeper.Segments(t.Context(), "d")
	if err != nil || len(files) == 0 || len(segments) == 0 || segments[0].Header.From == 0 {
		t.Fatalf("%d authors files, %d segments: the test shows nothing; %v", len(files), len(segments), err)
	}
	for _, f := range files {
		y.rewrite(f, damages["flipped"])
	}
	y.damaged = nil
	begin := min(segments[0].Header.From, y.record().Trimmed)
	if got, since := written(); got == want || since != begin || len(y.damaged) != len(files) {
		t.Errorf("with the files damaged authors are known since %d, want %d; damage reported of %q", since, begin, y.damaged)
	}
}
