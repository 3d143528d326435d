package crdt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
)

// decoders read bytes of others, one kind each, with nothing done about what they say.
var decoders = map[string]func(b []byte) error{
	"state vector":      func(b []byte) error { _, err := DecodeStateVector(b); return err },
	"delete set V1":     func(b []byte) error { _, err := DecodeIDSet(V1, b); return err },
	"delete set V2":     func(b []byte) error { _, err := DecodeIDSet(V2, b); return err },
	"snapshot V1":       func(b []byte) error { _, err := DecodeSnapshot(V1, b); return err },
	"snapshot V2":       func(b []byte) error { _, err := DecodeSnapshot(V2, b); return err },
	"relative position": func(b []byte) error { _, err := DecodeRelativePosition(b); return err },
	"relative position in JSON": func(b []byte) error {
		var p RelativePosition
		return json.Unmarshal(b, &p)
	},
	"update V1":                    func(b []byte) error { return decodeOnly(V1, b) },
	"update V2":                    func(b []byte) error { return decodeOnly(V2, b) },
	"state vector of an update V1": func(b []byte) error { _, err := StateVectorOf(V1, b); return err },
	"state vector of an update V2": func(b []byte) error { _, err := StateVectorOf(V2, b); return err },
	"contents of an update V1":     func(b []byte) error { _, err := ContentsOf(V1, b); return err },
	"contents of an update V2":     func(b []byte) error { _, err := ContentsOf(V2, b); return err },
	"mentions of an update V1":     func(b []byte) error { return mentionsOnly(V1, b) },
	"mentions of an update V2":     func(b []byte) error { return mentionsOnly(V2, b) },
}

func decodeOnly(v Version, b []byte) error {
	in := new(incoming)
	return in.read(v, b, &defaultLimits)
}

func mentionsOnly(v Version, b []byte) error {
	for _, err := range MentionsOf(v, b) {
		if err != nil {
			return err
		}
	}
	return nil
}

// entries are n clients, each followed by more, with IDs from n down, or up to it.
func entries(n int, up bool, more ...byte) []byte {
	out := lib0.AppendUvarint(nil, uint64(n))
	for i := range n {
		id := n - i
		if up {
			id = i
		}
		out = append(lib0.AppendUvarint(out, uint64(id)), more...)
	}
	return out
}

// claims are bytes that say much in little space, or say that they do, for all decoders.
var claims = map[string]func(n int) []byte{
	"clients and numbers":          func(n int) []byte { return entries(n, false, 1) },
	"clients and numbers, upwards": func(n int) []byte { return entries(n, true, 1) },
	"one client and numbers": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{5, 1}, n)...)
	},
	"clients with a range": func(n int) []byte { return entries(n, false, 1, 0, 1) },
	"clients with a range, upwards": func(n int) []byte {
		return entries(n, true, 1, 0, 1)
	},
	"two clients in turns": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{1, 1, 0, 1, 2, 1, 0, 1}, n/2)...)
	},
	"ranges that touch": func(n int) []byte {
		return append(lib0.AppendUvarint([]byte{1, 5}, uint64(n)), slices.Repeat([]byte{0, 1}, n)...)
	},
	"ranges that do not touch": func(n int) []byte {
		return append(lib0.AppendUvarint([]byte{1, 5}, uint64(n)), slices.Repeat([]byte{1, 1}, n)...)
	},
	"a false count": func(n int) []byte { return append(lib0.AppendUvarint(nil, uint64(n)), make([]byte, n)...) },
	"a false count, FF": func(n int) []byte {
		return append(lib0.AppendUvarint(nil, uint64(n)), slices.Repeat([]byte{0xff}, n)...)
	},
	"a long name": func(n int) []byte { return append(lib0.AppendUvarint([]byte{1}, uint64(n)), strings.Repeat("n", n)...) },
	"deep JSON":   func(n int) []byte { return []byte(strings.Repeat(`{"type":`, n)) },
}

// Whatever bytes say, a decoder allocates at most eight times what they take and 64
// KiB, takes time in proportion to them, and says at which byte it stopped.
func TestDecodersAreBounded(t *testing.T) {
	all := map[string]func(n int) []byte{}
	for name, c := range claims {
		all[name] = c
		all["deletes: "+name] = func(n int) []byte { return append([]byte{0}, c(n)...) } // as the deletes of an update in V1
	}
	for name, s := range shapes {
		all[name] = s
		all[name+", in V2"] = func(n int) []byte {
			out, err := Convert(V1, V2, s(n))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	for shape, bytes := range all {
		for _, n := range []int{100, 5000, 50_000} {
			b := bytes(n)
			for _, b := range [][]byte{b, b[:len(b)-1]} {
				for name, decode := range decoders {
					var err error
					start := cpuTime()
					got := allocated(func() { err = decode(b) })
					took := cpuTime() - start
					what := fmt.Sprintf("%s as %s, %d bytes (%v)", shape, name, len(b), err)
					if most := uint64(8*len(b) + 64<<10); got > most {
						t.Errorf("%s: %d bytes allocated, at most %d allowed", what, got, most)
					}
					if most := 50*time.Millisecond + time.Duration(len(b))*2*time.Microsecond; took > most {
						t.Errorf("%s: took %v, at most %v allowed", what, took, most)
					}
				}
			}
		}
	}
}
