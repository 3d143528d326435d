package crdt

import "iter"

// Map is a shared map from strings to values (Yjs: YMap).
type Map struct{ node }

// Map returns the root map of this name, making it as needed.
func (d *Doc) Map(name string) Map { return Map{node{d, d.root(toWTF8(name), KindMap)}} }

// Len is the number of entries. It takes time in proportion to the keys ever used.
func (m Map) Len() int {
	n := 0
	for range m.items() {
		n++
	}
	return n
}

// At is the value of a key; undefined when there is none, or when undefined is the value: Has tells.
func (m Map) At(key string) Value { return m.get(key) }

// Has reports whether the key has a value.
func (m Map) Has(key string) bool { return m.has(key) }

// All yields keys and values in the order in which the keys were first used. The map must not change
// meanwhile.
func (m Map) All() iter.Seq2[string, Value] { return m.all() }

// Keys yields the keys in the order of All.
func (m Map) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range m.items() {
			if !yield(k) {
				return
			}
		}
	}
}

// Set sets the value of a key. Every value is allowed.
func (m Map) Set(tx *Txn, key string, v Value) { m.set(tx, key, v) }

// Delete removes a key and its value, if it has one.
func (m Map) Delete(tx *Txn, key string) { m.unset(tx, key) }

// Clear removes all keys.
func (m Map) Clear(tx *Txn) {
	if m.edit(tx) {
		tx.clearKeys(m.b)
	}
}

func (n node) set(tx *Txn, key string, v Value) {
	if !n.edit(tx) {
		return
	}
	if err := n.doc.checkValue(n.b, v); err != nil {
		tx.fail(err)
		return
	}
	tx.setKey(n.b, toWTF8(key), v)
}

func (n node) unset(tx *Txn, key string) {
	if n.edit(tx) {
		tx.deleteKey(n.b, toWTF8(key))
	}
}

func (n node) get(key string) Value {
	if n.doc == nil {
		return Value{}
	}
	return n.doc.keyValue(n.b, toWTF8(key))
}

func (n node) has(key string) bool {
	return n.doc != nil && n.doc.liveKey(n.b, toWTF8(key)) != 0
}

func (n node) all() iter.Seq2[string, Value] {
	if n.doc == nil {
		return func(func(string, Value) bool) {}
	}
	return n.doc.entries(n.b)
}

func (n node) items() iter.Seq2[string, *item] {
	if n.doc == nil {
		return func(func(string, *item) bool) {}
	}
	return n.doc.keyItems(n.b)
}
