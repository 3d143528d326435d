package crdt

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sort"

	"ysync/internal/lib0"
)

// IDSet is a set of IDs as clock ranges by client: a delete set
// (Yjs: DeleteSet, sorted and merged). The zero value is empty.
type IDSet struct {
	// clients are in descending order of their IDs, none is empty.
	clients []idSetClient
}

type idSetClient struct {
	client ClientID
	packed packedRanges
}

func (c *idSetClient) ranges() ranges { return c.packed.list() }

func (c *idSetClient) set(rs ranges) { c.packed = pack(rs) }

// Range is the clocks From up to, not including, To.
type Range struct{ From, To Clock }

// Len is how many clocks the range holds.
func (r Range) Len() Clock { return r.To - r.From }

// span is the part of a range that a document can have.
func (r Range) span() span { return span{uint32(min(r.From, maxClock)), uint32(min(r.To, maxClock))} }

func (s span) public() Range { return Range{Clock(s.from), Clock(s.to)} }

// Empty tells whether the set holds no ID.
func (s *IDSet) Empty() bool { return len(s.clients) == 0 }

// Clients is the number of clients with a range.
func (s *IDSet) Clients() int { return len(s.clients) }

// All yields the ranges: clients in descending order, ranges ascending.
func (s *IDSet) All() iter.Seq2[ClientID, Range] {
	return func(yield func(ClientID, Range) bool) {
		for _, c := range s.clients {
			for _, r := range c.ranges() {
				if !yield(c.client, r.public()) {
					return
				}
			}
		}
	}
}

func (s *IDSet) search(c ClientID) (int, bool) {
	i := sort.Search(len(s.clients), func(i int) bool { return s.clients[i].client <= c })
	return i, i < len(s.clients) && s.clients[i].client == c
}

// Contains tells whether the set holds an ID.
func (s *IDSet) Contains(id ID) bool {
	i, ok := s.search(id.Client)
	return ok && id.Clock < maxClock && s.clients[i].ranges().has(uint32(id.Clock))
}

// covers tells whether the set holds all of a range that is not empty.
func (s *IDSet) covers(run deleteRun) bool {
	i, ok := s.search(run.client)
	return ok && s.clients[i].ranges().covers(run.span())
}

// Add puts a range into the set. An empty range adds nothing, nor do clocks from
// 2^32-1 on, which no document has.
func (s *IDSet) Add(c ClientID, r Range) {
	sp := r.span()
	if sp.from >= sp.to {
		return
	}
	i, ok := s.search(c)
	if !ok {
		s.clients = slices.Insert(s.clients, i, idSetClient{client: c})
	}
	rs := s.clients[i].ranges()
	rs.add(sp.from, sp.to)
	s.clients[i].set(rs)
}

// Union adds all of other.
func (s *IDSet) Union(other *IDSet) {
	var missing []idSetClient
	for _, oc := range other.clients {
		if i, ok := s.search(oc.client); ok {
			rs := s.clients[i].ranges()
			rs.union(oc.ranges())
			s.clients[i].set(rs)
		} else {
			missing = append(missing, idSetClient{oc.client, pack(slices.Clone(oc.ranges()))})
		}
	}
	if len(missing) > 0 {
		s.clients = append(s.clients, missing...)
		s.sort()
	}
}

// Subtract removes all of other.
func (s *IDSet) Subtract(other *IDSet) {
	out := s.clients[:0:0]
	for _, c := range s.clients {
		if i, ok := other.search(c.client); ok {
			c.set(c.ranges().without(other.clients[i].ranges()))
		}
		if c.packed.n > 0 {
			out = append(out, c)
		}
	}
	s.clients = out
}

// Equal tells whether both hold the same IDs.
func (s *IDSet) Equal(other *IDSet) bool {
	return slices.EqualFunc(s.clients, other.clients, func(a, b idSetClient) bool {
		return a.client == b.client && slices.Equal(a.ranges(), b.ranges())
	})
}

// Clone returns a copy that shares nothing.
func (s *IDSet) Clone() IDSet {
	out := IDSet{clients: slices.Clone(s.clients)}
	for i := range out.clients {
		out.clients[i].set(slices.Clone(out.clients[i].ranges()))
	}
	return out
}

// sort restores the order of clients.
func (s *IDSet) sort() {
	slices.SortStableFunc(s.clients, func(a, b idSetClient) int { return cmp.Compare(b.client, a.client) })
}

// DecodeIDSet reads a delete set (Yjs: readDeleteSet). It allocates at most eight
// times the input. Bytes after it are ignored, as in Yjs. The error wraps an
// *UpdateError.
func DecodeIDSet(v Version, b []byte) (IDSet, error) {
	s, _, err := readIDSet(v, b)
	if err != nil {
		return IDSet{}, fmt.Errorf("delete set: %w", err)
	}
	return s, nil
}

// readIDSet reads a delete set and tells at which byte it ends.
func readIDSet(v Version, b []byte) (s IDSet, end int, err error) {
	r, err := newSetReader(v, b)
	if err != nil {
		return s, 0, err
	}
	s, err = r.deleteSet()
	return s, r.dec.offset(), err
}

// AppendIDSet appends a delete set (Yjs: writeDeleteSet).
func AppendIDSet(dst []byte, v Version, s *IDSet) []byte {
	if v == V2 {
		e := encoderV2{rest: dst}
		writeIDSet(&e, s)
		return e.rest
	}
	e := encoderV1{buf: dst}
	writeIDSet(&e, s)
	return e.buf
}

// newSetReader starts a walk over a delete set that stands alone: V2 has no
// columns then.
func newSetReader(v Version, b []byte) (*updateReader, error) {
	switch v {
	case V1:
		return &updateReader{dec: &decoderV1{b: b}}, nil
	case V2:
		return &updateReader{dec: &decoderV2{b: b, r: lib0.NewReader(b)}}, nil
	}
	return nil, &UpdateError{0, malformed("unknown encoding version")}
}

// push appends a range in any order; normalise must follow.
func (s *IDSet) push(run deleteRun) {
	n := len(s.clients)
	if n == 0 || s.clients[n-1].client != run.client {
		s.clients = append(roomier(s.clients), idSetClient{client: run.client})
		n++
	}
	c, sp := &s.clients[n-1], run.span()
	rs := c.ranges()
	if k := len(rs); k > 0 {
		// Who types on or deletes backwards says many that touch.
		switch last := &rs[k-1]; {
		case last.to == sp.from:
			last.to = sp.to
			return
		case last.from == sp.to:
			last.from = sp.from
			return
		}
	}
	c.set(append(roomier(rs), sp))
}

// normalise sorts and merges what was appended in any order.
func (s *IDSet) normalise() {
	s.sort()
	out := s.clients[:0]
	for _, c := range s.clients {
		if n := len(out); n > 0 && out[n-1].client == c.client {
			out[n-1].set(append(out[n-1].ranges(), c.ranges()...))
		} else {
			out = append(out, c)
		}
	}
	s.clients = out
	for i := range s.clients {
		rs := s.clients[i].ranges()
		rs.normalise()
		s.clients[i].set(rs)
	}
}
