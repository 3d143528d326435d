package crdt

// rawBlock is a block as an update holds it, not integrated: its neighbours and
// parent are still IDs and names. Byte slices alias the update.
type rawBlock struct {
	client ClientID
	clock  uint64
	length uint64

	kind contentKind
	// hasOrigin and hasRight: origin and right are set. With neither, the parent
	// is given: a root by name or a type by the ID of its item.
	hasOrigin bool
	hasRight  bool
	hasRoot   bool
	hasParent bool
	hasKey    bool
	typeKind  TypeKind
	jsonText  bool // Embed and Format: data is JSON text, not Any (V1)
	origin    ID
	right     ID
	parent    ID
	root      []byte
	key       []byte

	// name is the key of a format, the tag of a type or the GUID of a
	// subdocument.
	name []byte
	// data is the payload: text (WTF-8), the encoded values, the bytes, the
	// JSON text; for legacy JSON content the counted strings.
	data []byte
}

// end is the clock after the last unit.
func (b *rawBlock) end() uint64 { return b.clock + b.length }

// deleteRun is one range of a delete set as an update holds it.
type deleteRun struct {
	client ClientID
	Range
}
