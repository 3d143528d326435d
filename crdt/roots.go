package crdt

import (
	"iter"
	"slices"
)

// Root describes a root type. What kind a root is of is not on the wire: peers agree on it by its
// name alone. So it is known here only if the program has asked for the root by kind, and else
// inferred from the content.
type Root struct {
	Name string
	// Kind is what the program asked for, KindUndefined if it did not.
	Kind TypeKind
	// Inferred are the kinds that the content speaks for, most telling first; none if the root was
	// never used. A root that is used as a list and as a map has two.
	Inferred []TypeKind
}

// Shown is the kind to show the root as: the one asked for, else the first inferred one.
func (r Root) Shown() TypeKind {
	if r.Kind == KindUndefined && len(r.Inferred) > 0 {
		return r.Inferred[0]
	}
	return r.Kind
}

// Roots yields the root types in the order in which they appeared. The document must not get new
// ones meanwhile.
func (d *Doc) Roots() iter.Seq[Root] {
	return func(yield func(Root) bool) {
		for b := range d.roots() {
			br := d.branch(b)
			if !yield(Root{d.key(br.name), br.kind, inferKinds(d, b)}) {
				return
			}
		}
	}
}

// inferKinds tells what a root is by its content, deleted content included where it still shows:
// strings and formats make a text, XML nodes a fragment, everything else an array, keys a map.
func inferKinds(from reader, b branchRef) []TypeKind {
	d := from.document()
	var text, xml, list, seen bool
	for r := d.start(b); r != 0 && !text; {
		it := d.item(r)
		r = it.right
		if !from.known(it) {
			continue
		}
		seen = true
		switch it.kind {
		case kindString, kindFormat, kindEmbed:
			text = true
		case kindType:
			switch d.branch(it.branch()).kind {
			case KindXMLElement, KindXMLFragment, KindXMLText, KindXMLHook:
				xml = true
			default:
				list = true
			}
		case kindAny, kindJSON, kindBinary, kindDoc:
			list = true
		}
	}
	var kinds []TypeKind
	switch {
	case text:
		kinds = append(kinds, KindText)
	case xml && !list:
		kinds = append(kinds, KindXMLFragment)
	case list || xml:
		kinds = append(kinds, KindArray)
	}
	for c := d.branch(b).firstKey; c != 0; c = d.chain(c).nextKey {
		if from.knownKey(c) {
			kinds = append(kinds, KindMap)
			break
		}
	}
	if len(kinds) == 0 && seen {
		kinds = append(kinds, KindArray)
	}
	return kinds
}

// JSON is the document as a plain object: each root under its name, read as the kind that kinds
// gives for the name, else as Root.Shown. A root with content of several kinds that is not in kinds
// is read as the most telling one, and as a map under its name followed by " (map)". Roots never
// used are left out unless kinds names them.
func (d *Doc) JSON(kinds map[string]TypeKind) Value { return rootsJSON(d, kinds) }

func rootsJSON(from reader, kinds map[string]TypeKind) Value {
	d := from.document()
	var o objectBuilder
	for b := range d.roots() {
		root := Root{d.key(d.branch(b).name), d.branch(b).kind, inferKinds(from, b)}
		kind, asked := kinds[root.Name]
		if !asked {
			kind = root.Shown()
		}
		if kind == KindUndefined {
			continue
		}
		o.set(root.Name, typeJSON(from, b, kind))
		if !asked && kind != KindMap && slices.Contains(root.Inferred, KindMap) && root.Kind == KindUndefined {
			o.set(root.Name+" (map)", typeJSON(from, b, KindMap))
		}
	}
	return o.value()
}

// AppendJSON appends the document as JSON text; see Doc.JSON and Value.AppendJSON.
func (d *Doc) AppendJSON(dst []byte, kinds map[string]TypeKind) []byte {
	return d.JSON(kinds).AppendJSON(dst)
}
