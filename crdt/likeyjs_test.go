package crdt_test

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"ysync/crdt"
)

// Of a gc block and an item that start at the same clock, Yjs writes the one
// that JavaScript's sort leaves in front, and its comparison puts either before
// the other. The bytes are from yjs 13.6.33: a text "abc", then "abcdef", in a
// map, and what is left of it after it was deleted, all from clock 1 on.
func TestMergeGCBlockWithItem(t *testing.T) {
	updates := map[string]string{
		"after":  "AQIFAQAGBAEBeAF6AQUBAAc=",
		"mid":    "AQEFAQQABQAGYWJjZGVmAA==",
		"before": "AQEFAQQABQADYWJjAA==",
		"other":  "AQEJAAQBAXgFb3RoZXIA",
	}
	for order, want := range map[string]string{
		"before after":           "AQIFAQAGBAEBeAF6AQUBAAc=",
		"after before":           "AQMFAQQABQADYWJjAAMEAQF4AXoBBQEABw==",
		"after mid before":       "AQIFAQQABQAGYWJjZGVmBAEBeAF6AQUBAAc=",
		"mid after before other": "AgEJAAQBAXgFb3RoZXICBQEEAAUABmFiY2RlZgQBAXgBegEFAQAH",
		"other after before":     "AgEJAAQBAXgFb3RoZXICBQEABgQBAXgBegEFAQAH",
	} {
		var us [][]byte
		for _, name := range strings.Fields(order) {
			us = append(us, unbase64(t, updates[name]))
		}
		got, err := crdt.Merge(crdt.V1, us...)
		if err != nil {
			t.Fatal(err)
		}
		if s := base64.StdEncoding.EncodeToString(got); s != want {
			t.Errorf("%s: %s, want %s", order, s, want)
		}
	}
}

// Merging many updates takes no time in proportion to their square.
func TestMergeManyUpdates(t *testing.T) {
	doc := crdt.New(crdt.Options{ClientID: 1})
	crdt.CheckAtEnd(t, doc)
	var updates [][]byte
	for i := range 5000 {
		c, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, i/2, "x") })
		if err != nil {
			t.Fatal(err)
		}
		updates = append(updates, c.AppendUpdate(nil, crdt.V1))
	}
	merged, err := crdt.Merge(crdt.V1, updates...)
	if err != nil {
		t.Fatal(err)
	}
	again := crdt.New(crdt.Options{ClientID: 2})
	crdt.CheckAtEnd(t, again)
	if _, err := again.Apply(nil, crdt.V1, merged); err != nil {
		t.Fatal(err)
	}
	if got, want := again.Text("t").String(), doc.Text("t").String(); got != want || !again.Pending().Empty() {
		t.Fatalf("%d units, want %d; %+v", len(got), len(want), again.Pending())
	}
}

// A damaged update can hold a block of which the front is known and which says
// it lives elsewhere. The rest goes where the front is.
func TestRestOfKnownBlockStaysWithIt(t *testing.T) {
	doc := crdt.New(crdt.Options{ClientID: 1})
	for _, name := range []string{"here", "elsewhere"} {
		other := crdt.New(crdt.Options{ClientID: 2})
		c, err := other.Transact(nil, func(tx *crdt.Txn) {
			other.Text(name).Insert(tx, 0, "abcdef"[:3+3*len(name)/9])
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := doc.Apply(nil, crdt.V1, c.AppendUpdate(nil, crdt.V1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := doc.Check(); err != nil {
		t.Fatal(err)
	}
	if here, elsewhere := doc.Text("here").String(), doc.Text("elsewhere").String(); here != "abcdef" || elsewhere != "" {
		t.Fatalf("%q and %q", here, elsewhere)
	}
}

// A value that V1 cannot say must survive when a V2 update is large and its
// sections are wanted in another order than they come in.
func TestLargeUpdateOutOfOrder(t *testing.T) {
	a := crdt.New(crdt.Options{ClientID: 10, KeepDeleted: true})
	crdt.CheckAtEnd(t, a)
	b := crdt.New(crdt.Options{ClientID: 20, KeepDeleted: true})
	crdt.CheckAtEnd(t, b)
	// The higher client comes first and builds on the lower one, unit by unit.
	for i := range 200 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		c, err := from.Transact(nil, func(tx *crdt.Txn) {
			text := from.Text("t")
			if i%10 == 0 {
				text.InsertEmbed(tx, text.Len(), crdt.Object(crdt.Field{Key: "u", Value: crdt.Undefined()}), crdt.Attrs{})
				return
			}
			text.InsertWith(tx, text.Len(), "x", crdt.Attrs{{Key: "n", Value: crdt.Int(i)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Apply(nil, crdt.V2, c.AppendUpdate(nil, crdt.V2)); err != nil {
			t.Fatal(err)
		}
	}
	c := crdt.New(crdt.Options{ClientID: 30})
	crdt.CheckAtEnd(t, c)
	if _, err := c.Apply(nil, crdt.V2, a.AppendState(nil, crdt.V2)); err != nil {
		t.Fatal(err)
	}
	if !c.Pending().Empty() || !c.StateVector().Equal(a.StateVector()) {
		t.Fatalf("waits for %+v", c.Pending())
	}
	if !c.Text("t").Delta().Equal(a.Text("t").Delta()) {
		t.Fatal("another text")
	}
}

// A block that waits keeps waiting after it came again and was integrated. If
// it was collected since, Yjs writes the waiting form into the state, not the
// collected one. The bytes are from yjs 13.6.33: 5 makes a text "ab" in a map, 7
// puts "xyz" into it; that comes first, with a later block of 5 behind a hole.
func TestKnownBlockWaitsOn(t *testing.T) {
	doc := crdt.New(crdt.Options{ClientID: 9})
	crdt.CheckAtEnd(t, doc)
	for _, u := range []string{"AgEHAMQFAQUCA3h5egEFBCgBAW0BaQF9AgA=", "AQIFACcBAW0BawIEAAUAAmFiAA==", "AQEHAMQFAQUCA3h5egA="} {
		if _, err := doc.Apply(nil, crdt.V1, unbase64(t, u)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Map("m").Delete(tx, "k") }); err != nil {
		t.Fatal(err)
	}
	for v, want := range map[crdt.Version]string{
		crdt.V1: "AgEHAMQFAQUCA3h5egQFACEBAW0BawEAAgoBKAEBbQFpAX0CAgcBAAMFAQAD",
		crdt.V2: "AAADB0UBAQIBBAnEACEAAAAKACgLB3h5em1rbWkDQQIBAQADAQIBAgEABAABfQICBwEAAgUBAAI=",
	} {
		if got := base64.StdEncoding.EncodeToString(doc.AppendState(nil, v)); got != want {
			t.Errorf("V%d: %s, want %s", v, got, want)
		}
		again := crdt.New(crdt.Options{})
		crdt.CheckAtEnd(t, again)
		if _, err := again.Apply(nil, v, doc.AppendStored(nil, v)); err != nil {
			t.Fatal(err)
		}
		if !again.StateVector().Equal(doc.StateVector()) {
			t.Errorf("V%d: loaded at %v, was at %v", v, again.StateVector(), doc.StateVector())
		}
	}
}

// Below a deleted type, what was deleted before is tried to be merged in the
// order of a walk that goes down first. The bytes are from yjs 13.6.33.
func TestDeletedBeforeItsParent(t *testing.T) {
	doc := crdt.New(crdt.Options{ClientID: 7})
	crdt.CheckAtEnd(t, doc)
	m := doc.Map("m")
	for i, edit := range []func(tx *crdt.Txn){
		func(tx *crdt.Txn) {
			m.Set(tx, "b", crdt.NewXMLElement("p", crdt.Attrs{{Key: "k", Value: crdt.String("1")}},
				crdt.NewXMLText(crdt.Delta{crdt.InsertText("ab")}),
				crdt.NewXMLElement("q", nil, crdt.NewXMLText(crdt.Delta{crdt.InsertText("x")}))))
		},
		func(tx *crdt.Txn) { m.Set(tx, "c", crdt.Int(1)) },
		func(tx *crdt.Txn) {
			b := m.At("b").XMLElement()
			b.Delete(tx, 1, 1)
			b.At(0).Text().Delete(tx, 0, 2)
			b.SetAttr(tx, "k", crdt.String("2"))
		},
		func(tx *crdt.Txn) { m.Delete(tx, "b") },
	} {
		if _, err := doc.Transact(nil, edit); err != nil {
			t.Fatalf("edit %d: %v", i, err)
		}
	}
	const want = "010407002101016d01620100072801016d0163017d01000101070200080901"
	if got := hex.EncodeToString(doc.AppendState(nil, crdt.V1)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func unbase64(t *testing.T, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Yjs looks only at the unit before a cut: if it is the first half of a pair,
// whatever follows is replaced too, even the first half of the next pair. The
// bytes are from yjs 13.6.33.
func TestCutAfterLoneHalf(t *testing.T) {
	for at, want := range map[int]string{
		1: "010301000401017403efbfbd84010007efbfbdefbfbd78c401000101017100 000002410202010001020504008400c4110c74efbfbdefbfbdefbfbd7871410003010101000001030000",
		2: "010301000401017406efbfbdefbfbd84010104efbfbd78c401010102017100 000002410202020001040504008400c4110c74efbfbdefbfbdefbfbd7871014200010101000001030000",
		3: "010301000401017407efbfbdf09f98808401020178c401020103017100 000002410202040001060504008400c40f0a74efbfbdf09f98807871010341000101000001030000",
	} {
		doc := crdt.New(crdt.Options{ClientID: 1})
		for i, edit := range []func(tx *crdt.Txn){
			func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, "\xed\xa0\xbd😀x") },
			func(tx *crdt.Txn) { doc.Text("t").Insert(tx, at, "q") },
		} {
			if _, err := doc.Transact(nil, edit); err != nil {
				t.Fatalf("edit %d: %v", i, err)
			}
		}
		if err := doc.Check(); err != nil {
			t.Fatal(err)
		}
		got := hex.EncodeToString(doc.AppendState(nil, crdt.V1)) + " " + hex.EncodeToString(doc.AppendState(nil, crdt.V2))
		if got != want {
			t.Errorf("cut at %d:\n%s, want\n%s", at, got, want)
		}
	}
}

// Yjs cuts for the blocks of an update before it looks whether it knows them, and
// at the commit merges around the cuts, here where nothing else makes it try:
// between gc blocks of a text that had been deleted, and kept for a while, long
// before its parent was. The bytes are from yjs 13.6.33.
func TestMergesAroundCutsForKnownBlocks(t *testing.T) {
	author := crdt.New(crdt.Options{ClientID: 1, KeepDeleted: true})
	list := author.Array("a")
	var us [][]byte
	for i, edit := range []func(tx *crdt.Txn, text func() crdt.Text){
		func(tx *crdt.Txn, _ func() crdt.Text) { list.Insert(tx, 0, crdt.NewArray(crdt.NewText(""))) },
		func(tx *crdt.Txn, text func() crdt.Text) { text().Insert(tx, 0, "b") },
		func(tx *crdt.Txn, text func() crdt.Text) { text().Insert(tx, 0, "a") },
		func(tx *crdt.Txn, text func() crdt.Text) { text().Insert(tx, 1, "c") },
		func(tx *crdt.Txn, text func() crdt.Text) { text().Delete(tx, 0, 3) },
		func(tx *crdt.Txn, _ func() crdt.Text) { list.Delete(tx, 0, 1) },
	} {
		c, err := author.Transact(nil, func(tx *crdt.Txn) { edit(tx, func() crdt.Text { return list.At(0).Array().At(0).Text() }) })
		if err != nil {
			t.Fatalf("edit %d: %v", i, err)
		}
		us = append(us, c.AppendUpdate(nil, crdt.V1))
	}
	for want, last := range map[string][][]byte{
		"010301000101016101000200020101010005": {us[5]},
		"01020100010101610100040101010005":     {us[3], us[5]},
	} {
		doc := crdt.New(crdt.Options{ClientID: 2})
		list := doc.Array("a")
		undo, err := crdt.NewUndoManager(doc, crdt.UndoOptions{}, list)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range us[:5] {
			if _, err := doc.Apply("remote", crdt.V1, u); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := doc.Transact(nil, func(tx *crdt.Txn) { list.At(0).Array().Delete(tx, 0, 1) }); err != nil {
			t.Fatal(err)
		}
		undo.Clear()
		merged, err := crdt.Merge(crdt.V1, last...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := doc.Apply("remote", crdt.V1, merged); err != nil {
			t.Fatal(err)
		}
		if err := doc.Check(); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(doc.AppendState(nil, crdt.V1)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A replica makes two gc blocks in a row where what is below a type was deleted in
// two transactions before the type was: nothing tries to merge the two. They stay
// two while they wait, and become one when they are integrated. The bytes are from
// yjs 13.6.33.
func TestWaitingGCBlocksStayApart(t *testing.T) {
	author := crdt.New(crdt.Options{ClientID: 1})
	list := author.Array("a")
	for i, edit := range []func(tx *crdt.Txn){
		func(tx *crdt.Txn) {
			list.Insert(tx, 0, crdt.NewMap())
			list.Insert(tx, 1, crdt.NewMap(crdt.Field{Key: "x", Value: crdt.Int(1)}))
			list.At(0).Map().Set(tx, "k", crdt.Int(1))
		},
		func(tx *crdt.Txn) {
			list.Delete(tx, 1, 1)
			list.Push(tx, crdt.Int(7))
			list.At(0).Map().Set(tx, "k", crdt.Int(2))
		},
		func(tx *crdt.Txn) { list.Delete(tx, 0, 1) },
	} {
		if _, err := author.Transact(nil, edit); err != nil {
			t.Fatalf("edit %d: %v", i, err)
		}
	}
	for _, v := range []crdt.Version{crdt.V1, crdt.V2} {
		doc := crdt.New(crdt.Options{ClientID: 2})
		for i, want := range []string{
			"0104010200010001880101017d07000101010200040501 0000024100010200050001880000010000000241020104027d0701010200030100",
			"010501018101000100010001880101017d07000101010200040501 0000024101020002000781000001880000010000000241030105017d0701010200030100",
			"0104010001010161020002880101017d07000101010200040501 000002410001020007010000008800000301610101010004420041000104007d0701010200030100",
		} {
			known, err := crdt.DecodeStateVector([]byte{1, 1, byte(2 - i)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := doc.Apply("remote", v, author.AppendDiff(nil, v, known)); err != nil {
				t.Fatal(err)
			}
			if err := doc.Check(); err != nil {
				t.Fatal(err)
			}
			got := hex.EncodeToString(doc.AppendState(nil, crdt.V1)) + " " + hex.EncodeToString(doc.AppendState(nil, crdt.V2))
			if got != want {
				t.Errorf("V%d, all from clock %d on:\n%s, want\n%s", v, 2-i, got, want)
			}
		}
	}
}
