package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"ysync/internal/lib0"
)

// anyWriter writes lists and objects in the Any encoding while they are read, so that
// no tree of values is built: one takes fifty times the bytes.
type anyWriter struct {
	dst []byte
	// properties are where the properties of the objects that are being written
	// begin in dst: the key, then the value.
	properties []uint32
}

// open begins a list or an object; close must follow with what it returns.
func (w *anyWriter) open(t lib0.Tag) (count, first int) {
	w.dst = append(w.dst, byte(t), 0)
	return len(w.dst) - 1, len(w.properties)
}

// closeList ends a list of n elements.
func (w *anyWriter) closeList(count, n int) {
	if n < 0x80 {
		w.dst[count] = byte(n)
		return
	}
	var b [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(b[:], uint64(n))
	w.dst = slices.Insert(w.dst, count+1, b[1:size]...)
	w.dst[count] = b[0]
}

// property begins a property with its key.
func (w *anyWriter) property(key []byte) {
	w.properties = append(roomier(w.properties), uint32(len(w.dst)))
	w.dst = lib0.AppendBytes(w.dst, key)
}

// dropProperty forgets the last property.
func (w *anyWriter) dropProperty() {
	last := len(w.properties) - 1
	w.dst, w.properties = w.dst[:w.properties[last]], w.properties[:last]
}

// keyAt is the key of the property that begins there.
func keyAt(dst []byte, at uint32) []byte {
	r := lib0.NewReader(dst[at:])
	return r.Bytes()
}

// closeObject ends an object. Its properties come in the order of JavaScript:
// integer-like keys first and ascending, then the others as they came; of equal keys
// the last value counts, at the place of the first.
func (w *anyWriter) closeObject(count, first int) {
	at := w.properties[first:]
	n := len(at)
	if !sortedKeys(w.dst, at) {
		w.dst, n = reorder(w.dst, at)
	}
	w.properties = w.properties[:first]
	w.closeList(count, n)
}

// reorder puts the properties of the object that dst ends with in order, and tells how many are left.
func reorder(dst []byte, at []uint32) ([]byte, int) {
	type property struct{ key, value uint32 } // the properties that say them
	byKey := make([]property, len(at))
	for i := range at {
		byKey[i] = property{uint32(i), uint32(i)}
	}
	key := func(p property) []byte { return keyAt(dst, at[p.key]) }
	slices.SortFunc(byKey, func(a, b property) int {
		return cmp.Or(bytes.Compare(key(a), key(b)), cmp.Compare(a.key, b.key))
	})
	kept := byKey[:1]
	for _, p := range byKey[1:] {
		if last := &kept[len(kept)-1]; bytes.Equal(key(p), key(*last)) {
			last.value = p.value
		} else {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b property) int {
		x, isX := arrayIndex(view(key(a)))
		y, isY := arrayIndex(view(key(b)))
		switch {
		case isX && isY:
			return cmp.Compare(x, y)
		case isX:
			return -1
		case isY:
			return 1
		}
		return cmp.Compare(a.key, b.key)
	})
	out := make([]byte, 0, len(dst)-int(at[0]))
	for _, p := range kept {
		end := len(dst)
		if int(p.value) < len(at)-1 {
			end = int(at[p.value+1])
		}
		r := lib0.NewReader(dst[at[p.value]:end])
		r.Bytes()
		out = lib0.AppendBytes(out, key(p))
		out = append(out, dst[end-r.Len():end]...)
	}
	return append(dst[:at[0]], out...), len(kept)
}

// sortedKeys tells whether the properties may stay as they are.
func sortedKeys(dst []byte, at []uint32) bool {
	for _, p := range at {
		if _, ok := arrayIndex(view(keyAt(dst, p))); ok {
			return false
		}
	}
	if len(at) > objectIndexFrom {
		at = slices.Clone(at)
		slices.SortFunc(at, func(a, b uint32) int { return bytes.Compare(keyAt(dst, a), keyAt(dst, b)) })
		for i := range at[1:] {
			if bytes.Equal(keyAt(dst, at[i]), keyAt(dst, at[i+1])) {
				return false
			}
		}
		return true
	}
	for i := range at {
		for j := range i {
			if bytes.Equal(keyAt(dst, at[i]), keyAt(dst, at[j])) {
				return false
			}
		}
	}
	return true
}

// appendCanonical copies one value of the Any encoding as Yjs would write it
// again: shortest numbers, integer keys first, and the key "__proto__" dropped, because lib0
// assigns properties one by one, and assigning that one sets the prototype and leaves no
// entry. The input is valid.
func appendCanonical(dst []byte, r *lib0.Reader) []byte {
	ahead := *r
	if t := ahead.Tag(); t == lib0.TagString {
		*r = ahead
		return lib0.AppendBytes(lib0.AppendTag(dst, t), r.Bytes())
	}
	w := anyWriter{dst: dst}
	w.copy(r)
	return w.dst
}

func (w *anyWriter) copy(r *lib0.Reader) {
	switch t := r.Tag(); t {
	case lib0.TagString, lib0.TagBytes:
		w.dst = lib0.AppendBytes(lib0.AppendTag(w.dst, t), r.Bytes())
	case lib0.TagInteger, lib0.TagFloat32, lib0.TagFloat64:
		w.dst = lib0.AppendAnyNumber(w.dst, Number(r.Number(t)).Number())
	case lib0.TagBigInt:
		w.dst = lib0.AppendAnyBigInt(w.dst, r.BigInt64())
	case lib0.TagArray:
		count, _ := w.open(t)
		n := r.Count(lib0.MinArrayElement)
		for range n {
			w.copy(r)
		}
		w.closeList(count, n)
	case lib0.TagObject:
		count, first := w.open(t)
		for range r.Count(lib0.MinObjectEntry) {
			key := r.Bytes()
			w.property(key)
			w.copy(r)
			if string(key) == "__proto__" {
				w.dropProperty()
			}
		}
		w.closeObject(count, first)
	default:
		w.dst = lib0.AppendTag(w.dst, t)
	}
}
