package crdt

import (
	"fmt"
	"iter"
)

// blockIndex lists the blocks of a client in clock order. It is cut into
// chunks, so that to put a block between two others moves only those of its
// chunk. No chunk is empty, but for the last one of an empty index, and none
// has more than maxChunk entries.
type blockIndex struct {
	full [][]blockEntry // the chunks before the last
	tail []blockEntry   // the last chunk: all that a short index has
	// hintChunk and hintAt are where the block found last is; may be out of date.
	hintChunk, hintAt uint32
}

// blockEntry repeats the item's clock, so that a search stays in the index.
type blockEntry struct {
	clock uint32
	ref   itemRef
}

// blockPos is a place in a blockIndex, valid until the next change of it.
type blockPos struct{ chunk, at int }

// maxChunk is how many entries a chunk may have.
const maxChunk = 512

func (x *blockIndex) chunk(c int) []blockEntry {
	if c == len(x.full) {
		return x.tail
	}
	return x.full[c]
}

func (x *blockIndex) setChunk(c int, b []blockEntry) {
	if c == len(x.full) {
		x.tail = b
	} else {
		x.full[c] = b
	}
}

// at is the entry at a place.
func (x *blockIndex) at(p blockPos) *blockEntry { return &x.chunk(p.chunk)[p.at] }

// len is the number of entries.
func (x *blockIndex) len() int { return x.lenFrom(blockPos{}) }

// lenFrom is the number of entries from a place on.
func (x *blockIndex) lenFrom(p blockPos) int {
	n := len(x.tail) - p.at
	for c := p.chunk; c < len(x.full); c++ {
		n += len(x.full[c])
	}
	return n
}

// last is the place of the last entry; there must be one.
func (x *blockIndex) last() blockPos { return blockPos{len(x.full), len(x.tail) - 1} }

func (x *blockIndex) next(p blockPos) (blockPos, bool) {
	p.at++
	switch {
	case p.at < len(x.chunk(p.chunk)):
		return p, true
	case p.chunk < len(x.full):
		return blockPos{p.chunk + 1, 0}, true
	}
	return p, false
}

func (x *blockIndex) prev(p blockPos) (blockPos, bool) {
	p.at--
	switch {
	case p.at >= 0:
		return p, true
	case p.chunk > 0:
		return blockPos{p.chunk - 1, len(x.full[p.chunk-1]) - 1}, true
	}
	return p, false
}

// all yields the entries. The index must not change meanwhile.
func (x *blockIndex) all() iter.Seq[blockEntry] { return x.from(blockPos{}) }

// from yields the entries from a place on. The index must not change meanwhile.
func (x *blockIndex) from(p blockPos) iter.Seq[blockEntry] {
	return func(yield func(blockEntry) bool) {
		at := p.at
		for c := p.chunk; c <= len(x.full); c++ {
			for _, e := range x.chunk(c)[at:] {
				if !yield(e) {
					return
				}
			}
			at = 0
		}
	}
}

// find returns the place of the block that holds clock, which must be known
// (Yjs: findIndexSS).
func (x *blockIndex) find(clock uint32) blockPos {
	n := len(x.tail)
	if n > 0 && x.tail[n-1].clock <= clock {
		return blockPos{len(x.full), n - 1}
	}
	c := len(x.full)
	if c > 0 && clock < x.tail[0].clock {
		if h := int(x.hintChunk); h < c && x.full[h][0].clock <= clock && clock < x.chunk(h + 1)[0].clock {
			c = h
		} else {
			c = x.findChunk(clock)
		}
	}
	b := x.chunk(c)
	lo, hi := 0, len(b) // b[lo].clock <= clock < b[hi].clock, as far as there are these
	if h := int(x.hintAt); c == int(x.hintChunk) && h < len(b) {
		if b[h].clock <= clock {
			if lo = h; h+1 == len(b) || clock < b[h+1].clock {
				return blockPos{c, h}
			}
			// Neighbours of the last hit are the common case.
			if h+2 == len(b) || clock < b[h+2].clock {
				x.hintAt++
				return blockPos{c, h + 1}
			}
		} else {
			if hi = h; h > 0 && b[h-1].clock <= clock {
				x.hintAt--
				return blockPos{c, h - 1}
			}
		}
	}
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if b[mid].clock <= clock {
			lo = mid
		} else {
			hi = mid
		}
	}
	x.setHint(blockPos{c, lo})
	return blockPos{c, lo}
}

// findChunk returns the chunk of a clock that is before the last one.
func (x *blockIndex) findChunk(clock uint32) int {
	lo, hi := 0, len(x.full)
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if x.full[mid][0].clock <= clock {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// append adds an entry at the end.
func (x *blockIndex) append(e blockEntry) {
	if len(x.tail) == maxChunk {
		x.nextChunk()
	}
	x.tail = append(x.tail, e)
}

func (x *blockIndex) nextChunk() {
	x.full = append(x.full, x.tail[:maxChunk:maxChunk])
	if rest := x.tail[maxChunk:]; cap(rest) > 0 {
		x.tail = rest
	} else {
		x.tail = make([]blockEntry, 0, maxChunk)
	}
}

// extend takes in n entries that were written into the room that reserve made,
// right after the last one.
func (x *blockIndex) extend(n int) {
	for n > 0 {
		if len(x.tail) == maxChunk {
			x.nextChunk()
		}
		k := min(n, maxChunk-len(x.tail))
		x.tail = x.tail[:len(x.tail)+k]
		n -= k
	}
}

// insertAfter puts an entry after the one at a place.
func (x *blockIndex) insertAfter(p blockPos, e blockEntry) {
	b := x.chunk(p.chunk)
	if len(b) == maxChunk {
		const half = maxChunk / 2
		upper := append(make([]blockEntry, 0, maxChunk), b[half:]...)
		x.setChunk(p.chunk, b[:half])
		x.addChunk(p.chunk+1, upper)
		if p.at >= half {
			p = blockPos{p.chunk + 1, p.at - half}
		}
		b = x.chunk(p.chunk)
	}
	b = append(b, blockEntry{})
	copy(b[p.at+2:], b[p.at+1:])
	b[p.at+1] = e
	x.setChunk(p.chunk, b)
}

// addChunk makes b the chunk number c.
func (x *blockIndex) addChunk(c int, b []blockEntry) {
	if c > len(x.full) {
		b, x.tail = x.tail, b
		c--
	}
	x.full = append(x.full, nil)
	copy(x.full[c+1:], x.full[c:])
	x.full[c] = b
}

// remove takes out the entry at a place, which is not the first one, and
// returns the place of the one before it.
func (x *blockIndex) remove(p blockPos) blockPos {
	b := x.chunk(p.chunk)
	b = append(b[:p.at], b[p.at+1:]...)
	x.setChunk(p.chunk, b)
	if p.chunk < len(x.full) && len(b)+len(x.chunk(p.chunk+1)) <= maxChunk/2 {
		x.joinChunks(p.chunk)
	}
	if p.chunk > 0 {
		if before := len(x.full[p.chunk-1]); before+len(x.chunk(p.chunk)) <= maxChunk/2 || p.at == 0 && len(x.chunk(p.chunk)) == 0 {
			p = blockPos{p.chunk - 1, before + p.at}
			x.joinChunks(p.chunk)
		}
	}
	p, _ = x.prev(p)
	x.setHint(p)
	return p
}

func (x *blockIndex) setHint(p blockPos) { x.hintChunk, x.hintAt = uint32(p.chunk), uint32(p.at) }

// joinChunks moves the entries of chunk c+1 to chunk c.
func (x *blockIndex) joinChunks(c int) {
	b := append(x.full[c], x.chunk(c+1)...)
	if c+1 == len(x.full) {
		x.tail = b
		x.full = x.full[:c]
		return
	}
	x.full[c] = b
	x.full = append(x.full[:c+1], x.full[c+2:]...)
}

// reserve makes room for n more entries at the end: up to a chunk, or for all of
// an empty index, in one piece of memory that is cut into chunks.
func (x *blockIndex) reserve(n int) {
	if len(x.full) == 0 && len(x.tail) == 0 {
		x.tail = make([]blockEntry, 0, n)
		x.full = make([][]blockEntry, 0, n/maxChunk)
	} else if room := min(n, maxChunk-len(x.tail)); room > cap(x.tail)-len(x.tail) {
		x.tail = append(make([]blockEntry, 0, len(x.tail)+room), x.tail...)
	}
}

// check verifies the chunks.
func (x *blockIndex) check() error {
	for c := range x.full {
		if n := len(x.full[c]); n == 0 || n > maxChunk {
			return fmt.Errorf("index chunk %d has %d entries", c, n)
		}
	}
	if n := len(x.tail); n > maxChunk || n == 0 && len(x.full) > 0 {
		return fmt.Errorf("last index chunk has %d entries", n)
	}
	return nil
}
