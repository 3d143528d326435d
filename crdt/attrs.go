package crdt

import "slices"

// Attrs are the attributes of text or of an XML element, in order. Attributes with integer-like
// names come first, as JavaScript orders the properties of an object; the order decides the order of
// format items on the wire. In a call that formats, a Null value removes the attribute.
type Attrs []Field

// Value is the value of an attribute; undefined when there is none.
func (a Attrs) Value(key string) Value {
	for i := range a {
		if a[i].Key == key {
			return a[i].Value
		}
	}
	return Value{}
}

// Equal reports whether a and b hold equal values for the same keys, whatever the order.
func (a Attrs) Equal(b Attrs) bool {
	if len(a) != len(b) {
		return false
	}
	for _, f := range a {
		i := slices.IndexFunc(b, func(g Field) bool { return g.Key == f.Key })
		if i < 0 || !f.Value.Equal(b[i].Value) {
			return false
		}
	}
	return true
}

// normal gives the attributes as a JavaScript object has them: well-formed keys, each once,
// integer-like ones first.
func (a Attrs) normal() Attrs {
	var b objectBuilder
	for _, f := range a {
		b.set(toWTF8(f.Key), f.Value)
	}
	if b.integers > 0 {
		b.sortIntegersFirst()
	}
	out := make(Attrs, len(b.keys))
	for i, k := range b.keys {
		out[i] = Field{k, b.vals[i]}
	}
	return out
}

// ordered gives attributes with distinct keys in the order of a JavaScript object.
func (a Attrs) ordered() Attrs {
	for i := range a {
		if _, ok := arrayIndex(a[i].Key); ok {
			return a.normal()
		}
	}
	return a
}

func (a Attrs) index(key string) int {
	for i := range a {
		if a[i].Key == key {
			return i
		}
	}
	return -1
}

// set replaces the value of a key in place or appends it (JavaScript: Map.set).
func (a *Attrs) set(key string, v Value) {
	if i := a.index(key); i >= 0 {
		(*a)[i].Value = v
		return
	}
	*a = append(*a, Field{key, v})
}

// remove deletes a key (JavaScript: Map.delete).
func (a *Attrs) remove(key string) {
	if i := a.index(key); i >= 0 {
		*a = slices.Delete(*a, i, i+1)
	}
}

// orNull is the value of a key, null when there is none.
func (a Attrs) orNull(key string) Value {
	if i := a.index(key); i >= 0 {
		return a[i].Value
	}
	return Null()
}

// apply sets the value of a format item; null removes the attribute
// (Yjs: YText.js updateCurrentAttributes).
func (a *Attrs) apply(key string, v Value) {
	if v.kind == ValueNull {
		a.remove(key)
		return
	}
	a.set(key, v)
}

// copy is what a caller may keep: without the identities that matter only while a text is edited.
func (a Attrs) copy() Attrs {
	if len(a) == 0 {
		return nil
	}
	out := append(Attrs(nil), a...)
	for i := range out {
		if out[i].Value.isJSObject() {
			out[i].Value.num = 0
		}
	}
	return out.ordered()
}
