package crdt

import (
	"iter"

	"ysync/internal/lib0"
)

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
// it was inserted, or, if it has none, by its parent and key. Its names and its
// content are read when they are asked for, from the update, and are copies.
type Struct struct {
	ID   ID     // of the first unit
	Len  uint64 // in units, > 0
	Kind ContentKind

	HasOrigin, HasRightOrigin bool
	Origin, RightOrigin       ID
	// HasRoot tells whether the parent is a root type, HasParent whether it is
	// another, and Parent then gives the unit that carries it.
	HasRoot, HasParent bool
	Parent             ID
	// HasKey tells whether the item is for a key of a map or for an attribute.
	HasKey bool

	// Type is the kind of the type, for ContentType.
	Type TypeKind

	block *rawBlock
}

// Root is the name of the root type that is the parent, if HasRoot.
func (s *Struct) Root() string { return string(s.block.root) }

// Key is the key of a map or the attribute that the item is for, if HasKey.
func (s *Struct) Key() string { return string(s.block.key) }

// Name is the attribute of a ContentFormat, the tag or name of a ContentType and
// the GUID of a ContentDoc.
func (s *Struct) Name() string {
	if s.Kind == ContentDoc {
		r := lib0.NewReader(appendSubdoc(nil, s.block.name, s.block.data))
		return string(r.Bytes())
	}
	return string(s.block.name)
}

// Text is a ContentString, in WTF-8; of other kinds it is empty.
func (s *Struct) Text() string {
	if s.Kind != ContentString {
		return ""
	}
	return string(s.block.data)
}

// Values yields the values of ContentAny and ContentJSON, and the single value of
// ContentBinary, ContentEmbed, ContentFormat and ContentDoc (its Subdoc).
func (s *Struct) Values() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		b := s.block
		r := lib0.NewReader(b.data)
		switch b.kind {
		case kindBinary:
			yield(Bytes(b.data))
		case kindAny:
			for i := uint64(0); i < b.length && yield(readAny(&r)); i++ {
			}
		case kindJSON:
			for i := uint64(0); i < b.length && yield(valueOf(appendFromJSON(nil, r.Bytes()))); i++ {
			}
		case kindEmbed, kindFormat:
			yield(valueOf(appendEmbedded(nil, b)))
		case kindDoc:
			r = lib0.NewReader(appendSubdoc(nil, b.name, b.data))
			guid := string(r.Bytes())
			yield(NewSubdoc(subdocFromOptions(guid, readAny(&r))))
		}
	}
}

// WalkStructs calls fn for each block of an update, in the order in which they
// stand there, and returns what the update deletes. It needs no document. The whole
// update is checked before the first call; errors are those of Merge. The Struct
// is that of one call: it must not be used, nor copied, beyond it. Walking allocates
// at most eight times the update and 64 KiB, to which comes what fn asks for: a name or
// text its bytes, a value at most 64 times its own. (Yjs: decodeUpdate, decodeUpdateV2.)
func WalkStructs(v Version, update []byte, fn func(*Struct)) (deletes IDSet, err error) {
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return IDSet{}, err
	}
	r.reuses = true
	var b rawBlock
	for r.next(&b) {
	}
	if deletes, err = r.deleteSet(); err != nil {
		return IDSet{}, err
	}
	values := r.values
	if r, err = newUpdateReader(v, update, 0); err != nil {
		return IDSet{}, err
	}
	r.reuses, r.values = true, values
	var s Struct
	for r.next(&b) {
		s = Struct{
			ID: ID{b.client, Clock(b.clock)}, Len: b.length, Kind: ContentKind(b.kind),
			HasOrigin: b.hasOrigin, HasRightOrigin: b.hasRight, Origin: b.origin, RightOrigin: b.right,
			HasRoot: b.hasRoot, HasParent: b.hasParent, Parent: b.parent, HasKey: b.hasKey,
			block: &b,
		}
		if b.kind == kindType {
			s.Type = b.typeKind
		}
		fn(&s)
	}
	return deletes, nil
}

// valueOf reads one sound value in the Any encoding.
func valueOf(enc []byte) Value {
	r := lib0.NewWTF8Reader(enc)
	return readAny(&r)
}
