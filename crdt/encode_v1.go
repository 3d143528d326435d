package crdt

import (
	"encoding/binary"
	"math/bits"

	"ysync/internal/lib0"
)

// The functions of this file are the walk of encode.go for V1 alone, without an
// encoder: most of what a server sends is this. What they leave to the walk is
// rare.

// appendFromV1 is writeFrom.
func (d *Doc) appendFromV1(dst []byte, fs []from) []byte {
	dst = lib0.AppendUvarint(dst, uint64(len(fs)))
	for _, f := range fs {
		cl := d.clients[f.client]
		x := &cl.blocks
		p := x.find(f.clock)
		dst = lib0.AppendUvarint(dst, uint64(x.lenFrom(p)))
		name := d.nameOf(f.client)
		dst = name.append(dst)
		dst = lib0.AppendUvarint(dst, uint64(f.clock))
		offset := f.clock - x.at(p).clock
		for c := p.chunk; c <= len(x.full); c++ {
			for _, b := range x.chunk(c)[p.at:] {
				dst = d.appendBlockV1(dst, d.item(b.ref), offset, name)
				offset = 0
			}
			p.at = 0
		}
	}
	return dst
}

// appendBlockV1 is writeBlock. name is that of the client whose blocks are written.
func (d *Doc) appendBlockV1(dst []byte, it *item, offset uint32, name clientName) []byte {
	origin := it.origin
	if offset > 0 {
		origin = unitID{it.client, it.clock + offset - 1}
	}
	var text []byte
	plain := it.kind == kindDeleted
	if it.kind == kindString {
		text, plain = d.textV1(it, offset)
	}
	if !plain || origin.client == 0 && it.rightOrigin.client == 0 {
		e := encoderV1{buf: dst}
		d.writeBlock(&e, it, offset)
		return e.buf
	}
	info := uint8(it.kind)
	if origin.client != 0 {
		info |= 0x80
	}
	if it.rightOrigin.client != 0 {
		info |= 0x40
	}
	if d.chains[it.chain].key != 0 {
		info |= 0x20
	}
	dst = append(dst, info)
	if origin.client != 0 {
		dst = d.appendID(dst, origin, name)
	}
	if it.rightOrigin.client != 0 {
		dst = d.appendID(dst, it.rightOrigin, name)
	}
	if it.kind == kindDeleted {
		return lib0.AppendUvarint(dst, uint64(it.length-offset))
	}
	dst = lib0.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// textV1 is the text of an item from a unit offset on, if it is found at once
// and can be written as it is.
func (d *Doc) textV1(it *item, offset uint32) ([]byte, bool) {
	text := d.arena.buf[it.off : it.off+it.size]
	switch {
	case it.size == it.length:
		return text[offset:], true
	case d.arena.surrogates:
		return nil, false
	case offset == 0:
		return text, true
	}
	return textTail(text, it.length-offset)
}

func (d *Doc) appendID(dst []byte, u unitID, name clientName) []byte {
	if u.client != name.client {
		name = d.nameOf(u.client)
	}
	dst = name.append(dst)
	if u.clock < 1<<7 {
		return append(dst, byte(u.clock))
	}
	return lib0.AppendUvarint(dst, uint64(u.clock))
}

// clientName is the ID of a client as it is written.
type clientName struct {
	client clientRef
	width  int
	bytes  uint64 // the first one lowest
}

func (d *Doc) nameOf(c clientRef) clientName {
	name := d.clients[c].name
	return clientName{c, max(1, (bits.Len64(name)+7)/8), name} // the last byte is only 0 for client 0
}

func (n *clientName) append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, n.bytes)[:len(dst)+n.width]
}

// setName keeps the varuint of the client's ID, of at most eight bytes.
func (c *client) setName() {
	var b [8]byte
	lib0.AppendUvarint(b[:0], uint64(c.id))
	c.name = binary.LittleEndian.Uint64(b[:])
}

// appendDeletesV1 is writeRanges.
func (d *Doc) appendDeletesV1(dst []byte, ds []deleteRange) []byte {
	if len(ds) == 0 {
		return append(dst, 0)
	}
	first := ds[0].client
	for _, r := range ds[1:] {
		if r.client != first {
			e := encoderV1{buf: dst}
			d.writeRanges(&e, ds)
			return e.buf
		}
	}
	name := d.nameOf(first)
	dst = name.append(append(dst, 1))
	dst = lib0.AppendUvarint(dst, uint64(len(ds)))
	for _, r := range ds {
		dst = lib0.AppendUvarint(lib0.AppendUvarint(dst, uint64(r.clock)), uint64(r.length))
	}
	return dst
}
