package crdt

import (
	"ysync/internal/lib0"
)

// maxValueDepth bounds the nesting of plain values read from bytes or given by callers: walks over
// values recurse, and a Go stack overflow cannot be caught.
const maxValueDepth = 100

// appendAny appends v in the Any encoding (lib0 encoding.js writeAny), but for lone surrogates, which
// strings keep until they are sent (wireValues). v must be plain data.
func appendAny(dst []byte, v Value) []byte {
	switch v.kind {
	case ValueNull:
		return lib0.AppendTag(dst, lib0.TagNull)
	case ValueBool:
		if v.num != 0 {
			return lib0.AppendTag(dst, lib0.TagTrue)
		}
		return lib0.AppendTag(dst, lib0.TagFalse)
	case ValueNumber:
		return lib0.AppendAnyNumber(dst, v.Number())
	case ValueBigInt:
		return lib0.AppendAnyBigInt(dst, int64(v.num))
	case ValueString:
		return lib0.AppendBytes(lib0.AppendTag(dst, lib0.TagString), v.str)
	case ValueBytes:
		return lib0.AppendAnyBytes(dst, v.str)
	case ValueList:
		dst = lib0.AppendAnyArray(dst, len(v.ref.vals))
		for _, e := range v.ref.vals {
			dst = appendAny(dst, e)
		}
		return dst
	case ValueObject:
		dst = lib0.AppendAnyObject(dst, len(v.ref.vals))
		for i, k := range v.ref.keys {
			dst = appendAny(lib0.AppendBytes(dst, k), v.ref.vals[i])
		}
		return dst
	}
	return lib0.AppendTag(dst, lib0.TagUndefined)
}

// wireValues turns the lone surrogates in encoded values into U+FFFD, which has the same size.
func wireValues(b []byte) {
	if !hasSurrogate(b) {
		return
	}
	for r := lib0.NewWTF8Reader(b); r.Len() > 0; {
		wireValue(&r)
	}
}

func wireValue(r *lib0.Reader) {
	switch t := r.Tag(); t {
	case lib0.TagString:
		replaceSurrogates(r.Bytes())
	case lib0.TagBytes:
		r.Bytes()
	case lib0.TagBigInt:
		r.BigUint64()
	case lib0.TagInteger, lib0.TagFloat32, lib0.TagFloat64:
		r.Number(t)
	case lib0.TagArray:
		for n := r.Count(lib0.MinArrayElement); n > 0; n-- {
			wireValue(r)
		}
	case lib0.TagObject:
		for n := r.Count(lib0.MinObjectEntry); n > 0; n-- {
			replaceSurrogates(r.Bytes())
			wireValue(r)
		}
	}
}

// readAny reads one value in the Any encoding (lib0 decoding.js readAny) that was found to be valid, or
// false counts would make it allocate too much. Failures, among them nesting beyond maxValueDepth, are left
// in r. The result keeps nothing of the input.
func readAny(r *lib0.Reader) Value { return readAnyAt(r, 0) }

func readAnyAt(r *lib0.Reader, depth int) Value {
	switch t := r.Tag(); t {
	case lib0.TagArray:
		return readAnyList(r, depth)
	case lib0.TagObject:
		return readAnyObject(r, depth)
	default:
		return readScalar(r, t)
	}
}

// readScalar reads what follows the tag of a value that is no list or object.
func readScalar(r *lib0.Reader, t lib0.Tag) Value {
	switch t {
	case lib0.TagNull:
		return Null()
	case lib0.TagTrue:
		return Bool(true)
	case lib0.TagFalse:
		return Bool(false)
	case lib0.TagInteger, lib0.TagFloat32, lib0.TagFloat64:
		return Number(r.Number(t))
	case lib0.TagBigInt:
		return BigInt(r.BigInt64())
	case lib0.TagString:
		return Value{kind: ValueString, str: r.String()}
	case lib0.TagBytes:
		return Value{kind: ValueBytes, str: string(r.Bytes())}
	}
	return Undefined()
}

func readAnyList(r *lib0.Reader, depth int) Value {
	n := r.Count(lib0.MinArrayElement)
	if depth >= maxValueDepth {
		r.Fail(lib0.ErrDepth)
	}
	if n == 0 || r.Err() != nil {
		return Value{kind: ValueList, ref: &compound{}}
	}
	vals := make([]Value, 0, n)
	for ; n > 0 && r.Err() == nil; n-- {
		vals = append(vals, readAnyAt(r, depth+1))
	}
	return Value{kind: ValueList, ref: &compound{vals: vals}}
}

// readAnyObject drops the key "__proto__", see appendCanonical.
func readAnyObject(r *lib0.Reader, depth int) Value {
	n := r.Count(lib0.MinObjectEntry)
	if depth >= maxValueDepth {
		r.Fail(lib0.ErrDepth)
	}
	var b objectBuilder
	for ; n > 0 && r.Err() == nil; n-- {
		key := r.String()
		v := readAnyAt(r, depth+1)
		if key != "__proto__" {
			b.set(key, v)
		}
	}
	return b.value()
}

// nesting is how deep lists and objects are nested in a plain value: 0 for a scalar. It stops
// counting past maxValueDepth.
func (v Value) nesting() int { return v.nestingFrom(0) }

func (v Value) nestingFrom(level int) int {
	if v.kind != ValueList && v.kind != ValueObject || level > maxValueDepth {
		return level
	}
	deepest := level + 1
	for _, e := range v.ref.vals {
		deepest = max(deepest, e.nestingFrom(level+1))
	}
	return deepest
}

// isPlain reports whether v holds no shared type and no subdocument, at any depth that values may
// have; deeper ones are not plain.
func (v Value) isPlain() bool { return v.isPlainFrom(0) }

func (v Value) isPlainFrom(level int) bool {
	if v.kind >= ValueType {
		return false
	}
	if v.kind == ValueList || v.kind == ValueObject {
		if level > maxValueDepth {
			return false
		}
		for _, e := range v.ref.vals {
			if !e.isPlainFrom(level + 1) {
				return false
			}
		}
	}
	return true
}
