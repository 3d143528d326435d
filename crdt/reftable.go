package crdt

import "hash/maphash"

// refTable finds numbers by what they stand for. It is a hash table of the
// numbers alone, open and linear: who asks knows how to hash and to compare
// what they stand for. 0 is no number.
type refTable struct {
	slots []uint32 // a power of two, at most three quarters are used; nil while there is no table
	used  int
}

// firstSlots is how many slots a new table has: room for twice as many as few.
const firstSlots = 32

// hashSeed makes the places in refTables unknown to who sends the keys.
var hashSeed = maphash.MakeSeed()

// hashNumber is the hash of a client's ID, or of two numbers in one.
func hashNumber(v uint64) uint64 { return maphash.Comparable(hashSeed, v) }

// built tells whether there is a table.
func (t *refTable) built() bool { return t.slots != nil }

// find returns the number with a hash that is the one asked for; 0 if none is.
func (t *refTable) find(hash uint64, is func(uint32) bool) uint32 {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if r := t.slots[i]; r == 0 || is(r) {
			return r
		}
	}
}

// add adds a number that is not in the table.
func (t *refTable) add(r uint32, hash func(uint32) uint64) {
	t.used++
	if 4*t.used > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]uint32, max(firstSlots, 2*len(old)))
		for _, r := range old {
			if r != 0 {
				t.put(r, hash(r))
			}
		}
	}
	t.put(r, hash(r))
}

func (t *refTable) put(r uint32, hash uint64) {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = r
}

// remove takes out a number that is in the table, and closes the gap.
func (t *refTable) remove(r uint32, hash func(uint32) uint64) {
	mask := uint64(len(t.slots) - 1)
	gap := hash(r) & mask
	for t.slots[gap] != r {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		if home := hash(t.slots[i]) & mask; (i-home)&mask >= (i-gap)&mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = 0
	t.used--
}
