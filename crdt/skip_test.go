package crdt

import (
	"errors"
	"testing"

	"ysync/internal/lib0"
)

func skips(t *testing.T, v Version, update []byte) (n int) {
	t.Helper()
	if _, err := WalkStructs(v, update, func(s *Struct) {
		if s.Kind == ContentSkip {
			n++
		}
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// What Yjs 14 puts on the wire: clients of 53 bits, and skips, which are taken and go
// to no other replica; only what a server stores has them.
func TestWideClientsAndSkips(t *testing.T) {
	const wide = MaxClientID
	u := newUpdateWriter()
	for _, b := range []rawBlock{
		textBlock(wide, 0, "ab"),
		{client: wide, clock: 2, length: 3, kind: kindSkip},
		textBlock(wide, 5, "cd").after(ID{wide, 4}),
	} {
		u.w.write(&b)
	}
	holed := u.done()
	for _, v := range []Version{V1, V2} {
		update, err := Convert(V1, v, holed)
		if err != nil {
			t.Fatal(err)
		}
		if skips(t, v, update) != 1 {
			t.Fatalf("V%d: the update has no skip", v)
		}
		d := New(Options{ClientID: 1})
		CheckAtEnd(t, d)
		c, err := d.Apply(nil, v, update)
		if err != nil || !c.LeftPending() || c.Relayable() || d.Text("t").String() != "ab" {
			t.Fatalf("V%d: %v, text %q", v, err, d.Text("t").String())
		}
		outs := map[string][]byte{"commit": c.AppendUpdate(nil, v), "difference": d.AppendDiff(nil, v, StateVector{})}
		for chunk := range d.Chunks(StateVector{}, 1) {
			if skips(t, V1, chunk) > 0 {
				t.Error("a chunk has a skip")
			}
		}
		for name, out := range outs {
			if n := skips(t, v, out); n > 0 {
				t.Errorf("V%d: the %s has %d skips", v, name, n)
			}
		}
		stored := New(Options{ClientID: 1})
		CheckAtEnd(t, stored)
		if _, err := stored.Apply(nil, v, d.AppendStored(nil, v)); err != nil || stored.Pending().Empty() {
			t.Errorf("V%d: what waits was not stored: %v", v, err)
		}
		gap, err := Convert(V1, v, oneBlock(textBlock(wide, 2, "xyz").after(ID{wide, 1})))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Apply(nil, v, gap); err != nil || !d.Pending().Empty() || d.Text("t").String() != "abxyzcd" {
			t.Errorf("V%d: %v, text %q", v, err, d.Text("t").String())
		}
	}
	beyond := append(lib0.AppendUvarint([]byte{1, 1}, uint64(wide)+1), 0, 4, 1, 1, 't', 1, 'x', 0)
	if _, err := New(Options{}).Apply(nil, V1, beyond); !errors.Is(err, ErrMalformed) {
		t.Errorf("a client of 54 bits: %v", err)
	}
}
