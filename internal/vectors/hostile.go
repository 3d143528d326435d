package vectors

import (
	"bytes"
	"math/rand/v2"

	"ysync/internal/lib0"
)

// Mutate changes bytes the way damage and malice do.
func Mutate(r *rand.Rand, b, other []byte) []byte {
	out := bytes.Clone(b)
	for range 1 + r.IntN(3) {
		if len(out) == 0 {
			return append(out, byte(r.IntN(256)))
		}
		i := r.IntN(len(out))
		switch r.IntN(9) {
		case 0:
			out[i] ^= 1 << r.IntN(8)
		case 1:
			out[i] = byte(r.IntN(256))
		case 2:
			out[i] = 0xff
		case 3:
			out = out[:i]
		case 4:
			out = append(out[:i], out[i+1:]...)
		case 5: // a number that claims much
			n := lib0.AppendUvarint(nil, uint64(1)<<r.IntN(53))
			out = append(out[:i:i], append(n, out[i:]...)...)
		case 6: // a number in place of another one
			n := lib0.AppendUvarint(nil, r.Uint64N(1<<20))
			out = append(out[:i:i], append(n, out[min(i+len(n), len(out)):]...)...)
		case 7: // a range again
			j := i + r.IntN(len(out)-i)
			out = append(out[:j:j], out[i:]...)
		case 8: // the end of another update
			if len(other) > 0 {
				out = append(out[:i:i], other[r.IntN(len(other)):]...)
			}
		}
	}
	return out
}

// Short returns recorded histories of at most 60 updates, which are quickly
// applied again.
func Short() ([]Case, error) {
	var out []Case
	for _, family := range []string{"fuzz", "gc", "editors"} {
		cases, err := Read(family)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if c.Kind == "doc" && len(c.Updates) <= 60 {
				out = append(out, c)
			}
		}
	}
	return out, nil
}
