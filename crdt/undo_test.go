package crdt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// undoing gives each replica a manager of its own edits, every other one for the whole document.
func (s *swarm) undoing() {
	s.name += ", with undo"
	for i, d := range s.docs {
		opts := UndoOptions{Origins: []any{"local"}, OverwriteRemote: s.rng.IntN(4) == 0}
		if s.rng.IntN(2) == 0 {
			opts.Now = func() int64 { return s.now }
		}
		scope := []Scope{d}
		if i%2 == 0 {
			scope = []Scope{d.Text("t"), d.Array("a"), d.Map("m"), d.XMLFragment("x")}
		}
		s.undo = append(s.undo, manage(s.t, d, opts, scope...))
	}
}

// goBack undoes or redoes at replica i.
func (s *swarm) goBack(i int) {
	s.now += s.rng.Int64N(700)
	u := s.undo[i]
	do := u.Undo
	switch s.rng.IntN(9) {
	case 0, 1, 2:
		do = u.Redo
	case 3:
		u.StopCapturing()
	}
	c, err := do()
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	if err := s.docs[i].Check(); err != nil {
		s.t.Fatalf("%s: replica %d after undo or redo: %v", s.name, i, err)
	}
	s.send(i, c)
}

func manage(t *testing.T, d *Doc, opts UndoOptions, scope ...Scope) *UndoManager {
	t.Helper()
	u, err := NewUndoManager(d, opts, scope...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// change is a transaction that must not fail.
func change(t *testing.T, d *Doc, origin any, fn func(*Txn)) {
	t.Helper()
	if _, err := d.Transact(origin, fn); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
}

// back undoes or redoes and tells whether there was anything to do.
func back(t *testing.T, d *Doc, do func() (*Commit, error)) bool {
	t.Helper()
	c, err := do()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return c != nil
}

// TestUndoAllRedoAll: without changes by others, undoing goes back through every state that there was,
// and redoing forth again.
func TestUndoAllRedoAll(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9))
		d := New(Options{ClientID: 1 + ClientID(seed), KeepDeleted: seed%2 == 0})
		change(t, d, "before", func(tx *Txn) {
			d.Text("t").Insert(tx, 0, "before")
			d.Map("m").Set(tx, "k", String("before"))
			d.Array("a").Push(tx, NewArray(Int(1)), NewMap(Field{"x", NewText("deep")}))
			d.XMLFragment("x").Push(tx, NewXMLElement("p", Attrs{{"id", Int(1)}}))
		})
		u := manage(t, d, UndoOptions{}, d)
		states := []string{shown(d)}
		for range 30 {
			change(t, d, nil, func(tx *Txn) { randomEdit(rng, d, tx) })
			if s := shown(d); s != states[len(states)-1] {
				states = append(states, s)
			}
		}
		last := len(states) - 1
		for round := range 3 {
			at := last
			for back(t, d, u.Undo) {
				at = stepTo(t, seed, round, states, at, -1, shown(d))
			}
			if at != 0 {
				t.Fatalf("seed %d: undone back to state %d", seed, at)
			}
			for back(t, d, u.Redo) {
				at = stepTo(t, seed, round, states, at, 1, shown(d))
			}
			if at != last {
				t.Fatalf("seed %d: redone up to state %d of %d", seed, at, last)
			}
		}
	}
}

// stepTo finds the state that an undo or redo led to: the next one, or the same if the step did
// nothing that can be seen.
func stepTo(t *testing.T, seed uint64, round int, states []string, at, by int, got string) int {
	t.Helper()
	if got == states[at] {
		return at
	}
	if next := at + by; next >= 0 && next < len(states) && got == states[next] {
		return next
	}
	t.Fatalf("seed %d, round %d: from state %d by %d:\n%s\nto\n%s", seed, round, at, by, states[at], got)
	return 0
}

func shown(d *Doc) string {
	out := d.AppendJSON(nil, map[string]TypeKind{"t": KindText, "m": KindMap, "a": KindArray, "x": KindXMLFragment})
	for op := range d.Text("t").Chunks() {
		out = Object(op.Attrs...).AppendJSON(op.Insert.AppendJSON(append(out, '\n')))
	}
	return string(out)
}

func randomEdit(rng *rand.Rand, d *Doc, tx *Txn) {
	text, array, m, x := d.Text("t"), d.Array("a"), d.Map("m"), d.XMLFragment("x")
	switch at := rng.IntN(text.Len() + 1); rng.IntN(10) {
	case 0:
		text.Insert(tx, at, "new")
	case 1:
		text.Delete(tx, at, min(3, text.Len()-at))
	case 2:
		text.Format(tx, at, text.Len()-at, Attrs{{"bold", Bool(rng.IntN(2) == 0)}})
	case 3:
		m.Set(tx, "k", Int(rng.IntN(100)))
	case 4:
		m.Set(tx, "deep", NewMap(Field{"y", NewText("abc")}, Field{"z", Int(rng.IntN(100))}))
	case 5:
		m.Delete(tx, "k")
	case 6:
		array.Insert(tx, rng.IntN(array.Len()+1), Int(rng.IntN(100)), NewArray(String("in"), NewText("text")))
	case 7:
		if n := array.Len(); n > 0 {
			i := rng.IntN(n)
			if inner := array.At(i).Array(); inner.Valid() && inner.Len() > 0 {
				inner.Delete(tx, 0, 1)
			} else {
				array.Delete(tx, i, 1)
			}
		}
	case 8:
		x.Insert(tx, rng.IntN(x.Len()+1), NewXMLElement("p", Attrs{{"id", Int(rng.IntN(100))}}, NewXMLText(nil)))
	case 9:
		if n := x.Len(); n > 0 {
			x.At(rng.IntN(n)).XMLElement().SetAttr(tx, "id", Int(rng.IntN(100)))
		}
	}
}

func TestUndoOthersChangesStay(t *testing.T) {
	d := New(Options{ClientID: 1})
	text := d.Text("t")
	change(t, d, nil, func(tx *Txn) { text.Insert(tx, 0, "one two three") })
	u := manage(t, d, UndoOptions{Origins: []any{"me"}}, text)
	change(t, d, "me", func(tx *Txn) { text.Delete(tx, 4, 4) })
	change(t, d, "you", func(tx *Txn) { text.Insert(tx, 4, "and ") })
	back(t, d, u.Undo)
	if got := text.String(); got != "one and two three" && got != "one two and three" {
		t.Errorf("undone: %q", got)
	}
	back(t, d, u.Redo)
	if got := text.String(); got != "one and three" {
		t.Errorf("redone: %q", got)
	}
}

type editor struct{ name string }

func TestUndoOrigins(t *testing.T) {
	d := New(Options{})
	a := d.Array("a")
	u := manage(t, d, UndoOptions{Origins: []any{reflect.TypeFor[editor]()}}, a)
	push := func(origin any, n int) {
		change(t, d, origin, func(tx *Txn) { a.Push(tx, Int(n)) })
	}
	push(nil, 1)
	push(editor{"x"}, 2)
	push(&editor{"x"}, 3)
	push([]string{"cannot be compared"}, 4)
	u.AddTrackedOrigin("later")
	u.AddTrackedOrigin("later")
	push("later", 5)
	if n := len(u.Stack(UndoStack)); n != 2 {
		t.Errorf("%d steps, want those of 2 and 5", n)
	}
	u.RemoveTrackedOrigin("later")
	push("later", 6)
	for back(t, d, u.Undo) {
	}
	if got := string(a.JSON().AppendJSON(nil)); got != "[1,3,4,6]" {
		t.Errorf("undone: %s", got)
	}
}

func TestUndoCaptureWindow(t *testing.T) {
	d := New(Options{})
	text := d.Text("t")
	now := int64(0)
	u := manage(t, d, UndoOptions{Now: func() int64 { return now }}, text)
	for _, step := range []struct {
		at    int64
		stop  bool
		steps int
	}{{0, false, 1}, {499, false, 1}, {998, false, 1}, {1498, false, 2}, {1500, true, 3}, {1501, false, 3}} {
		if now = step.at; step.stop {
			u.StopCapturing()
		}
		change(t, d, nil, func(tx *Txn) { text.Insert(tx, text.Len(), "x") })
		if n := len(u.Stack(UndoStack)); n != step.steps {
			t.Errorf("at %d ms: %d steps, want %d", now, n, step.steps)
		}
	}
	back(t, d, u.Undo)
	if text.String() != "xxxx" {
		t.Errorf("%q is left", text)
	}
}

func TestUndoEvents(t *testing.T) {
	d := New(Options{})
	text, other := d.Text("t"), d.Map("m")
	now := int64(1)
	u := manage(t, d, UndoOptions{Now: func() int64 { return now }, CaptureWindow: 10}, text)
	var got []string // kind, stack, which were cleared, what was changed, whether the manager did it
	stop := u.Observe(func(e *StackEvent) {
		line := fmt.Sprint(e.Kind, e.Stack, e.ClearedUndo, e.ClearedRedo, e.Changed(text), e.Changed(other), e.Changed(d), e.Origin == any(u))
		switch e.Kind {
		case StackAdded:
			e.Item.SetMeta("cursor", now)
		case StackPopped:
			line += fmt.Sprint(" ", e.Item.Meta("cursor"), e.Item.Meta("none"))
		}
		got = append(got, line)
	})
	write := func() { change(t, d, nil, func(tx *Txn) { text.Insert(tx, 0, "a") }) }
	write()
	now = 5
	write()
	now = 50
	write()
	back(t, d, u.Undo)
	back(t, d, u.Redo)
	back(t, d, u.Undo)
	write()
	u.Clear()
	stop()
	write()
	want := []string{
		"0 0 false false true false true false",
		"1 0 false false true false true false",
		"0 0 false false true false true false",
		"0 1 false false true false true true", "2 0 false false true false true true 50 <nil>",
		"0 0 false false true false true true", "2 1 false false true false true true 50 <nil>",
		"0 1 false false true false true true", "2 0 false false true false true true 50 <nil>",
		"3 0 false true false false false false", "0 0 false false true false true false",
		"3 0 true true false false false false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestUndoFilters(t *testing.T) {
	d := New(Options{})
	list, m := d.Array("a"), d.Map("m")
	var asked []string
	u := manage(t, d, UndoOptions{
		Captures: func(c *Commit) bool { return !c.Empty() && c.Origin() == nil },
		DeleteFilter: func(del UndoDeletion) bool {
			key, keyed := del.Key()
			asked = append(asked, fmt.Sprintf("%q %v: %d units from %d, of the map %v, a map %v",
				key, keyed, del.Len(), del.ID().Clock, del.Parent() == m.Value(), del.Type().Map().Valid()))
			return !del.Type().Map().Valid()
		},
	}, d)
	change(t, d, nil, func(tx *Txn) {
		list.Push(tx, Int(1), Int(2), NewMap())
		m.Set(tx, "k", Null())
	})
	change(t, d, nil, func(*Txn) {})
	if n := len(u.Stack(UndoStack)); n != 1 {
		t.Fatalf("%d steps, want 1", n)
	}
	back(t, d, u.Undo)
	if got := string(d.AppendJSON(nil, nil)); got != `{"a":[{}],"m":{}}` {
		t.Errorf("left: %s", got)
	}
	want := []string{
		`"k" true: 1 units from 3, of the map true, a map false`,
		`"" false: 1 units from 2, of the map false, a map true`,
		`"" false: 2 units from 0, of the map false, a map false`,
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked\n%q, want\n%q", asked, want)
	}
}

func TestUndoKeepsAndForgets(t *testing.T) {
	d := New(Options{})
	list := d.Array("a")
	change(t, d, nil, func(tx *Txn) { list.Push(tx, NewArray(NewText("deep"))) })
	u := manage(t, d, UndoOptions{Origins: []any{"me"}}, list)
	change(t, d, "me", func(tx *Txn) { list.Delete(tx, 0, 1) })
	kept := func() (n int) {
		for c := range d.clients {
			for e := range d.clients[c].blocks.all() {
				if d.item(e.ref).keep() {
					n++
				}
			}
		}
		return n
	}
	if n := kept(); n != 3 {
		t.Errorf("%d items are kept, want the array, the text and what it says", n)
	}
	u.ClearRedo() // there is nothing to redo
	if !u.CanUndo() || u.CanRedo() {
		t.Error("there should be one step to undo")
	}
	u.ClearUndo()
	if n := kept(); n != 0 || u.CanUndo() {
		t.Errorf("%d items are kept after all was forgotten", n)
	}
	if back(t, d, u.Undo) || list.Len() != 0 {
		t.Error("something was undone")
	}
	u.Close()
	change(t, d, "me", func(tx *Txn) { list.Push(tx, Int(1)) })
	if u.CanUndo() || d.watch.tracks() {
		t.Error("a closed manager watches")
	}
}

func TestUndoScope(t *testing.T) {
	d := New(Options{})
	if _, err := NewUndoManager(d, UndoOptions{}, New(Options{})); !errors.Is(err, ErrRange) {
		t.Errorf("another document: %v", err)
	}
	if _, err := NewUndoManager(d, UndoOptions{}, Text{}); !errors.Is(err, ErrRange) {
		t.Errorf("no type: %v", err)
	}
	u := manage(t, d, UndoOptions{})
	change(t, d, nil, func(tx *Txn) { d.Map("m").Set(tx, "k", NewArray()) })
	inner := d.Map("m").At("k").Array()
	if err := u.AddToScope(inner, inner); err != nil {
		t.Fatal(err)
	}
	change(t, d, nil, func(tx *Txn) {
		inner.Push(tx, Int(1), NewArray())
		d.Map("m").Set(tx, "other", Int(1))
	})
	change(t, d, nil, func(tx *Txn) { inner.At(1).Array().Push(tx, Int(2)) })
	change(t, d, nil, func(tx *Txn) { d.Map("m").Delete(tx, "other") })
	for back(t, d, u.Undo) {
	}
	if got := string(d.AppendJSON(nil, nil)); got != `{"m":{"k":[]}}` {
		t.Errorf("left: %s", got)
	}
}

// TestUndoWithinTransaction: an undo that joins a transaction is an ordinary change.
func TestUndoWithinTransaction(t *testing.T) {
	d := New(Options{})
	text := d.Text("t")
	u := manage(t, d, UndoOptions{}, text)
	change(t, d, nil, func(tx *Txn) { text.Insert(tx, 0, "abc") })
	change(t, d, nil, func(tx *Txn) {
		text.Insert(tx, 3, "def")
		if c, err := u.Undo(); err != nil || c == nil {
			t.Errorf("%v, %v", c, err)
		}
	})
	if text.String() != "def" || u.CanRedo() || len(u.Stack(UndoStack)) != 1 {
		t.Errorf("%q, %d steps to undo", text, len(u.Stack(UndoStack)))
	}
	back(t, d, u.Undo)
	if text.String() != "abc" {
		t.Errorf("undone: %q", text)
	}
}

// TestUndoDeepChain: following what was redone many times, and far down, needs no recursion.
func TestUndoDeepChain(t *testing.T) {
	d := New(Options{})
	root := d.Array("a")
	u := manage(t, d, UndoOptions{Origins: []any{"me"}}, root)
	inner := NewArray(Int(1))
	for range 300 {
		inner = NewArray(inner)
	}
	change(t, d, "me", func(tx *Txn) { root.Push(tx, inner) })
	change(t, d, "me", func(tx *Txn) { root.Delete(tx, 0, 1) })
	want := string(root.JSON().AppendJSON(nil))
	for range 40 {
		back(t, d, u.Undo)
		depth := 0
		for a := root; a.Len() > 0 && a.At(0).Array().Valid(); depth++ {
			a = a.At(0).Array()
		}
		if depth != 301 {
			t.Fatalf("%d types are back", depth)
		}
		back(t, d, u.Redo)
		if got := string(root.JSON().AppendJSON(nil)); got != want {
			t.Fatalf("redone: %s", got)
		}
	}
}

// TestUndoManySiblings: bringing a type back takes time in proportion to what is in it, in whichever
// order that was inserted.
func TestUndoManySiblings(t *testing.T) {
	const n = 40_000
	for _, where := range []string{"append", "prepend", "beside a copy"} {
		var items []Value
		for i := range n {
			items = append(items, NewXMLElement("li", Attrs{{"i", Int(i)}}))
		}
		d := New(Options{})
		root := d.XMLFragment("x")
		u := manage(t, d, UndoOptions{Origins: []any{"me"}}, root)
		change(t, d, nil, func(tx *Txn) {
			root.Push(tx, NewXMLElement("list", nil))
			list := root.At(0).XMLElement()
			switch where {
			case "append":
				list.Push(tx, items...)
			case "prepend":
				for _, item := range items {
					list.Insert(tx, 0, item)
				}
			case "beside a copy":
				list.Push(tx, NewXMLElement("li", nil))
			}
		})
		if where == "beside a copy" {
			list := root.At(0).XMLElement()
			change(t, d, "me", func(tx *Txn) { list.Delete(tx, 0, 1) })
			back(t, d, u.Undo)
			change(t, d, nil, func(tx *Txn) { list.Insert(tx, 1, items...) })
		}
		want := root.String()
		change(t, d, "me", func(tx *Txn) { root.Delete(tx, 0, 1) })
		back(t, d, u.Undo)
		if root.String() != want {
			t.Errorf("%s: undone, but not the same", where)
		}
	}
}

// TestUndoPartOfRedone: what two steps inserted came back as one item, and one step of it goes again.
func TestUndoPartOfRedone(t *testing.T) {
	d := New(Options{ClientID: 1})
	text := d.Text("t")
	u := manage(t, d, UndoOptions{}, text)
	change(t, d, nil, func(tx *Txn) { text.Insert(tx, 0, "ab") })
	change(t, d, nil, func(tx *Txn) { text.Insert(tx, 2, "cd") })
	change(t, d, nil, func(tx *Txn) { text.Delete(tx, 0, 4) })
	for _, want := range []string{"abcd", "ab", ""} {
		if !back(t, d, u.Undo) || text.String() != want {
			t.Fatalf("undone: %q, want %q", text, want)
		}
	}
	for _, want := range []string{"ab", "abcd", ""} {
		if !back(t, d, u.Redo) || text.String() != want {
			t.Fatalf("redone: %q, want %q", text, want)
		}
	}
}

// TestUndoCopyBesideOriginal: an item comes back in its type, which then is deleted and comes back
// itself. What was inserted between the first copy and the original then has the second copy as its
// right origin too: the original leads to it. The bytes are from yjs 13.6.33.
func TestUndoCopyBesideOriginal(t *testing.T) {
	d := New(Options{ClientID: 1})
	root := d.Array("a")
	u := manage(t, d, UndoOptions{Origins: []any{"me"}}, root)
	change(t, d, "me", func(tx *Txn) { root.Push(tx, NewArray(String("x"))) })
	change(t, d, "me", func(tx *Txn) { root.At(0).Array().Delete(tx, 0, 1) })
	back(t, d, u.Undo)
	change(t, d, "me", func(tx *Txn) { root.At(0).Array().Insert(tx, 1, NewMap(), String("y")) })
	change(t, d, "me", func(tx *Txn) { root.Delete(tx, 0, 1) })
	for i, want := range []string{
		"01040105470100000800010501770178c70106010601c8010701060177017900 0000024105030a030003000c000747000800c700c80100010002000102410001040577017877017900",
		"0104010947010500080001090177017887010a0188010b0177017900 000002410303120300010a07470008008700880100010002000102410001040977017877017900",
	} {
		if i > 0 {
			back(t, d, u.Redo)
		}
		c, err := u.Undo()
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(c.AppendUpdate(nil, V1)) + " " + hex.EncodeToString(c.AppendUpdate(nil, V2)); got != want {
			t.Errorf("undone:\n%s, want\n%s", got, want)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUndoReceived: with the origin of received updates, what others did becomes steps. Clients come
// in the order in which the document got to know them.
func TestUndoReceived(t *testing.T) {
	d := New(Options{ClientID: 1})
	apply := func(u []byte) {
		t.Helper()
		if _, err := d.Apply("peer", V1, u); err != nil {
			t.Fatal(err)
		}
	}
	others := make([]*Doc, 3)
	for i := range others {
		others[i] = New(Options{ClientID: ClientID(10 - i)})
		change(t, others[i], nil, func(tx *Txn) { others[i].Text("t").Insert(tx, 0, "known ") })
	}
	for _, i := range []int{2, 0} {
		apply(others[i].AppendState(nil, V1))
		change(t, others[i], nil, func(tx *Txn) { others[i].Text("t").Delete(tx, 0, 1) })
	}
	before := d.Text("t").String()
	u := manage(t, d, UndoOptions{Origins: []any{"peer"}}, d)
	var updates [][]byte
	for _, o := range others {
		change(t, o, nil, func(tx *Txn) { o.Text("t").Insert(tx, 0, "new ") })
		updates = append(updates, o.AppendState(nil, V1))
	}
	merged, err := Merge(V1, updates...)
	if err != nil {
		t.Fatal(err)
	}
	apply(merged)
	step := u.Stack(UndoStack)[0]
	var order []ClientID
	for _, c := range step.insertions {
		order = append(order, d.clients[c.client].id)
	}
	if want := []ClientID{8, 10, 9}; !slices.Equal(order, want) {
		t.Errorf("clients %v, want %v", order, want)
	}
	ins, del := step.Insertions(), step.Deletions()
	if !ins.Contains(ID{9, 0}) || !ins.Contains(ID{8, 6}) || ins.Contains(ID{8, 5}) || !del.Contains(ID{10, 0}) || del.Contains(ID{10, 1}) {
		t.Errorf("inserted %v, deleted %v", ins, del)
	}
	back(t, d, u.Undo)
	if got := d.Text("t").String(); got != before {
		t.Errorf("undone: %q, want %q", got, before)
	}
}

// TestCheckFindsUndoFaults spoils what undoing adds to a document, one thing at a time.
func TestCheckFindsUndoFaults(t *testing.T) {
	for name, spoil := range map[string]func(d *Doc, u *UndoManager){
		"no flag": func(d *Doc, _ *UndoManager) { d.item(d.blockAt(unitID{1, 0})).flags &^= flagRedone },
		"unmarked copy": func(d *Doc, _ *UndoManager) {
			d.item(d.blockAt(unitID{1, 3})).flags &^= flagCopy
		},
		"no copy":      func(d *Doc, _ *UndoManager) { clear(d.redone) },
		"unknown copy": func(d *Doc, _ *UndoManager) { d.redone[d.blockAt(unitID{1, 0})] = ID{1, 100} },
		"older copy":   func(d *Doc, _ *UndoManager) { d.redone[d.blockAt(unitID{1, 0})] = ID{1, 0} },
		"living": func(d *Doc, _ *UndoManager) {
			r := d.blockAt(unitID{1, 3})
			d.setRedone(r, ID{1, 6})
		},
		"unknown units":  func(_ *Doc, u *UndoManager) { u.stacks[UndoStack][0].insertions.add(1, 50, 60) },
		"living deleted": func(_ *Doc, u *UndoManager) { u.stacks[UndoStack][0].deletions.add(1, 3, 4) },
		"order": func(_ *Doc, u *UndoManager) {
			u.stacks[UndoStack][0].insertions[0].ranges = ranges{{2, 3}, {0, 1}}
		},
		"twice": func(_ *Doc, u *UndoManager) {
			s := &u.stacks[UndoStack][0].insertions
			*s = append(*s, (*s)[0])
		},
	} {
		d := New(Options{ClientID: 1})
		text := d.Text("t")
		u := manage(t, d, UndoOptions{}, text)
		change(t, d, nil, func(tx *Txn) { text.Insert(tx, 0, "abc") })
		change(t, d, nil, func(tx *Txn) { text.Delete(tx, 0, 3) })
		back(t, d, u.Undo)
		change(t, d, "other", func(tx *Txn) { text.Insert(tx, 0, "more") })
		spoil(d, u)
		if d.Check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
