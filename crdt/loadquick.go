package crdt

import (
	"encoding/binary"
	"math/bits"
)

// quickBytes is more than the bytes of a block before its text that quickV1
// takes, and eight of the text.
const quickBytes = 48

const highBits = 0x8080808080808080

// quickV1 reads and places plain blocks as runV1 and place do, as long as they
// look as most do: origins of the client itself, clocks of at most four bytes, text
// in ASCII. It stops before the first other, with nothing of that one done. A
// stored state is little else, so decoding and placing are one loop whose state
// is in variables: calls and the fields of loader, reader and document cost more
// than the work.
func (l *loader) quickV1() {
	d, r, v1 := l.d, &l.r, &l.r.v1
	b, pos := v1.b, v1.pos
	items, entries, chain := l.items, l.entries, l.chain
	next, clock, arena := d.slab.next, uint32(r.clock), d.arena.buf
	gone := &d.clients[l.c].deleted
	name, mask, nameLen := v1.usualName, v1.usualMask, v1.usualLen
	if chain == 0 || v1.usual != r.client || nameLen == 0 {
		return
	}
	first := next
	units := uint32(0)
	for left := r.blocks; left > 0 && len(b)-pos >= quickBytes && int(next) < len(items); left-- {
		head := (*[quickBytes]byte)(b[pos:])
		info := head[0]
		if !plainInfo(info) || binary.LittleEndian.Uint64(head[1:])&mask != name {
			break
		}
		at := 1 + nameLen
		origin, n := shortUvarint(binary.LittleEndian.Uint32(head[at:]))
		at += n
		var rightClock uint32
		var rightOrigin unitID
		if info&0x40 != 0 {
			if binary.LittleEndian.Uint64(head[at:])&mask != name {
				break
			}
			var m int
			rightClock, m = shortUvarint(binary.LittleEndian.Uint32(head[at+nameLen:]))
			rightOrigin = unitID{l.c, rightClock}
			at += nameLen + m
			n = min(n, m)
		}
		length := uint32(head[at])
		at++
		if length >= 0x80 {
			length = length&0x7f | uint32(head[at])<<7
			at++
			if length >= 1<<14 {
				break
			}
		}
		if n == 0 || length == 0 || origin >= clock || rightClock >= clock || clock > maxClock-1<<14 {
			break
		}

		lr := next - 1
		if origin+1 != clock {
			lr = l.index.find(entries, origin, clock, next)
		}
		lt := &items[lr]
		rr := lt.right
		if lt.end() != origin+1 || lt.chain != chain || (rr != 0) != (info&0x40 != 0) || rr != 0 && items[rr].clock != rightClock {
			break
		}
		it := &items[next]
		kind := contentKind(info & 0x1f)
		if kind == kindString {
			from := pos + at
			if len(b)-from < int(length)+8 || !ascii(b[from:], int(length)) {
				break
			}
			it.off, it.size = uint32(len(arena)), length
			if length <= 8 {
				arena = append(arena, b[from:from+8]...)[:len(arena)+int(length)]
			} else {
				arena = append(arena, b[from:from+int(length)]...)
			}
			pos = from + int(length)
			units += length
		} else {
			it.flags = flagDeleted
			gone.add(clock, clock+length)
			pos += at
		}
		if rr != 0 {
			items[rr].left = next
		}
		lt.right = next
		it.clock, it.length, it.client, it.kind = clock, length, l.c, kind
		it.left, it.right, it.chain = lr, rr, chain
		it.origin, it.rightOrigin = unitID{l.c, origin}, rightOrigin
		if kind == kindDeleted && l.noted {
			l.tx.noteDeleted(it)
		}
		if lr == next-1 && lt.kind == kind && lt.rightOrigin == rightOrigin {
			l.joints = append(l.joints, next)
		}
		entries[next-1] = blockEntry{clock, next}
		l.index.add(next, clock, clock+length)
		clock += length
		next++
	}
	placed := next - first
	if placed == 0 {
		return
	}
	v1.pos = pos
	d.slab.next, d.slab.live, d.arena.buf = next, d.slab.live+uint32(placed), arena
	cl := d.clients[l.c]
	cl.blocks.extend(int(placed))
	cl.state = clock
	d.branches[l.branch].length += units
	if l.tx.tracked {
		l.tx.markChanged(d.chain(chain))
	}
	r.blocks -= uint64(placed)
	r.total += int(placed)
	r.clock = uint64(clock)
}

// shortUvarint reads a varuint of at most four bytes, of which v is the next
// ones; the width is 0 if it is longer.
func shortUvarint(v uint32) (clock uint32, width int) {
	if v&0x808080 == 0x8080 {
		// Three bytes, as most of a long session: the processor can go on before it
		// has seen how many there are.
		return v&0x7f | v>>1&0x3f80 | v>>2&0x1fc000, 3
	}
	ends := ^v & (highBits & (1<<32 - 1))
	if ends == 0 {
		return 0, 0
	}
	width = bits.TrailingZeros32(ends)/8 + 1
	v &= ^uint32(0) >> (32 - 8*width)
	v = v&0x7f007f00>>1 | v&0x007f007f
	return v&0x3fff0000>>2 | v&0x00003fff, width
}

// ascii tells whether the first n bytes are ASCII. There must be eight more.
func ascii(b []byte, n int) bool {
	i := 0
	for ; n-i > 8; i += 8 {
		if binary.LittleEndian.Uint64(b[i:])&highBits != 0 {
			return false
		}
	}
	return binary.LittleEndian.Uint64(b[i:])<<(8*(8-n+i))&highBits == 0
}
