package crdt

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
)

func jsonOf(v Value) string { return string(v.AppendJSON(nil)) }

func texts(vals []Value) (out []string) {
	for _, v := range vals {
		out = append(out, jsonOf(v))
	}
	return out
}

// Reading through handles, with the edges of each method.
func TestHandles(t *testing.T) {
	d := New(Options{ClientID: 7, GUID: "doc"})
	list, dict, body, page := d.Array("list"), d.Map("dict"), d.Text("body"), d.XMLFragment("page")
	transact(t, d, func(tx *Txn) {
		if tx.Doc() != d || tx.Err() != nil || !tx.Local() {
			t.Error("the transaction is not what it is")
		}
		list.Push(tx, Int(0), Int(1), Int(2), Int(3))
		dict.Set(tx, "a", Bytes([]byte{1, 2}))
		dict.Set(tx, "b", List(Int(1), Null(), Undefined()))
		body.Insert(tx, 0, "text")
		page.Push(tx, NewXMLElement("p", Attrs{{"raw", Bytes([]byte{7, 8})}}), NewXMLText(Delta{InsertText("tail")}), NewXMLFragment())
	})
	for _, c := range []struct {
		start, end int
		want       string
	}{{0, 4, "[0 1 2 3]"}, {1, 3, "[1 2]"}, {-2, 4, "[2 3]"}, {0, -1, "[0 1 2]"}, {3, 1, "[]"}, {2, 99, "[2 3]"}} {
		if got := fmt.Sprint(texts(list.Slice(c.start, c.end))); got != c.want {
			t.Errorf("from %d to %d: %s, want %s", c.start, c.end, got, c.want)
		}
	}
	for _, c := range []struct{ got, want string }{
		{jsonOf(list.JSON()), "[0,1,2,3]"},
		{jsonOf(dict.JSON()), `{"a":"AQI=","b":[1,null,null]}`},
		{jsonOf(body.JSON()), `"text"`},
		{jsonOf(page.JSON()), `"<p raw=\"7,8\"></p>tail"`},
		{jsonOf(page.At(0).XMLElement().JSON()), `"<p raw=\"7,8\"></p>"`},
		{jsonOf(page.At(1).XMLText().JSON()), `"tail"`},
		{string(body.AppendString([]byte("a "))), "a text"},
		{fmt.Sprint(texts(page.Slice(1, 2))), `["tail"]`},
		{fmt.Sprint(slices.Collect(dict.Keys())), "[a b]"},
		{jsonOf(page.FirstChild()), `"<p raw=\"7,8\"></p>"`},
		{jsonOf(page.At(1).XMLText().PrevSibling()), `"<p raw=\"7,8\"></p>"`},
		{fmt.Sprint(d.ClientID(), d.GUID()), "7doc"},
		{string(appendStringify(nil, Object(Field{"b", Bytes([]byte{1, 2})}))), `{"b":{"0":1,"1":2}}`},
		{string(appendStringify(nil, String("\b\f"))), `"\b\f"`},
		{jsonOf(Object(Field{"u", Undefined()}, Field{"n", Int(1)})), `{"n":1}`},
		{fmt.Sprint(ValueKind(99), ValueList), "kind(99) list"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	p := page.At(0).XMLElement()
	if !p.HasAttr("raw") || p.HasAttr("other") {
		t.Error("attributes are not those set")
	}
	if kind, ok := page.At(1).XMLText().NextSibling().TypeKind(); kind != KindXMLFragment || !ok {
		t.Errorf("the next sibling is %v", kind)
	}
	if kind, ok := Int(1).TypeKind(); kind != KindUndefined || ok {
		t.Errorf("a number is a type %v", kind)
	}
	v := dict.At("b")
	for _, i := range []int{-1, 3} {
		if !v.Index(i).IsUndefined() {
			t.Errorf("element %d is there", i)
		}
	}
	if !v.Index(0).Equal(Int(1)) || v.Len() != 3 || dict.At("a").Len() != 2 || Int(3).Len() != 0 || !Int(3).Index(0).IsUndefined() {
		t.Error("elements of values")
	}
	for range Int(3).Elements() {
		t.Error("a number has elements")
	}
	for range v.Elements() {
		break
	}
	if Int(1).BigInt() != 0 || BigInt(5).BigInt() != 5 || Int(1).Bytes() != nil || Int(1).Subdoc() != (Subdoc{}) {
		t.Error("a value is of another kind than it says")
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

func TestValuesDiffer(t *testing.T) {
	vals := []Value{
		Undefined(), Null(), Bool(false), Int(0), BigInt(0), String(""), Bytes(nil), List(), List(Int(1)), Object(),
		Object(Field{"a", Int(1)}), Object(Field{"a", Int(2)}), Object(Field{"b", Int(1)}), Object(Field{"a", Int(1)}, Field{"b", Int(1)}), NewText(""),
	}
	for i, v := range vals {
		for j, w := range vals {
			if v.Equal(w) != (i == j) {
				t.Errorf("%s (%v) and %s (%v): equal is %v", jsonOf(v), v.Kind(), jsonOf(w), w.Kind(), v.Equal(w))
			}
		}
	}
	if !Object(Field{"a", Int(1)}, Field{"b", Int(1)}).Equal(Object(Field{"b", Int(1)}, Field{"a", Int(1)})) {
		t.Error("the order of keys counts")
	}
	if (Attrs{{"a", Int(1)}}).Equal(Attrs{{"b", Int(1)}}) || (Attrs{{"a", Int(1)}}).Equal(Attrs{{"a", Int(2)}}) {
		t.Error("other attributes are equal")
	}
	if (Delta{Retain(1)}).Equal(Delta{Remove(1)}) || (Delta{Retain(1)}).Equal(nil) {
		t.Error("other deltas are equal")
	}
}

// More keys, roots and clients than are looked for one by one.
func TestManyOfEach(t *testing.T) {
	const n = 5 * few
	d := New(Options{ClientID: 1})
	nested := d.Array("types")
	transact(t, d, func(tx *Txn) {
		nested.Push(tx, NewMap(), NewMap())
		for i := range n {
			name := fmt.Sprint("k", i)
			d.Map("m").Set(tx, name, Int(i))
			nested.At(1).Map().Set(tx, name, Int(-i))
			d.Text(name).Insert(tx, 0, name)
		}
	})
	for i := range n {
		if _, err := d.Apply(nil, V1, oneBlock(textBlock(ClientID(100+i), 0, "x"))); err != nil {
			t.Fatal(err)
		}
	}
	again := New(Options{})
	if _, err := again.Apply(nil, V2, d.AppendState(nil, V2)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Doc{d, again} {
		for i := range n {
			name := fmt.Sprint("k", i)
			if got := d.Map("m").At(name); !got.Equal(Int(i)) {
				t.Errorf("%s is %s", name, jsonOf(got))
			}
			if got := d.Array("types").At(1).Map().At(name); !got.Equal(Int(-i)) {
				t.Errorf("nested %s is %s", name, jsonOf(got))
			}
			if got := d.Text(name).String(); got != name {
				t.Errorf("text %s is %q", name, got)
			}
		}
		if got := len(maps.Collect(d.Map("m").All())); got != n {
			t.Errorf("%d keys", got)
		}
		if got := len(slices.Collect(d.Roots())); got < n+2 {
			t.Errorf("%d roots", got)
		}
		if got := d.StateVector().Len(); got != n+1 {
			t.Errorf("%d clients", got)
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	}
	// With its types the keys of a deleted type are forgotten.
	transact(t, d, func(tx *Txn) { nested.Delete(tx, 1, 1) })
	if nested.Len() != 1 || nested.At(0).Map().Has("k1") {
		t.Error("the other map has the keys")
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// The first failure of a transaction ends it, through whatever handle it comes.
func TestFailuresOfHandles(t *testing.T) {
	var deep Value
	for range maxValueDepth {
		deep = List(deep)
	}
	for name, c := range map[string]struct {
		edit func(d *Doc, tx *Txn)
		want error
	}{
		"embed into deleted text": {func(d *Doc, tx *Txn) {
			d.Array("a").Push(tx, NewText("x"))
			text := d.Array("a").At(0).Text()
			d.Array("a").Delete(tx, 0, 1)
			text.InsertEmbed(tx, 0, Object(), nil)
		}, ErrCollected},
		"deep attribute":         {func(d *Doc, tx *Txn) { d.Text("t").InsertWith(tx, 0, "x", Attrs{{"k", List(deep)}}) }, ErrLimit},
		"undefined into a list":  {func(d *Doc, tx *Txn) { d.Array("a").Push(tx, Undefined()) }, ErrValue},
		"bigint inside a map":    {func(d *Doc, tx *Txn) { d.Array("a").Insert(tx, 0, NewArray(BigInt(1))) }, ErrValue},
		"type inside an object":  {func(d *Doc, tx *Txn) { d.Map("m").Set(tx, "k", NewMap(Field{"o", Object(Field{"t", NewText("")})})) }, ErrValue},
		"type inside metadata":   {func(d *Doc, tx *Txn) { d.Map("m").Set(tx, "k", NewSubdoc(Subdoc{Meta: List(NewText(""))})) }, ErrValue},
		"delete beyond the list": {func(d *Doc, tx *Txn) { d.Array("a").Delete(tx, 1, 1) }, ErrRange},
		"delta on nothing":       {func(d *Doc, tx *Txn) { d.Text("t").ApplyDelta(tx, Delta{Remove(1)}, DeltaOptions{}) }, ErrRange},
		"delta with null":        {func(d *Doc, tx *Txn) { d.Text("t").ApplyDelta(tx, Delta{InsertValue(Null())}, DeltaOptions{}) }, ErrValue},
		"nested delta with null": {func(d *Doc, tx *Txn) { d.Array("a").Push(tx, NewTextDelta(Delta{InsertValue(Null())})) }, ErrValue},
		"delta of nobody":        {func(_ *Doc, tx *Txn) { Text{}.ApplyDelta(tx, Delta{InsertText("x")}, DeltaOptions{}) }, ErrRange},
		"feeds without end": {func(d *Doc, tx *Txn) {
			d.Text("t").Insert(tx, 0, "x")
			d.Text("t").Format(tx, 0, maxPadding+9, Attrs{{"b", Bool(true)}})
		}, ErrRange},
		"after no child":        {func(d *Doc, tx *Txn) { d.XMLFragment("x").InsertAfter(tx, d.Text("t").Value(), NewXMLText(nil)) }, ErrRange},
		"bigint among children": {func(d *Doc, tx *Txn) { d.XMLFragment("x").InsertAfter(tx, Null(), BigInt(1)) }, ErrValue},
	} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{ClientID: 1})
			_, err := d.Transact(nil, func(tx *Txn) {
				c.edit(d, tx)
				if !errors.Is(tx.Err(), c.want) {
					t.Errorf("within: %v, want %v", tx.Err(), c.want)
				}
				before := d.state(1)
				d.Map("m").Set(tx, "later", Int(1))
				d.Array("a").Push(tx, Int(1))
				d.XMLFragment("x").InsertAfter(tx, Null(), NewXMLText(nil))
				d.Text("t").InsertEmbed(tx, 0, Object(), nil)
				if d.state(1) != before {
					t.Error("a later operation did something")
				}
			})
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if err := d.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}
