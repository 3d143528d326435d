package crdt

import (
	"fmt"

	"ysync/internal/lib0"
)

// RelativePosition is a place in a sequence that edits elsewhere do not move: it names a unit, not an
// index (Yjs: RelativePosition). It is a value, compared with == or Equal. The zero value names
// nothing.
type RelativePosition struct {
	// Assoc says which unit the position belongs to: from 0 on the one after it, below 0 the one
	// before it. See AssocAfter and AssocBefore.
	Assoc int

	has   positionPart
	item  ID
	owner ID
	root  string
}

const (
	// AssocAfter makes a position stay before the unit that follows it, so that text inserted at the
	// position comes before it.
	AssocAfter = 0
	// AssocBefore makes a position stay behind the unit that precedes it.
	AssocBefore = -1
)

// positionPart says which parts a position has.
type positionPart uint8

const (
	partItem positionPart = 1 << iota
	partType
	partRoot
)

// Item is the unit that the position belongs to; false if it belongs to the start or end of its type.
func (p RelativePosition) Item() (ID, bool) { return p.item, p.has&partItem != 0 }

// Type is the unit that holds the type of the position; false if that is a root or was not said.
func (p RelativePosition) Type() (ID, bool) { return p.owner, p.has&partType != 0 }

// Root is the name of the root of the position; false if it is in a nested type or that was not said.
func (p RelativePosition) Root() (string, bool) { return p.root, p.has&partRoot != 0 }

// IsZero tells whether the position names nothing.
func (p RelativePosition) IsZero() bool { return p.has == 0 }

// Equal tells whether both say the same (Yjs: compareRelativePositions). A position that was sent as
// bytes may lack its type, and is not equal to the one it was made of then.
func (p RelativePosition) Equal(q RelativePosition) bool { return p == q }

// RelativePosition is the position before the unit at an index, in UTF-16 code units; an index beyond
// the end is the end (Yjs: createRelativePositionFromTypeIndex). It takes time in proportion to the
// blocks before the index, as in Yjs, until the walks have cost so much that the type gets an index;
// then to about a hundredth of them. It does not change what later edits do.
func (t Text) RelativePosition(at, assoc int) RelativePosition { return t.relativePosition(at, assoc) }

// RelativePosition is the position before element at; see Text.RelativePosition.
func (a Array) RelativePosition(at, assoc int) RelativePosition {
	return a.relativePosition(at, assoc)
}

// RelativePosition is the position before child at; see Text.RelativePosition.
func (f XMLFragment) RelativePosition(at, assoc int) RelativePosition {
	return f.relativePosition(at, assoc)
}

func (n node) relativePosition(index, assoc int) RelativePosition {
	if n.doc == nil || n.doc.branch(n.b).flags&branchCollected != 0 {
		return RelativePosition{}
	}
	d := n.doc
	p := RelativePosition{Assoc: assoc}
	if r := d.branch(n.b).item; r != 0 {
		p.has, p.owner = partType, d.publicID(d.item(r).id())
	} else {
		p.has, p.root = partRoot, d.key(d.branch(n.b).name)
	}
	if assoc < 0 {
		if index <= 0 {
			return p
		}
		index--
	}
	index = max(index, 0)
	switch {
	case index < int(d.branch(n.b).length):
		r, at := d.unitAt(n.b, index)
		u := d.item(r).id()
		u.clock += uint32(index - at)
		p.has |= partItem
		p.item = d.publicID(u)
	case assoc < 0 && d.start(n.b) != 0:
		p.has |= partItem
		p.item = d.publicID(d.item(d.lastItem(n.b)).lastID())
	}
	return p
}

// AbsolutePosition is a place in a type as it is now (Yjs: AbsolutePosition).
type AbsolutePosition struct {
	// Type is the sequence, as a value that gives a handle: see Value.Text and its like.
	Type Value
	// Index counts UTF-16 code units of a text, elements or children.
	Index int
	// Assoc is that of the relative position.
	Assoc int
}

// Resolve finds where a relative position is now; false if what it names is not known here or was
// collected (Yjs: createAbsolutePositionFromRelativePosition). The position of deleted content is
// where that was. What an undo manager of this document brought back counts as what was deleted
// before, of which other replicas know nothing: use ResolveShared for the same answer everywhere. As
// in Yjs, a root that is named and does not exist is made. For the time it takes see
// Text.RelativePosition.
func (d *Doc) Resolve(p RelativePosition) (AbsolutePosition, bool) {
	return d.locate(p, d.followRedone)
}

// ResolveShared is Resolve without regard to what was undone here, so that all replicas with the same
// content agree (Yjs: followUndoneDeletions: false).
func (d *Doc) ResolveShared(p RelativePosition) (AbsolutePosition, bool) {
	return d.locate(p, d.unit)
}

func (d *Doc) locate(p RelativePosition, find func(unitID) (itemRef, uint32)) (AbsolutePosition, bool) {
	switch {
	case p.has&partItem != 0:
		u, ok := d.knownUnit(p.item)
		if !ok {
			return AbsolutePosition{}, false
		}
		r, diff := find(u)
		it := d.item(r)
		if it.isGC() {
			return AbsolutePosition{}, false
		}
		b := d.parentOf(it)
		index := 0
		if !d.typeDeleted(b) {
			index = d.unitsBefore(r)
			if it.visibleUnits() > 0 {
				index += int(diff)
				if p.Assoc < 0 {
					index++
				}
			}
		}
		return AbsolutePosition{d.typeValue(b), index, p.Assoc}, true
	case p.has&partRoot != 0:
		return d.border(d.root(p.root, KindUndefined), p.Assoc), true
	case p.has&partType != 0:
		u, ok := d.knownUnit(p.owner)
		if !ok {
			return AbsolutePosition{}, false
		}
		r, _ := find(u)
		if b := d.item(r).branch(); b != 0 {
			return d.border(b, p.Assoc), true
		}
	}
	return AbsolutePosition{}, false
}

// border is the start or the end of a type.
func (d *Doc) border(b branchRef, assoc int) AbsolutePosition {
	index := 0
	if assoc >= 0 {
		index = int(d.branch(b).length)
	}
	return AbsolutePosition{d.typeValue(b), index, assoc}
}

// knownUnit interns the ID of a unit that this document has.
func (d *Doc) knownUnit(id ID) (unitID, bool) {
	c := d.findClient(id.Client)
	if c == 0 || id.Clock >= Clock(d.clients[c].state) {
		return unitID{}, false
	}
	return unitID{c, uint32(id.Clock)}, true
}

// unit is the block that holds a known unit and the unit's offset in it.
func (d *Doc) unit(u unitID) (itemRef, uint32) {
	r := d.blockAt(u)
	return r, u.clock - d.item(r).clock
}

// unitAt is the item that holds a visible unit, which must exist, with the units before it. It leaves
// the position markers alone: where they are decides what later edits do.
func (d *Doc) unitAt(b branchRef, unit int) (r itemRef, at int) {
	if m := d.types.of(b); m != nil && m.index != nil {
		return m.index.holding(d, unit)
	}
	steps := 0
	for r = d.start(b); ; steps++ {
		n := d.item(r).visibleUnits()
		if unit < at+n {
			break
		}
		at += n
		r = d.item(r).right
	}
	d.types.walked(d, b, steps)
	return r, at
}

// lastItem is the last item of a sequence that is not empty.
func (d *Doc) lastItem(b branchRef) itemRef {
	if m := d.types.of(b); m != nil && m.index != nil {
		return m.index.last(d)
	}
	r, steps := d.start(b), 0
	for ; d.item(r).right != 0; steps++ {
		r = d.item(r).right
	}
	d.types.walked(d, b, steps)
	return r
}

// unitsBefore counts the visible units before an item.
func (d *Doc) unitsBefore(r itemRef) int {
	ch := d.chain(d.item(r).chain)
	if ch.key != 0 {
		return 0 // older values of a key are deleted
	}
	if m := d.types.of(ch.branch); m != nil && m.index != nil {
		return m.index.before(d.types, d, r)
	}
	at, steps := 0, 0
	for r = d.item(r).left; r != 0; steps++ {
		it := d.item(r)
		at += it.visibleUnits()
		r = it.left
	}
	d.types.walked(d, ch.branch, steps)
	return at
}

// AppendRelativePosition appends a position (Yjs: encodeRelativePosition). Of a position that belongs
// to a unit only that is written, not the type. The zero value appends nothing.
func AppendRelativePosition(dst []byte, p RelativePosition) []byte {
	switch {
	case p.has&partItem != 0:
		dst = appendID(append(dst, 0), p.item)
	case p.has&partRoot != 0:
		dst = lib0.AppendString(append(dst, 1), p.root)
	case p.has&partType != 0:
		dst = appendID(append(dst, 2), p.owner)
	default:
		return dst
	}
	return lib0.AppendVarint(dst, int64(p.Assoc))
}

func appendID(dst []byte, id ID) []byte {
	return lib0.AppendUvarint(lib0.AppendUvarint(dst, uint64(id.Client)), uint64(id.Clock))
}

// DecodeRelativePosition reads a position (Yjs: decodeRelativePosition). It allocates no more than the
// name of a root. Bytes after it are ignored, and a missing association is 0, as in Yjs. The error
// wraps an *UpdateError with the offset.
func DecodeRelativePosition(b []byte) (RelativePosition, error) {
	var p RelativePosition
	r := lib0.NewReader(b)
	switch kind := r.Uvarint(); kind {
	case 0:
		p.has, p.item = partItem, readID(&r)
	case 1:
		p.has, p.root = partRoot, r.String()
	case 2:
		p.has, p.owner = partType, readID(&r)
	default:
		return p, positionError(0, malformed("unknown kind"))
	}
	if r.Err() == nil && r.Len() > 0 {
		assoc, _ := r.Varint()
		p.Assoc = int(assoc)
	}
	if err := r.Err(); err != nil {
		return RelativePosition{}, positionError(r.Off(), fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	return p, nil
}

func positionError(at int, err error) error {
	return fmt.Errorf("relative position: %w", &UpdateError{at, err})
}

func readID(r *lib0.Reader) ID {
	c := r.Uvarint()
	return ID{ClientID(c), Clock(r.Uvarint())}
}
