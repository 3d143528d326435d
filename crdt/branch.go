package crdt

import (
	"hash/maphash"
	"iter"
	"slices"

	"ysync/internal/lib0"
)

// branchRef numbers a shared type in its Doc; 0 is none. Numbers are never
// used again while the Doc lives, so a handle on a deleted type stays safe.
type branchRef uint32

// chainRef numbers a chain; 0 is none.
type chainRef uint32

// keyRef is an interned string: the place in Doc.keys where its length, as a
// varuint, and then its bytes are; 0 is none. What stands there never moves
// within the slice and never changes.
type keyRef uint32

// TypeKind says what a shared type is. The values 0 to 6 are those of the wire
// (Yjs: typeRefs).
type TypeKind uint8

const (
	// KindArray is a list of values.
	KindArray TypeKind = 0
	// KindMap is a map from strings to values.
	KindMap TypeKind = 1
	// KindText is text with attributes.
	KindText TypeKind = 2
	// KindXMLElement is an XML element with a tag, attributes and children.
	KindXMLElement TypeKind = 3
	// KindXMLFragment is a list of XML nodes.
	KindXMLFragment TypeKind = 4
	// KindXMLHook is a named map (legacy).
	KindXMLHook TypeKind = 5
	// KindXMLText is text within XML.
	KindXMLText TypeKind = 6
	// KindUndefined is a root that was only seen in updates: a root's kind is
	// not on the wire.
	KindUndefined TypeKind = 7
)

// named tells whether the type carries a name on the wire.
func (k TypeKind) named() bool { return k == KindXMLElement || k == KindXMLHook }

type branchFlags uint8

const (
	// branchHasFormat: a format item was integrated below this type at some
	// time (Yjs: _hasFormatting).
	branchHasFormat branchFlags = 1 << iota
	// branchIndexed: typeState keeps positions for this type and is told of
	// every split, merge, insertion and deletion in it.
	branchIndexed
	// branchCollected: the content of the type was collected.
	branchCollected
)

// branch is the core of a shared type (Yjs: AbstractType).
type branch struct {
	kind  TypeKind
	flags branchFlags
	// keyChains is how many keys there are, up to one more than few.
	keyChains uint8
	depth     uint32 // 0 for a root

	// name is the name of a root, or the tag or hook name of a nested type.
	name keyRef
	// item carries this type; 0 for a root. It stays valid: an item with a
	// type never merges.
	item itemRef

	length uint32 // units of countable items that are not deleted

	seq      chainRef // the sequence; 0 until its first item
	firstKey chainRef // chains of keys in order of creation, linked by nextKey
	lastKey  chainRef

	changedAt uint32 // place in Txn.changed, if the type is there

	nextRoot branchRef // of a root: the one made after it
}

// chain is a place for items: the sequence of a type or one of its keys.
type chain struct {
	branch branchRef
	key    keyRef // 0 for the sequence
	first  itemRef
	// last is maintained for keys only: the current value's item
	// (Yjs: AbstractType._map).
	last    itemRef
	nextKey chainRef
}

func (d *Doc) branch(b branchRef) *branch { return &d.branches[b] }
func (d *Doc) chain(c chainRef) *chain    { return &d.chains[c] }

// few is up to how many keys, roots, clients, or keys of one type are looked for
// one by one. There is a map of those that are more: most documents need none.
const few = 12

// intern returns the number of a string that is a key, a name or a tag.
func (d *Doc) intern(s string) keyRef {
	if k, ok := d.lookupKey(s); ok {
		return k
	}
	return d.newKey(s)
}

// internBytes is intern without a copy when the string is known.
func (d *Doc) internBytes(s []byte) keyRef {
	if k, ok := d.lookupKey(view(s)); ok {
		return k
	}
	return d.newKey(string(s))
}

func (d *Doc) newKey(s string) keyRef {
	k := keyRef(len(d.keys))
	d.keys = append(lib0.AppendUvarint(roomier(d.keys), uint64(len(s))), s...)
	if x := d.index; x != nil && x.keys.built() {
		x.keys.add(uint32(k), d.hashKey)
		return k
	}
	n := 0
	for range d.allKeys() {
		n++
	}
	if n > few {
		x := d.indexed()
		for k := range d.allKeys() {
			x.keys.add(uint32(k), d.hashKey)
		}
	}
	return k
}

// key returns an interned string. It shares the bytes of Doc.keys, which are only
// appended to.
func (d *Doc) key(k keyRef) string {
	s, _ := d.keyAt(k)
	return s
}

// keyAt returns an interned string, and the one after it.
func (d *Doc) keyAt(k keyRef) (string, keyRef) {
	n, w := uvarint(d.keys[k:])
	from := int(k) + w
	to := from + int(n)
	return view(d.keys[from:to]), keyRef(to)
}

// allKeys yields the interned strings.
func (d *Doc) allKeys() iter.Seq2[keyRef, string] {
	return func(yield func(keyRef, string) bool) {
		for k := keyRef(1); int(k) < len(d.keys); {
			s, next := d.keyAt(k)
			if !yield(k, s) {
				return
			}
			k = next
		}
	}
}

func (d *Doc) hashKey(k uint32) uint64 { return maphash.String(hashSeed, d.key(keyRef(k))) }

// lookupKey finds an interned string without interning it.
func (d *Doc) lookupKey(s string) (keyRef, bool) {
	if x := d.index; x != nil && x.keys.built() {
		k := x.keys.find(maphash.String(hashSeed, s), func(k uint32) bool { return d.key(keyRef(k)) == s })
		return keyRef(k), k != 0
	}
	for k := keyRef(1); int(k) < len(d.keys); {
		have, next := d.keyAt(k)
		if have == s {
			return k, true
		}
		k = next
	}
	return 0, false
}

func (d *Doc) newBranch(kind TypeKind, name keyRef) branchRef {
	b := branchRef(len(d.branches))
	d.branches = append(roomier(d.branches), branch{kind: kind, name: name})
	return b
}

// root returns the root type with this name, creating it as needed
// (Yjs: Doc.get). kind KindUndefined leaves the kind of a root as it is.
func (d *Doc) root(name string, kind TypeKind) branchRef {
	return d.rootByKey(d.intern(name), kind)
}

func (d *Doc) rootByKey(k keyRef, kind TypeKind) branchRef {
	if b := d.findRoot(k); b != 0 {
		if d.branches[b].kind == KindUndefined {
			d.branches[b].kind = kind
		}
		return b
	}
	b := d.newBranch(kind, k)
	d.linkRoot(b)
	if x := d.index; x != nil && x.roots.built() {
		x.roots.add(uint32(b), d.hashRoot)
		return b
	}
	n := 0
	for range d.roots() {
		n++
	}
	if n > few {
		x := d.indexed()
		for b := range d.roots() {
			x.roots.add(uint32(b), d.hashRoot)
		}
	}
	return b
}

// linkRoot makes a root the last one.
func (d *Doc) linkRoot(b branchRef) {
	d.branches[b].nextRoot = 0
	if d.lastRoot == 0 {
		d.firstRoot = b
	} else {
		d.branches[d.lastRoot].nextRoot = b
	}
	d.lastRoot = b
}

// roots yields the roots in order; new ones that come meanwhile as well.
func (d *Doc) roots() iter.Seq[branchRef] {
	return func(yield func(branchRef) bool) {
		for b := d.firstRoot; b != 0 && yield(b); b = d.branches[b].nextRoot {
		}
	}
}

func (d *Doc) hashRoot(b uint32) uint64 { return hashNumber(uint64(d.branches[b].name)) }

// findRoot returns the root with a name; 0 when there is none.
func (d *Doc) findRoot(k keyRef) branchRef {
	if x := d.index; x != nil && x.roots.built() {
		return branchRef(x.roots.find(hashNumber(uint64(k)), func(b uint32) bool { return d.branches[b].name == k }))
	}
	for b := d.firstRoot; b != 0; b = d.branches[b].nextRoot {
		if d.branches[b].name == k {
			return b
		}
	}
	return 0
}

// seqChain returns the chain of a type's sequence, creating it as needed.
func (d *Doc) seqChain(b branchRef) chainRef {
	if c := d.branches[b].seq; c != 0 {
		return c
	}
	c := d.newChain(b, 0)
	d.branches[b].seq = c
	return c
}

func (d *Doc) newChain(b branchRef, k keyRef) chainRef {
	c := chainRef(len(d.chains))
	d.chains = append(roomier(d.chains), chain{branch: b, key: k})
	return c
}

// roomier makes room for half as much again in a full slice that is long. append
// adds a quarter, so that a long slice is copied twice as often as its length.
func roomier[T any](s []T) []T {
	if len(s) == cap(s) && len(s) >= 256 {
		return slices.Grow(s, len(s)/2)
	}
	return s
}

func chainKey(b branchRef, k keyRef) uint64 { return uint64(b)<<32 | uint64(k) }

// findChain returns the chain of a key; 0 when there is none.
func (d *Doc) findChain(b branchRef, k keyRef) chainRef {
	if d.branches[b].keyChains > few {
		return chainRef(d.index.chains.find(hashNumber(chainKey(b, k)), func(c uint32) bool {
			return d.chains[c].branch == b && d.chains[c].key == k
		}))
	}
	for c := d.branches[b].firstKey; c != 0; c = d.chains[c].nextKey {
		if d.chains[c].key == k {
			return c
		}
	}
	return 0
}

// keyChain returns the chain of a key, creating it as needed.
func (d *Doc) keyChain(b branchRef, k keyRef) chainRef {
	if c := d.findChain(b, k); c != 0 {
		return c
	}
	c := d.newChain(b, k)
	br := &d.branches[b]
	if br.lastKey == 0 {
		br.firstKey = c
	} else {
		d.chains[br.lastKey].nextKey = c
	}
	br.lastKey = c
	if br.keyChains > few {
		d.index.chains.add(uint32(c), d.hashChain)
	} else if br.keyChains++; br.keyChains > few {
		x := d.indexed()
		for c := br.firstKey; c != 0; c = d.chains[c].nextKey {
			x.chains.add(uint32(c), d.hashChain)
		}
	}
	return c
}

func (d *Doc) hashChain(c uint32) uint64 {
	return hashNumber(chainKey(d.chains[c].branch, d.chains[c].key))
}

// start is the first item of a type's sequence; 0 when it has none
// (Yjs: AbstractType._start).
func (d *Doc) start(b branchRef) itemRef {
	return d.chains[d.branches[b].seq].first
}

// keyItem is the current item of a key, deleted or not; 0 when there is none
// (Yjs: AbstractType._map.get).
func (d *Doc) keyItem(b branchRef, k keyRef) itemRef {
	return d.chains[d.findChain(b, k)].last
}

// parentOf is the type that an item lives in; 0 for gc blocks.
func (d *Doc) parentOf(it *item) branchRef { return d.chains[it.chain].branch }
