package crdt

import (
	"bytes"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"ysync/internal/fault"
	"ysync/internal/invariant"
	"ysync/internal/lib0"
)

// arena holds the bytes of all content of a Doc: text and encoded values. It
// only grows at its end; what items no longer use is counted and compacted.
//
// What an item of each kind holds there:
//
//	String    WTF-8: UTF-8 in which a lone surrogate is three bytes of its own
//	Any, JSON the values, one after the other, in lib0's Any encoding as Yjs
//	          writes them again, but for strings, which are WTF-8 here and below
//	          (JSON: undefined stands for no value)
//	Embed     one value in the Any encoding
//	Format    the key (varint length and UTF-8) and one value
//	Binary    the bytes
//	Doc       the GUID (varint length and UTF-8) and the options as one value
//	Type, Deleted, GC  nothing
type arena struct {
	buf  []byte
	dead uint32 // bytes that no item uses
	// surrogates says that a lone surrogate was stored at some time.
	surrogates bool
}

// put appends bytes and returns their offset.
func (a *arena) put(b []byte) uint32 {
	off := len(a.buf)
	a.buf = append(a.buf, b...)
	return uint32(off)
}

// data is the content of an item as described at arena. It is valid until the
// next change of the Doc and must not be written to.
func (d *Doc) data(it *item) []byte {
	if it.size == 0 || it.kind == kindType {
		return nil
	}
	return d.arena.buf[it.off : it.off+it.size]
}

// content is a payload on its way into a local item.
type content struct {
	kind   contentKind
	length uint32 // in units, > 0
	data   []byte // as described at arena; copied
	branch branchRef
}

// capacity is how many bytes from off on belong to the item.
func (it *item) capacity() uint32 {
	if it.flags&flagPadded != 0 && it.size > 0 {
		return 1 << bits.Len32(it.size-1)
	}
	return it.size
}

// dropContent forgets the bytes of an item.
func (d *Doc) dropContent(it *item) {
	if it.kind != kindType {
		d.arena.dead += it.capacity()
	}
	it.off, it.size = 0, 0
	it.flags &^= flagPadded
}

// maxArena bounds the arena, whose offsets are 32 bits.
const maxArena = 1<<32 - 1<<20

// splitContent moves the units from diff on to right, whose kind is set
// (Yjs: AbstractContent.splice). left still has its whole length.
func (d *Doc) splitContent(left, right *item, diff uint32) {
	if left.size == 0 {
		return
	}
	data := d.data(left)
	var at int
	switch left.kind {
	case kindString:
		if left.size == left.length {
			at = int(diff)
			break
		}
		var c cut
		if at, c = cutText(data, diff); c != cutClean && !fault.Active(fault.CutPairs) {
			d.splitPair(left, right, at, c)
			return
		}
	case kindAny, kindJSON:
		at = len(data) - len(d.valuesFrom(left, diff))
	default:
		invariant.Assert(false, "content of one unit is split")
	}
	d.arena.dead += left.capacity() - left.size
	left.flags &^= flagPadded
	right.off, right.size = left.off+uint32(at), left.size-uint32(at)
	left.size = uint32(at)
}

// splitPair splits text between a high surrogate and what follows it. Both
// units next to the cut become U+FFFD (Yjs: ContentString.splice).
func (d *Doc) splitPair(left, right *item, at int, c cut) {
	data := d.data(left)
	head, tail := replaceAtCut(data, at, c)
	d.dropContent(left)
	left.off, left.size = d.arena.put(head), uint32(len(head))
	right.off, right.size = d.arena.put(tail), uint32(len(tail))
}

const replacement = "\xef\xbf\xbd" // U+FFFD

// replaceAtCut cuts text where cutText found a high surrogate before the cut. Of a
// pair after a lone one, whose first half goes, the second half remains.
func replaceAtCut(data []byte, at int, c cut) (head, tail []byte) {
	rest := data[at:]
	tail = append(tail, replacement...)
	switch {
	case c == cutPair:
		head = append(head, data[:at]...)
		rest = rest[4:]
	default:
		head = append(head, data[:at-3]...)
		n := min(len(rest), unitBytes(rest))
		if n == 4 {
			tail = lib0.AppendUnit(tail, secondHalf(rest))
		}
		rest = rest[n:]
	}
	return append(head, replacement...), append(tail, rest...)
}

// secondHalf is the low surrogate of the character that text starts with.
func secondHalf(b []byte) uint16 {
	r, _ := utf8.DecodeRune(b)
	_, low := utf16.EncodeRune(r)
	return uint16(low)
}

// unitBytes is how many bytes the first character takes.
func unitBytes(b []byte) int {
	switch {
	case len(b) == 0:
		return 0
	case b[0] < 0x80:
		return 1
	case b[0] < 0xe0:
		return 2
	case b[0] < 0xf0:
		return 3
	}
	return 4
}

// cut says what stands before a place in text.
type cut uint8

const (
	cutClean cut = iota
	cutLone      // a high surrogate of its own
	cutPair      // the first half of a pair
)

// cutText finds the byte offset of a unit offset; within a pair, that of its
// start.
func cutText(b []byte, units uint32) (at int, c cut) {
	n := uint32(0)
	for n < units {
		c := b[at]
		switch {
		case c < 0x80:
			at++
		case c < 0xe0:
			at += 2
		case c < 0xf0:
			at += 3
		default:
			if n+2 > units {
				return at, cutPair
			}
			at += 4
			n++
		}
		n++
	}
	if at >= 3 && b[at-3] == 0xed && b[at-2] >= 0xa0 && b[at-2] < 0xb0 {
		return at, cutLone
	}
	return at, cutClean
}

// textFrom cuts n units off the front, as String.slice does: of a cut pair the
// second half remains.
func textFrom(b []byte, n uint32) []byte {
	if n == 0 {
		return b
	}
	at, c := cutText(b, n)
	if c == cutPair {
		return append(lib0.AppendUnit(nil, secondHalf(b[at:])), b[at+4:]...)
	}
	return b[at:]
}

// spliceText is the right part of a split at n: as textFrom, with U+FFFD for a
// cut pair.
func spliceText(b []byte, n uint32) []byte {
	if n == 0 {
		return b
	}
	at, c := cutText(b, n)
	if c != cutClean {
		_, tail := replaceAtCut(b, at, c)
		return tail
	}
	return b[at:]
}

// hasSurrogate tells whether WTF-8 text holds a lone surrogate.
func hasSurrogate(b []byte) bool {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], 0xed)
		if j < 0 || i+j+1 >= len(b) {
			return false
		}
		if i += j + 1; b[i] >= 0xa0 {
			return true
		}
	}
}

// storeRaw puts the payload of a received block, from unit offset on, into the
// arena, in the form that Yjs writes.
func (d *Doc) storeRaw(it *item, b *rawBlock, offset uint32) {
	a := &d.arena
	start := len(a.buf)
	switch b.kind {
	case kindString:
		d.putText(it, spliceText(b.data, offset))
		return
	case kindAny:
		r := lib0.NewReader(skipValues(b.data, offset))
		for range it.length {
			a.buf = appendCanonical(a.buf, &r)
		}
	case kindJSON:
		r := lib0.NewReader(b.data)
		for i := range b.length {
			s := r.Bytes()
			if i >= uint64(offset) {
				a.buf = appendFromJSON(a.buf, s)
			}
		}
	case kindBinary:
		a.buf = append(a.buf, b.data...)
	case kindEmbed:
		a.buf = appendEmbedded(a.buf, b)
	case kindFormat:
		a.buf = lib0.AppendBytes(a.buf, b.name)
		a.buf = appendEmbedded(a.buf, b)
	case kindDoc:
		a.buf = appendSubdoc(a.buf, b.name, b.data)
	case kindType:
		var name keyRef
		if b.typeKind.named() {
			name = d.internBytes(b.name)
		}
		it.off = uint32(d.newBranch(b.typeKind, name))
		return
	}
	it.off, it.size = uint32(start), uint32(len(a.buf)-start)
}

// putText gives a received item its text.
func (d *Doc) putText(it *item, text []byte) {
	a := &d.arena
	if len(text) != int(it.length) && !a.surrogates && hasSurrogate(text) {
		a.surrogates = true
	}
	it.off, it.size = a.put(text), uint32(len(text))
}

// appendEmbedded appends the value of a format or embed in the Any encoding.
func appendEmbedded(dst []byte, b *rawBlock) []byte {
	if b.jsonText {
		return appendFromJSON(dst, b.data)
	}
	r := lib0.NewReader(b.data)
	return appendCanonical(dst, &r)
}

// appendSubdoc appends a GUID and the options that Yjs keeps of those received
// (Yjs: createDocFromOpts, ContentDoc).
func appendSubdoc(dst, guid, opts []byte) []byte {
	r := lib0.NewReader(opts)
	v := readAny(&r)
	if g := v.Field("guid"); g.Kind() == ValueString {
		guid = []byte(g.Str())
	}
	s := subdocFromOptions("", v)
	return appendAny(lib0.AppendBytes(dst, guid), s.options())
}

// mergeContent appends the payload of right to that of left; both are of the
// same kind, which must be one that merges (Yjs: mergeWith).
func (d *Doc) mergeContent(left, right *item) {
	if right.size == 0 {
		return
	}
	a := &d.arena
	if a.surrogates && left.kind == kindString {
		if head, tail := d.data(left), d.data(right); cutBetween(head, tail) {
			joined := appendJoined(slices.Clone(head), tail)
			d.dropContent(left)
			d.dropContent(right)
			left.off, left.size = a.put(joined), uint32(len(joined))
			return
		}
	}
	if left.kind != kindString {
		d.seam = seam{left.id(), left.length, left.size}
	}
	leftCap, rightCap := left.capacity(), right.capacity()
	total := left.size + right.size
	end := uint32(len(a.buf))
	switch {
	case left.off+left.size == right.off && leftCap == left.size:
		left.flags &^= flagPadded
		a.dead += rightCap - right.size
	case total <= leftCap:
		copy(a.buf[left.off+left.size:], d.data(right))
		a.dead += rightCap
	case left.off+leftCap == end:
		a.buf = append(a.buf[:left.off+left.size], d.data(right)...)
		left.flags &^= flagPadded
		a.dead += rightCap
	default:
		// Neither side can grow: move, with room for as much again, so that two
		// authors typing in turn cost a constant a character.
		room := uint32(1) << bits.Len32(total-1)
		off := a.put(d.data(left))
		a.buf = append(a.buf, d.data(right)...)
		a.buf = append(a.buf, make([]byte, room-total)...)
		a.dead += leftCap + rightCap
		left.off = off
		left.flags |= flagPadded
	}
	left.size = total
}

// mergeable tells whether neighbours of this kind merge.
func (k contentKind) mergeable() bool {
	return k == kindString || k == kindDeleted || k == kindAny || k == kindJSON
}

// compact drops the bytes that no item uses.
func (d *Doc) compact() {
	a := &d.arena
	buf := make([]byte, 0, len(a.buf)-int(a.dead))
	for c := range d.clients {
		for e := range d.clients[c].blocks.all() {
			it := d.item(e.ref)
			if it.size == 0 || it.kind == kindType {
				continue
			}
			off := uint32(len(buf))
			buf = append(buf, d.data(it)...)
			it.off = off
			it.flags &^= flagPadded
		}
	}
	a.buf, a.dead = buf, 0
}

// The constructors below make the payload of a local item. Values are given in
// the Any encoding, as Yjs writes them.

// contentText is text in WTF-8; length is in UTF-16 code units.
func contentText(s []byte) content {
	return content{kind: kindString, length: uint32(lib0.UTF16Len(s)), data: s}
}

// contentAny are n encoded values.
func contentAny(values []byte, n int) content {
	return content{kind: kindAny, length: uint32(n), data: values}
}

// contentBinary is one byte string.
func contentBinary(b []byte) content {
	return content{kind: kindBinary, length: 1, data: b}
}

// contentEmbed is one encoded value.
func contentEmbed(value []byte) content {
	return content{kind: kindEmbed, length: 1, data: value}
}

// contentFormat is an attribute and its encoded value.
func contentFormat(key string, value []byte) content {
	b := make([]byte, 0, len(key)+len(value)+2)
	b = lib0.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	return content{kind: kindFormat, length: 1, data: append(b, value...)}
}

// contentType is a type made by Txn.newBranch.
func contentType(b branchRef) content {
	return content{kind: kindType, length: 1, branch: b}
}

// contentDoc is a subdocument: its GUID and options as an encoded object.
func contentDoc(guid string, opts []byte) content {
	c := contentFormat(guid, opts)
	c.kind = kindDoc
	return c
}

// formatParts returns the key and the encoded value of a format item, or the
// GUID and the encoded options of a subdocument.
func (d *Doc) formatParts(it *item) (key, value []byte) {
	return splitNamed(d.data(it))
}

func splitNamed(b []byte) (name, value []byte) {
	n, w := uvarint(b)
	return b[w : w+int(n)], b[w+int(n):]
}
