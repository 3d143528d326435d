package crdt

import (
	"errors"
	"slices"
	"testing"
)

func transact(t *testing.T, d *Doc, fn func(tx *Txn)) {
	t.Helper()
	if _, err := d.Transact(nil, fn); err != nil {
		t.Fatal(err)
	}
}

// The first failing operation is remembered; those after it do nothing, those before it stay.
func TestFirstErrorSticks(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	a, m := d.Array("a"), d.Map("m")
	_, err := d.Transact(nil, func(tx *Txn) {
		a.Push(tx, Int(1))
		a.Insert(tx, 5, Int(2))
		a.Push(tx, Int(3))
		m.Set(tx, "k", Int(1))
	})
	if !errors.Is(err, ErrRange) {
		t.Errorf("got %v, want ErrRange", err)
	}
	if got := string(d.AppendJSON(nil, nil)); got != `{"a":[1],"m":{}}` {
		t.Errorf("got %s", got)
	}
}

func TestRefusedOperations(t *testing.T) {
	d, other := New(Options{ClientID: 1}), New(Options{ClientID: 2})
	CheckAtEnd(t, d)
	CheckAtEnd(t, other)
	text, a, m, x := d.Text("t"), d.Array("a"), d.Map("m"), d.XMLFragment("x")
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "gone", NewMap())
		m.Set(tx, "doc", NewText(""))
	})
	gone := m.At("gone").Map()
	transact(t, d, func(tx *Txn) { m.Delete(tx, "gone") })
	deep := Null()
	for range maxValueDepth {
		deep = List(deep)
	}
	types := NewArray()
	for range 600 {
		types = NewArray(types)
	}
	for name, c := range map[string]struct {
		op   func(tx *Txn)
		want error
	}{
		"insert at a negative position":   {func(tx *Txn) { text.Insert(tx, -1, "x") }, ErrRange},
		"delete a negative length":        {func(tx *Txn) { text.Delete(tx, 0, -1) }, ErrRange},
		"delete from an empty text":       {func(tx *Txn) { text.Delete(tx, 0, 1) }, ErrRange},
		"embed null":                      {func(tx *Txn) { text.InsertEmbed(tx, 0, Null(), nil) }, ErrValue},
		"embed a bigint":                  {func(tx *Txn) { text.InsertEmbed(tx, 0, List(BigInt(1)), nil) }, ErrValue},
		"format with undefined":           {func(tx *Txn) { text.InsertWith(tx, 0, "x", Attrs{{"a", Undefined()}}) }, ErrValue},
		"delta of a negative length":      {func(tx *Txn) { text.ApplyDelta(tx, Delta{Retain(-1)}, DeltaOptions{}) }, ErrRange},
		"insert beyond the end":           {func(tx *Txn) { a.Insert(tx, 1, Null()) }, ErrRange},
		"delete beyond the end":           {func(tx *Txn) { a.Delete(tx, 0, 1) }, ErrRange},
		"bigint in an array":              {func(tx *Txn) { a.Push(tx, Int(1), BigInt(1)) }, ErrValue},
		"undefined in an array":           {func(tx *Txn) { a.Push(tx, Undefined()) }, ErrValue},
		"undefined in a prefilled array":  {func(tx *Txn) { m.Set(tx, "k", NewArray(Undefined())) }, ErrValue},
		"type inside plain data":          {func(tx *Txn) { m.Set(tx, "k", List(NewMap())) }, ErrValue},
		"type that is in a document":      {func(tx *Txn) { m.Set(tx, "k", m.At("doc")) }, ErrValue},
		"value nested too deep":           {func(tx *Txn) { m.Set(tx, "k", deep) }, ErrLimit},
		"types nested too deep":           {func(tx *Txn) { m.Set(tx, "k", types) }, ErrLimit},
		"edit of a deleted type":          {func(tx *Txn) { gone.Set(tx, "k", Null()) }, ErrCollected},
		"edit through the zero handle":    {func(tx *Txn) { Map{}.Set(tx, "k", Null()) }, ErrRange},
		"edit of another document":        {func(tx *Txn) { other.Map("m").Set(tx, "k", Null()) }, ErrRange},
		"insert after what is no child":   {func(tx *Txn) { x.InsertAfter(tx, m.At("doc"), NewXMLText(nil)) }, ErrRange},
		"insert after an undefined child": {func(tx *Txn) { x.InsertAfter(tx, x.At(3), NewXMLText(nil)) }, ErrRange},
	} {
		before := d.AppendState(nil, V1)
		_, err := d.Transact(nil, c.op)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if !slices.Equal(d.AppendState(nil, V1), before) {
			t.Errorf("%s: the document changed", name)
		}
	}
}

func TestReadingNothing(t *testing.T) {
	var text Text
	if text.Len() != 0 || text.String() != "" || len(text.Delta()) != 0 || text.Valid() || !text.Attr("k").IsUndefined() {
		t.Error("the zero Text is not empty")
	}
	var v Value
	if v.Map().Len() != 0 || !v.Array().At(0).IsUndefined() || v.XMLElement().Tag() != "" || !v.Text().Parent().IsUndefined() {
		t.Error("types of an undefined value are not empty")
	}
	for range v.XMLFragment().Descendants() {
		t.Error("the zero XMLFragment has a child")
	}
}

func TestXMLTree(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	x := d.XMLFragment("x")
	transact(t, d, func(tx *Txn) {
		x.Insert(tx, 0,
			NewXMLElement("H1", Attrs{{"z", Int(1)}, {"a", String("b")}}, NewXMLText(Delta{InsertText("Hi", Field{"b", Object(Field{"k", Int(1)})})})),
			NewXMLElement("gone", nil),
			NewXMLElement("ul", nil, NewXMLElement("li", nil), NewXMLElement("li", nil, NewXMLText(Delta{InsertText("x")}))))
		x.Delete(tx, 1, 1)
	})
	const want = `<h1 a="b" z="1"><b k="1">Hi</b></h1><ul><li></li><li>x</li></ul>`
	if got := x.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var tags []string
	for v := range x.Descendants() {
		if e := v.XMLElement(); e.Valid() {
			tags = append(tags, e.Tag())
		} else {
			tags = append(tags, "#"+v.XMLText().Text.String())
		}
	}
	if want := []string{"H1", "#Hi", "ul", "li", "li", "#x"}; !slices.Equal(tags, want) {
		t.Errorf("got %v, want %v", tags, want)
	}
	h1, ul := x.At(0).XMLElement(), x.At(1).XMLElement()
	if h1.NextSibling() != ul.Value() || ul.PrevSibling() != h1.Value() || !ul.NextSibling().IsUndefined() || h1.Parent() != x.Value() {
		t.Error("siblings or parent are wrong")
	}
}

// Roots that arrive from elsewhere have no kind until someone asks for them by kind.
func TestRootKinds(t *testing.T) {
	src := New(Options{ClientID: 1})
	CheckAtEnd(t, src)
	transact(t, src, func(tx *Txn) {
		src.Text("text").Insert(tx, 0, "hi")
		src.Array("list").Push(tx, Int(1), NewMap(Field{"a", NewText("b")}))
		src.Map("map").Set(tx, "bytes", Bytes([]byte{1, 2}))
		src.XMLFragment("xml").Push(tx, NewXMLElement("p", nil))
		src.Array("both").Push(tx, Null())
		src.Map("both").Set(tx, "k", BigInt(5))
	})
	d := New(Options{ClientID: 2})
	CheckAtEnd(t, d)
	if _, err := d.Apply(nil, V1, src.AppendState(nil, V1)); err != nil {
		t.Fatal(err)
	}
	got := map[string][]TypeKind{}
	for r := range d.Roots() {
		if r.Kind != KindUndefined {
			t.Errorf("root %s has kind %d", r.Name, r.Kind)
		}
		got[r.Name] = r.Inferred
	}
	for name, want := range map[string][]TypeKind{
		"text": {KindText}, "list": {KindArray}, "map": {KindMap}, "xml": {KindXMLFragment}, "both": {KindArray, KindMap},
	} {
		if !slices.Equal(got[name], want) {
			t.Errorf("root %s: got %v, want %v", name, got[name], want)
		}
	}
	json := string(d.AppendJSON(nil, map[string]TypeKind{"text": KindArray, "xml": KindXMLFragment}))
	const want = `{"text":["h","i"],"list":[1,{"a":"b"}],"map":{"bytes":"AQI="},"xml":"<p></p>","both":[null],"both (map)":{"k":5}}`
	if json != want {
		t.Errorf("got  %s\nwant %s", json, want)
	}
	if d.Text("text").String() != "hi" || d.XMLFragment("xml").Len() != 1 || d.Map("map").Len() != 1 {
		t.Error("roots asked for by kind do not show their content")
	}
}

func TestSubdocs(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m := d.Map("m")
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "a", NewSubdoc(Subdoc{GUID: "g1", ShouldLoad: true, Meta: Object(Field{"x", Int(1)})}))
		m.Set(tx, "b", NewSubdoc(Subdoc{GUID: "g2", AutoLoad: true, KeepDeleted: true}))
	})
	peer := New(Options{ClientID: 2})
	CheckAtEnd(t, peer)
	if _, err := peer.Apply(nil, V2, d.AppendState(nil, V2)); err != nil {
		t.Fatal(err)
	}
	if s := m.At("a").Subdoc(); !s.ShouldLoad || s.GUID != "g1" {
		t.Errorf("here: %+v", s)
	}
	if s := peer.Map("m").At("a").Subdoc(); s.ShouldLoad || s.Meta.Field("x").Number() != 1 {
		t.Errorf("there: %+v", s)
	}
	if s := peer.Map("m").At("b").Subdoc(); !s.ShouldLoad || !s.AutoLoad || !s.KeepDeleted {
		t.Errorf("there: %+v", s)
	}
	if got := len(peer.Subdocs()); got != 2 {
		t.Errorf("%d subdocuments", got)
	}
}
