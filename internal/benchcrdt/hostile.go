package main

import (
	"errors"
	"math/rand/v2"

	"ysync/crdt"
	"ysync/internal/lib0"
)

// The updates below are written by hand, in V1 unless they say otherwise.

func uvarints(dst []byte, vs ...uint64) []byte {
	for _, v := range vs {
		dst = lib0.AppendUvarint(dst, v)
	}
	return dst
}

const (
	tagText    = 4
	tagType    = 7
	withOrigin = 0x80
	withRight  = 0x40
)

// oneChar is an update with one character, after one unit and before another;
// with no origin given it is the start of the text.
func oneChar(client, clock uint64, after, before *crdt.ID) []byte {
	b := uvarints(nil, 1, 1, client, clock)
	info := byte(tagText)
	if after != nil {
		info |= withOrigin
	}
	if before != nil {
		info |= withRight
	}
	b = append(b, info)
	for _, id := range []*crdt.ID{after, before} {
		if id != nil {
			b = uvarints(b, uint64(id.Client), uint64(id.Clock))
		}
	}
	if after == nil && before == nil {
		b = append(b, 1, 4, 't', 'e', 'x', 't')
	}
	return append(b, 1, 'x', 0)
}

// oneOrigin: n clients write one character each at one place, in any order.
func oneOrigin(n int) [][]byte {
	a, b := &crdt.ID{Client: 1, Clock: 0}, &crdt.ID{Client: 1, Clock: 1}
	updates := [][]byte{oneChar(1, 0, nil, nil), oneChar(1, 1, a, nil)}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		updates = append(updates, oneChar(uint64(10+i), 0, a, b))
	}
	return updates
}

// oneMissing: n updates of one client wait for its first, which comes last.
func oneMissing(n int) [][]byte {
	var updates [][]byte
	for i := 1; i <= n; i++ {
		updates = append(updates, oneChar(7, uint64(i), &crdt.ID{Client: 7, Clock: crdt.Clock(i - 1)}, nil))
	}
	return append(updates, oneChar(7, 0, nil, nil))
}

// unknownDeletes: n updates, each a delete set of a client that nobody knows.
func unknownDeletes(n int) [][]byte {
	var updates [][]byte
	for i := range n {
		updates = append(updates, uvarints(nil, 0, 1, uint64(1000+i), 1, 5, 3))
	}
	return updates
}

// tower is one update with n arrays, each in the one before.
func tower(n int) [][]byte {
	b := uvarints(nil, 1, uint64(n), 9, 0)
	for i := range n {
		b = append(b, tagType)
		if i == 0 {
			b = append(b, 1, 1, 'a')
		} else {
			b = uvarints(append(b, 0), 9, uint64(i-1))
		}
		b = append(b, 0)
	}
	return [][]byte{append(b, 0)}
}

// bomb is a V2 update of 24 bytes whose run-length columns claim n blocks.
func bomb(n uint64) []byte {
	var clients, lens lib0.UintOptRleEncoder
	var infos lib0.RleEncoder
	var keys, left, right lib0.IntDiffOptRleEncoder
	var strings lib0.StringEncoder
	var parents lib0.RleEncoder
	var types lib0.UintOptRleEncoder
	clients.Write(5)
	infos.Write(0)
	lens.Write(1)
	dst := []byte{0}
	for _, col := range [][]byte{
		keys.AppendTo(nil), clients.AppendTo(nil), left.AppendTo(nil), right.AppendTo(nil), infos.AppendTo(nil),
		strings.AppendTo(nil), parents.AppendTo(nil), types.AppendTo(nil), lens.AppendTo(nil),
	} {
		dst = lib0.AppendBytes(dst, col)
	}
	return uvarints(dst, 1, n, 0, 0)
}

// taken applies all updates, which a server must stand.
func taken(updates [][]byte) job {
	var doc *crdt.Doc
	return job{
		setup: func() { doc = server() },
		run: func() {
			for _, u := range updates {
				apply(doc, crdt.V1, u)
			}
		},
		check: func(s *sample) {
			must(doc.Check())
			state(s, doc)
		},
	}
}

var errAccepted = errors.New("a hostile update was accepted")

// refused applies updates of which each must be refused, with no trace.
func refused(v crdt.Version, updates ...[]byte) job {
	var doc *crdt.Doc
	return job{
		setup: func() { doc = server() },
		run: func() {
			for _, u := range updates {
				if _, err := doc.Apply(nil, v, u); !errors.Is(err, crdt.ErrLimit) {
					must(errAccepted)
				}
			}
		},
		check: func(s *sample) {
			must(doc.Check())
			state(s, doc)
		},
	}
}
