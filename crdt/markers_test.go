package crdt

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// check compares every marker with a walk from the start of the sequence.
func (m *markers) check(d *Doc, b branchRef) error {
	at := make(map[itemRef]int, d.slab.live)
	pos := 0
	for r := d.start(b); r != 0; r = d.item(r).right {
		at[r] = pos
		if it := d.item(r); !it.deleted() && it.countable() {
			pos += int(it.length)
		}
	}
	for i := 1; i < len(m.low); i++ {
		if m.low[i-1].at > m.low[i].at {
			return fmt.Errorf("low is not ascending: %+v", m.low)
		}
	}
	for i := 1; i < len(m.high); i++ {
		if m.high[i-1].at > m.high[i].at {
			return fmt.Errorf("high is not descending: %+v", m.high)
		}
	}
	all := append([]marker(nil), m.low...)
	for _, k := range m.high {
		k.at = m.total - k.at
		all = append(all, k)
	}
	orders := make(map[uint32]bool)
	for _, k := range all {
		if want, ok := at[k.item]; !ok || k.at != want {
			return fmt.Errorf("marker %+v should be at %d, in the sequence: %v", k, want, ok)
		}
		it := d.item(k.item)
		if !m.doubts(k.item) && (it.flags&flagMarked == 0 || it.deleted() || !it.countable()) {
			return fmt.Errorf("marker %+v is at an item that is hidden or lacks its flag", k)
		}
		if orders[k.order] {
			return fmt.Errorf("two markers have the order %d", k.order)
		}
		orders[k.order] = true
	}
	if len(all) > maxMarkers {
		return fmt.Errorf("%d markers", len(all))
	}
	return nil
}

func TestMarkersStayRight(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 4))
		doc := New(Options{ClientID: 1, KeepDeleted: seed%2 == 0})
		CheckAtEnd(t, doc)
		text := doc.Text("t")
		most := 0
		for step := range 400 {
			_, err := doc.Transact(nil, func(tx *Txn) {
				for range 1 + rng.IntN(3) {
					at := rng.IntN(text.Len() + 2)
					if text.Len() < 2000 && rng.IntN(3) > 0 || text.Len() == 0 {
						text.Insert(tx, at, []string{"a", "xyz", "0123456789"}[rng.IntN(3)])
					} else {
						text.Delete(tx, at, rng.IntN(12))
					}
					if m := doc.types.of(text.b); m != nil {
						if err := m.check(doc, text.b); err != nil {
							t.Fatalf("seed %d, step %d: %v", seed, step, err)
						}
						most = max(most, len(m.low)+len(m.high))
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if m := doc.types.of(text.b); m != nil {
				if err := m.check(doc, text.b); err != nil {
					t.Fatalf("seed %d, step %d, after the commit: %v", seed, step, err)
				}
			}
		}
		if most < maxMarkers/2 {
			t.Errorf("seed %d: there were never more than %d markers", seed, most)
		}
	}
}

func randomFormat(rng *rand.Rand) Attrs {
	return Attrs{{[]string{"b", "i", "2", "1"}[rng.IntN(4)], []Value{Null(), Bool(true), Int(3), Object(Field{"k", Int(1)})}[rng.IntN(4)]}}
}

// TestFormatEffectAgainstTwin applies formats at once and one after the other.
func TestFormatEffectAgainstTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 5000 {
		var got, want Attrs
		for range 3 {
			var e formatEffect
			for range rng.IntN(6) {
				f := randomFormat(rng)[0]
				e.add(f.Key, f.Value)
				want.apply(f.Key, f.Value)
			}
			e.apply(&got)
		}
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

// TestIndexStaysRight makes two replicas edit one text, one of them with an index from early on, and
// compares the bytes they send with those of replicas without.
func TestIndexStaysRight(t *testing.T) {
	for seed := range uint64(16) {
		formats := seed%4 > 1
		run := func(indexed bool) (sent [][]byte) {
			rng := rand.New(rand.NewPCG(seed, 5))
			docs := []*Doc{New(Options{ClientID: 1, KeepDeleted: seed%2 == 0}), New(Options{ClientID: 2})}
			CheckAtEnd(t, docs[0])
			CheckAtEnd(t, docs[1])
			var late [][]byte
			for step := range 900 {
				i := rng.IntN(8) / 7
				doc := docs[i]
				text := doc.Text("t")
				m := doc.types.of(text.b)
				if indexed && m != nil && m.index == nil {
					m.steps = indexAfter + 1
				}
				c, err := doc.Transact(nil, func(tx *Txn) {
					for range 1 + rng.IntN(3) {
						at := rng.IntN(text.Len() + 2)
						switch {
						case formats && rng.IntN(3) == 0:
							text.Format(tx, at, 1+rng.IntN(9), randomFormat(rng))
						case rng.IntN(5) > 1 || text.Len() == 0:
							text.Insert(tx, at, []string{"a", "xyz", "0123456789", "äö"}[rng.IntN(4)])
						default:
							text.Delete(tx, at, 1+rng.IntN(5))
						}
						if step < 250 && m != nil && m.index != nil {
							if err := m.index.check(doc.types, doc, text.b); err != nil {
								t.Fatalf("seed %d, step %d: %v", seed, step, err)
							}
						}
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				update := c.AppendUpdate(nil, V1)
				sent = append(sent, update)
				if i == 1 {
					late = append(late, update)
				} else if _, err := docs[1].Apply(nil, V1, update); err != nil {
					t.Fatal(err)
				}
				if rng.IntN(20) == 0 {
					for _, u := range late {
						if _, err := docs[0].Apply(nil, V1, u); err != nil {
							t.Fatal(err)
						}
					}
					late = nil
				}
				if step%10 == 0 {
					if err := doc.Check(); err != nil {
						t.Fatalf("seed %d, after step %d: %v", seed, step, err)
					}
				}
			}
			if m := docs[0].types.of(docs[0].Text("t").b); indexed && (m == nil || m.index == nil || len(m.index.order) < 3) {
				t.Fatalf("seed %d: no index was used", seed)
			}
			return sent
		}
		plain, indexed := run(false), run(true)
		for i := range plain {
			if string(plain[i]) != string(indexed[i]) {
				t.Fatalf("seed %d: update %d differs:\n%x with the index\n%x without", seed, i, indexed[i], plain[i])
			}
		}
	}
}

// TestLargeIndex makes the same edits with an index of several sums and without one.
func TestLargeIndex(t *testing.T) {
	for _, formats := range []bool{false, true} {
		var texts [2]Text
		for i := range texts {
			doc := New(Options{ClientID: 1})
			CheckAtEnd(t, doc)
			texts[i] = doc.Text("t")
		}
		for step := range 5000 {
			var updates [2][]byte
			for i, text := range texts {
				rng := rand.New(rand.NewPCG(uint64(step), 7))
				doc := text.Doc()
				if m := doc.types.of(text.b); m != nil {
					m.steps = i * (indexAfter + 1)
				}
				c, err := doc.Transact(nil, func(tx *Txn) {
					at := rng.IntN(text.Len() + 1)
					switch n := rng.IntN(8); {
					case n == 0 && step > 100:
						text.Delete(tx, at, 1+rng.IntN(9))
					case n < 4 && formats:
						text.Format(tx, at, 1+rng.IntN(20), randomFormat(rng))
					default:
						text.Insert(tx, at, "0123456789")
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				updates[i] = c.AppendUpdate(nil, V1)
				if m := doc.types.of(text.b); m != nil && m.index != nil && step%250 == 0 {
					if err := m.index.check(doc.types, doc, text.b); err != nil {
						t.Fatalf("step %d: %v", step, err)
					}
				}
			}
			if !bytes.Equal(updates[0], updates[1]) {
				t.Fatalf("step %d: update %x, without the index %x", step, updates[1], updates[0])
			}
		}
		if n := len(texts[1].Doc().types.of(texts[1].b).index.sums); n < 3 {
			t.Fatalf("only %d sums", n)
		}
		if texts[0].Doc().types.of(texts[0].b).index != nil {
			t.Fatal("both texts have an index")
		}
	}
}
