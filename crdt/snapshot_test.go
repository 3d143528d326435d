package crdt

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"
)

func TestSnapshotErrors(t *testing.T) {
	d := New(Options{ClientID: 1 << 40, KeepDeleted: true})
	text := d.Text("t")
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "hello"); text.Delete(tx, 1, 2) })
	s := d.Snapshot()
	for _, v := range []Version{V1, V2} {
		b := AppendSnapshot([]byte("head"), v, s)[4:]
		got, err := DecodeSnapshot(v, append(slices.Clone(b), "tail"...))
		if err != nil || !got.Equal(s) {
			t.Fatalf("V%d: got %v, %v", v, got, err)
		}
		for n := range b {
			_, err := DecodeSnapshot(v, b[:n])
			var at *UpdateError
			if !errors.As(err, &at) || !errors.Is(err, ErrMalformed) || at.Offset < 0 || at.Offset > n {
				t.Errorf("V%d, %d of %d bytes: %v", v, n, len(b), err)
			}
		}
		bomb := []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0xff, 0xff, 0xff, 0x0f}
		if n := allocated(func() { _, _ = DecodeSnapshot(v, bomb) }); n > 64<<10 {
			t.Errorf("V%d: %d bytes allocated for %d", v, n, len(bomb))
		}
	}
	if _, err := DecodeSnapshot(3, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("unknown version: %v", err)
	}

	empty, err := d.At(Snapshot{}, Options{})
	if err != nil || empty.Text("t").Len() != 0 {
		t.Errorf("the moment before the first edit: %v", err)
	}
	future := Snapshot{State: newStateVector([]clientClock{{1 << 40, 6}})}
	if _, err := d.At(future, Options{}); !errors.Is(err, ErrRange) {
		t.Errorf("beyond the document: %v", err)
	}
	if lost := d.Lost(future); !lost.Contains(ID{1 << 40, 5}) || lost.Contains(ID{1 << 40, 4}) {
		t.Errorf("lost %v", lost)
	}

	collecting := New(Options{})
	if _, err := collecting.Apply(nil, V1, d.AppendState(nil, V1)); err != nil {
		t.Fatal(err)
	}
	if _, err := collecting.At(s, Options{}); !errors.Is(err, ErrCollected) {
		t.Errorf("of a document that collects: %v", err)
	}
	if lost := collecting.Lost(s); !lost.Empty() {
		t.Errorf("what s does not show is lost: %v", lost)
	}
	s.Deletes = IDSet{}
	if lost := collecting.Lost(s); !lost.Contains(ID{1 << 40, 1}) || !lost.Contains(ID{1 << 40, 2}) || lost.Contains(ID{1 << 40, 3}) {
		t.Errorf("lost %v", lost)
	}
}

// allocated is how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestSnapshotContainsUpdate(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	text := d.Text("t")
	edit := func(fn func(tx *Txn)) []byte {
		c, err := d.Transact(nil, fn)
		if err != nil {
			t.Fatal(err)
		}
		return c.AppendUpdate(nil, V2)
	}
	insert := edit(func(tx *Txn) { text.Insert(tx, 0, "abc") })
	between := d.Snapshot()
	remove := edit(func(tx *Txn) { text.Delete(tx, 1, 1) })
	after := d.Snapshot()
	skip := []byte{1, 1, 7, 4, 10, 3, 0} // a skip over clocks 4 to 6, as Yjs counts it
	for _, c := range []struct {
		name   string
		s      Snapshot
		v      Version
		update []byte
		want   bool
	}{
		{"before the insertion", Snapshot{}, V2, insert, false},
		{"after the insertion", between, V2, insert, true},
		{"before the deletion", between, V2, remove, false},
		{"after the deletion", after, V2, remove, true},
		{"a skip beyond", after, V1, skip, false},
		{"nothing", Snapshot{}, V1, []byte{0, 0}, true},
	} {
		got, err := c.s.ContainsUpdate(c.v, c.update)
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if _, err := after.ContainsUpdate(V1, []byte{1, 1, 7}); !errors.Is(err, ErrMalformed) {
		t.Errorf("cut off: %v", err)
	}
	if between.Equal(after) || !after.Equal(d.Snapshot()) {
		t.Error("snapshots are told apart wrongly")
	}
}

// A snapshot may cut a surrogate pair only if it was not taken from the document. The view replaces
// both halves, as the split in Yjs does, and the document stays whole.
func TestViewCutsSurrogatePair(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	text := d.Text("t")
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "a😀b") })
	before := d.AppendState(nil, V2)
	cut := Snapshot{State: newStateVector([]clientClock{{7, 2}})}
	if got := text.StringAt(cut); got != "a\ufffd" {
		t.Errorf("at half a pair: %q", got)
	}
	past, err := d.At(cut, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := past.Text("t").String(); got != "a\ufffd" || past.Check() != nil {
		t.Errorf("document at half a pair: %q, %v", got, past.Check())
	}
	got := ""
	for c := range text.Changes(cut, d.Snapshot()) {
		got += c.Change.String() + " " + c.Insert.Str() + ";"
	}
	if got != "kept a\ufffd;added \ufffdb;" {
		t.Errorf("changes from half a pair: %q", got)
	}
	if text.String() != "a😀b" || !bytes.Equal(before, d.AppendState(nil, V2)) {
		t.Error("reading changed the document")
	}
}

// Old values of a key that one client set one after the other are one item once they are deleted.
func TestMergedOldValues(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	m := d.Map("m")
	var at []Snapshot
	for i := range 5 {
		transact(t, d, func(tx *Txn) { m.Set(tx, "k", Int(i)) })
		at = append(at, d.Snapshot())
	}
	transact(t, d, func(tx *Txn) { m.Delete(tx, "k") })
	if n := len(d.clients[1].blocks); n != 1 {
		t.Fatalf("%d blocks", n)
	}
	for i, s := range at {
		if v, ok := m.ValueAt(s, "k"); !ok || int(v.Number()) != i {
			t.Errorf("moment %d: %v, %v", i, v.Number(), ok)
		}
	}
	if _, ok := m.ValueAt(d.Snapshot(), "k"); ok {
		t.Error("a deleted value shows")
	}
	if _, ok := m.ValueAt(Snapshot{}, "k"); ok {
		t.Error("a value shows before it was set")
	}
}

func TestDeltaBetweenMarks(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	text := d.Text("t")
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "one two") })
	prev := d.Snapshot()
	transact(t, d, func(tx *Txn) {
		text.Delete(tx, 0, 4)
		text.Format(tx, 0, 3, Attrs{{"bold", Bool(true)}})
		text.InsertWith(tx, 3, "!", nil)
		text.InsertWith(tx, 3, "?", nil)
	})
	user := func(c Change, id ID) Value {
		return Object(Field{"user", Number(float64(id.Client))}, Field{"type", String(c.String())})
	}
	mark := func(kind string) Field { return Field{markKey, Object(Field{"type", String(kind)})} }
	marked := func(kind string) Field {
		return Field{markKey, user(map[string]Change{"added": Added, "removed": Removed}[kind], ID{7, 0})}
	}
	bold := Field{"bold", Bool(true)}
	for _, c := range []struct {
		name string
		mark func(Change, ID) Value
		want Delta
	}{
		{"by type", nil, Delta{
			InsertText("one ", mark("removed")), InsertText("two", bold), InsertText("?", mark("added")), InsertText("!", mark("added")),
		}},
		{"by user", user, Delta{InsertText("one ", marked("removed")), InsertText("two", bold), InsertText("?!", marked("added"))}},
	} {
		if got := text.DeltaBetween(prev, d.Snapshot(), c.mark); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	var formatted int
	for c := range text.Changes(prev, d.Snapshot()) {
		if c.Formatted() {
			formatted += int(c.Run.Clocks.Len())
		}
	}
	if formatted != 3 {
		t.Errorf("%d units have other attributes, want 3", formatted)
	}
}

func TestAuthors(t *testing.T) {
	a, b := New(Options{ClientID: 1}), New(Options{ClientID: 2})
	text := a.Text("t")
	transact(t, a, func(tx *Txn) {
		text.Insert(tx, 0, "hello world")
		a.Array("a").Push(tx, Int(1), NewMap(), Int(2))
		a.Map("m").Set(tx, "k", Int(1))
	})
	if _, err := b.Apply(nil, V1, a.AppendState(nil, V1)); err != nil {
		t.Fatal(err)
	}
	c, err := b.Transact(nil, func(tx *Txn) {
		b.Text("t").Delete(tx, 0, 1)
		b.Text("t").Insert(tx, 0, "J")
		b.Array("a").Insert(tx, 3, Int(3))
		b.Map("m").Set(tx, "k", Int(2))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(nil, V1, c.AppendUpdate(nil, V1)); err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Collect(text.Authors()), []Run{{2, Range{0, 1}}, {1, Range{1, 11}}}; !slices.Equal(got, want) {
		t.Errorf("text: got %v, want %v", got, want)
	}
	if got, want := slices.Collect(a.Array("a").Authors()), []Run{{1, Range{11, 14}}, {2, Range{1, 2}}}; !slices.Equal(got, want) {
		t.Errorf("array: got %v, want %v", got, want)
	}
	if id, ok := a.Map("m").Author("k"); !ok || id != (ID{2, 2}) {
		t.Errorf("map: got %v, %v", id, ok)
	}
	if _, ok := a.Map("m").Author("none"); ok {
		t.Error("a key without a value has an author")
	}
}

func FuzzSnapshot(f *testing.F) {
	d := New(Options{ClientID: 300, KeepDeleted: true})
	text := d.Text("t")
	for i := range 3 {
		if _, err := d.Transact(nil, func(tx *Txn) { text.Insert(tx, 0, "a😀b"); text.Delete(tx, i, 2) }); err != nil {
			f.Fatal(err)
		}
		f.Add(AppendSnapshot(nil, V1, d.Snapshot()))
		f.Add(AppendSnapshot(nil, V2, d.Snapshot()))
	}
	state := d.AppendState(nil, V2)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []Version{V1, V2} {
			s, err := DecodeSnapshot(v, b)
			if err != nil {
				continue
			}
			again, err := DecodeSnapshot(v, AppendSnapshot(nil, v, s))
			if err != nil || !again.Equal(s) {
				t.Fatalf("V%d: %v written is %v, %v", v, s, again, err)
			}
			text.DeltaAt(s)
			checkChanges(t, text, s, d.Snapshot())
			checkChanges(t, text, d.Snapshot(), s)
			if past, err := d.At(s, Options{}); err == nil {
				if err := past.Check(); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(state, d.AppendState(nil, V2)) {
				t.Fatal("reading the past changed the document")
			}
		}
	})
}
