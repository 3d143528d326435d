package lib0_test

import (
	"bytes"
	"math"
	"testing"
	"unicode/utf8"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
)

// seed adds the inputs of the recorded decoding steps of a type.
func seed(f *testing.F, types ...string) {
	cases, err := vectors.Read("lib0")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		for _, s := range c.Steps {
			for _, t := range types {
				if s.Op == "lib0dec" && s.T == t {
					f.Add(s.B)
				}
			}
		}
	}
}

func FuzzVarints(f *testing.F) {
	seed(f, "varUint", "varInt")
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n := lib0.NewReader(b), lib0.NewReader(b)
		if u, num := r.Uvarint(), n.UvarintNumber(); r.Err() == nil {
			if u > lib0.MaxSafeInteger || float64(u) != num || r.Len() != n.Len() {
				t.Fatalf("%d, as a number %v", u, num)
			}
			back := lib0.NewReader(lib0.AppendUvarint(nil, u))
			if back.Uvarint() != u {
				t.Fatalf("%d does not come back", u)
			}
		}
		r, n = lib0.NewReader(b), lib0.NewReader(b)
		v, negZero := r.Varint()
		if num := n.VarintNumber(); r.Err() == nil {
			if float64(v) != num || negZero != (num == 0 && math.Signbit(num)) || r.Len() != n.Len() {
				t.Fatalf("%d (%v), as a number %v", v, negZero, num)
			}
		}
	})
}

func FuzzStrings(f *testing.F) {
	seed(f, "varString", "varUint8Array")
	f.Fuzz(func(t *testing.T, b []byte) {
		r := lib0.NewReader(b)
		s := r.String()
		if r.Err() != nil {
			return
		}
		if !utf8.ValidString(s) || !lib0.IsWellFormed(s) || lib0.WellFormed(s) != s {
			t.Fatalf("%q accepted", s)
		}
		if units := lib0.AppendUTF16(nil, s); len(units) != lib0.UTF16Len(s) || lib0.FromUTF16(units) != s {
			t.Fatalf("%q has %d units, counted %d", s, len(units), lib0.UTF16Len(s))
		}
		back := lib0.NewReader(lib0.AppendString(nil, s))
		if back.String() != s {
			t.Fatalf("%q does not come back", s)
		}
	})
}

func FuzzAny(f *testing.F) {
	seed(f, "any")
	f.Add(bytes.Repeat([]byte{byte(lib0.TagArray), 1}, 100))                                 // cut at the deepest level
	f.Add(append(bytes.Repeat([]byte{byte(lib0.TagArray), 1}, 100), byte(lib0.TagArray), 0)) // one level too deep, and empty
	f.Fuzz(func(t *testing.T, b []byte) {
		skip, raw, read := lib0.NewReader(b), lib0.NewReader(b), lib0.NewReader(b)
		skip.SkipAny(100)
		whole := raw.Raw(100)
		v := readAny(&read, 100)
		if (skip.Err() == nil) != (read.Err() == nil) || skip.Off() != read.Off() && skip.Err() == nil {
			t.Fatalf("skipped to %d (%v), read to %d (%v)", skip.Off(), skip.Err(), read.Off(), read.Err())
		}
		if skip.Err() != nil {
			return
		}
		if !bytes.Equal(whole, b[:skip.Off()]) {
			t.Fatalf("raw %x", whole)
		}
		once, err := appendAny(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		again := lib0.NewReader(once)
		if d := vectors.Diff(v, readAny(&again, 100)); d != "" {
			t.Fatal(d)
		}
	})
}

// The columns are read further than their bytes go: they must keep returning.
func FuzzColumns(f *testing.F) {
	seed(f, "rleUint8", "uintOptRle", "incUintOptRle", "intDiffOptRle", "string")
	f.Fuzz(func(t *testing.T, b []byte) {
		rle := lib0.NewRleDecoder(lib0.NewReader(b))
		u := lib0.NewUintOptRleDecoder(lib0.NewReader(b))
		inc := lib0.NewIncUintOptRleDecoder(lib0.NewReader(b))
		diff := lib0.NewIntDiffOptRleDecoder(lib0.NewReader(b))
		str := lib0.NewStringDecoder(lib0.NewReader(b))
		var (
			enc   lib0.UintOptRleEncoder
			denc  lib0.IntDiffOptRleEncoder
			uints []uint64
			ints  []int64
			total int
		)
		for range 200 {
			rle.Read()
			if v := u.Read(); v > lib0.MaxSafeInteger {
				t.Fatalf("%d", v)
			} else if u.Err() == nil {
				enc.Write(v)
				uints = append(uints, v)
			}
			if v := inc.Read(); v > lib0.MaxSafeInteger {
				t.Fatalf("%d", v)
			}
			v := diff.Read()
			if v > lib0.MaxSafeInteger || v < -lib0.MaxSafeInteger {
				t.Fatalf("%d", v)
			}
			// Differences of more than 52 bits have no encoding.
			if diff.Err() == nil && v < 1<<50 && v > -1<<50 {
				denc.Write(v)
				ints = append(ints, v)
			}
			s, units := str.Read()
			if lib0.UTF16Len(s) != units {
				t.Fatalf("%q said to have %d units", s, units)
			}
			total += units
		}
		if total > len(b) {
			t.Fatalf("%d units from %d bytes", total, len(b))
		}
		back := lib0.NewUintOptRleDecoder(lib0.NewReader(enc.AppendTo(nil)))
		for i, want := range uints {
			if got := back.Read(); got != want {
				t.Fatalf("value %d: %d, want %d", i, got, want)
			}
		}
		dback := lib0.NewIntDiffOptRleDecoder(lib0.NewReader(denc.AppendTo(nil)))
		for i, want := range ints {
			if got := dback.Read(); got != want {
				t.Fatalf("difference %d: %d, want %d (%v)", i, got, want, dback.Err())
			}
		}
	})
}
