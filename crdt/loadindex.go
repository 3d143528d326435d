package crdt

// loadIndex finds the block of a clock among those of one client that come one
// after the other.
type loadIndex struct {
	at    []itemRef // the block that holds each clock that is a multiple of 1<<shift
	next  uint64    // the first such clock that is not in at
	limit int       // of the length of at
	shift uint8
}

// add says that a block ends before a clock, where the next one begins.
func (x *loadIndex) add(r itemRef, end uint32) {
	if x.next < uint64(end) {
		x.fill(r, uint64(end))
	}
}

func (x *loadIndex) fill(r itemRef, end uint64) {
	for x.next < end {
		if len(x.at) >= x.limit {
			half := (len(x.at) + 1) / 2
			for i := range half {
				x.at[i] = x.at[2*i]
			}
			x.at = x.at[:half]
			x.shift++
			x.next = uint64(half) << x.shift
			continue
		}
		x.at = append(x.at, r)
		x.next += 1 << x.shift
	}
}

// find returns the block that holds a clock; next is the number after the last
// block.
func (x *loadIndex) find(items []item, clock uint32, next itemRef) itemRef {
	i := clock >> x.shift
	lo, hi := x.at[i], next
	if int(i)+1 < len(x.at) {
		hi = x.at[i+1] + 1
	}
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if items[mid].clock <= clock {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
