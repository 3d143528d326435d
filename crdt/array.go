package crdt

import "iter"

// Array is a shared list of values (Yjs: YArray). Positions count elements.
type Array struct{ node }

// Array returns the root array of this name, making it as needed.
func (d *Doc) Array(name string) Array { return Array{node{d, d.root(toWTF8(name), KindArray)}} }

// Len is the number of elements.
func (a Array) Len() int { return a.length() }

// At is element i; undefined when there is none. Going through the array is faster with Values.
func (a Array) At(i int) Value { return a.at(i) }

// Values yields the elements in order. The array must not change meanwhile.
func (a Array) Values() iter.Seq[Value] { return a.values() }

// Slice gives the elements from start up to end; negative positions count from the end.
func (a Array) Slice(start, end int) []Value { return a.slice(start, end) }

// Insert inserts values before element at, which may be the length; beyond that it fails with
// ErrRange. A list takes every value but undefined and bigints, as in Yjs (ErrValue).
func (a Array) Insert(tx *Txn, at int, vals ...Value) {
	if a.edit(tx) {
		tx.insertList(a.b, at, vals)
	}
}

// Push appends values.
func (a Array) Push(tx *Txn, vals ...Value) {
	if a.edit(tx) {
		tx.pushList(a.b, vals)
	}
}

// Delete deletes n elements from element at on. If there are fewer, it deletes those and fails with
// ErrRange, as in Yjs.
func (a Array) Delete(tx *Txn, at, n int) {
	if a.edit(tx) {
		tx.deleteList(a.b, at, n)
	}
}

func (n node) at(i int) Value {
	if n.doc == nil {
		return Value{}
	}
	return n.doc.listAt(n.b, i)
}

func (n node) values() iter.Seq[Value] {
	if n.doc == nil {
		return func(func(Value) bool) {}
	}
	return n.doc.listValues(n.b)
}

func (n node) slice(start, end int) []Value {
	length := n.length()
	if start < 0 {
		start += length
	}
	if end < 0 {
		end += length
	}
	if start = max(start, 0); min(end, length) <= start {
		return nil
	}
	out := make([]Value, 0, min(end, length)-start)
	i := 0
	for v := range n.values() {
		if i >= end {
			break
		}
		if i >= start {
			out = append(out, v)
		}
		i++
	}
	return out
}
