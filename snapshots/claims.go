package snapshots

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	"ysync/crdt"
)

// claims says of units who came first with them: claims are made in order, and
// the first one to a unit holds. Memory grows with the ranges that hold, not
// with the claims made.
type claims struct {
	who     []string
	index   map[string]uint32
	clients map[crdt.ClientID]*clientClaims
}

type clientClaims struct {
	// settled do not overlap, and lie in the order of their clocks.
	settled []claim
	// fresh came after all that is settled, in the order in which they came.
	fresh []claim
}

type claim struct {
	crdt.Range
	who uint32
}

// settleAt is how many fresh claims of a client are settled together at least.
const settleAt = 4096

func (s *claims) add(client crdt.ClientID, r crdt.Range, who string) {
	if r.From >= r.To {
		return
	}
	if s.clients == nil {
		s.clients, s.index = make(map[crdt.ClientID]*clientClaims), make(map[string]uint32)
	}
	n, ok := s.index[who]
	if !ok {
		n = uint32(len(s.who))
		s.index[who], s.who = n, append(s.who, who)
	}
	c := s.clients[client]
	if c == nil {
		c = new(clientClaims)
		s.clients[client] = c
	}
	if last := len(c.fresh) - 1; last >= 0 && c.fresh[last].who == n {
		// Typing goes forward, rubbing out goes backward.
		switch l := &c.fresh[last]; {
		case l.To == r.From:
			l.To = r.To
			return
		case l.From == r.To:
			l.From = r.From
			return
		}
	}
	c.fresh = append(c.fresh, claim{r, n})
	if len(c.fresh) >= max(settleAt, len(c.settled)) {
		c.settle()
	}
}

// find says who holds a unit, and up to which clock that, or that nobody does,
// goes on.
func (s *claims) find(id crdt.ID) (who string, ok bool, until crdt.Clock) {
	c := s.clients[id.Client]
	if c == nil {
		return "", false, math.MaxUint64
	}
	c.settle()
	i, _ := slices.BinarySearchFunc(c.settled, id.Clock, func(e claim, at crdt.Clock) int {
		if e.To <= at {
			return -1
		}
		return 1
	})
	switch {
	case i == len(c.settled):
		return "", false, math.MaxUint64
	case c.settled[i].From > id.Clock:
		return "", false, c.settled[i].From
	}
	return s.who[c.settled[i].who], true, c.settled[i].To
}

// settle sweeps over the borders of all claims; where several overlap, the
// earliest holds. What is settled counts as earlier than what is fresh.
func (c *clientClaims) settle() {
	if len(c.fresh) == 0 {
		return
	}
	type ranked struct {
		claim
		rank int
	}
	all := make([]ranked, 0, len(c.settled)+len(c.fresh))
	for i, e := range c.settled {
		all = append(all, ranked{e, i})
	}
	for i, e := range c.fresh {
		all = append(all, ranked{e, len(c.settled) + i})
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.rank, b.rank))
	})
	out := make([]claim, 0, len(all))
	put := func(from, to crdt.Clock, who uint32) {
		if n := len(out); n > 0 && out[n-1].who == who && out[n-1].To == from {
			out[n-1].To = to
			return
		}
		out = append(out, claim{crdt.Range{From: from, To: to}, who})
	}
	var open ranks // of the claims that began and may not have ended
	at := map[int]claim{}
	pos := crdt.Clock(0)
	for i := 0; i < len(all) || len(open) > 0; {
		if len(open) == 0 {
			pos = all[i].From
		}
		for ; i < len(all) && all[i].From <= pos; i++ {
			heap.Push(&open, all[i].rank)
			at[all[i].rank] = all[i].claim
		}
		first := at[open[0]]
		if first.To <= pos {
			delete(at, open[0])
			heap.Pop(&open)
			continue
		}
		to := first.To
		if i < len(all) {
			to = min(to, all[i].From)
		}
		put(pos, to, first.who)
		pos = to
	}
	c.settled, c.fresh = out, c.fresh[:0]
}

// ranks is a heap, the smallest first.
type ranks []int

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[i] < r[j] }
func (r ranks) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }

// Push implements heap.Interface.
func (r *ranks) Push(x any) { *r = append(*r, x.(int)) }

// Pop implements heap.Interface.
func (r *ranks) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	*r = (*r)[:last]
	return x
}
