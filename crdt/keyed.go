package crdt

import "iter"

// This file is what maps, hooks and attributes share: values under keys (Yjs: AbstractType.js, the
// functions typeMap*).

// setKey sets a checked value (Yjs: typeMapSet).
func (tx *Txn) setKey(b branchRef, key string, v Value) {
	if tx.err != nil {
		return
	}
	d := tx.doc
	k := d.intern(key)
	tx.insertSingle(b, k, d.keyItem(b, k), 0, v)
}

// deleteKey deletes the value of a key (Yjs: typeMapDelete).
func (tx *Txn) deleteKey(b branchRef, key string) {
	d := tx.doc
	if k, ok := d.lookupKey(key); ok {
		if r := d.keyItem(b, k); r != 0 {
			tx.deleteItem(r)
		}
	}
}

// clearKeys deletes all values (Yjs: YMap.clear).
func (tx *Txn) clearKeys(b branchRef) {
	d := tx.doc
	for c := d.branch(b).firstKey; c != 0; c = d.chain(c).nextKey {
		if r := d.chain(c).last; r != 0 {
			tx.deleteItem(r)
		}
	}
}

// keyValue is the value of a key, undefined when it has none (Yjs: typeMapGet).
func (d *Doc) keyValue(b branchRef, key string) Value {
	if r := d.liveKey(b, key); r != 0 {
		return d.lastValue(d.item(r))
	}
	return Value{}
}

// liveKey is the item of a key's value; 0 when it has none.
func (d *Doc) liveKey(b branchRef, key string) itemRef {
	k, ok := d.lookupKey(key)
	if !ok {
		return 0
	}
	r := d.keyItem(b, k)
	if r == 0 || d.item(r).deleted() {
		return 0
	}
	return r
}

// entries yields keys and values in the order in which the keys appeared. The type must not change
// meanwhile.
func (d *Doc) entries(b branchRef) iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for k, it := range d.keyItems(b) {
			if !yield(k, d.lastValue(it)) {
				return
			}
		}
	}
}

// keyItems yields keys and the items of their values.
func (d *Doc) keyItems(b branchRef) iter.Seq2[string, *item] {
	return func(yield func(string, *item) bool) {
		for c := d.branch(b).firstKey; c != 0; c = d.chain(c).nextKey {
			ch := d.chain(c)
			if ch.last == 0 {
				continue
			}
			if it := d.item(ch.last); !it.deleted() && !yield(d.key(ch.key), it) {
				return
			}
		}
	}
}
