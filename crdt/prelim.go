package crdt

// prelim is a shared type that is not part of a document yet. It is a template: inserting the Value
// that holds it twice makes two types.
type prelim struct {
	kind     TypeKind
	name     string  // tag of an XML element, name of a hook
	delta    Delta   // text
	children []Value // array, XML fragment, XML element
	entries  []Field // map, hook; attributes of an XML element and of text
}

func newPrelim(p *prelim) Value {
	return Value{kind: ValueType, ref: &compound{prelim: p}}
}

// NewText is a Text to insert, holding s without attributes.
func NewText(s string) Value {
	p := &prelim{kind: KindText}
	if s != "" {
		p.delta = Delta{InsertText(s)}
	}
	return newPrelim(p)
}

// NewTextDelta is a Text to insert, made by applying d to an empty text and then setting attributes
// of the text as a whole.
func NewTextDelta(d Delta, attrs ...Field) Value {
	return newPrelim(&prelim{kind: KindText, delta: d, entries: attrs})
}

// NewArray is an Array to insert, with its elements.
func NewArray(vals ...Value) Value {
	return newPrelim(&prelim{kind: KindArray, children: vals})
}

// NewMap is a Map to insert, with its entries in the order in which they are set.
func NewMap(entries ...Field) Value {
	return newPrelim(&prelim{kind: KindMap, entries: entries})
}

// NewXMLFragment is an XMLFragment to insert, with its children.
func NewXMLFragment(children ...Value) Value {
	return newPrelim(&prelim{kind: KindXMLFragment, children: children})
}

// NewXMLElement is an XMLElement to insert, with attributes and children. As in Yjs the children
// are integrated before the attributes.
func NewXMLElement(tag string, attrs Attrs, children ...Value) Value {
	return newPrelim(&prelim{kind: KindXMLElement, name: toWTF8(tag), entries: attrs, children: children})
}

// NewXMLText is an XMLText to insert, made by applying d to an empty text and then setting
// attributes of the text as a whole.
func NewXMLText(d Delta, attrs ...Field) Value {
	return newPrelim(&prelim{kind: KindXMLText, delta: d, entries: attrs})
}

// NewXMLHook is an XMLHook to insert, with its entries.
func NewXMLHook(name string, entries ...Field) Value {
	return newPrelim(&prelim{kind: KindXMLHook, name: toWTF8(name), entries: entries})
}
