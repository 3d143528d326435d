package crdt

import "ysync/internal/lib0"

// ContentKind says what a Struct holds. The numbers are those of the wire
// (Yjs: contentRefs).
type ContentKind uint8

// What a Struct may hold.
const (
	// ContentGC is a run of units whose item is forgotten.
	ContentGC ContentKind = ContentKind(kindGC)
	// ContentDeleted is a run of deleted units whose content is forgotten.
	ContentDeleted ContentKind = ContentKind(kindDeleted)
	// ContentJSON is a run of values, in a form that old versions wrote.
	ContentJSON ContentKind = ContentKind(kindJSON)
	// ContentBinary is a byte array.
	ContentBinary ContentKind = ContentKind(kindBinary)
	// ContentString is a run of text.
	ContentString ContentKind = ContentKind(kindString)
	// ContentEmbed is a value embedded in text.
	ContentEmbed ContentKind = ContentKind(kindEmbed)
	// ContentFormat is where an attribute of text begins or ends.
	ContentFormat ContentKind = ContentKind(kindFormat)
	// ContentType is a shared type.
	ContentType ContentKind = ContentKind(kindType)
	// ContentAny is a run of values.
	ContentAny ContentKind = ContentKind(kindAny)
	// ContentDoc is a reference to another document.
	ContentDoc ContentKind = ContentKind(kindDoc)
	// ContentSkip is a run of units that the update does not have.
	ContentSkip ContentKind = ContentKind(kindSkip)
)

// Struct is one block of an update: an item, a gc block or a skip. An item says
// where it belongs by its origins, the units that stood left and right of it when
// it was inserted, or, if it has none, by its parent and key.
type Struct struct {
	ID   ID     // of the first unit
	Len  uint64 // in units, > 0
	Kind ContentKind

	HasOrigin, HasRightOrigin bool
	Origin, RightOrigin       ID
	// HasRoot and Root name the parent if it is a root type, HasParent and Parent
	// give the unit that carries it if it is another.
	HasRoot, HasParent bool
	Root               string
	Parent             ID
	// HasKey and Key give the key of a map or the attribute that the item is for.
	HasKey bool
	Key    string

	// Type is the kind of the type, for ContentType.
	Type TypeKind
	// Name is the attribute of a ContentFormat, the tag or name of a ContentType
	// and the GUID of a ContentDoc.
	Name string
	// Text is a ContentString, in WTF-8.
	Text string
	// Values are the values of ContentAny and ContentJSON, and the single value of
	// ContentBinary, ContentEmbed, ContentFormat and ContentDoc (its Subdoc).
	Values []Value
}

// WalkStructs calls fn for each block of an update, in the order in which they
// stand there, and returns what the update deletes. It needs no document. The whole
// update is checked before the first call; errors are those of Merge. The Struct
// is used again for the next call, but what its fields lead to may be kept. What
// fn gets at a time takes memory in proportion to the bytes of one block.
// (Yjs: decodeUpdate, decodeUpdateV2.)
func WalkStructs(v Version, update []byte, fn func(*Struct)) (deletes IDSet, err error) {
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return IDSet{}, err
	}
	var b rawBlock
	for r.next(&b) {
	}
	if deletes, err = r.deleteSet(); err != nil {
		return IDSet{}, err
	}
	if r, err = newUpdateReader(v, update, 0); err != nil {
		return IDSet{}, err
	}
	var s Struct
	for r.next(&b) {
		b.list(&s)
		fn(&s)
	}
	return deletes, nil
}

// list describes a block that was found to be valid.
func (b *rawBlock) list(s *Struct) {
	*s = Struct{
		ID: ID{b.client, Clock(b.clock)}, Len: b.length, Kind: ContentKind(b.kind),
		HasOrigin: b.hasOrigin, HasRightOrigin: b.hasRight, Origin: b.origin, RightOrigin: b.right,
		HasRoot: b.hasRoot, HasParent: b.hasParent, Root: string(b.root), Parent: b.parent,
		HasKey: b.hasKey, Key: string(b.key),
		Name: string(b.name),
	}
	switch b.kind {
	case kindString:
		s.Text = string(b.data)
	case kindType:
		s.Type = b.typeKind
	case kindBinary:
		s.Values = []Value{Bytes(b.data)}
	case kindAny:
		r := lib0.NewReader(b.data)
		for range b.length {
			s.Values = append(s.Values, readAny(&r))
		}
	case kindJSON:
		r := lib0.NewReader(b.data)
		for range b.length {
			s.Values = append(s.Values, valueOf(appendFromJSON(nil, r.Bytes())))
		}
	case kindEmbed, kindFormat:
		s.Values = []Value{valueOf(appendEmbedded(nil, b))}
	case kindDoc:
		enc := appendSubdoc(nil, b.name, b.data)
		r := lib0.NewReader(enc)
		s.Name = string(r.Bytes())
		s.Values = []Value{NewSubdoc(subdocFromOptions(s.Name, readAny(&r)))}
	}
}

// valueOf reads one sound value in the Any encoding.
func valueOf(enc []byte) Value {
	r := lib0.NewWTF8Reader(enc)
	return readAny(&r)
}
