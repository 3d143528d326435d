package crdt

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ysync/internal/lib0"
)

// raw updates, written by hand: one client, blocks as given.
type updateWriter struct {
	w rawWriter
}

func newUpdateWriter() *updateWriter {
	return &updateWriter{rawWriter{e: newEncoder(V1, nil)}}
}

func (u *updateWriter) done() []byte {
	u.w.finish()
	u.w.e.uvarint(0)
	return u.w.e.finish()
}

func oneBlock(b rawBlock) []byte {
	u := newUpdateWriter()
	u.w.write(&b)
	return u.done()
}

func textBlock(c ClientID, clock uint64, s string) rawBlock {
	return rawBlock{
		client: c, clock: clock, length: uint64(len(s)), kind: kindString,
		hasRoot: true, root: []byte("t"), data: []byte(s),
	}
}

func (b rawBlock) after(id ID) rawBlock {
	b.hasOrigin, b.origin, b.hasRoot = true, id, false
	return b
}

func (b rawBlock) before(id ID) rawBlock {
	b.hasRight, b.right, b.hasRoot = true, id, false
	return b
}

func (b rawBlock) under(key string) rawBlock {
	b.hasKey, b.key = true, []byte(key)
	return b
}

// order lists the items of a root's sequence.
func order(d *Doc, root string) []ID {
	var out []ID
	for r := d.start(d.root(root, KindUndefined)); r != 0; r = d.item(r).right {
		it := d.item(r)
		for i := range it.length {
			out = append(out, d.publicID(unitID{it.client, it.clock + i}))
		}
	}
	return out
}

// Many clients write at one place, answer one another and go on typing; the
// order of delivery must not show, with the siblings indexed or not.
func TestSiblingsConverge(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		updates := [][]byte{oneBlock(textBlock(500, 0, "ab"))}
		var tips []ID
		n := 150 + r.IntN(150)
		for i := range n {
			c := ClientID(1000 - i)
			b := textBlock(c, 0, "x").after(ID{500, 0}).before(ID{500, 1})
			switch r.IntN(4) {
			case 0:
				if len(tips) > 0 {
					tip := tips[r.IntN(len(tips))]
					b = textBlock(c, 0, "x").after(tip).before(ID{500, 1})
				}
			case 1:
				if len(tips) > 0 {
					tip := tips[r.IntN(len(tips))]
					b = textBlock(c, 0, "x").after(ID{500, 0}).before(tip)
				}
			}
			updates = append(updates, oneBlock(b))
			if r.IntN(3) == 0 {
				updates = append(updates, oneBlock(textBlock(c, 1, "yz").after(ID{c, 0}).before(b.right)))
			}
			tips = append(tips, ID{c, 0})
		}
		var want []ID
		for round := range 4 {
			d := serverDoc()
			for _, i := range r.Perm(len(updates)) {
				if _, err := d.Apply(nil, V1, updates[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !d.Pending().Empty() {
				t.Fatalf("seed %d: something waits: %+v", seed, d.Pending())
			}
			if len(d.conflicts.siblings) == 0 {
				t.Fatalf("seed %d: no siblings were indexed", seed)
			}
			got := order(d, "t")
			if round == 0 {
				want = got
			} else if !slices.Equal(got, want) {
				t.Fatalf("seed %d, round %d: another order", seed, round)
			}
		}
	}
}

// timeFor applies updates and tells how long it took.
func timeFor(t *testing.T, updates [][]byte) time.Duration {
	t.Helper()
	d := serverDoc()
	start := cpuTime()
	for _, u := range updates {
		if _, err := d.Apply(nil, V1, u); err != nil {
			t.Fatal(err)
		}
	}
	took := cpuTime() - start
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return took
}

func manyAtOnePlace(n int, order func(i int) int, make func(c ClientID) rawBlock) [][]byte {
	out := [][]byte{oneBlock(textBlock(1, 0, "ab"))}
	for i := range n {
		out = append(out, oneBlock(make(ClientID(10+order(i)))))
	}
	return out
}

// doubled is how much longer twice the work may take: quadratic growth gives 4, and what no
// longer fits a cache up to 2.9.
const doubled = 3

// Work that must not grow with the square of the number of updates.
func TestScaling(t *testing.T) {
	perm := rand.New(rand.NewPCG(1, 2)).Perm(16000)
	between := func(c ClientID) rawBlock {
		return textBlock(c, 0, "x").after(ID{1, 0}).before(ID{1, 1})
	}
	cases := map[string]func(n int) [][]byte{
		"one origin, ascending": func(n int) [][]byte {
			return manyAtOnePlace(n, func(i int) int { return i }, between)
		},
		"one origin, descending": func(n int) [][]byte {
			return manyAtOnePlace(n, func(i int) int { return n - i }, between)
		},
		"one origin, any order": func(n int) [][]byte {
			return manyAtOnePlace(n, func(i int) int { return perm[i] }, between)
		},
		"start of a type": func(n int) [][]byte {
			return manyAtOnePlace(n, func(i int) int { return perm[i] }, func(c ClientID) rawBlock { return textBlock(c, 0, "x") })
		},
		"one key": func(n int) [][]byte {
			return manyAtOnePlace(n, func(i int) int { return perm[i] }, func(c ClientID) rawBlock {
				b := textBlock(c, 0, "x").under("k")
				b.kind, b.data = kindAny, []byte{126}
				return b
			})
		},
		"origins that cross at random": func(n int) [][]byte {
			return crossing(n)
		},
		"behind a missing update": func(n int) [][]byte {
			var out [][]byte
			for i := n; i >= 0; i-- {
				b := textBlock(7, uint64(i), "x")
				if i > 0 {
					b = b.after(ID{7, Clock(i - 1)})
				}
				out = append(out, oneBlock(b))
			}
			return out
		},
		"many wait for one client that goes on": func(n int) [][]byte {
			u := newUpdateWriter()
			for i := range n {
				b := textBlock(7, uint64(i), "x").after(ID{9, Clock(n + i)})
				u.w.write(&b)
			}
			out := [][]byte{u.done()}
			for i := range 2 * n {
				b := textBlock(9, uint64(i), "y")
				if i > 0 {
					b = b.after(ID{9, Clock(i - 1)})
				}
				out = append(out, oneBlock(b))
			}
			return out
		},
		"clients that wait come again, longer": func(n int) [][]byte {
			return [][]byte{waitingClients(2*n, 1), waitingClients(2*n, 2)}
		},
		"delete sets of unknown clients": func(n int) [][]byte {
			var out [][]byte
			for i := range n {
				out = append(out, append(lib0.AppendUvarint([]byte{0, 1}, uint64(10+perm[i])), 1, 3, 2))
			}
			return out
		},
		"deletes of one unknown client, backwards": func(n int) [][]byte {
			var out [][]byte
			for i := range n {
				out = append(out, append(lib0.AppendUvarint([]byte{0, 1, 9, 1}, uint64(2*(n-i))), 1))
			}
			return out
		},
		"types in types": func(n int) [][]byte {
			u := newUpdateWriter()
			for i := range uint64(n) {
				parent := ID{}
				if i%256 > 0 {
					parent = ID{9, Clock(i - 1)}
				}
				b := nested(9, i, parent)
				u.w.write(&b)
			}
			return [][]byte{u.done()}
		},
		"behind a missing update, in order": func(n int) [][]byte {
			var out [][]byte
			for i := 1; i <= n; i++ {
				out = append(out, oneBlock(textBlock(7, uint64(i), "x").after(ID{7, Clock(i - 1)})))
			}
			return append(out, oneBlock(textBlock(7, 0, "x")))
		},
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			few, many := make(4000), make(16000)
			nearLinear(t, doubled,
				func() time.Duration { return timeFor(t, few) }, func() time.Duration { return timeFor(t, many) })
		})
	}
}

// crossing are updates of n clients, one character each, after one of those before.
func crossing(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	out := [][]byte{oneBlock(textBlock(1, 0, "ab"))}
	ids := []ID{{1, 0}, {1, 1}}
	for _, i := range r.Perm(n) {
		c := ClientID(10 + i)
		out = append(out, oneBlock(textBlock(c, 0, "x").after(ids[r.IntN(len(ids))])))
		ids = append(ids, ID{c, 0})
	}
	return out
}

// waitingClients is an update of gc blocks of n clients whose first units are missing.
func waitingClients(n int, length uint64) []byte {
	u := newUpdateWriter()
	for i := range n {
		u.w.write(&rawBlock{client: ClientID(2 * (n - i)), clock: 9, length: length, kind: kindGC})
	}
	return u.done()
}

// nearLinear fails if twice the work takes more than factor times as long. It looks at four times the
// work, with slack for what is short.
func nearLinear(t *testing.T, factor float64, few, many func() time.Duration) {
	t.Helper()
	small, large := few(), many()
	for tries := 1; float64(large) > factor*factor*float64(small)+float64(10*time.Millisecond); tries++ {
		if tries == 6 {
			t.Errorf("little took %v, four times as much %v", small, large)
			return
		}
		small, large = max(small, few()), min(large, many())
	}
}

// TestScatteredEditsScale makes many local edits in one transaction.
func TestScatteredEditsScale(t *testing.T) {
	deleteFormatted := func(tx *Txn, text Text, at int) {
		if at%64 == 0 {
			formatOne(tx, text, at)
		}
		deleteOne(tx, text, at)
	}
	for name, edit := range map[string]func(*Txn, Text, int){
		"deletes": deleteOne, "inserts": insertOne, "formats": formatOne, "deletes of formatted text": deleteFormatted,
	} {
		t.Run(name, func(t *testing.T) {
			run := func(n int) func() time.Duration {
				return func() time.Duration { return scattered(t, n, 10*n, edit) }
			}
			nearLinear(t, 2.8, run(4096), run(16384))
		})
	}
}
