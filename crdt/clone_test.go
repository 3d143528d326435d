package crdt_test

import (
	"testing"

	"ysync/crdt"
)

// A copy of a type is equal to it and independent of it, whatever its kind.
func TestClone(t *testing.T) {
	d := crdt.New(crdt.Options{ClientID: 1})
	crdt.CheckAtEnd(t, d)
	m := d.Map("m")
	bold := crdt.Field{Key: "bold", Value: crdt.Bool(true)}
	originals := map[string]crdt.Value{
		"text": crdt.NewTextDelta(crdt.Delta{
			crdt.InsertText("a", bold), crdt.InsertText("b"),
			crdt.InsertValue(crdt.NewMap(crdt.Field{Key: "k", Value: crdt.Int(1)}), bold),
		}),
		"array": crdt.NewArray(crdt.Int(1), crdt.NewText("inner"), crdt.Bytes([]byte{1})),
		"map":   crdt.NewMap(crdt.Field{Key: "k", Value: crdt.NewArray(crdt.NewMap())}),
		"xml": crdt.NewXMLFragment(crdt.NewXMLElement("p", crdt.Attrs{{Key: "id", Value: crdt.Int(1)}},
			crdt.NewXMLText(crdt.Delta{crdt.InsertText("x", bold)}), crdt.NewXMLHook("h", crdt.Field{Key: "k", Value: crdt.Int(1)}))),
		"plain": crdt.String("s"),
	}
	edit(t, d, func(tx *crdt.Txn) {
		for k, v := range originals {
			m.Set(tx, k, v)
		}
	})
	for k := range originals {
		edit(t, d, func(tx *crdt.Txn) { m.Set(tx, k+"2", m.At(k).Clone()) })
		before := plainOf(m.At(k))
		if diff := differPlain(k, before, plainOf(m.At(k+"2"))); diff != "" {
			t.Error(diff)
		}
		edit(t, d, func(tx *crdt.Txn) {
			switch again := m.At(k + "2"); k {
			case "text":
				again.Text().Insert(tx, 0, "other")
			case "array":
				again.Array().At(1).Text().Insert(tx, 0, "other")
			case "map":
				again.Map().At("k").Array().At(0).Map().Set(tx, "other", crdt.Int(1))
			case "xml":
				again.XMLFragment().At(0).XMLElement().SetAttr(tx, "other", crdt.Int(1))
			}
		})
		if diff := differPlain(k, before, plainOf(m.At(k))); diff != "" {
			t.Errorf("a change of the copy shows: %s", diff)
		}
	}
	hook := m.At("xml").XMLFragment().Query("P").At(1).XMLHook()
	if again := m.At("xml2").XMLFragment().FirstChild().XMLFragment().At(1).XMLHook(); again.Name() != "h" || hook.Name() != "h" {
		t.Errorf("hooks %q and %q", hook.Name(), again.Name())
	}
}

func edit(t *testing.T, d *crdt.Doc, fn func(*crdt.Txn)) {
	t.Helper()
	if _, err := d.Transact(nil, fn); err != nil {
		t.Fatal(err)
	}
}

// Elements are found by their tag, at any depth, in document order.
func TestQuery(t *testing.T) {
	d := crdt.New(crdt.Options{ClientID: 1})
	crdt.CheckAtEnd(t, d)
	f := d.XMLFragment("x")
	el := func(tag, id string, children ...crdt.Value) crdt.Value {
		return crdt.NewXMLElement(tag, crdt.Attrs{{Key: "id", Value: crdt.String(id)}}, children...)
	}
	edit(t, d, func(tx *crdt.Txn) {
		f.Push(tx, el("p", "2"), crdt.NewXMLHook("p"), el("Div", "3", el("P", "4", el("p", "5"))))
		f.Unshift(tx, crdt.NewXMLText(nil), el("div", "1"))
	})
	ids := func(tag string) (all string) {
		for e := range f.QueryAll(tag) {
			all += e.Attr("id").Str()
		}
		return all
	}
	if got := ids("p"); got != "245" {
		t.Errorf("p: %s", got)
	}
	if got := ids("DIV"); got != "13" {
		t.Errorf("DIV: %s", got)
	}
	if e := f.Query("p"); e.Attr("id").Str() != "2" || f.Query("q").Valid() {
		t.Errorf("first p: %v", e)
	}
	hook := f.At(3).XMLHook()
	if hook.PrevSibling() != f.At(2) || hook.NextSibling() != f.At(4) {
		t.Error("the hook has other siblings")
	}
	a, m := d.Array("a"), d.Map("m")
	edit(t, d, func(tx *crdt.Txn) {
		a.Push(tx, crdt.Int(2))
		a.Unshift(tx, crdt.Int(0), crdt.Int(1))
		for v := range a.Values() {
			m.Set(tx, string(v.AppendJSON(nil)), v)
		}
	})
	sum := 0.0
	for v := range m.Values() {
		sum = sum*10 + v.Number()
	}
	if sum != 12 {
		t.Errorf("values %v", sum)
	}
}
