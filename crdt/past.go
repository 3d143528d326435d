package crdt

import (
	"iter"
	"math"
	"sort"
)

// past reads the types of a document as they were at a snapshot. Nothing is copied and no block is
// split: where Yjs cuts blocks at the borders of the snapshot (splitSnapshotAffectedStructs), past
// finds the borders as it walks, so that a view leaves no trace in the document.
//
// What it shows of a document that collects is what is left; Doc.Lost tells what is not.
type past struct {
	d       *Doc
	at      Snapshot
	last    clientRef // the client last asked for
	lastOf  *pastClient
	clients map[clientRef]*pastClient
}

// pastClient is what a snapshot says of one client.
type pastClient struct {
	state   uint32
	deleted ranges
	hint    int // index of the range found last
}

func (d *Doc) past(s Snapshot) *past { return &past{d: d, at: s} }

// of looks up what the snapshot says of a client. Types are mostly by few clients, in long runs.
func (p *past) of(c clientRef) *pastClient {
	if c == p.last && p.lastOf != nil {
		return p.lastOf
	}
	pc := p.clients[c]
	if pc == nil {
		id := p.d.clients[c].id
		pc = &pastClient{state: uint32(min(p.at.State.Get(id), maxClock))}
		if i, ok := p.at.Deletes.search(id); ok {
			pc.deleted = p.at.Deletes.clients[i].ranges()
		}
		if p.clients == nil {
			p.clients = make(map[clientRef]*pastClient)
		}
		p.clients[c] = pc
	}
	p.last, p.lastOf = c, pc
	return pc
}

// known tells whether the first unit of an item was there.
func (p *past) known(it *item) bool { return it.clock < p.of(it.client).state }

// shows tells whether a unit was there and not deleted, and up to which clock that holds at least
// (Yjs: isVisible).
func (p *past) shows(u unitID) (visible bool, until uint32) {
	pc := p.of(u.client)
	if u.clock >= pc.state {
		return false, math.MaxUint32
	}
	rs := pc.deleted
	j := pc.hint
	if j > len(rs) || j < len(rs) && rs[j].to <= u.clock || j > 0 && rs[j-1].to > u.clock {
		j = sort.Search(len(rs), func(i int) bool { return rs[i].to > u.clock })
		pc.hint = j
	}
	switch {
	case j == len(rs) || rs[j].from >= pc.state:
		return true, pc.state
	case rs[j].from <= u.clock:
		return false, rs[j].to
	}
	return true, rs[j].from
}

// piece is a run of units of one item that were all there, or all not, at each moment of a view.
type piece struct {
	it   *item
	id   unitID // of the first unit
	len  uint32
	data []byte // of text and values
	// before and after say whether the units show at the earlier and at the later moment. A view
	// at one moment is the later one.
	before, after bool
}

// eachPiece walks a sequence and hands over what shows at one of two moments; before may be nil. A
// surrogate pair that a border cuts shows as two U+FFFD, as the split in Yjs makes of it
// (ContentString.splice). It takes time in proportion to the items of the sequence, times the
// logarithm of the deleted ranges of a client where those are not found in order.
func (d *Doc) eachPiece(b branchRef, before, after *past, yield func(piece) bool) {
	for r := d.start(b); r != 0; {
		it := d.item(r)
		r = it.right
		if it.kind == kindDeleted || it.isGC() {
			continue
		}
		c := cutter{kind: it.kind, data: d.data(it)}
		for clock := it.clock; clock < it.end(); {
			pc := piece{it: it, id: unitID{it.client, clock}}
			visible, until := after.shows(pc.id)
			pc.after = visible
			if before != nil {
				var other uint32
				pc.before, other = before.shows(pc.id)
				until = min(until, other)
			}
			pc.len = min(until, it.end()) - clock
			clock += pc.len
			pc.data = c.take(pc.len, clock == it.end())
			if (pc.before || pc.after) && !yield(pc) {
				return
			}
		}
	}
}

// cutter cuts the content of an item into pieces from front to end.
type cutter struct {
	kind contentKind
	data []byte
}

// take cuts off n units; last says that they are all that is left.
func (c *cutter) take(n uint32, last bool) []byte {
	data := c.data
	if last {
		return data
	}
	switch c.kind {
	case kindString:
		at, how := cutText(data, n)
		if how != cutClean {
			data, c.data = replaceAtCut(data, at, how)
			return data
		}
		c.data = data[at:]
		return data[:at]
	case kindAny, kindJSON:
		c.data = skipValues(data, n)
		return data[:len(data)-len(c.data)]
	}
	return data
}

// listValues yields the elements of a sequence (Yjs: typeListToArraySnapshot).
func (p *past) listValues(b branchRef) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		p.d.eachPiece(b, nil, p, func(pc piece) bool { return p.d.valuesOf(pc.it, pc.len, pc.data, yield) })
	}
}

// keyUnit is what held the value of a key: an item and the place of the unit in it; 0 if there was
// none. It goes back from the newest value. Values of a key that are deleted may be one item, of which
// the snapshot knows only the first ones; there Yjs gives the last one of the item
// (typeMapGetSnapshot, typeMapGetAllSnapshot), which may be a later value.
func (p *past) keyUnit(c chainRef) (r itemRef, unit uint32) {
	d := p.d
	r = d.chain(c).last
	for r != 0 && !p.known(d.item(r)) {
		r = d.item(r).left
	}
	if r == 0 {
		return 0, 0
	}
	it := d.item(r)
	last := unitID{it.client, min(it.end(), p.of(it.client).state) - 1}
	if visible, _ := p.shows(last); !visible {
		return 0, 0
	}
	return r, last.clock - it.clock
}

// keyValue is the value of a key, undefined when it had none.
func (p *past) keyValue(b branchRef, key string) (v Value, ok bool) {
	k, known := p.d.lookupKey(key)
	if !known {
		return Value{}, false
	}
	r, unit := p.keyUnit(p.d.findChain(b, k))
	if r == 0 {
		return Value{}, false
	}
	return p.d.valueAt(p.d.item(r), unit), true
}

// entries yields keys and values in the order in which the keys appeared.
func (p *past) entries(b branchRef) iter.Seq2[string, Value] {
	d := p.d
	return func(yield func(string, Value) bool) {
		for c := d.branch(b).firstKey; c != 0; c = d.chain(c).nextKey {
			if r, unit := p.keyUnit(c); r != 0 && !yield(d.key(d.chain(c).key), d.valueAt(d.item(r), unit)) {
				return
			}
		}
	}
}

// appendText appends the text of a sequence.
func (p *past) appendText(dst []byte, b branchRef) []byte {
	p.d.eachPiece(b, nil, p, func(pc piece) bool {
		if pc.it.kind == kindString {
			dst = appendJoined(dst, pc.data)
		}
		return true
	})
	return dst
}

func (p *past) document() *Doc { return p.d }

// knownKey tells whether a key ever had a value. The oldest value of a key comes first.
func (p *past) knownKey(c chainRef) bool {
	for r := p.d.chain(c).first; r != 0; r = p.d.item(r).right {
		if p.known(p.d.item(r)) {
			return true
		}
	}
	return false
}
