package crdt

import (
	"iter"
)

// Commit is what one transaction did. It is valid until the next transaction
// of its Doc begins.
type Commit struct {
	tx   *Txn
	next *Commit

	// of Apply
	leftPending bool
	relayable   bool

	// frozen encodings, when other transactions followed
	frozen [2][]byte
}

// Empty tells whether the transaction added neither a block nor a delete.
func (c *Commit) Empty() bool { return len(c.tx.touched) == 0 && len(c.tx.deletes) == 0 }

// LeftPending tells whether something of the update waits for a dependency.
func (c *Commit) LeftPending() bool { return c.leftPending }

// Relayable tells whether the update may be passed on as it came: it was
// integrated whole, holds no skip and nothing that was known before.
func (c *Commit) Relayable() bool { return c.relayable }

// Origin is what Apply or Transact was given.
func (c *Commit) Origin() any { return c.tx.Origin }

// Local tells whether the change was made here rather than received.
func (c *Commit) Local() bool { return c.tx.local }

// Next is the commit of a transaction that followed from this one: removed
// formats, or edits of an observer; nil if none did. Its update is to be passed
// on as well.
func (c *Commit) Next() *Commit { return c.next }

// AppendUpdate appends exactly what the transaction added, with earlier pending
// parts that it completed. It never holds a skip. For an empty commit it
// appends an update without content. (Yjs: the update event.)
func (c *Commit) AppendUpdate(dst []byte, v Version) []byte {
	if f := c.frozen[v-1]; f != nil {
		return append(dst, f...)
	}
	if v == V1 {
		d := c.tx.doc
		var one [1]from
		fs := c.from(one[:0])
		return d.appendDeletesV1(d.appendFromV1(dst, fs), c.tx.deletes)
	}
	e := newEncoder(v, dst)
	c.write(e)
	return e.finish()
}

// from appends where the blocks of the transaction start, clients in descending
// order.
func (c *Commit) from(fs []from) []from {
	for _, t := range c.tx.touched {
		fs = append(fs, from{t.client, t.before})
	}
	if len(fs) > 1 {
		c.tx.doc.sortDescending(fs)
	}
	return fs
}

// write writes what the transaction added.
func (c *Commit) write(e updateEncoder) {
	d := c.tx.doc
	d.writeFrom(e, c.from(nil))
	d.writeRanges(e, c.tx.deletes)
}

// freeze encodes the commit while the blocks are as they were after it.
func (c *Commit) freeze() {
	if c.frozen[0] != nil {
		return
	}
	c.frozen = [2][]byte{c.AppendUpdate(nil, V1), c.AppendUpdate(nil, V2)}
}

// Before is the state of the clients that the transaction added blocks of,
// before it. Clients that were unknown are left out.
func (c *Commit) Before() StateVector {
	return c.states(func(t touchedClient) uint32 { return t.before })
}

// After is the state of the clients that the transaction added blocks of.
func (c *Commit) After() StateVector {
	return c.states(func(t touchedClient) uint32 { return t.after })
}

func (c *Commit) states(of func(touchedClient) uint32) StateVector {
	cs := make([]clientClock, 0, len(c.tx.touched))
	for _, t := range c.tx.touched {
		if n := of(t); n > 0 {
			cs = append(cs, clientClock{c.tx.doc.clients[t.client].id, Clock(n)})
		}
	}
	return newStateVector(cs)
}

// Added yields for each client the clocks that the transaction added, clients
// in no particular order.
func (c *Commit) Added() iter.Seq2[ClientID, Range] {
	return func(yield func(ClientID, Range) bool) {
		for _, t := range c.tx.touched {
			if !yield(c.tx.doc.clients[t.client].id, Range{Clock(t.before), Clock(t.after)}) {
				return
			}
		}
	}
}

// Deletes are the units that the transaction deleted.
func (c *Commit) Deletes() IDSet { return c.tx.doc.idSet(c.tx.deletes) }

// idSet is the set of ranges that come client by client.
func (d *Doc) idSet(ranges []deleteRange) (s IDSet) {
	for _, r := range ranges {
		s.push(deleteRun{d.clients[r.client].id, Range{Clock(r.clock), Clock(r.clock + r.length)}})
	}
	s.normalise()
	return s
}
