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
	ranges []Range // sorted, disjoint, not touching
}

// Range is the clocks From up to, not including, To.
type Range struct{ From, To Clock }

// Len is how many clocks the range holds.
func (r Range) Len() Clock { return r.To - r.From }

// Empty tells whether the set holds no ID.
func (s *IDSet) Empty() bool { return len(s.clients) == 0 }

// Clients is the number of clients with a range.
func (s *IDSet) Clients() int { return len(s.clients) }

// All yields the ranges: clients in descending order, ranges ascending.
func (s *IDSet) All() iter.Seq2[ClientID, Range] {
	return func(yield func(ClientID, Range) bool) {
		for _, c := range s.clients {
			for _, r := range c.ranges {
				if !yield(c.client, r) {
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
	if !ok {
		return false
	}
	rs := s.clients[i].ranges
	j := sort.Search(len(rs), func(j int) bool { return rs[j].To > id.Clock })
	return j < len(rs) && rs[j].From <= id.Clock
}

// Add puts a range into the set. An empty range adds nothing.
func (s *IDSet) Add(c ClientID, r Range) {
	if r.From >= r.To {
		return
	}
	i, ok := s.search(c)
	if !ok {
		s.clients = slices.Insert(s.clients, i, idSetClient{client: c})
	}
	s.clients[i].ranges = addRange(s.clients[i].ranges, r)
}

func addRange(rs []Range, r Range) []Range {
	i := len(rs)
	if i > 0 && rs[i-1].To >= r.From {
		i = sort.Search(len(rs), func(i int) bool { return rs[i].To >= r.From })
	}
	j := i
	for j < len(rs) && rs[j].From <= r.To {
		j++
	}
	if i == j {
		return slices.Insert(rs, i, r)
	}
	rs[i] = Range{min(r.From, rs[i].From), max(r.To, rs[j-1].To)}
	return slices.Delete(rs, i+1, j)
}

// Union adds all of other.
func (s *IDSet) Union(other *IDSet) {
	for _, oc := range other.clients {
		i, ok := s.search(oc.client)
		if !ok {
			s.clients = slices.Insert(s.clients, i, idSetClient{oc.client, slices.Clone(oc.ranges)})
			continue
		}
		s.clients[i].ranges = unionRanges(s.clients[i].ranges, oc.ranges)
	}
}

func unionRanges(a, b []Range) []Range {
	if len(b) <= 2 {
		for _, r := range b {
			a = addRange(a, r)
		}
		return a
	}
	out := make([]Range, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var r Range
		if len(b) == 0 || len(a) > 0 && a[0].From <= b[0].From {
			r, a = a[0], a[1:]
		} else {
			r, b = b[0], b[1:]
		}
		if n := len(out); n > 0 && out[n-1].To >= r.From {
			out[n-1].To = max(out[n-1].To, r.To)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Subtract removes all of other.
func (s *IDSet) Subtract(other *IDSet) {
	out := s.clients[:0:0]
	for _, c := range s.clients {
		if i, ok := other.search(c.client); ok {
			c.ranges = subtractRanges(c.ranges, other.clients[i].ranges)
		}
		if len(c.ranges) > 0 {
			out = append(out, c)
		}
	}
	s.clients = out
}

func subtractRanges(a, b []Range) []Range {
	var out []Range
	j := 0
	for _, r := range a {
		for j < len(b) && b[j].To <= r.From {
			j++
		}
		for k := j; k < len(b) && b[k].From < r.To; k++ {
			if r.From < b[k].From {
				out = append(out, Range{r.From, b[k].From})
			}
			r.From = min(b[k].To, r.To)
		}
		if r.From < r.To {
			out = append(out, r)
		}
	}
	return out
}

// Equal tells whether both hold the same IDs.
func (s *IDSet) Equal(other *IDSet) bool {
	return slices.EqualFunc(s.clients, other.clients, func(a, b idSetClient) bool {
		return a.client == b.client && slices.Equal(a.ranges, b.ranges)
	})
}

// Clone returns a copy that shares nothing.
func (s *IDSet) Clone() IDSet {
	out := IDSet{clients: slices.Clone(s.clients)}
	for i := range out.clients {
		out.clients[i].ranges = slices.Clone(out.clients[i].ranges)
	}
	return out
}

// sort restores the order of clients.
func (s *IDSet) sort() {
	slices.SortStableFunc(s.clients, func(a, b idSetClient) int { return cmp.Compare(b.client, a.client) })
}

// DecodeIDSet reads a delete set (Yjs: readDeleteSet). What it allocates is
// bounded by the input. Bytes after it are ignored, as in Yjs.
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
	var run deleteRun
	for r.nextDelete(&run) {
		s.push(run)
	}
	if err := r.check(); err != nil {
		return IDSet{}, 0, err
	}
	s.normalise()
	return s, r.dec.offset(), nil
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
	c := &s.clients[n-1]
	if k := len(c.ranges); k > 0 {
		// Who types on or deletes backwards says many that touch.
		switch last := &c.ranges[k-1]; {
		case last.To == run.From:
			last.To = run.To
			return
		case last.From == run.To:
			last.From = run.From
			return
		}
	}
	c.ranges = append(c.ranges, run.Range)
}

// normalise sorts and merges what was appended in any order.
func (s *IDSet) normalise() {
	s.sort()
	out := s.clients[:0]
	for _, c := range s.clients {
		if n := len(out); n > 0 && out[n-1].client == c.client {
			out[n-1].ranges = append(out[n-1].ranges, c.ranges...)
		} else {
			out = append(out, c)
		}
	}
	s.clients = out
	for i := range s.clients {
		s.clients[i].ranges = mergeRanges(s.clients[i].ranges)
	}
}

// mergeRanges sorts ranges and joins those that overlap or touch.
func mergeRanges(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	out := rs[:1]
	for _, r := range rs[1:] {
		if last := &out[len(out)-1]; r.From <= last.To {
			last.To = max(last.To, r.To)
		} else {
			out = append(out, r)
		}
	}
	return out
}
