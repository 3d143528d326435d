package crdt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// calls notes what is called, in order.
type calls []string

func (c *calls) add(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

func (c *calls) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(*c, want) {
		t.Errorf("called\n%s\nwant\n%s", strings.Join(*c, "\n"), strings.Join(want, "\n"))
	}
	*c = nil
}

func pathString(e *Event) string {
	var steps []string
	for _, v := range e.Path() {
		steps = append(steps, string(v.AppendJSON(nil)))
	}
	return strings.Join(steps, "/")
}

// The order of the calls is that of Yjs: the types that changed in the order of
// their first change, deep observers from the type that got an event first, by
// path length, then the hooks, the commit, the subdocuments. A transaction made
// meanwhile comes after.
func TestObserverOrder(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m, list := d.Map("m"), d.Array("a")
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "inner", NewMap(Field{"deeper", NewText("abc")}))
		list.Push(tx, Int(1))
	})
	inner := m.At("inner").Map()
	text := inner.At("deeper").Text()
	var log calls
	m.ObserveDeep(func(events []*Event) {
		for _, e := range events {
			log.add("deep m: %s", pathString(e))
		}
	})
	inner.ObserveDeep(func(events []*Event) {
		for _, e := range events {
			log.add("deep inner: %s", pathString(e))
		}
	})
	text.Observe(func(e *Event) { log.add("text %v", e.Origin()) })
	once := true
	list.Observe(func(e *Event) {
		log.add("list %v", e.Origin())
		if !once {
			return
		}
		once = false
		c, err := d.Transact("observer", func(tx *Txn) { list.Push(tx, Int(2)) })
		if err != nil || c.Empty() {
			t.Error("the observer's transaction:", err)
		}
		log.add("list has %d", list.Len())
	})
	m.Observe(func(*Event) { log.add("m") })
	d.afterTransaction(func(tx *Txn) { log.add("after %v", tx.Origin) })
	d.OnCommit(func(c *Commit) { log.add("commit %v", c.Origin()) })
	d.OnSubdocs(func(e *SubdocsEvent) { log.add("subdocs %v: %d", e.Origin, len(e.Added)) })

	c, err := d.Transact("first", func(tx *Txn) {
		text.Insert(tx, 0, "x")
		list.Push(tx, NewSubdoc(Subdoc{GUID: "g"}))
		inner.Set(tx, "k", Int(1))
		m.Set(tx, "k", Int(1))
	})
	if err != nil {
		t.Fatal(err)
	}
	log.want(t, "text first", "list first", "list has 3", "m",
		"deep inner: ", `deep inner: "deeper"`, "deep m: ", `deep m: "inner"`, `deep m: "inner"/"deeper"`,
		"after first", "commit first", "subdocs first: 1",
		"list observer", "after observer", "commit observer")
	if c.Next() == nil || c.Next().Origin() != "observer" || c.Next().Next() != nil {
		t.Error("the commit of the observer's transaction does not follow")
	}
}

// A type that the transaction made or deleted gets no event.
func TestNoEventForNewAndDeleted(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m := d.Map("m")
	transact(t, d, func(tx *Txn) { m.Set(tx, "old", NewArray(NewText("abc"))) })
	old := m.At("old").Array()
	var log calls
	note := func(name string) func(*Event) { return func(*Event) { log.add("%s", name) } }
	old.Observe(note("old"))
	old.At(0).Observe(note("text in old"))
	m.ObserveDeep(func(events []*Event) { log.add("deep %d", len(events)) })
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "new", NewText(""))
		m.At("new").Text().Insert(tx, 0, "x")
		m.At("new").Observe(note("new"))
		old.At(0).Text().Insert(tx, 0, "y")
		old.Push(tx, Int(1))
		m.Delete(tx, "old")
	})
	log.want(t, "deep 1")
	transact(t, d, func(tx *Txn) { m.At("new").Text().Insert(tx, 0, "x") })
	log.want(t, "new", "deep 1")
}

// During a call a stopped observer is still reached and a new one is called, as
// in Yjs; afterwards only those are called that were not stopped.
func TestObserversDuringCall(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m := d.Map("m")
	var log calls
	var stopB func()
	added := false
	stopA := m.Observe(func(*Event) {
		log.add("a")
		if !added {
			added = true
			m.Observe(func(*Event) { log.add("c") })
		}
		stopB()
	})
	stopB = m.Observe(func(*Event) { log.add("b") })
	set := func() { transact(t, d, func(tx *Txn) { m.Set(tx, "k", Int(1)) }) }
	set()
	log.want(t, "a", "b", "c")
	set()
	log.want(t, "a", "c")
	stopA()
	stopA()
	set()
	log.want(t, "c")
	if n := d.watch.tracking; n != 1 {
		t.Errorf("%d watchers", n)
	}
}

// An event gives what was asked for in the call, and nothing more.
func TestEventIsFrozen(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	text := d.Text("t")
	var asked, unasked *Event
	text.Observe(func(e *Event) { asked = e; e.Delta(); e.Keys() })
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "abc")
		text.SetAttr(tx, "k", Int(1))
	})
	d.Array("a").Observe(func(e *Event) { unasked = e })
	transact(t, d, func(tx *Txn) { d.Array("a").Push(tx, Int(1)) })
	transact(t, d, func(tx *Txn) { text.Delete(tx, 0, 3) })
	if want := (Delta{Remove(3)}); !asked.Delta().Equal(want) {
		t.Errorf("the last delta %v", asked.Delta())
	}
	if unasked.List() != nil || unasked.Keys() != nil || unasked.Path() != nil || unasked.Commit() != nil ||
		unasked.Adds(ID{1, 0}) || unasked.Deletes(ID{1, 0}) {
		t.Error("a frozen event has more to say")
	}
	added, deleted := unasked.Added(), unasked.Deleted()
	if !added.Empty() || !deleted.Empty() {
		t.Error("a frozen event has units")
	}
}

// What an event says of units and keys.
func TestEventDetails(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	e := d.XMLElement("e")
	transact(t, d, func(tx *Txn) {
		e.Push(tx, NewXMLElement("a", nil), NewXMLElement("b", nil))
		e.SetAttr(tx, "gone", Int(1))
		e.SetAttr(tx, "same", Int(1))
	})
	checked := false
	defer e.Observe(func(ev *Event) {
		checked = true
		if !ev.SequenceChanged() || !slices.Equal(ev.KeysTouched(), []string{"same", "gone", "came", "fleeting"}) {
			t.Errorf("touched %v %v", ev.SequenceChanged(), ev.KeysTouched())
		}
		var keys []string
		for _, k := range ev.Keys() {
			keys = append(keys, fmt.Sprintf("%s %s %s", k.Action, k.Key, k.Old.AppendJSON(nil)))
		}
		if want := []string{"update same 1", "delete gone 1", "add came null"}; !slices.Equal(keys, want) {
			t.Errorf("keys %v, want %v", keys, want)
		}
		ops := ev.List()
		if len(ops) != 2 || ops[1].Kind != DeltaDelete || ops[1].Len != 1 || ops[0].Kind != DeltaInsert || len(ops[0].Insert) != 1 {
			t.Errorf("list %v", ops)
		}
		added, deleted := ev.Added(), ev.Deleted()
		for _, c := range []struct {
			id                           ID
			adds, deletes, added, delete bool
		}{
			{ID{1, 0}, false, true, false, true},
			{ID{1, 1}, false, false, false, false},
			{ID{1, 6}, true, false, true, false},
			{ID{1, 7}, true, true, false, false},
			{ID{9, 7}, false, false, false, false},
		} {
			if ev.Adds(c.id) != c.adds || ev.Deletes(c.id) != c.deletes || added.Contains(c.id) != c.added || deleted.Contains(c.id) != c.delete {
				t.Errorf("%v: %v %v %v %v", c.id, ev.Adds(c.id), ev.Deletes(c.id), added.Contains(c.id), deleted.Contains(c.id))
			}
		}
		if !ev.Local() || ev.Doc() != d || ev.Target() != e.Value() || ev.CurrentTarget() != e.Value() || ev.Delta() != nil {
			t.Error("the event is of another type")
		}
		if u := ev.Commit().AppendUpdate(nil, V1); len(u) < 10 {
			t.Errorf("update %x", u)
		}
	})()
	transact(t, d, func(tx *Txn) {
		e.SetAttr(tx, "same", Int(1))
		e.RemoveAttr(tx, "gone")
		e.SetAttr(tx, "came", Int(1))
		e.Delete(tx, 0, 1)
		e.Insert(tx, 0, NewXMLElement("c", nil))
		e.SetAttr(tx, "fleeting", Int(1))
		e.RemoveAttr(tx, "fleeting")
	})
	if !checked {
		t.Error("not called")
	}
}

// An observer that joins within a transaction gets the whole of it.
func TestObserveFromWithin(t *testing.T) {
	d := New(Options{ClientID: 1})
	text := d.Text("t")
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "hello") })
	transact(t, d, func(tx *Txn) { text.Delete(tx, 3, 2) })
	var got Delta
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 3, "p")
		text.Delete(tx, 1, 1)
		text.Observe(func(e *Event) { got = e.Delta() })
	})
	if want := (Delta{Retain(1), Remove(1), Retain(1), InsertText("p")}); !got.Equal(want) {
		t.Errorf("delta %v, want %v", got, want)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
}

// A format that a remote change made redundant goes when a delta is read, and
// stays in a document that cleans up nothing.
func TestDeltaDeletesRedundantFormat(t *testing.T) {
	bold := Field{"bold", Bool(true)}
	for _, keep := range []bool{false, true} {
		a, b := New(Options{ClientID: 1}), New(Options{ClientID: 2, NoFormatCleanup: keep})
		CheckAtEnd(t, a)
		CheckAtEnd(t, b)
		edit := func(d *Doc, fn func(Text, *Txn)) []byte {
			c, err := d.Transact(nil, func(tx *Txn) { fn(d.Text("t"), tx) })
			if err != nil {
				t.Fatal(err)
			}
			return c.AppendUpdate(nil, V1)
		}
		apply := func(d *Doc, u []byte) {
			if _, err := d.Apply(nil, V1, u); err != nil {
				t.Fatal(err)
			}
		}
		apply(b, edit(a, func(x Text, tx *Txn) { x.Insert(tx, 0, "abcdef") }))
		ua := edit(a, func(x Text, tx *Txn) { x.Format(tx, 0, 4, Attrs{bold}) })
		edit(b, func(x Text, tx *Txn) { x.Format(tx, 2, 4, Attrs{bold}) })
		var got Delta
		b.Text("t").Observe(func(e *Event) {
			if !e.Local() {
				got = e.Delta()
			}
		})
		emitted := 0
		b.OnCommit(func(c *Commit) {
			if c.Local() {
				emitted++
			}
		})
		apply(b, ua)
		if want := (Delta{Retain(4, bold), Retain(2, Field{"bold", Null()})}); !got.Equal(want) {
			t.Errorf("keep %v: delta %v", keep, got)
		}
		if (emitted == 0) != keep {
			t.Errorf("keep %v: %d transactions followed", keep, emitted)
		}
	}
}

// A commit keeps its bytes while observers go on editing.
func TestCommitIsFrozenByEdits(t *testing.T) {
	d, copied := New(Options{ClientID: 1}), New(Options{ClientID: 2})
	CheckAtEnd(t, d)
	CheckAtEnd(t, copied)
	text := d.Text("t")
	n := 0
	stop := d.OnCommit(func(c *Commit) {
		before := c.AppendUpdate(nil, V1)
		if n++; n < 4 {
			if _, err := d.Transact(n, func(tx *Txn) { text.Insert(tx, 0, fmt.Sprint(n)) }); err != nil {
				t.Error(err)
			}
		}
		if u := c.AppendUpdate(nil, V1); !slices.Equal(u, before) {
			t.Errorf("update %x, was %x", u, before)
		}
		if _, err := copied.Apply(nil, V1, before); err != nil {
			t.Error(err)
		}
	})
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "x") })
	if n != 4 || text.String() != "321x" || copied.Text("t").String() != "321x" {
		t.Errorf("%d commits, %q, %q", n, text, copied.Text("t"))
	}
	transact(t, d, func(*Txn) {})
	stop()
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "x") })
	if n != 4 {
		t.Errorf("%d commits", n)
	}
}

// References to other documents are loaded and reset once, and only in the
// document they are in.
func TestSubdocsLoadAndReset(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m := d.Map("m")
	transact(t, d, func(tx *Txn) { m.Set(tx, "s", NewSubdoc(Subdoc{GUID: "g"})) })
	var log calls
	stop := d.OnSubdocs(func(e *SubdocsEvent) {
		log.add("%d added, %d removed, %d loaded", len(e.Added), len(e.Removed), len(e.Loaded))
	})
	load := func(tx *Txn) { m.At("s").LoadSubdoc(tx) }
	transact(t, d, load)
	log.want(t, "0 added, 0 removed, 1 loaded")
	transact(t, d, load)
	log.want(t)
	if !m.At("s").Subdoc().ShouldLoad || !d.Subdocs()[0].ShouldLoad {
		t.Error("not to be loaded")
	}
	transact(t, d, func(tx *Txn) { m.At("s").ResetSubdoc(tx) })
	log.want(t, "1 added, 1 removed, 0 loaded")
	if m.At("s").Subdoc().ShouldLoad {
		t.Error("still to be loaded")
	}
	was := m.At("s")
	if !was.Equal(m.At("s")) || was.Equal(NewSubdoc(was.Subdoc())) {
		t.Error("a reference is equal to itself alone")
	}
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "fleeting", NewSubdoc(Subdoc{GUID: "f", ShouldLoad: true}))
		m.Delete(tx, "fleeting")
	})
	log.want(t, "0 added, 0 removed, 1 loaded")
	transact(t, d, func(tx *Txn) { m.Delete(tx, "s") })
	log.want(t, "0 added, 1 removed, 0 loaded", "0 added, 1 removed, 0 loaded")
	for _, v := range []Value{was, Int(1), NewSubdoc(Subdoc{GUID: "g"})} {
		if _, err := d.Transact(nil, func(tx *Txn) { v.LoadSubdoc(tx); v.ResetSubdoc(tx) }); !errors.Is(err, ErrValue) {
			t.Errorf("%v: %v", v, err)
		}
	}
	stop()
	transact(t, d, func(tx *Txn) { m.Set(tx, "s", NewSubdoc(Subdoc{GUID: "g"})) })
	log.want(t)
}

// Depth costs no stack.
func TestEventOfDeepType(t *testing.T) {
	const depth = 20000
	d := New(Options{ClientID: 1, Limits: Limits{TypeDepth: 2 * depth}})
	CheckAtEnd(t, d)
	m := d.Map("m")
	inner := m
	transact(t, d, func(tx *Txn) {
		for range depth {
			inner.Set(tx, "k", NewMap())
			inner = inner.At("k").Map()
		}
	})
	steps := 0
	m.ObserveDeep(func(events []*Event) { steps = len(events[0].Path()) })
	transact(t, d, func(tx *Txn) { inner.Set(tx, "k", Int(1)) })
	if steps != depth {
		t.Errorf("path of %d steps", steps)
	}
	transact(t, d, func(tx *Txn) { m.Delete(tx, "k") })
	if steps != 0 {
		t.Errorf("path of %d steps", steps)
	}
}

// The zero handles take observers, and never call them.
func TestObserveNothing(t *testing.T) {
	Text{}.Observe(func(*Event) { t.Error("called") })()
	Value{}.ObserveDeep(func([]*Event) { t.Error("called") })()
	if KeyAction(0).String() != "none" {
		t.Error("the zero action has a name")
	}
}
