package crdt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// revertTo is the revert of a document to a state; the past is loaded from it.
func revertTo(t *testing.T, d *Doc, state []byte) *Commit {
	t.Helper()
	past := New(Options{})
	if _, err := past.Apply(nil, V2, state); err != nil {
		t.Fatal(err)
	}
	c, err := d.Transact(nil, func(tx *Txn) { tx.Revert(past) })
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func stateOf(d *Doc) []byte { return d.AppendState(nil, V2) }

// TestRevertWhileOthersType reverts a text while what 20 clients typed, some of them into what the
// revert deletes or brings back, has not arrived. All of it is there afterwards, in one piece each and
// in the same place everywhere, and the rest is the old text.
func TestRevertWhileOthersType(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 9))
		server := New(Options{ClientID: 1000, NoFormatCleanup: true})
		text := server.Text("t")
		scribble := func(d *Doc, runes string) func(tx *Txn) {
			return func(tx *Txn) {
				text := d.Text("t")
				if n := text.Len(); n > 10 && rng.IntN(3) == 0 {
					at := rng.IntN(n)
					text.Delete(tx, at, min(n-at, rng.IntN(12)))
					return
				}
				text.Insert(tx, rng.IntN(text.Len()+1), runes[:1+rng.IntN(len(runes))])
			}
		}
		for range 60 {
			transact(t, server, scribble(server, "abcdefghijk"))
		}
		old, state := text.String(), stateOf(server)
		for range 60 {
			transact(t, server, scribble(server, "lmnopqrst"))
		}
		var updates [][]byte
		var typed []string
		for c := range 20 {
			client := New(Options{ClientID: ClientID(1 + c*97)})
			// Some have seen less than the others.
			seen := state
			if rng.IntN(4) > 0 {
				seen = stateOf(server)
			}
			if _, err := client.Apply(nil, V2, seen); err != nil {
				t.Fatal(err)
			}
			s := fmt.Sprintf("<%c%d>", 'A'+c, rng.IntN(1000))
			typed = append(typed, s)
			commit := transactCommit(t, client, func(tx *Txn) {
				client.Text("t").Insert(tx, rng.IntN(client.Text("t").Len()+1), s)
			})
			updates = append(updates, commit.AppendUpdate(nil, V2))
		}
		ahead := storedOf(server)
		updates = append(updates, revertTo(t, server, state).AppendUpdate(nil, V2))
		if got := text.String(); got != old {
			t.Fatalf("seed %d: reverted to %q, it was %q", seed, got, old)
		}
		var everywhere string
		for i := range 4 {
			peer := server
			if i > 0 {
				peer = ahead.load(t, Options{ClientID: ClientID(5000 + i)})
			}
			rng.Shuffle(len(updates), func(i, j int) { updates[i], updates[j] = updates[j], updates[i] })
			for _, u := range updates {
				if _, err := peer.Apply(nil, V2, u); err != nil {
					t.Fatal(err)
				}
			}
			if err := peer.Check(); err != nil {
				t.Fatal(err)
			}
			got := peer.Text("t").String()
			if i == 0 {
				everywhere = got
			}
			if got != everywhere {
				t.Fatalf("seed %d: %q and %q", seed, got, everywhere)
			}
		}
		rest := everywhere
		for _, s := range typed {
			if strings.Count(rest, s) != 1 {
				t.Fatalf("seed %d: %q is not once in %q", seed, s, everywhere)
			}
			rest = strings.Replace(rest, s, "", 1)
		}
		if rest != old {
			t.Fatalf("seed %d: besides what was typed there is %q, it was %q", seed, rest, old)
		}
	}
}

func transactCommit(t *testing.T, d *Doc, fn func(tx *Txn)) *Commit {
	t.Helper()
	c, err := d.Transact(nil, fn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is inserted before or behind deleted content comes out before or behind it when it is back.
func TestRevertBetweenNeighbours(t *testing.T) {
	for _, id := range []ClientID{2, 900} {
		d := New(Options{ClientID: 100})
		transact(t, d, func(tx *Txn) {
			d.Text("t").Insert(tx, 0, "Hello World.")
			d.Array("a").Push(tx, Int(1), Int(2), Int(3))
			d.Array("b").Push(tx, Int(1), Int(2), Int(3))
		})
		state := stateOf(d)
		transact(t, d, func(tx *Txn) {
			d.Text("t").Delete(tx, 5, 6)
			d.Array("a").Delete(tx, 2, 1)
			d.Array("b").Delete(tx, 0, 3)
		})
		peer := New(Options{ClientID: id})
		var updates [][]byte
		edit := func(seen []byte, fn func(tx *Txn)) {
			if _, err := peer.Apply(nil, V2, seen); err != nil {
				t.Fatal(err)
			}
			updates = append(updates, transactCommit(t, peer, fn).AppendUpdate(nil, V2))
		}
		edit(state, func(tx *Txn) {
			peer.Text("t").Insert(tx, 5, "!")
			peer.Text("t").Insert(tx, 12, "?")
		})
		edit(stateOf(d), func(tx *Txn) {
			peer.Array("a").Push(tx, Int(4))
			peer.Array("b").Push(tx, Int(4))
		})
		revertTo(t, d, state)
		for _, u := range updates {
			if _, err := d.Apply(nil, V2, u); err != nil {
				t.Fatal(err)
			}
		}
		const want = `{"t":"Hello! World?.","a":[1,2,3,4],"b":[1,2,3,4]}`
		if got := string(d.AppendJSON(nil, nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Formats that overlap come back as they were, with as few format items as there were; formats made
// elsewhere meanwhile stay.
func TestRevertFormats(t *testing.T) {
	yes := func(key string) Attrs { return Attrs{{key, Bool(true)}} }
	none := func(key string) Attrs { return Attrs{{key, Null()}} }
	d := New(Options{ClientID: 1})
	text := d.Text("t")
	transact(t, d, func(tx *Txn) {
		text.Insert(tx, 0, "0123456789abcdef")
		text.Format(tx, 2, 8, yes("bold"))
		text.Format(tx, 6, 8, yes("italic"))
		text.Format(tx, 4, 4, Attrs{{"link", Object(Field{"href", String("x")})}})
		text.InsertEmbed(tx, 8, Object(Field{"img", Int(1)}), yes("bold"))
	})
	want, state, formats := text.Delta(), stateOf(d), countFormats(d)
	for name, change := range map[string]func(tx *Txn){
		"unformatted": func(tx *Txn) {
			text.Format(tx, 0, 17, append(append(none("bold"), none("italic")...), none("link")...))
		},
		"all bold":     func(tx *Txn) { text.Format(tx, 0, 17, yes("bold")) },
		"deleted":      func(tx *Txn) { text.Delete(tx, 0, 17) },
		"bold deleted": func(tx *Txn) { text.Delete(tx, 1, 6) },
		"more": func(tx *Txn) {
			text.Format(tx, 3, 9, yes("code"))
			text.InsertWith(tx, 5, "new", yes("italic"))
			text.Format(tx, 1, 3, none("bold"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			transact(t, d, change)
			if text.Delta().Equal(want) {
				t.Fatal("nothing changed")
			}
			before, changed := text.Delta(), stateOf(d)
			revertTo(t, d, state)
			if got := text.Delta(); !got.Equal(want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			if n := countFormats(d); n != formats {
				t.Errorf("%d formats, there were %d", n, formats)
			}
			revertTo(t, d, changed)
			if got := text.Delta(); !got.Equal(before) {
				t.Fatalf("got %v, want %v", got, before)
			}
			revertTo(t, d, state)
		})
	}

	peer := New(Options{ClientID: 2})
	transact(t, d, func(tx *Txn) { text.Delete(tx, 0, 2) })
	if _, err := peer.Apply(nil, V2, stateOf(d)); err != nil {
		t.Fatal(err)
	}
	c := transactCommit(t, peer, func(tx *Txn) { peer.Text("t").Format(tx, 13, 2, yes("code")) })
	revertTo(t, d, state)
	if _, err := d.Apply(nil, V2, c.AppendUpdate(nil, V2)); err != nil {
		t.Fatal(err)
	}
	transact(t, d, func(tx *Txn) { text.Format(tx, 15, 2, none("code")) })
	if got := text.Delta(); !got.Equal(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func countFormats(d *Doc) (n int) {
	for r := d.start(d.Text("t").b); r != 0; r = d.item(r).right {
		if it := d.item(r); it.kind == kindFormat && !it.deleted() {
			n++
		}
	}
	return n
}

// A surrogate pair that was cut since comes back whole.
func TestRevertCutPairs(t *testing.T) {
	for at := range 12 {
		for n := range 4 {
			for _, keep := range []bool{false, true} {
				d := New(Options{ClientID: 1, KeepDeleted: keep})
				text := d.Text("t")
				transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "é😀a😀😀中b😀") })
				want, state := text.String(), stateOf(d)
				transact(t, d, func(tx *Txn) {
					text.Delete(tx, at, n)
					text.Insert(tx, min(at+1, text.Len()), "x")
				})
				changed, before := text.String(), stateOf(d)
				revertTo(t, d, state)
				if got := text.String(); got != want {
					t.Fatalf("cut at %d and %d: got %q, want %q", at, n, got, want)
				}
				revertTo(t, d, before)
				if got := text.String(); got != changed {
					t.Fatalf("cut at %d and %d: got %q, want %q", at, n, got, changed)
				}
			}
		}
	}
}

// Types that live at both moments are the same afterwards; types deleted since are made again.
func TestRevertNestedTypes(t *testing.T) {
	d := New(Options{ClientID: 1})
	m, x := d.Map("m"), d.XMLFragment("x")
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "stays", NewMap(Field{"a", Int(1)}, Field{"b", NewArray(Int(1), NewText("deep"), Bytes([]byte{7}))}))
		m.Set(tx, "goes", NewArray(NewMap(Field{"t", NewTextDelta(Delta{InsertText("x", Field{"b", Bool(true)})})})))
		m.Set(tx, "doc", NewSubdoc(Subdoc{GUID: "g", AutoLoad: true, Meta: Int(4)}))
		m.Set(tx, "undefined", Undefined())
		m.Set(tx, "big", BigInt(5))
		x.Push(tx, NewXMLElement("p", Attrs{{"id", Int(1)}}, NewXMLText(Delta{InsertText("hi")}), NewXMLHook("h", Field{"k", Int(1)})))
		m.Set(tx, "text", NewText("with attributes"))
		m.At("text").Text().SetAttr(tx, "dir", String("rtl"))
	})
	stays, deep := m.At("stays").Map(), m.At("stays").Map().At("b").Array().At(1).Text()
	author, _ := m.Author("stays")
	before, state := eyes{}.dumpDoc(d), stateOf(d)
	transact(t, d, func(tx *Txn) {
		stays.Set(tx, "a", Int(2))
		stays.Set(tx, "c", NewMap())
		stays.At("b").Array().Insert(tx, 0, Null())
		deep.Insert(tx, 4, "er")
		for _, key := range []string{"goes", "doc", "undefined", "big", "text"} {
			m.Delete(tx, key)
		}
		x.Delete(tx, 0, 1)
		x.Push(tx, NewXMLElement("q", nil))
		d.Array("new root").Push(tx, Int(1))
		d.Map("new map").Set(tx, "k", Int(1))
	})
	revertTo(t, d, state)
	if got := (eyes{}).dumpDoc(d); got != before {
		t.Fatalf("got\n%s\nwant\n%s", got, before)
	}
	if now, _ := m.Author("stays"); now != author || !stays.Valid() || !deep.Valid() || deep.String() != "deep" {
		t.Errorf("a type that lived was made again: %v, was %v", now, author)
	}
	if got := m.At("text").Text().Attr("dir").Str(); got != "rtl" {
		t.Errorf("attribute of a text is %q", got)
	}
	if s := m.At("doc").Subdoc(); s.GUID != "g" || !s.AutoLoad || s.Meta.Number() != 4 {
		t.Errorf("subdocument %+v", s)
	}
	if d.Array("new root").Len() != 0 || d.Map("new map").Len() != 0 || !m.Has("undefined") {
		t.Error("new roots are not empty, or undefined is gone")
	}
}

// A past of another history replaces everything.
func TestRevertToAnotherHistory(t *testing.T) {
	other := New(Options{ClientID: 5})
	transact(t, other, func(tx *Txn) {
		other.Text("t").InsertWith(tx, 0, "other", Attrs{{"b", Bool(true)}})
		other.Map("m").Set(tx, "k", NewArray(Int(1)))
		other.Array("only there").Push(tx, Int(1))
	})
	d := New(Options{ClientID: 1})
	transact(t, d, func(tx *Txn) {
		d.Text("t").Insert(tx, 0, "this")
		d.Map("m").Set(tx, "k", Int(1))
	})
	revertTo(t, d, stateOf(other))
	if got, want := inOrder(d.JSON(nil)), inOrder(other.JSON(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if sv := d.StateVector(); sv.Len() != 1 || sv.Get(1) == 0 {
		t.Errorf("the state vector is %v", sv)
	}
}

func TestRevertTooDeep(t *testing.T) {
	nest := func(d *Doc, levels int) {
		transact(t, d, func(tx *Txn) {
			v := NewMap()
			for range levels - 1 {
				v = NewMap(Field{"k", v})
			}
			d.Map("m").Set(tx, "k", v)
		})
	}
	past := New(Options{ClientID: 1})
	nest(past, 9)
	d := New(Options{ClientID: 2, Limits: Limits{TypeDepth: 8}})
	transact(t, d, func(tx *Txn) { d.Text("t").Insert(tx, 0, "stays") })
	before := stateOf(d)
	if _, err := d.Transact(nil, func(tx *Txn) { tx.Revert(past) }); !errors.Is(err, ErrLimit) {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(stateOf(d), before) {
		t.Fatal("the document changed")
	}
	transact(t, past, func(tx *Txn) { past.Map("m").At("k").Map().Delete(tx, "k") })
	revertTo(t, d, stateOf(past))
	if d.Text("t").Len() != 0 || !d.Map("m").At("k").Map().Valid() {
		t.Fatal("not reverted")
	}
}

// A revert works with position markers and an UndoManager, and can be undone by one.
func TestRevertIsAnEdit(t *testing.T) {
	d := New(Options{ClientID: 1})
	text := d.Text("t")
	u, err := NewUndoManager(d, UndoOptions{Origins: []any{"revert"}}, text)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(origin any, fn func(tx *Txn)) {
		t.Helper()
		if _, err := d.Transact(origin, fn); err != nil {
			t.Fatal(err)
		}
	}
	edit("typing", func(tx *Txn) { text.Insert(tx, 0, "one two three") })
	past := New(Options{})
	if _, err := past.Apply(nil, V2, stateOf(d)); err != nil {
		t.Fatal(err)
	}
	edit("typing", func(tx *Txn) {
		text.Delete(tx, 4, 4)
		text.Insert(tx, 9, " four")
	})
	edit("revert", func(tx *Txn) {
		tx.Revert(past)
		text.Insert(tx, 8, "2.5 ")
		text.Delete(tx, 0, 1)
	})
	if got := text.String(); got != "ne two 2.5 three" {
		t.Fatalf("got %q", got)
	}
	u.Undo()
	if got := text.String(); got != "one three four" {
		t.Fatalf("undone to %q", got)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
}
