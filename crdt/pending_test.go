package crdt

import (
	"slices"
	"testing"
)

// Something that waits for a client is tried when that client goes on, though
// blocks of the client itself wait behind a gap.
func TestWaitsBesideAGap(t *testing.T) {
	for _, clients := range [][2]ClientID{{9, 5}, {5, 9}} {
		x, y := clients[0], clients[1]
		d := serverDoc()
		apply := func(b rawBlock) *Commit {
			t.Helper()
			c, err := d.Apply(nil, V1, oneBlock(b))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		if c := apply(textBlock(x, 18, "later").after(ID{x, 17})); !c.LeftPending() || !c.Empty() {
			t.Fatal("a block behind a gap was integrated")
		}
		if c := apply(textBlock(y, 0, "reply").after(ID{x, 1})); !c.LeftPending() {
			t.Fatal("a block without its origin was integrated")
		}
		c := apply(textBlock(x, 0, "first"))
		if c.LeftPending() || c.Relayable() {
			t.Errorf("pending %v, relayable %v", c.LeftPending(), c.Relayable())
		}
		if got := c.After(); got.Get(x) != 5 || got.Get(y) != 5 {
			t.Errorf("clients %d, %d: after the first update %v", x, y, got)
		}
		p := d.Pending()
		if p.Blocks != 1 || p.Missing.Len() != 1 || p.Missing.Get(x) != 18 {
			t.Errorf("clients %d, %d: pending %+v", x, y, p)
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	}
}

// What waited is integrated in the order in which Yjs does: what a block needs comes right before
// it, which shows in the order of the keys of a map.
func TestWaitingBlocksComeInOrder(t *testing.T) {
	d := serverDoc()
	CheckAtEnd(t, d)
	typeIn := func(c ClientID, parent ID, key string) rawBlock {
		b := nested(c, 0, parent).under(key)
		b.typeKind = KindMap
		return b
	}
	held := newUpdateWriter()
	for _, b := range []rawBlock{typeIn(9, ID{3, 0}, "a"), typeIn(5, ID{7, 0}, "b"), typeIn(3, ID{7, 0}, "t")} {
		held.w.write(&b)
	}
	for _, u := range [][]byte{held.done(), oneBlock(typeIn(7, ID{}, "root"))} {
		if _, err := d.Apply(nil, V1, u); err != nil {
			t.Fatal(err)
		}
	}
	got := slices.Collect(d.Map("a").At("root").Map().Keys())
	if want := []string{"t", "b"}; !slices.Equal(got, want) || !d.Pending().Empty() {
		t.Errorf("keys %v, want %v; %+v waits", got, want, d.Pending())
	}
}

// Where the first block of a client waits for another that waits behind a gap, Yjs
// notes the gap alone, and does not try again when what is before the gap comes.
// With RetryAll nothing is left waiting for what is there.
func TestWaitsForWhatIsNoted(t *testing.T) {
	for _, all := range []bool{false, true} {
		d := New(Options{ClientID: 1, NoFormatCleanup: true, RetryAll: all})
		CheckAtEnd(t, d)
		both := newUpdateWriter()
		for _, b := range []rawBlock{textBlock(9, 0, "reply").after(ID{5, 1}), textBlock(5, 18, "later").after(ID{5, 17})} {
			both.w.write(&b)
		}
		for _, u := range [][]byte{both.done(), oneBlock(textBlock(5, 0, "first"))} {
			if _, err := d.Apply(nil, V1, u); err != nil {
				t.Fatal(err)
			}
		}
		want := Clock(0)
		if all {
			want = 5
		}
		if got := d.StateVector(); got.Get(5) != 5 || got.Get(9) != want {
			t.Errorf("RetryAll %v: state %v, want %d units of client 9; %+v waits", all, got, want, d.Pending())
		}
		if _, err := d.Apply(nil, V1, oneBlock(textBlock(5, 5, "in between 13").after(ID{5, 4}))); err != nil {
			t.Fatal(err)
		}
		if got := d.StateVector(); got.Get(5) != 23 || got.Get(9) != 5 || !d.Pending().Empty() {
			t.Errorf("RetryAll %v: in the end state %v, and %+v waits", all, got, d.Pending())
		}
	}
}
