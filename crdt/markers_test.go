package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// check compares every marker with a walk from the start of the sequence.
func (m *markers) check(d *Doc, b branchRef) error {
	at := make(map[itemRef]int)
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
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 4))
		doc := New(Options{ClientID: 1, KeepDeleted: seed%2 == 0})
		text := doc.Text("t")
		most := 0
		for step := range 1500 {
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
