package persistencetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ysync/persistence"
)

// twin is what the contract says about one document, written as plainly as can
// be and apart from the code under test: positions are indices into all
// entries that ever were.
type twin struct {
	resets    int
	claims    []string
	entries   []persistence.Entry
	trimmed   int
	segmented int
	snapshots []persistence.Pointer
	erased    time.Time
}

// refusal is the class of error that a writer under an epoch meets, or nil.
func (d *twin) refusal(e persistence.Epoch) error {
	switch {
	case d != nil && !d.erased.IsZero():
		return persistence.ErrErased
	case d == nil || len(d.claims) == 0 || int(e) != len(d.claims):
		return persistence.ErrFenced
	}
	return nil
}

func (d *twin) generation() persistence.Generation {
	if d == nil {
		return 1
	}
	return persistence.Generation(1 + d.resets)
}

// record is the record that the log must show.
func (d *twin) record(name string) persistence.Record {
	r := persistence.Record{Document: name}
	if d == nil {
		return r
	}
	r.Generation = d.generation()
	r.Epoch = persistence.Epoch(len(d.claims))
	r.Head = persistence.Position(len(d.entries))
	if !d.erased.IsZero() {
		r.Trimmed, r.Tombstone = r.Head, d.erased
		return r
	}
	r.Owner = d.claims[len(d.claims)-1]
	r.Trimmed, r.Segmented = persistence.Position(d.trimmed), persistence.Position(d.segmented)
	if n := len(d.snapshots); n > 0 {
		r.Snapshot = d.snapshots[n-1]
		if n > 1 {
			r.Previous = d.snapshots[n-2]
		}
	}
	if n := len(d.entries); n > 0 {
		r.Updated = d.entries[n-1].Time
	}
	return r
}

// machine drives a log and its twins through the same random calls.
type machine struct {
	t         *rapid.T
	reopen    Reopen
	log       persistence.Log
	documents map[string]*twin
	updates   int
}

func checkModel(t *testing.T, newStore func(t testing.TB) Reopen) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: rt, reopen: newStore(t), documents: make(map[string]*twin)}
		m.start()
		defer func() { _ = m.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"":          func(*rapid.T) { m.compare() },
			"claim":     func(*rapid.T) { m.claim() },
			"append":    func(*rapid.T) { m.append() },
			"append2":   func(*rapid.T) { m.append() },
			"snapshot":  func(*rapid.T) { m.snapshot() },
			"segmented": func(*rapid.T) { m.segmented() },
			"trim":      func(*rapid.T) { m.trim() },
			"erase":     func(*rapid.T) { m.erase() },
			"reset":     func(*rapid.T) { m.reset() },
			"read":      func(*rapid.T) { m.read() },
			"list":      func(*rapid.T) { m.list() },
			"restart":   func(*rapid.T) { m.restart() },
		})
	})
}

func (m *machine) start() {
	log, err := m.reopen()
	if err != nil {
		m.t.Fatalf("opening the store: %v", err)
	}
	m.log = log
}

func (m *machine) restart() {
	if err := m.log.Close(); err != nil {
		m.t.Fatalf("closing the log: %v", err)
	}
	m.start()
}

func (m *machine) name() string {
	return rapid.SampledFrom([]string{"a", "a\x00", "a\x00\x01", "aa", "b", "z"}).Draw(m.t, "document")
}

// epoch is mostly the newest epoch of a document, now and then one beside it.
func (m *machine) epoch(d *twin) persistence.Epoch {
	at := 0
	if d != nil {
		at = len(d.claims)
	}
	return persistence.Epoch(max(0, at+rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, -1, 1}).Draw(m.t, "beside")))
}

// position is a position around the log of a document.
func (m *machine) position(d *twin) persistence.Position {
	head := 0
	if d != nil {
		head = len(d.entries)
	}
	return persistence.Position(rapid.IntRange(0, head+1).Draw(m.t, "position"))
}

// expect compares the class of an error with the one that the twin demands.
func (m *machine) expect(what string, got, want error) bool {
	if want == nil && got != nil || want != nil && !errors.Is(got, want) {
		m.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
	return want == nil
}

func (m *machine) claim() {
	name := m.name()
	d := m.documents[name]
	seen, owner := m.epoch(d), rapid.SampledFrom([]string{"n1", "n2"}).Draw(m.t, "owner")
	var want error
	switch {
	case d != nil && !d.erased.IsZero():
		want = persistence.ErrErased
	case d == nil && seen != 0 || d != nil && int(seen) != len(d.claims):
		want = persistence.ErrFenced
	}
	r, err := m.log.Claim(ctx, name, owner, seen)
	if !m.expect("claim", err, want) {
		return
	}
	if d == nil {
		d = new(twin)
		m.documents[name] = d
	}
	d.claims = append(d.claims, owner)
	if r != d.record(name) {
		m.t.Fatalf("claim of %q returned %+v, want %+v", name, r, d.record(name))
	}
}

func (m *machine) append() {
	chosen := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "a\x00", "a\x00\x01", "aa", "b", "z"}), 1, 4, rapid.ID[string]).Draw(m.t, "documents")
	var batches []persistence.Batch
	for _, name := range chosen {
		b := persistence.Batch{Document: name, Generation: m.documents[name].generation(), Epoch: m.epoch(m.documents[name])}
		for range rapid.IntRange(1, 3).Draw(m.t, "entries") {
			m.updates++
			b.Entries = append(b.Entries, persistence.NewEntry{
				Time:   noon.Add(time.Duration(rapid.IntRange(0, 100).Draw(m.t, "time")) * 300 * time.Microsecond),
				Author: rapid.SampledFrom([]string{"", "ann"}).Draw(m.t, "author"),
				Update: fmt.Appendf(nil, "update %d", m.updates),
			})
		}
		batches = append(batches, b)
	}
	results := m.log.Append(ctx, batches)
	if len(results) != len(batches) {
		m.t.Fatalf("%d results for %d batches", len(results), len(batches))
	}
	for i, b := range batches {
		d := m.documents[b.Document]
		if !m.expect("append", results[i].Err, d.refusal(b.Epoch)) {
			continue
		}
		first := persistence.Position(len(d.entries) + 1)
		for _, e := range b.Entries {
			at := e.Time.Truncate(time.Millisecond)
			if n := len(d.entries); n > 0 && at.Before(d.entries[n-1].Time) {
				at = d.entries[n-1].Time
			}
			d.entries = append(d.entries, persistence.Entry{
				Position: persistence.Position(len(d.entries) + 1), Epoch: b.Epoch, Time: at, Author: e.Author, Update: e.Update,
			})
		}
		if want := (persistence.Result{First: first, Last: persistence.Position(len(d.entries))}); results[i] != want {
			m.t.Fatalf("append to %q: got %+v, want %+v", b.Document, results[i], want)
		}
	}
}

func (m *machine) snapshot() {
	name := m.name()
	d := m.documents[name]
	e, p := m.epoch(d), pointer(m.position(d))
	want := d.refusal(e)
	again := false
	if want == nil {
		newest := persistence.Pointer{}
		if n := len(d.snapshots); n > 0 {
			newest = d.snapshots[n-1]
		}
		again = p == newest
		if !again && (p.Position > persistence.Position(len(d.entries)) || p.Position <= newest.Position) {
			want = persistence.ErrInvalid
		}
	}
	if m.expect("set snapshot", m.log.SetSnapshot(ctx, name, e, p), want) && !again {
		d.snapshots = append(d.snapshots, p)
	}
}

func (m *machine) segmented() {
	name := m.name()
	d := m.documents[name]
	e, p := m.epoch(d), m.position(d)
	want := d.refusal(e)
	if want == nil && int(p) > len(d.entries) {
		want = persistence.ErrInvalid
	}
	if m.expect("set segmented", m.log.SetSegmented(ctx, name, e, p), want) {
		d.segmented = max(d.segmented, int(p))
	}
}

func (m *machine) trim() {
	name := m.name()
	d := m.documents[name]
	e, p := m.epoch(d), m.position(d)
	want := d.refusal(e)
	if want == nil {
		bound := persistence.Position(0)
		if n := len(d.snapshots); n > 1 {
			bound = min(d.snapshots[n-2].Position, persistence.Position(d.segmented))
		}
		if p > bound {
			want = persistence.ErrTrimTooFar
		}
	}
	if m.expect("trim", m.log.Trim(ctx, name, e, p), want) {
		d.trimmed = max(d.trimmed, int(p))
	}
}

// reset begins a generation: an entry that the log has no more stands for all
// before it.
func (m *machine) reset() {
	name := m.name()
	d := m.documents[name]
	e, head := m.epoch(d), m.position(d)
	want := d.refusal(e)
	switch {
	case want != nil:
	case int(head) != len(d.entries):
		want = persistence.ErrInvalid
	case d.segmented < len(d.entries):
		want = persistence.ErrTrimTooFar
	}
	if !m.expect("reset", m.log.Reset(ctx, name, e, head, pointer(1)), want) {
		return
	}
	*d = twin{
		resets: d.resets + 1, claims: append(d.claims, ""), entries: make([]persistence.Entry, 1),
		trimmed: 1, segmented: 1, snapshots: []persistence.Pointer{pointer(1)},
	}
}

func (m *machine) erase() {
	if rapid.IntRange(0, 9).Draw(m.t, "luck") != 0 {
		return
	}
	name := m.name()
	m.expect("erase", m.log.Erase(ctx, name, noon), nil)
	d := m.documents[name]
	if d == nil {
		d = new(twin)
		m.documents[name] = d
	}
	d.erased = noon
}

// read compares one document's entries after a random position.
func (m *machine) read() {
	name := m.name()
	d := m.documents[name]
	after := m.position(d)
	var want error
	var entries []persistence.Entry
	switch {
	case d == nil:
	case !d.erased.IsZero():
		want = persistence.ErrErased
	case int(after) < d.trimmed:
		want = persistence.ErrTrimmed
	default:
		entries = d.entries[min(int(after), len(d.entries)):]
	}
	i := 0
	for e, err := range m.log.Read(ctx, name, after) {
		if !m.expect("read", err, want) {
			return
		}
		if i >= len(entries) || !sameEntry(e, entries[i]) {
			m.t.Fatalf("reading %q after %d: entry %d is %+v", name, after, i, e)
		}
		i++
	}
	if i != len(entries) || want != nil {
		m.t.Fatalf("reading %q after %d: %d entries, want %d (%v)", name, after, i, len(entries), want)
	}
}

func sameEntry(a, b persistence.Entry) bool {
	return a.Position == b.Position && a.Epoch == b.Epoch && a.Time.Equal(b.Time) && a.Author == b.Author && string(a.Update) == string(b.Update)
}

// list compares List with the twins, after a random name.
func (m *machine) list() {
	after := rapid.SampledFrom([]string{"", "a", "a\x00", "a\x00\x00", "aa", "q"}).Draw(m.t, "after")
	var got []string
	for r, err := range m.log.List(ctx, after) {
		if err != nil {
			m.t.Fatalf("list: %v", err)
		}
		if want := m.documents[r.Document].record(r.Document); r != want {
			m.t.Fatalf("listed %+v, want %+v", r, want)
		}
		got = append(got, r.Document)
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(m.documents)), func(name string) bool { return name <= after })
	if !slices.Equal(got, want) {
		m.t.Fatalf("listed after %q: got %q, want %q", after, got, want)
	}
}

// compare checks one record after every step.
func (m *machine) compare() {
	name := m.name()
	r, err := m.log.Open(ctx, name)
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	if want := m.documents[name].record(name); r != want {
		m.t.Fatalf("opening %q: got %+v, want %+v", name, r, want)
	}
}
