package crdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestRelativePositionEncodings(t *testing.T) {
	d := New(Options{ClientID: 1<<53 - 1})
	CheckAtEnd(t, d)
	text := d.Text(`a "root"`)
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "hello")
		d.Map("m").Set(tx, "in", NewArray(Int(1), Int(2)))
	})
	inner := d.Map("m").At("in").Array()
	for _, c := range []struct {
		p    RelativePosition
		json string
		hex  []byte
	}{
		{
			text.RelativePosition(2, AssocAfter),
			`{"tname":"a \"root\"","item":{"client":9007199254740991,"clock":2},"assoc":0}`,
			[]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 2, 0},
		},
		{text.RelativePosition(0, AssocBefore), `{"tname":"a \"root\"","assoc":-1}`, append([]byte{1, 8}, `a "root"A`...)},
		{
			inner.RelativePosition(7, AssocAfter),
			`{"type":{"client":9007199254740991,"clock":5},"assoc":0}`,
			[]byte{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 5, 0},
		},
		{
			inner.RelativePosition(7, -3),
			`{"type":{"client":9007199254740991,"clock":5},"item":{"client":9007199254740991,"clock":7},"assoc":-3}`,
			[]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 7, 0x43},
		},
	} {
		if got := AppendRelativePosition(nil, c.p); !bytes.Equal(got, c.hex) {
			t.Errorf("%s: bytes %x, want %x", c.json, got, c.hex)
		}
		got, err := json.Marshal(c.p)
		if err != nil || string(got) != c.json {
			t.Errorf("JSON %s, %v, want %s", got, err, c.json)
		}
		var again RelativePosition
		if err := json.Unmarshal(got, &again); err != nil || !again.Equal(c.p) {
			t.Errorf("%s: read as %s, %v", c.json, again.AppendJSON(nil), err)
		}
		sent, err := DecodeRelativePosition(append(c.hex[:len(c.hex):len(c.hex)], 9, 9))
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
		}
		want, wantOK := d.Resolve(c.p)
		if at, ok := d.Resolve(sent); at != want || ok != wantOK || !ok {
			t.Errorf("%s: sent, it resolves to %v, %v, not %v", c.json, at, ok, want)
		}
		for n := range len(c.hex) - 1 {
			_, err := DecodeRelativePosition(c.hex[:n])
			var at *UpdateError
			if !errors.As(err, &at) || !errors.Is(err, ErrMalformed) || at.Offset < 0 || at.Offset > n {
				t.Errorf("%x: %v", c.hex[:n], err)
			}
		}
	}
	for _, bad := range []string{`[]`, `{"tname":1}`, `{"assoc":"x"}`, `{"assoc":1.5}`, `{"item":{"client":-1,"clock":0}}`, `{"type":{"client":1,"clock":1e300}}`} {
		var p RelativePosition
		if err := json.Unmarshal([]byte(bad), &p); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, nothing := range []string{`null`, `{}`, `{"type":null,"tname":null,"item":null,"assoc":null}`} {
		var p RelativePosition
		if err := json.Unmarshal([]byte(nothing), &p); err != nil || !p.IsZero() {
			t.Errorf("%s: %v, %v", nothing, p, err)
		}
	}
	if _, err := DecodeRelativePosition([]byte{3, 0}); !errors.Is(err, ErrMalformed) {
		t.Errorf("unknown kind: %v", err)
	}
	if b := AppendRelativePosition(nil, RelativePosition{}); len(b) != 0 {
		t.Errorf("nothing is written as %x", b)
	}
}

func TestResolveWhatIsGone(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	text, m := d.Text("t"), d.Map("m")
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "hello world")
		m.Set(tx, "in", NewText("inner"))
		m.Set(tx, "in2", NewArray(NewText("deep")))
	})
	inner, deep := m.At("in").Text(), m.At("in2").Array().At(0).Text()
	marks := []RelativePosition{text.RelativePosition(6, AssocAfter), text.RelativePosition(6, AssocBefore)}
	inside, end, below := inner.RelativePosition(2, 0), inner.RelativePosition(9, 0), deep.RelativePosition(1, 0)
	transact(t, d, func(tx *Txn) {
		text.Delete(tx, 3, 5)
		text.Insert(tx, 0, "oh ")
		m.Delete(tx, "in")
		m.Delete(tx, "in2")
	})
	for _, p := range marks {
		if at, ok := d.Resolve(p); !ok || at != (AbsolutePosition{text.Value(), 6, p.Assoc}) {
			t.Errorf("deleted text: %v, %v", at, ok)
		}
	}
	for name, p := range map[string]RelativePosition{"inside": inside, "end": end, "below": below, "nothing": {}} {
		if at, ok := d.Resolve(p); ok {
			t.Errorf("%s of what was collected: %v", name, at)
		}
	}
	if p := deep.RelativePosition(0, 0); !p.IsZero() {
		t.Errorf("position in a collected type: %s", p.AppendJSON(nil))
	}
	page := d.XMLFragment("x")
	transact(t, d, func(tx *Txn) { page.Push(tx, NewXMLHook("a"), NewXMLHook("b")) })
	p2 := page.RelativePosition(1, AssocAfter)
	transact(t, d, func(tx *Txn) { page.Delete(tx, 0, 1) })
	if at, ok := d.Resolve(p2); !ok || at.Index != 0 || at.Type != page.Value() {
		t.Errorf("in a fragment: %v, %v", at, ok)
	}
	if item, ok := p2.Item(); !ok || item.Client != 1 {
		t.Errorf("the position belongs to %v, %v", item, ok)
	}
	if holder, ok := inside.Type(); !ok || holder != (ID{1, 11}) {
		t.Errorf("the position is in %v, %v", holder, ok)
	}
	other := New(Options{ClientID: 2})
	CheckAtEnd(t, other)
	if at, ok := other.Resolve(marks[0]); ok {
		t.Errorf("unknown: %v", at)
	}
	if at, ok := other.ResolveShared(text.RelativePosition(99, 0)); !ok || at.Index != 0 || at.Type != other.Text("t").Value() {
		t.Errorf("end of an empty root: %v, %v", at, ok)
	}

	keeping := New(Options{ClientID: 1, KeepDeleted: true})
	CheckAtEnd(t, keeping)
	transact(t, keeping, func(tx *Txn) { keeping.Map("m").Set(tx, "in", NewText("inner")) })
	kept := keeping.Map("m").At("in").Text()
	p := kept.RelativePosition(2, 0)
	transact(t, keeping, func(tx *Txn) { keeping.Map("m").Delete(tx, "in") })
	if at, ok := keeping.Resolve(p); !ok || at != (AbsolutePosition{kept.Value(), 0, 0}) {
		t.Errorf("in a deleted type that is kept: %v, %v", at, ok)
	}
}

// TestResolveRedone leads a position from copy to copy of what it belongs to.
func TestResolveRedone(t *testing.T) {
	d := New(Options{ClientID: 1, KeepDeleted: true})
	CheckAtEnd(t, d)
	text := d.Text("t")
	transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "abcdef") })
	p, end := text.RelativePosition(3, AssocAfter), text.RelativePosition(3, AssocBefore)
	// bringBack deletes units 2 to 4 and inserts a copy at the end, as an undo manager notes it.
	bringBack := func(from Clock) {
		transact(t, d, func(tx *Txn) {
			gone := tx.cleanStart(unitID{1, uint32(from)})
			tx.cleanEnd(unitID{1, uint32(from) + 2})
			tx.deleteItem(gone)
			next := d.StateVector().Get(1)
			text.Insert(tx, text.Len(), "cde")
			d.setRedone(gone, ID{1, next})
			d.item(d.blockAt(unitID{1, uint32(next)})).flags |= flagCopy
		})
	}
	bringBack(2)
	bringBack(6)
	if got := text.String(); got != "abfcde" {
		t.Fatalf("text is %q", got)
	}
	for _, c := range []struct {
		p            RelativePosition
		here, shared int
	}{{p, 4, 2}, {end, 4, 2}} {
		if at, ok := d.Resolve(c.p); !ok || at.Index != c.here {
			t.Errorf("%s: %v, %v", c.p.AppendJSON(nil), at, ok)
		}
		if at, ok := d.ResolveShared(c.p); !ok || at.Index != c.shared {
			t.Errorf("%s: %v, %v for all", c.p.AppendJSON(nil), at, ok)
		}
	}
}

// TestPositionsInLongText makes and resolves positions all over a text of many blocks, which gets an
// index for it, and compares them with the definition; and edits a twin without positions, whose
// bytes must be the same.
func TestPositionsInLongText(t *testing.T) {
	for _, formatted := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(5, 5))
		d, twin := New(Options{ClientID: 1}), New(Options{ClientID: 1})
		type mark struct {
			p  RelativePosition
			at int
		}
		var marks []mark
		for step := range 4000 {
			at, n := rng.IntN(d.Text("t").Len()+1), 1+rng.IntN(3)
			remove, bold := rng.IntN(3) == 0, formatted && rng.IntN(5) == 0
			for _, doc := range []*Doc{d, twin} {
				transact(t, doc, func(tx *Txn) {
					text := doc.Text("t")
					switch {
					case bold && text.Len() > 0:
						text.Format(tx, at, n, Attrs{{"bold", Bool(step%2 == 0)}})
					case remove && text.Len() > 0:
						text.Delete(tx, at, n)
					default:
						text.Insert(tx, at, "xyz"[:n])
					}
				})
			}
			text := d.Text("t")
			if step%50 != 0 || text.Len() == 0 {
				continue
			}
			marks = marks[:0]
			for range 20 {
				at, assoc := rng.IntN(text.Len()+1), -rng.IntN(2)
				marks = append(marks, mark{text.RelativePosition(at, assoc), at})
			}
			for _, m := range marks {
				if got, ok := d.Resolve(m.p); !ok || got.Index != m.at || got.Type != text.Value() {
					t.Fatalf("step %d: %d became %v, %v", step, m.at, got, ok)
				}
			}
		}
		if d.types.marks[d.Text("t").b].index == nil {
			t.Error("the text has no index")
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.AppendState(nil, V2), twin.AppendState(nil, V2)) {
			t.Error("positions changed what edits do")
		}

		read := New(Options{ClientID: 2})
		if _, err := read.Apply(nil, V2, d.AppendState(nil, V2)); err != nil {
			t.Fatal(err)
		}
		text := read.Text("t")
		for i := range 400 {
			at := text.Len() - i%7
			for _, assoc := range []int{AssocAfter, AssocBefore} {
				if got, ok := read.Resolve(text.RelativePosition(at, assoc)); !ok || got.Index != at {
					t.Fatalf("%d became %v, %v", at, got, ok)
				}
			}
		}
		if m := read.types.marks[text.b]; m == nil || m.index == nil {
			t.Error("the text that is only read has no index")
		}
		if err := read.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzRelativePosition(f *testing.F) {
	d := New(Options{ClientID: 300})
	text := d.Text("t")
	if _, err := d.Transact(nil, func(tx *Txn) {
		text.Insert(tx, 0, "a😀b")
		text.InsertEmbed(tx, 1, NewArray(Int(1)), nil)
		text.Delete(tx, 0, 1)
	}); err != nil {
		f.Fatal(err)
	}
	for at := range 4 {
		f.Add(AppendRelativePosition(nil, text.RelativePosition(at, -at%2)))
	}
	f.Add([]byte{1, 1, 't', 0})
	f.Add([]byte{2, 0xac, 2, 4, 0x41})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeRelativePosition(b)
		if err == nil {
			again, err := DecodeRelativePosition(AppendRelativePosition(nil, p))
			if err != nil || !again.Equal(p) {
				t.Fatalf("%s written is %s, %v", p.AppendJSON(nil), again.AppendJSON(nil), err)
			}
			if root, ok := p.Root(); !ok || root != "" {
				var read RelativePosition
				if err := read.UnmarshalJSON(p.AppendJSON(nil)); err != nil || !read.Equal(p) {
					t.Fatalf("%s is read as %s, %v", p.AppendJSON(nil), read.AppendJSON(nil), err)
				}
			}
			for _, resolve := range []func(RelativePosition) (AbsolutePosition, bool){d.Resolve, d.ResolveShared} {
				if at, ok := resolve(p); ok && (at.Index < 0 || at.Type.IsUndefined()) {
					t.Fatalf("%s is at %v", p.AppendJSON(nil), at)
				}
			}
		}
		var q RelativePosition
		if err := q.UnmarshalJSON(b); err == nil {
			d.Resolve(q)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
