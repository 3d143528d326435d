package crdt

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf16"

	"ysync/internal/lib0"
)

// twin is the dumb twin of a text: its code units.
type twin []uint16

func (w *twin) insert(at int, s string) {
	*w = slices.Insert(*w, min(at, len(*w)), utf16.Encode([]rune(s))...)
}

func (w *twin) remove(at, n int) {
	*w = slices.Delete(*w, min(at, len(*w)), min(at+n, len(*w)))
}

// TestTextAgainstTwin edits a text of characters of one code unit at random places and compares it
// with plain slices after each transaction.
func TestTextAgainstTwin(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		doc := New(Options{ClientID: 1, KeepDeleted: seed%2 == 0})
		text := doc.Text("t")
		var want twin
		for step := range 400 {
			c, err := doc.Transact(nil, func(tx *Txn) {
				for range 1 + rng.IntN(3) {
					at := rng.IntN(len(want) + 2)
					if rng.IntN(3) > 0 || len(want) == 0 {
						s := []string{"a", "xyz", "äöü", "\u4e2d\u6587", "0123456789"}[rng.IntN(5)]
						text.Insert(tx, at, s)
						want.insert(at, s)
						continue
					}
					n := rng.IntN(9)
					text.Delete(tx, at, n)
					want.remove(at, n)
				}
			})
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			var general encoderV1
			c.write(&general)
			if got := c.AppendUpdate(nil, V1); !bytes.Equal(got, general.buf) {
				t.Fatalf("seed %d, step %d: update %x, want %x", seed, step, got, general.buf)
			}
			if got := lib0.AppendUTF16(nil, text.String()); !slices.Equal(got, want) || text.Len() != len(want) {
				t.Fatalf("seed %d, step %d: got %q of length %d, want %q", seed, step, text.String(), text.Len(), string(utf16.Decode(want)))
			}
		}
		if err := doc.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestArrayAgainstTwin does the same for arrays, reading single elements as well.
func TestArrayAgainstTwin(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		doc := New(Options{ClientID: 1, KeepDeleted: seed%2 == 0})
		array := doc.Array("a")
		var want []int
		next := 0
		for step := range 300 {
			_, err := doc.Transact(nil, func(tx *Txn) {
				at := rng.IntN(len(want) + 1)
				if rng.IntN(3) > 0 || len(want) == 0 {
					var vals []Value
					var nums []int
					for range 1 + rng.IntN(4) {
						next++
						vals, nums = append(vals, Int(next)), append(nums, next)
					}
					if at == len(want) && rng.IntN(2) == 0 {
						array.Push(tx, vals...)
					} else {
						array.Insert(tx, at, vals...)
					}
					want = slices.Insert(want, at, nums...)
					return
				}
				n := rng.IntN(len(want) - at + 1)
				array.Delete(tx, at, n)
				want = slices.Delete(want, at, at+n)
			})
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if array.Len() != len(want) {
				t.Fatalf("seed %d, step %d: length %d, want %d", seed, step, array.Len(), len(want))
			}
			for range 5 {
				if len(want) == 0 {
					break
				}
				if i := rng.IntN(len(want)); int(array.At(i).Number()) != want[i] {
					t.Fatalf("seed %d, step %d: element %d is %v, want %d", seed, step, i, array.At(i).Number(), want[i])
				}
			}
		}
		var got []int
		for v := range array.Values() {
			got = append(got, int(v.Number()))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
		if err := doc.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestCutNextToLoneSurrogate cuts text between a lone high surrogate and a character beyond the BMP,
// where ContentString.splice of Yjs replaces the lone half and the first half of the pair.
func TestCutNextToLoneSurrogate(t *testing.T) {
	for _, c := range []struct {
		in, left, right []uint16
		at              uint32
	}{
		{[]uint16{'a', 0xD83D, 0xD83D, 0xDE00, 'b'}, []uint16{'a', 0xFFFD}, []uint16{0xFFFD, 0xDE00, 'b'}, 2},
		{[]uint16{'a', 0xD83D, 0xD83D, 0xDE00, 'b'}, []uint16{'a', 0xD83D, 0xFFFD}, []uint16{0xFFFD, 'b'}, 3},
		{[]uint16{'a', 0xD83D, 'b'}, []uint16{'a', 0xFFFD}, []uint16{0xFFFD}, 2},
		{[]uint16{0xD83D, 0xDE00}, []uint16{0xFFFD}, []uint16{0xFFFD}, 1},
		{[]uint16{0xDE00, 0xD83D}, []uint16{0xDE00}, []uint16{0xD83D}, 1},
	} {
		d := New(Options{ClientID: 1})
		CheckAtEnd(t, d)
		text := d.Text("t")
		_, err := d.Transact(nil, func(tx *Txn) {
			text.Insert(tx, 0, lib0.FromUTF16(c.in))
			r := tx.split(d.start(text.b), c.at)
			left, right := d.item(d.start(text.b)), d.item(r)
			for what, got := range map[string][]uint16{"left": lib0.AppendUTF16(nil, string(d.data(left))), "right": lib0.AppendUTF16(nil, string(d.data(right)))} {
				want := c.left
				if what == "right" {
					want = c.right
				}
				if !slices.Equal(got, want) {
					t.Errorf("%x cut at %d: %s is %x, want %x", c.in, c.at, what, got, want)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
