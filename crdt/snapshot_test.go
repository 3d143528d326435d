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
	CheckAtEnd(t, d)
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
	CheckAtEnd(t, collecting)
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
	CheckAtEnd(t, d)
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

// Iteration stops when it is told to.
func TestViewsStop(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	CheckAtEnd(t, d)
	text, array, m := d.Text("t"), d.Array("a"), d.Map("m")
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "ab")
		text.InsertEmbed(tx, 1, Object(), nil)
		text.Format(tx, 0, 1, Attrs{{"b", Bool(true)}})
		array.Push(tx, Int(1), Bytes(nil), Int(2))
		m.Set(tx, "k", Int(1))
		m.Set(tx, "l", Int(1))
	})
	s, n := d.Snapshot(), 0
	for range text.Changes(Snapshot{}, s) {
		n++
		break
	}
	for range array.Changes(Snapshot{}, s) {
		n++
		break
	}
	for range array.ValuesAt(s) {
		n++
		break
	}
	for range m.AllAt(s) {
		n++
		break
	}
	for range m.Changes(Snapshot{}, s) {
		n++
		break
	}
	for range text.Authors() {
		n++
		break
	}
	if n != 6 {
		t.Errorf("%d steps, want 6", n)
	}
	var units []string
	for v := range Array(text).ValuesAt(s) { // a text read as a list, as Yjs allows for a root
		units = append(units, string(v.AppendJSON(nil)))
	}
	if want := []string{`"a"`, `{}`, `"b"`}; !slices.Equal(units, want) {
		t.Errorf("got %v, want %v", units, want)
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
	CheckAtEnd(t, d)
	m := d.Map("m")
	var at []Snapshot
	for i := range 5 {
		transact(t, d, func(tx *Txn) { m.Set(tx, "k", Int(i)) })
		at = append(at, d.Snapshot())
	}
	transact(t, d, func(tx *Txn) { m.Delete(tx, "k") })
	if n := d.clients[1].blocks.len(); n != 1 {
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
	CheckAtEnd(t, d)
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
	CheckAtEnd(t, a)
	CheckAtEnd(t, b)
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
	x := a.XMLFragment("x")
	transact(t, a, func(tx *Txn) { x.Push(tx, NewXMLHook("h"), NewXMLHook("h")) })
	if got, want := slices.Collect(x.Authors()), []Run{{1, Range{15, 17}}}; !slices.Equal(got, want) {
		t.Errorf("fragment: got %v, want %v", got, want)
	}
	if _, ok := a.Map("m").Author("none"); ok {
		t.Error("a key without a value has an author")
	}
}

func TestPastOfXML(t *testing.T) {
	d := New(Options{ClientID: 7, KeepDeleted: true})
	CheckAtEnd(t, d)
	page := d.XMLFragment("page")
	transact(t, d, func(tx *Txn) {
		page.Push(tx, NewXMLElement("p", Attrs{{"align", String("left")}, {"id", Int(1)}}, NewXMLText(Delta{InsertText("old", Field{"b", Bool(true)})})))
	})
	p := page.At(0).XMLElement()
	words := p.At(0).XMLText()
	prev := d.Snapshot()
	transact(t, d, func(tx *Txn) {
		p.SetAttr(tx, "align", String("right"))
		p.RemoveAttr(tx, "id")
		p.SetAttr(tx, "class", NewXMLText(Delta{InsertText("c")}))
		words.SetAttr(tx, "dir", String("rtl"))
		words.Insert(tx, 0, "very ")
		p.Push(tx, NewXMLHook("hook"))
	})
	next := d.Snapshot()
	now := page.String()
	if id, ok := words.AttrAuthor("dir"); !ok || !next.Shows(id) || prev.Shows(id) {
		t.Errorf("dir was set by %v, %v", id, ok)
	}
	if id, ok := p.AttrAuthor("align"); !ok || !next.Shows(id) || prev.Shows(id) {
		t.Errorf("align was set by %v, %v", id, ok)
	}
	transact(t, d, func(tx *Txn) { page.Delete(tx, 0, 1) })

	for s, want := range map[*Snapshot]string{
		{}: "", &prev: `<p align="left" id="1"><b>old</b></p>`, &next: now,
	} {
		if got := page.StringAt(*s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if past, err := d.At(*s, Options{}); err != nil || past.XMLFragment("page").String() != want {
			t.Errorf("as a document: %v, %v, want %s", past, err, want)
		}
	}
	if got := words.StringAt(next); got != "very <b>old</b>" {
		t.Errorf("text: %s", got)
	}
	if v, ok := p.AttrAt(prev, "id"); !ok || v.Number() != 1 {
		t.Errorf("id was %v, %v", v, ok)
	}
	if _, ok := p.AttrAt(next, "id"); ok {
		t.Error("a removed attribute shows")
	}
	if v, ok := words.AttrAt(next, "dir"); !ok || v.Str() != "rtl" {
		t.Errorf("dir was %v, %v", v, ok)
	}
	for range words.AttrsAt(prev) {
		t.Error("the text had attributes before they were set")
	}
	got := ""
	for c := range p.AttrChanges(prev, next) {
		got += c.Action.String() + " " + c.Key + ";"
	}
	for c := range words.AttrChanges(prev, next) {
		got += c.Action.String() + " " + c.Key + ";"
	}
	for c := range p.Changes(prev, next) {
		kind, _ := c.Values[0].TypeKind()
		got += c.Change.String() + " " + map[TypeKind]string{KindXMLText: "text", KindXMLHook: "hook"}[kind] + ";"
	}
	if want := "update align;delete id;add class;add dir;kept text;added hook;"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Types that are none have no past.
func TestPastOfNothing(t *testing.T) {
	var v Value
	var s Snapshot
	n := len(v.Text().DeltaAt(s)) + len(v.Text().StringAt(s)) + len(v.Text().DeltaBetween(s, s, nil)) + len(v.XMLFragment().StringAt(s))
	for range v.Text().Changes(s, s) {
		n++
	}
	for range v.Text().Authors() {
		n++
	}
	for range v.Array().ValuesAt(s) {
		n++
	}
	for range v.Array().Changes(s, s) {
		n++
	}
	for range v.Map().AllAt(s) {
		n++
	}
	for range v.Map().Changes(s, s) {
		n++
	}
	_, value := v.Map().ValueAt(s, "k")
	_, author := v.Map().Author("k")
	if n > 0 || value || author || !v.JSONAt(s).IsUndefined() || !v.Text().RelativePosition(0, 0).IsZero() {
		t.Error("a type that is none has a past")
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
