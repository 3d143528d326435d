package crdt

// itemRef numbers an item or gc block in the slab of its Doc; 0 is none. A
// number is used again after its item was merged into its neighbour.
type itemRef uint32

// clientRef numbers a client in Doc.clients; 0 is none.
type clientRef uint32

// contentKind is the tag of a block's content on the wire (Yjs: contentRefs).
type contentKind uint8

const (
	kindGC      contentKind = 0
	kindDeleted contentKind = 1
	kindJSON    contentKind = 2
	kindBinary  contentKind = 3
	kindString  contentKind = 4
	kindEmbed   contentKind = 5
	kindFormat  contentKind = 6
	kindType    contentKind = 7
	kindAny     contentKind = 8
	kindDoc     contentKind = 9
	kindSkip    contentKind = 10
)

// countable tells whether content of this kind has positions in a sequence
// (Yjs: isCountable).
func (k contentKind) countable() bool {
	return k != kindDeleted && k != kindFormat && k != kindGC && k != kindSkip
}

type itemFlags uint8

const (
	// flagDeleted marks a tombstone. Gc blocks carry it too.
	flagDeleted itemFlags = 1 << iota
	// flagKeep exempts the item from collection (Yjs: keep).
	flagKeep
	// flagRedone says that Doc.redone holds an ID for this item.
	flagRedone
	// flagPadded says that the content owns its bytes in the arena up to the
	// next power of two, so that it can grow in place.
	flagPadded
	// flagFree marks a slot on the free list, for Check.
	flagFree
	// flagMarked is for position markers only (Yjs: Item.marker), see typestate.go.
	flagMarked
	// flagCopy says that undoing or redoing put the item, or one merged into it, left of the item in
	// the same sequence that it is a copy of.
	flagCopy
)

// unitID is the ID of a unit with the client interned; client 0 is null.
type unitID struct {
	client clientRef
	clock  uint32
}

// item is an item or a gc block. It holds no Go pointer, so the collector
// never scans a slab.
type item struct {
	clock  uint32 // of the first unit
	length uint32 // in units; UTF-16 code units for strings

	// left and right are the neighbours in the chain. For keys, right is the
	// newer value (Yjs: Item.left, Item.right).
	left  itemRef
	right itemRef

	client clientRef
	chain  chainRef // 0 for gc blocks

	origin      unitID // null when client is 0
	rightOrigin unitID

	// off and size are the content's bytes in the arena (content.go). For
	// kindType off is the branchRef.
	off  uint32
	size uint32

	kind  contentKind
	flags itemFlags
}

func (it *item) deleted() bool   { return it.flags&flagDeleted != 0 }
func (it *item) keep() bool      { return it.flags&flagKeep != 0 }
func (it *item) isGC() bool      { return it.kind == kindGC }
func (it *item) countable() bool { return it.kind.countable() }

// end is the clock after the last unit.
func (it *item) end() uint32 { return it.clock + it.length }

// id is the ID of the first unit.
func (it *item) id() unitID { return unitID{it.client, it.clock} }

// lastID is the ID of the last unit (Yjs: Item.lastId).
func (it *item) lastID() unitID { return unitID{it.client, it.clock + it.length - 1} }

// branch is the type that the item carries; 0 unless its kind is kindType.
func (it *item) branch() branchRef {
	if it.kind != kindType {
		return 0
	}
	return branchRef(it.off)
}
