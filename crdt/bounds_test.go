package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
)

// shapes are updates that make much of few bytes.
var shapes = map[string]func(n int) []byte{
	"gc blocks": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			u.w.write(&rawBlock{client: 5, clock: i, length: 1, kind: kindGC})
		}
		return u.done()
	},
	"gc blocks that wait": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			u.w.write(&rawBlock{client: 5, clock: i + 7, length: 1, kind: kindGC})
		}
		return u.done()
	},
	"items that wait": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			b := rawBlock{client: 5, clock: i + 7, length: 1, kind: kindDeleted, hasOrigin: true, origin: ID{1, 1}}
			u.w.write(&b)
		}
		return u.done()
	},
	"items": func(n int) []byte {
		u := newUpdateWriter()
		b := textBlock(5, 0, "ab")
		u.w.write(&b)
		for i := range uint64(n) {
			b := rawBlock{client: 5, clock: i + 2, length: 1, kind: kindDeleted, hasOrigin: true, origin: ID{5, 0}}
			u.w.write(&b)
		}
		return u.done()
	},
	"clients": func(n int) []byte {
		u := newUpdateWriter()
		for i := range n {
			u.w.write(&rawBlock{client: ClientID(n - i), length: 1, kind: kindGC})
		}
		return u.done()
	},
	"clients that wait": func(n int) []byte {
		u := newUpdateWriter()
		for i := range n {
			u.w.write(&rawBlock{client: ClientID(n - i), clock: 9, length: 1, kind: kindGC})
		}
		return u.done()
	},
	"types": func(n int) []byte {
		u := newUpdateWriter()
		b := textBlock(5, 0, "ab")
		u.w.write(&b)
		for i := range uint64(n) {
			b := nested(5, i+2, ID{}).after(ID{5, 0})
			u.w.write(&b)
		}
		return u.done()
	},
	"keys": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			b := textBlock(5, i, "x").under(fmt.Sprint(i))
			b.kind, b.data = kindAny, []byte{126}
			u.w.write(&b)
		}
		return u.done()
	},
	"roots": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			b := textBlock(5, i, "x")
			b.root = []byte(fmt.Sprint(i))
			u.w.write(&b)
		}
		return u.done()
	},
	"roots with keys": func(n int) []byte {
		u := newUpdateWriter()
		for i := range uint64(n) {
			b := textBlock(5, i, "x").under(fmt.Sprint(i))
			b.root = []byte(fmt.Sprint(i))
			u.w.write(&b)
		}
		return u.done()
	},
	"a client behind the other": func(n int) []byte { return oneBehindTheOther(n, false) },
	"a client behind the other, in vain": func(n int) []byte {
		return oneBehindTheOther(n, true)
	},
	"deletes that wait": func(n int) []byte {
		out := lib0.AppendUvarint([]byte{0, 1, 5}, uint64(n))
		for i := range uint64(n) {
			out = lib0.AppendUvarint(lib0.AppendUvarint(out, 2*i), 1)
		}
		return out
	},
	"clients with deletes that wait": func(n int) []byte {
		out := lib0.AppendUvarint([]byte{0}, uint64(n))
		for i := range uint64(n) {
			out = append(lib0.AppendUvarint(out, i), 1, 0, 1)
		}
		return out
	},
}

// oneBehindTheOther is an update of n clients, of which each needs the next one.
func oneBehindTheOther(n int, missing bool) []byte {
	u := newUpdateWriter()
	for i := range n {
		b := rawBlock{client: ClientID(n + 1 - i), length: 1, kind: kindDeleted, hasOrigin: true, origin: ID{ClientID(n - i), 0}}
		if i == n-1 && !missing {
			b = rawBlock{client: 2, length: 1, kind: kindDeleted, hasRoot: true, root: []byte("t")}
		}
		u.w.write(&b)
	}
	return u.done()
}

// Whatever the shape of an update, taking it in allocates at most 64 times its
// bytes and 64 KiB, where V2 is held to a block for six bytes.
func TestIntegrationIsBounded(t *testing.T) {
	const most = 64
	all := maps.Clone(shapes)
	for name, c := range contents {
		all[name] = func(n int) []byte { return oneBlock(c(n)) }
	}
	for name, shape := range all {
		for _, n := range []int{100, 1000, 4000, 30_000} {
			v1 := shape(n)
			v2, err := Convert(V1, V2, v1)
			if err != nil {
				t.Fatal(err)
			}
			for v, u := range map[Version][]byte{V1: v1, V2: v2} {
				limits := Limits{}
				if v == V2 {
					limits.BlocksPerUpdate = 100 + len(u)/6
				}
				d := New(Options{NoFormatCleanup: true, Limits: limits})
				got := allocated(func() { _, err = d.Apply(nil, v, u) })
				if bound := uint64(64<<10 + most*len(u)); got > bound {
					t.Errorf("%s, %d in V%d: %d bytes allocated for %d, at most %d allowed", name, n, v, got, len(u), bound)
				}
				if cerr := d.Check(); cerr != nil {
					t.Errorf("%s, %d in V%d: %v", name, n, v, cerr)
				}
				switch {
				case err == nil:
				case v == V1 || !errors.Is(err, ErrLimit):
					t.Errorf("%s, %d in V%d: %v", name, n, v, err)
				case !bytes.Equal(d.AppendState(nil, V1), []byte{0, 0}):
					t.Errorf("%s, %d in V%d: refused, but the document changed", name, n, v)
				}
			}
		}
	}
}

// fastest is the least CPU time of a few runs: others use the machine too.
func fastest(run func()) time.Duration {
	least := time.Duration(math.MaxInt64)
	for range 7 {
		start := cpuTime()
		run()
		least = min(least, cpuTime()-start)
	}
	return least
}

// What a hostile update may cost before it is refused.
func TestRefusalIsQuick(t *testing.T) {
	v2 := func(e *encoderV2) []byte { return e.finish() }
	section := func(e *encoderV2, blocks uint64) {
		e.uvarint(1)
		e.uvarint(blocks)
		e.client(5)
		e.uvarint(0)
	}
	repeatedName := func() []byte {
		e := &encoderV2{}
		const blocks = 3000
		section(e, blocks)
		for i := range blocks {
			e.info(uint8(kindFormat) | 0x80)
			e.leftID(ID{1, 0})
			e.keyClock.Write(0) // the name of the first block again and again
			if i == 0 {
				e.strings.Write(strings.Repeat("n", 10_000))
			}
			e.json([]byte{126})
		}
		e.uvarint(0)
		return v2(e)
	}
	values := func() []byte {
		e := &encoderV2{}
		section(e, 1)
		e.info(uint8(kindAny))
		e.parentInfo(1)
		e.str("t")
		e.length(1<<53 - 1)
		e.uvarint(0)
		return v2(e)
	}
	oneRun := func(info uint8, length uint64) []byte {
		e := &encoderV2{}
		section(e, 1<<40)
		for range 2000 {
			e.info(info)
			e.length(length)
		}
		e.uvarint(0)
		return v2(e)
	}
	tower := newUpdateWriter()
	var parent ID
	for i := range uint64(100_000) {
		b := nested(9, i, parent)
		tower.w.write(&b)
		parent = ID{9, Clock(i)}
	}
	deep := tower.done()
	deepV2, err := Convert(V1, V2, deep)
	if err != nil {
		t.Fatal(err)
	}
	used := serverDoc()
	if _, err := used.Apply(nil, V1, oneBlock(textBlock(3, 0, "content"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		doc    *Doc
		v      Version
		update []byte
		class  error
		within time.Duration
	}{
		{"gc blocks by run length", serverDoc(), V2, oneRun(uint8(kindGC), 1), ErrLimit, time.Millisecond},
		{"items by run length", used, V2, oneRun(uint8(kindDeleted)|0x80, 1), ErrLimit, time.Millisecond},
		{"names by reference", used, V2, repeatedName(), ErrLimit, time.Millisecond},
		{"values by count", used, V2, values(), ErrMalformed, time.Millisecond},
		{"100,000 nested types", serverDoc(), V1, deep, ErrLimit, 5 * time.Millisecond},
		{"100,000 nested types in V2", serverDoc(), V2, deepV2, ErrLimit, 5 * time.Millisecond},
		{"100,000 nested types after others", used, V1, deep, ErrLimit, 5 * time.Millisecond},
	} {
		refusesWithin(t, 64, c.doc, c.v, c.update, c.class)
		took := fastest(func() { _, _ = c.doc.Apply(nil, c.v, c.update) })
		t.Logf("%s: %d bytes refused in %v", c.name, len(c.update), took)
		if took > 3*c.within { // CPU time here is that of a busy machine, and of checks
			t.Errorf("%s: refused in %v, at most %v allowed", c.name, took, c.within)
		}
	}
}

// Each bound refuses what is beyond it, with the place, and nothing else.
func TestLimits(t *testing.T) {
	row := func(n uint64) []byte {
		u := newUpdateWriter()
		for i := range n {
			b := textBlock(5, i, "x").under("k")
			u.w.write(&b)
		}
		return u.done()
	}
	deletes := func(n uint64) []byte {
		out := lib0.AppendUvarint([]byte{0, 1, 5}, n)
		for i := range n {
			out = lib0.AppendUvarint(lib0.AppendUvarint(out, 2*i), 1)
		}
		return out
	}
	run := func(n uint64) []byte {
		return oneBlock(rawBlock{client: 5, length: n, kind: kindDeleted, hasRoot: true, root: []byte("t")})
	}
	for _, c := range []struct {
		name   string
		limits Limits
		update func(n uint64) []byte
		placed bool
	}{
		{"blocks", Limits{BlocksPerUpdate: 10}, row, true},
		{"deletes", Limits{DeletesPerUpdate: 10}, deletes, true},
		{"clocks", Limits{ClockAdvance: 10}, run, false},
	} {
		for _, v := range []Version{V1, V2} {
			t.Run(fmt.Sprintf("%s in V%d", c.name, v), func(t *testing.T) {
				d := New(Options{NoFormatCleanup: true, Limits: c.limits})
				within, err := Convert(V1, v, c.update(10))
				if err != nil {
					t.Fatal(err)
				}
				beyond, err := Convert(V1, v, c.update(11))
				if err != nil {
					t.Fatal(err)
				}
				refuses(t, d, v, beyond, ErrLimit)
				var at *UpdateError
				if _, err := d.Apply(nil, v, beyond); !errors.As(err, &at) || c.placed != (at.Offset > 0 && at.Offset <= len(beyond)) {
					t.Errorf("error at %v", err)
				}
				if _, err := d.Apply(nil, v, within); err != nil {
					t.Error(err)
				}
				// The same again brings nothing new, and then it goes on from there.
				if _, err := d.Apply(nil, v, within); err != nil {
					t.Error(err)
				}
				if err := d.Check(); err != nil {
					t.Error(err)
				}
				d.SetLimits(Limits{})
				if _, err := d.Apply(nil, v, beyond); err != nil {
					t.Errorf("with the limit lifted: %v", err)
				}
			})
		}
	}
}

// A delete set that is too long to be kept decoded is read twice, and counts once.
func TestManyDeletesWithinALimit(t *testing.T) {
	const n = 800
	var set IDSet
	for i := range Clock(n) {
		set.Add(5, Range{2 * i, 2*i + 1})
	}
	for _, v := range []Version{V1, V2} {
		update, err := Convert(V1, v, AppendIDSet([]byte{0}, V1, &set))
		if err != nil {
			t.Fatal(err)
		}
		d := New(Options{Limits: Limits{DeletesPerUpdate: n}})
		if _, err := d.Apply(nil, v, update); err != nil || d.Pending().Deletes != n {
			t.Errorf("V%d: %v, %d of %d deletes wait", v, err, d.Pending().Deletes, n)
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	}
}

// A client that goes on in steps is not refused, however far it comes.
func TestClockAdvanceInSteps(t *testing.T) {
	d := New(Options{NoFormatCleanup: true, Limits: Limits{ClockAdvance: 4}})
	for i := range uint64(20) {
		b := textBlock(5, 4*i, "abcd")
		if i > 0 {
			b = b.after(ID{5, Clock(4*i - 1)})
		}
		if _, err := d.Apply(nil, V1, oneBlock(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Check(); err != nil || d.Text("t").Len() != 80 {
		t.Errorf("%d units, %v", d.Text("t").Len(), err)
	}
}

// Deletes of what never comes are bounded like blocks that never can be taken in.
func TestPendingDeletesAreBounded(t *testing.T) {
	d := New(Options{NoFormatCleanup: true, Limits: Limits{PendingBytes: 10_000}})
	update := func(c, n uint64) []byte {
		out := lib0.AppendUvarint(lib0.AppendUvarint([]byte{0, 1}, c), n)
		for i := range n {
			out = lib0.AppendUvarint(lib0.AppendUvarint(out, 2*i), 1)
		}
		return out
	}
	refused := 0
	for c := uint64(1); c <= 200; c++ {
		if _, err := d.Apply(nil, V1, update(c, 3)); errors.Is(err, ErrLimit) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if p := d.Pending(); refused == 0 || p.Bytes > 10_000 || p.Deletes < 3*60 {
		t.Errorf("%d refused, pending %+v", refused, p)
	}
	refuses(t, New(Options{Limits: Limits{PendingBytes: 10_000}}), V1, update(1, 1000), ErrLimit)
	// What they wait for may come, and makes room.
	for c := ClientID(1); c <= 200; c++ {
		if _, err := d.Apply(nil, V1, oneBlock(textBlock(c, 0, "abcdef"))); err != nil {
			t.Fatal(err)
		}
	}
	if p := d.Pending(); p.Bytes != 0 || !p.Empty() {
		t.Errorf("pending %+v", p)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// What waits does not make each later update be tried on a copy of the document.
func TestWaitingTypesCostOthersNothing(t *testing.T) {
	d := serverDoc()
	if _, err := d.Apply(nil, V1, oneBlock(textBlock(3, 0, strings.Repeat("x", 1<<20)))); err != nil {
		t.Fatal(err)
	}
	waiting := newUpdateWriter()
	for i := range uint64(2 * defaultTypeDepth) {
		b := nested(9, i, ID{8, 0})
		waiting.w.write(&b)
	}
	if _, err := d.Apply(nil, V1, waiting.done()); err != nil {
		t.Fatal(err)
	}
	apply := func(b rawBlock) {
		if _, err := d.Apply(nil, V1, oneBlock(b)); err != nil {
			t.Fatal(err)
		}
	}
	apply(textBlock(5, 0, "y")) // makes room
	got := allocated(func() {
		for i := range uint64(20) {
			apply(textBlock(4, i, "y"))
		}
	})
	if got > 1<<19 {
		t.Errorf("20 small updates allocate %d bytes", got)
	}
	if _, err := d.Apply(nil, V1, oneBlock(nested(8, 0, ID{}))); err != nil || !d.Pending().Empty() {
		t.Errorf("%v, pending %+v", err, d.Pending())
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// Three documents of one operation each that set two keys: in all orders, whoever
// they are, the client with the highest ID wins a key, as in Yjs.
func TestKeysInAllOrders(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, clients := range orders {
		for keys := range 8 {
			var updates [][]byte
			want := map[string]int{}
			for i, c := range clients {
				doc, key := New(Options{ClientID: ClientID(10 + c)}), "ab"[keys>>i&1:][:1]
				commit, err := doc.Transact(nil, func(tx *Txn) { doc.Map("map").Set(tx, key, Int(c)) })
				if err != nil {
					t.Fatal(err)
				}
				updates = append(updates, commit.AppendUpdate(nil, V1))
				if have, ok := want[key]; !ok || c > have {
					want[key] = c
				}
			}
			for _, order := range orders {
				d := New(Options{})
				for _, i := range order {
					if _, err := d.Apply(nil, V1, updates[i]); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.Check(); err != nil {
					t.Fatal(err)
				}
				m := d.Map("map")
				if m.Len() != len(want) {
					t.Errorf("clients %v, keys %03b, order %v: %d keys", clients, keys, order, m.Len())
				}
				for key, c := range want {
					if got := m.At(key); !got.Equal(Int(c)) {
						t.Errorf("clients %v, keys %03b, order %v: %s is %s, want %d", clients, keys, order, key, got.AppendJSON(nil), c)
					}
				}
			}
		}
	}
}
