package crdt

import (
	"math/bits"
)

// arena holds the bytes of all content of a Doc: text and encoded values. It
// only grows at its end; what items no longer use is counted and compacted.
//
// What an item of each kind holds there:
//
//	String    WTF-8: UTF-8 in which a lone surrogate is three bytes of its own
//	Any, JSON the values, one after the other, in lib0's Any encoding as Yjs
//	          writes them again (JSON: undefined stands for no value)
//	Embed     one value in the Any encoding
//	Format    the key (varint length and UTF-8) and one value
//	Binary    the bytes
//	Doc       the GUID (varint length and UTF-8) and the options as one value
//	Type, Deleted, GC  nothing
type arena struct {
	buf  []byte
	dead int // bytes that no item uses
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
		d.arena.dead += int(it.capacity())
	}
	it.off, it.size = 0, 0
	it.flags &^= flagPadded
}

// maxArena bounds the arena, whose offsets are 32 bits.
const maxArena = 1<<32 - 1<<20

// splitContent moves the units from diff on to right, whose kind and length are
// set (Yjs: AbstractContent.splice).
func (d *Doc) splitContent(left, right *item, diff uint32) {
}

// The constructors below make the payload of a local item. Values are given in
// the Any encoding, as Yjs writes them.

// contentText is text in WTF-8; length is in UTF-16 code units.
func contentText(s []byte) content {
	return content{kind: kindString, length: utf16Len(s), data: s}
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
	b = appendUvarint(b, uint64(len(key)))
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
	b := d.data(it)
	n, w := uvarint(b)
	return b[w : w+int(n)], b[w+int(n):]
}

// utf16Len counts the UTF-16 code units of WTF-8 text.
func utf16Len(b []byte) uint32 {
	n := uint32(0)
	for _, c := range b {
		switch {
		case c < 0x80 || c >= 0xc0 && c < 0xf0:
			n++
		case c >= 0xf0:
			n += 2
		}
	}
	return n
}
