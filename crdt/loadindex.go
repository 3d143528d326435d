package crdt

// loadIndex finds the block of a clock among those of one client that come one
// after the other.
type loadIndex struct {
	// at has the block that holds each clock that is a multiple of 1<<shift, as
	// far as there are blocks; what comes after is left over from other updates.
	at    []itemRef
	shift uint8
}

// start makes room for n places, which are at least two.
func (x *loadIndex) start(n int) {
	if cap(x.at) < n {
		x.at = make([]itemRef, n)
	}
	x.at, x.shift = x.at[:n], loadShift
}

// add adds the next block.
func (x *loadIndex) add(r itemRef, from, to uint32) {
	for uint64(to)>>x.shift+1 >= uint64(len(x.at)) {
		x.widen()
	}
	// If no multiple is in the block, its place is that of a later block, which
	// comes to be there.
	i := (uint64(from) + 1<<x.shift - 1) >> x.shift
	x.at[i] = r
	for i++; i<<x.shift < uint64(to); i++ {
		x.at[i] = r
	}
}

// widen doubles the distance of the clocks.
func (x *loadIndex) widen() {
	for i := range len(x.at) / 2 {
		x.at[i] = x.at[2*i]
	}
	x.shift++
}

// find returns the block that holds a clock, which is before the clock after the
// last block; next is the number after that block, and entries are those of all
// blocks from number 1 on.
func (x *loadIndex) find(entries []blockEntry, clock, end uint32, next itemRef) itemRef {
	i := clock >> x.shift
	lo, hi := x.at[i], next
	if uint64(i+1)<<x.shift < uint64(end) {
		hi = x.at[i+1] + 1
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if entries[mid-1].clock <= clock {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
