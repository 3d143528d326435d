package snapshots_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/testyjs"
	"ysync/snapshots"
)

// editor is a replica of one author, which hears of what the others do.
type editor struct {
	doc *crdt.Doc
	r   *recorded
	who string
	at  *time.Time
}

// edit makes a transaction and appends its update as the author's.
func (e *editor) edit(fn func(*crdt.Doc, *crdt.Txn)) {
	e.r.Helper()
	state := e.r.live.AppendState(nil, crdt.V1)
	if _, err := e.doc.Apply(nil, crdt.V1, state); err != nil {
		e.r.Fatal(err)
	}
	commit, err := e.doc.Transact(nil, func(tx *crdt.Txn) { fn(e.doc, tx) })
	if err != nil {
		e.r.Fatal(err)
	}
	update := commit.AppendUpdate(nil, crdt.V1)
	e.r.authors = []string{e.who}
	e.r.add(func() time.Time { return *e.at }, update)
}

func editors(r *recorded, at *time.Time, names ...string) []*editor {
	var es []*editor
	for i, n := range names {
		es = append(es, &editor{crdt.New(crdt.Options{ClientID: crdt.ClientID(100 + i)}), r, n, at})
	}
	return es
}

func diffJSON(t *testing.T, d *snapshots.Diff) string {
	t.Helper()
	b, err := json.Marshal(d.Changes)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDiffOfEveryKindOfType(t *testing.T) {
	r, at := record(t, nil), start
	es := editors(r, &at, "ada", "bob")
	ada, bob := es[0], es[1]
	ada.edit(func(d *crdt.Doc, tx *crdt.Txn) {
		d.Text("t").Insert(tx, 0, "hello cruel world")
		d.Map("m").Set(tx, "keep", crdt.Int(1))
		d.Map("m").Set(tx, "change", crdt.String("old"))
		d.Map("m").Set(tx, "drop", crdt.Bool(true))
		d.Map("m").Set(tx, "inner", crdt.NewMap(crdt.Field{Key: "x", Value: crdt.Int(1)}, crdt.Field{Key: "y", Value: crdt.Int(2)}))
		d.Array("a").Insert(tx, 0, crdt.Int(10), crdt.NewArray(crdt.Int(1), crdt.Int(2)), crdt.Int(30))
		d.XMLFragment("x").Insert(tx, 0, crdt.NewXMLElement("p", crdt.Attrs{{Key: "id", Value: crdt.String("1")}}, crdt.NewXMLText(crdt.Delta{crdt.InsertText("para")})))
		d.Map("same").Set(tx, "k", crdt.Int(1))
	})
	before := r.head()
	at = at.Add(time.Hour)
	bob.edit(func(d *crdt.Doc, tx *crdt.Txn) {
		d.Text("t").Delete(tx, 6, 6)
		d.Text("t").Insert(tx, 11, "!")
		d.Text("t").Format(tx, 0, 5, crdt.Attrs{{Key: "bold", Value: crdt.Bool(true)}})
		m := d.Map("m")
		m.Set(tx, "change", crdt.String("new"))
		m.Delete(tx, "drop")
		m.Set(tx, "more", crdt.Null())
		m.At("inner").Map().Set(tx, "y", crdt.Int(3))
		a := d.Array("a")
		a.Delete(tx, 0, 1)
		a.At(0).Array().Push(tx, crdt.String("three"))
		p := d.XMLFragment("x").At(0).XMLElement()
		p.SetAttr(tx, "id", crdt.String("2"))
		p.At(0).XMLText().Insert(tx, 4, "graph")
	})
	// What came and went in between is not in a diff.
	ada.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 0, "tmp") })
	ada.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Delete(tx, 0, 3) })

	diff, err := r.keeper.Diff(t.Context(), "d", snapshots.AtPosition(before), snapshots.Now(), snapshots.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := diffJSON(t, diff)
	for _, want := range []string{
		`{"path":["t"],"kind":"text","old":"hello cruel world","new":"hello world!","text":[` +
			`{"change":"kept","text":"hello","after":{"bold":true},"author":"ada"},` +
			`{"change":"kept","text":" ","author":"ada"},` +
			`{"change":"removed","text":"cruel ","author":"ada","removedBy":"bob"},` +
			`{"change":"kept","text":"world","author":"ada"},` +
			`{"change":"added","text":"!","author":"bob"}]}`,
		`{"path":["m","change"],"kind":"map","old":"old","new":"new","author":"bob"}`,
		`{"path":["m","drop"],"kind":"map","old":true,"author":"ada","removedBy":"bob"}`,
		`{"path":["m","more"],"kind":"map","new":null,"author":"bob"}`,
		`{"path":["m","inner","y"],"kind":"map","old":2,"new":3,"author":"bob"}`,
		`{"path":["a",0],"kind":"array","old":10,"author":"ada","removedBy":"bob"}`,
		`{"path":["a",0,2],"kind":"array","new":"three","author":"bob"}`,
		`{"path":["x",0,"@id"],"kind":"xml","old":"1","new":"2","author":"bob"}`,
		`{"path":["x",0,0],"kind":"text","old":"para","new":"paragraph","text":[{"change":"kept","text":"para","author":"ada"},{"change":"added","text":"graph","author":"bob"}]}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %s", want)
		}
	}
	if len(diff.Changes) != 9 {
		t.Errorf("%d changes, want 9", len(diff.Changes))
	}
	if t.Failed() {
		t.Logf("the diff is %s", got)
	}
	var back []snapshots.Edit
	if err := json.Unmarshal([]byte(got), &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(back); err != nil || string(again) != got {
		t.Errorf("the JSON reads back otherwise: %v", err)
	}
	// From the empty document on, everything is added, and what is gone is not there.
	all, err := r.keeper.Diff(t.Context(), "d", snapshots.AtPosition(0), snapshots.Now(), snapshots.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := diffJSON(t, all); strings.Contains(got, "cruel") || strings.Contains(got, "tmp") || strings.Contains(got, "kept") {
		t.Errorf("from nothing: %s", got)
	}
	if same, err := r.keeper.Diff(t.Context(), "d", snapshots.Now(), snapshots.Now(), snapshots.DiffOptions{}); err != nil || len(same.Changes) != 0 {
		t.Errorf("between now and now: %+v, %v", same, err)
	}
	if _, err := r.keeper.Diff(t.Context(), "d", snapshots.Now(), snapshots.AtPosition(0), snapshots.DiffOptions{}); !errors.Is(err, snapshots.ErrMoment) {
		t.Errorf("backwards: %v", err)
	}
}

// TestDiffsOfASessionAddUp takes random pairs of moments: what was kept and
// removed is the older text, what was kept and added the newer.
func TestDiffsOfASessionAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	r := record(t, nil)
	updates := testyjs.Session(t, "friendsforever")
	// One author for each of the two clients.
	for i, u := range updates {
		c, err := crdt.ContentsOf(crdt.V1, u)
		if err != nil || c.Blocks.Clients() > 1 {
			t.Fatalf("update %d: %v", i, err)
		}
	}
	r.authors = []string{"one"}
	r.life(rng, updates, 60)
	noted := r.positions()
	for range 40 {
		a, b := noted[rng.IntN(len(noted))], noted[rng.IntN(len(noted))]
		if a > b {
			a, b = b, a
		}
		d, err := r.keeper.Diff(t.Context(), "d", snapshots.AtPosition(a), snapshots.AtPosition(b), snapshots.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if string(r.content[a]) == string(r.content[b]) {
			if len(d.Changes) != 0 {
				t.Fatalf("(%d, %d]: equal, and %d changes", a, b, len(d.Changes))
			}
			continue
		}
		if len(d.Changes) != 1 {
			t.Fatalf("(%d, %d]: %d changes", a, b, len(d.Changes))
		}
		var old, now strings.Builder
		for _, run := range d.Changes[0].Text {
			if run.Change != "added" {
				old.WriteString(run.Text)
			}
			if run.Change != "removed" {
				now.WriteString(run.Text)
			}
			if run.Author != "one" || (run.Change == "removed") != (run.RemovedBy == "one") {
				t.Fatalf("(%d, %d]: a run by %q, removed by %q", a, b, run.Author, run.RemovedBy)
			}
		}
		for p, text := range map[string]string{"old": old.String(), "new": now.String()} {
			j, _ := json.Marshal(text)
			want := d.Changes[0].Old
			if p == "new" {
				want = d.Changes[0].New
			}
			var got, wanted string
			if json.Unmarshal(j, &got) != nil || json.Unmarshal(want, &wanted) != nil || got != wanted {
				t.Fatalf("(%d, %d]: the runs do not add up to the %s text", a, b, p)
			}
		}
	}
}

func TestAuthorIsWhoseClientItIsNotWhoDelivers(t *testing.T) {
	r, at := record(t, nil), start
	es := editors(r, &at, "ada", "bob", "cyd")
	ada, bob, cyd := es[0], es[1], es[2]
	ada.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 0, "A1") })
	// Ada and a guest write offline; Bob brings both, with something of his own.
	offline := crdt.New(crdt.Options{ClientID: 900})
	if _, err := offline.Apply(nil, crdt.V1, r.live.AppendState(nil, crdt.V1)); err != nil {
		t.Fatal(err)
	}
	transact := func(d *crdt.Doc, s string) []byte {
		c, err := d.Transact(nil, func(tx *crdt.Txn) { d.Text("t").Insert(tx, d.Text("t").Len(), s) })
		if err != nil {
			t.Fatal(err)
		}
		return c.AppendUpdate(nil, crdt.V1)
	}
	guest := transact(offline, "guest")
	if _, err := ada.doc.Apply(nil, crdt.V1, guest); err != nil {
		t.Fatal(err)
	}
	adas := transact(ada.doc, "A2")
	both, err := crdt.Merge(crdt.V1, guest, adas)
	if err != nil {
		t.Fatal(err)
	}
	r.authors = []string{"bob"}
	r.add(func() time.Time { return at }, both)
	bob.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 0, "B") })
	cyd.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Delete(tx, 3, 2) })
	// Ada sends the same deletion again: Cyd was first.
	c, err := ada.doc.Transact(nil, func(tx *crdt.Txn) { ada.doc.Text("t").Delete(tx, 2, 2) })
	if err != nil {
		t.Fatal(err)
	}
	r.authors = []string{"ada"}
	r.add(func() time.Time { return at }, c.AppendUpdate(nil, crdt.V1))

	d, err := r.keeper.Diff(t.Context(), "d", snapshots.AtPosition(2), snapshots.Now(), snapshots.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"path":["t"],"kind":"text","old":"A1guestA2","new":"BA1estA2","text":[` +
		`{"change":"added","text":"B","author":"bob"},` +
		`{"change":"kept","text":"A1","author":"ada"},` +
		`{"change":"removed","text":"gu","deliveredBy":"bob","removedBy":"cyd"},` +
		`{"change":"kept","text":"est","deliveredBy":"bob"},` +
		`{"change":"kept","text":"A2","author":"ada"}]}]`
	if got := diffJSON(t, d); got != want {
		t.Errorf("the diff is\n%s, want\n%s", got, want)
	}
}

func TestTimeline(t *testing.T) {
	r, at := record(t, nil), start
	es := editors(r, &at, "ada", "bob")
	typed := func(e *editor, s string) {
		e.edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 0, s) })
	}
	typed(es[0], "one") // 1
	at = at.Add(4 * time.Minute)
	typed(es[1], "two") // 2
	at = at.Add(time.Minute)
	typed(es[0], "three") // 3: five minutes after 1 are one stint
	es[0].edit(func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Delete(tx, 0, 2) })
	at = at.Add(5*time.Minute + time.Millisecond)
	typed(es[0], "four") // 5: another stint
	r.segment()
	want := []snapshots.Stint{
		{Author: "bob", First: 2, Last: 2, Start: r.times[1], End: r.times[1], Entries: 1, Inserted: 3},
		{Author: "ada", First: 1, Last: 4, Start: r.times[0], End: r.times[3], Entries: 3, Inserted: 8, Deleted: 2},
		{Author: "ada", First: 5, Last: 5, Start: r.times[4], End: r.times[4], Entries: 1, Inserted: 4},
	}
	timeline := func(o snapshots.TimelineOptions) (got []snapshots.Stint) {
		t.Helper()
		for s, err := range r.keeper.Timeline(t.Context(), "d", o) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		return got
	}
	if got := timeline(snapshots.TimelineOptions{}); !slices.Equal(got, want) {
		t.Errorf("timeline %+v", got)
	}
	newest := []snapshots.Stint{want[2], want[0], want[1]}
	if got := timeline(snapshots.TimelineOptions{NewestFirst: true}); !slices.Equal(got, newest) {
		t.Errorf("newest first %+v", got)
	}
	if got := timeline(snapshots.TimelineOptions{After: 4}); !slices.Equal(got, want[2:]) {
		t.Errorf("after 4: %+v", got)
	}
	if got := timeline(snapshots.TimelineOptions{Since: r.times[1], Until: r.times[1]}); !slices.Equal(got, want[:1]) {
		t.Errorf("at the time of 2: %+v", got)
	}
	if got := timeline(snapshots.TimelineOptions{Pause: time.Hour}); len(got) != 2 {
		t.Errorf("with pauses of an hour: %+v", got)
	}
	for range r.keeper.Timeline(t.Context(), "d", snapshots.TimelineOptions{}) {
		break
	}
}

// TestTimelineOfASession: both orders tell of every entry once.
func TestTimelineOfASession(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	r := record(t, nil)
	r.authors = []string{"ada", "bob", "cyd"}
	r.life(rng, testyjs.Session(t, "seph-blog1"), 30)
	for _, newest := range []bool{false, true} {
		entries, stints := 0, 0
		for s, err := range r.keeper.Timeline(t.Context(), "d", snapshots.TimelineOptions{NewestFirst: newest}) {
			if err != nil {
				t.Fatal(err)
			}
			if !s.Start.Equal(r.times[s.First-1]) || !s.End.Equal(r.times[s.Last-1]) {
				t.Fatalf("%+v has the times of other entries", s)
			}
			entries += s.Entries
			stints++
		}
		if entries != len(r.times) || stints < 10 {
			t.Errorf("newest first %v: %d stints with %d of %d entries", newest, stints, entries, len(r.times))
		}
	}
}
