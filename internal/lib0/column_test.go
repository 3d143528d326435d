package lib0_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"ysync/internal/lib0"
)

// runs draws a list in which equal neighbours are common.
func runs[T any](g *rapid.Generator[T]) *rapid.Generator[[]T] {
	return rapid.Custom(func(t *rapid.T) []T {
		var out []T
		for range rapid.IntRange(0, 8).Draw(t, "runs") {
			v := g.Draw(t, "v")
			for range rapid.IntRange(1, 5).Draw(t, "n") {
				out = append(out, v)
			}
		}
		return out
	})
}

func TestRleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := runs(rapid.Uint8()).Draw(t, "in")
		var e lib0.RleEncoder
		e.Write(1)
		e.Reset()
		for _, v := range in {
			e.Write(v)
		}
		d := lib0.NewRleDecoder(lib0.NewReader(e.AppendTo(nil)))
		for i, v := range in {
			if got := d.Read(); got != v {
				t.Fatalf("value %d: %d, want %d", i, got, v)
			}
		}
		if d.Err() != nil && len(in) > 0 {
			t.Fatal(d.Err())
		}
	})
}

func TestUintColumnsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := runs(rapid.Uint64Range(0, lib0.MaxSafeInteger)).Draw(t, "in")
		var e lib0.UintOptRleEncoder
		var inc lib0.IncUintOptRleEncoder
		e.Write(1)
		e.Reset()
		inc.Write(1)
		inc.Reset()
		for i, v := range in {
			e.Write(v)
			inc.Write(min(v+uint64(i%3), lib0.MaxSafeInteger))
		}
		d := lib0.NewUintOptRleDecoder(lib0.NewReader(e.AppendTo(nil)))
		di := lib0.NewIncUintOptRleDecoder(lib0.NewReader(inc.AppendTo(nil)))
		for i, v := range in {
			if got := d.Read(); got != v {
				t.Fatalf("value %d: %d, want %d", i, got, v)
			}
			if got, want := di.Read(), min(v+uint64(i%3), lib0.MaxSafeInteger); got != want {
				t.Fatalf("increasing value %d: %d, want %d", i, got, want)
			}
		}
		if d.Err() != nil || di.Err() != nil {
			t.Fatal(d.Err(), di.Err())
		}
		if d.Read() != 0 || !errors.Is(d.Err(), lib0.ErrPastEnd) {
			t.Fatalf("past the end: %v", d.Err())
		}
	})
}

func TestIntDiffColumnRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := runs(rapid.Int64Range(-1<<40, 1<<40)).Draw(t, "steps")
		var e lib0.IntDiffOptRleEncoder
		e.Write(-7)
		e.Reset()
		var in []int64
		var at int64
		for _, s := range steps {
			at += s
			in = append(in, at)
			e.Write(at)
		}
		d := lib0.NewIntDiffOptRleDecoder(lib0.NewReader(e.AppendTo(nil)))
		for i, v := range in {
			if got := d.Read(); got != v {
				t.Fatalf("value %d: %d, want %d", i, got, v)
			}
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	})
}

func utf16Strings() *rapid.Generator[string] {
	unit := rapid.OneOf(
		rapid.Uint16Range(0, 0x7f),
		rapid.Uint16Range(0xd7f0, 0xe010),
		rapid.Uint16(),
	)
	return rapid.Map(rapid.SliceOfN(unit, 0, 6), lib0.FromUTF16)
}

// A column of strings comes back as the units of the whole text, made
// well-formed, cut at the same places.
func TestStringColumnRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(utf16Strings(), 0, 8).Draw(t, "in")
		var e lib0.StringEncoder
		e.Write("x")
		e.Reset()
		var units []uint16
		for i, s := range in {
			if i%2 == 0 {
				e.Write(s)
			} else {
				e.WriteUnits(s, lib0.UTF16Len(s))
			}
			units = lib0.AppendUTF16(units, s)
		}
		wire := lib0.AppendUTF16(nil, lib0.WellFormed(lib0.FromUTF16(units)))
		if len(wire) != len(units) {
			t.Fatalf("well-formed text has %d units, want %d", len(wire), len(units))
		}
		d := lib0.NewStringDecoder(lib0.NewReader(e.AppendTo(nil)))
		for i, s := range in {
			n := lib0.UTF16Len(s)
			got, gotUnits := d.Read()
			if want := lib0.FromUTF16(wire[:n]); string(got) != want || gotUnits != n {
				t.Fatalf("string %d: %q (%d units), want %q (%d)", i, got, gotUnits, want, n)
			}
			wire = wire[n:]
		}
		if d.Err() != nil {
			t.Fatal(d.Err())
		}
	})
}

// A count in the input is never expanded: a run of 2^53 is read from a few
// bytes, value by value, without allocating.
func TestRunLengthBomb(t *testing.T) {
	bomb := lib0.AppendUvarint([]byte{0x47}, lib0.MaxSafeInteger)
	text := append([]byte{3, 'a', 'b', 'c'}, bomb...)
	allocs := testing.AllocsPerRun(1, func() {
		u := lib0.NewUintOptRleDecoder(lib0.NewReader(bomb))
		i := lib0.NewIncUintOptRleDecoder(lib0.NewReader(bomb))
		d := lib0.NewIntDiffOptRleDecoder(lib0.NewReader(bomb))
		r := lib0.NewRleDecoder(lib0.NewReader(bomb))
		s := lib0.NewStringDecoder(lib0.NewReader(text))
		for range 1000 {
			u.Read()
			i.Read()
			d.Read()
			r.Read()
			s.Read()
		}
		if !errors.Is(s.Err(), lib0.ErrPastEnd) {
			t.Errorf("lengths past the text: %v", s.Err())
		}
	})
	if allocs > 2 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestDiffColumnOverflow(t *testing.T) {
	col := lib0.AppendVarint(nil, lib0.MaxSafeInteger-2)
	col = append(col, col...)
	col = append(col, col...)
	d := lib0.NewIntDiffOptRleDecoder(lib0.NewReader(col))
	var last int64
	for range 4 {
		if v := d.Read(); d.Err() == nil {
			last = v
		}
	}
	if !errors.Is(d.Err(), lib0.ErrOverflow) || last > lib0.MaxSafeInteger {
		t.Fatalf("err %v after %d", d.Err(), last)
	}
}

func TestNumbersAgreeWithStrictReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-lib0.MaxSafeInteger, lib0.MaxSafeInteger).Draw(t, "v")
		b := lib0.AppendVarint(nil, v)
		if v == 0 && rapid.Bool().Draw(t, "negative zero") {
			b = lib0.AppendNegativeZero(nil)
		}
		r, n := lib0.NewReader(b), lib0.NewReader(b)
		got, negZero := r.Varint()
		num := n.VarintNumber()
		if got != v || r.Len() != 0 || r.Err() != nil {
			t.Fatalf("%d, %v", got, r.Err())
		}
		if num != float64(v) || (v == 0 && math.Signbit(num) != negZero) || n.Err() != nil {
			t.Fatalf("%v, %v", num, n.Err())
		}
		u := uint64(max(v, -v))
		b = lib0.AppendUvarint(nil, u)
		r, n = lib0.NewReader(b), lib0.NewReader(b)
		if lib0.UvarintLen(u) != len(b) || r.Uvarint() != u || n.UvarintNumber() != float64(u) || r.Err() != nil {
			t.Fatalf("unsigned %d", u)
		}
	})
}
