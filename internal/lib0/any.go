package lib0

import "math"

// Tag is the first byte of an any value: it names the kind of what follows
// (lib0 encoding.js writeAny).
type Tag uint8

// The kinds of any values. The comment says what follows the tag.
const (
	TagBytes     Tag = 116 // Bytes
	TagArray     Tag = 117 // Count, then that many any values
	TagObject    Tag = 118 // Count, then that many pairs of String and any value
	TagString    Tag = 119 // String
	TagTrue      Tag = 120
	TagFalse     Tag = 121
	TagBigInt    Tag = 122 // BigInt64
	TagFloat64   Tag = 123 // Float64
	TagFloat32   Tag = 124 // Float32
	TagInteger   Tag = 125 // VarintNumber
	TagNull      Tag = 126
	TagUndefined Tag = 127
)

// The fewest bytes that an element of an array (any tag alone) and an entry of
// an object (an empty key and a tag) take; arguments for Reader.Count.
const (
	MinArrayElement = 1
	MinObjectEntry  = 2
)

// Tag reads the tag of an any value. An unknown one fails with ErrTag.
func (r *Reader) Tag() Tag {
	start := r.off
	t := Tag(r.Uint8())
	if r.err == nil && (t < TagBytes || t > TagUndefined) {
		r.failAt(start, ErrTag)
		return 0
	}
	return t
}

// Number reads what follows the tag of a number: TagInteger, TagFloat32 or
// TagFloat64. Any other tag fails with ErrTag.
func (r *Reader) Number(t Tag) float64 {
	switch t {
	case TagInteger:
		return r.VarintNumber()
	case TagFloat32:
		return float64(r.Float32())
	case TagFloat64:
		return r.Float64()
	}
	r.Fail(ErrTag)
	return 0
}

// SkipAny reads one any value and forgets it. Arrays and objects may be nested
// maxDepth deep (0: none at all); a deeper value fails with ErrDepth.
func (r *Reader) SkipAny(maxDepth int) {
	switch t := r.Tag(); t {
	case TagBytes:
		r.Bytes()
	case TagString:
		r.StringBytes()
	case TagBigInt:
		r.BigUint64()
	case TagInteger, TagFloat32, TagFloat64:
		r.Number(t)
	case TagArray:
		n := r.Count(MinArrayElement)
		if maxDepth <= 0 {
			r.Fail(ErrDepth)
		}
		for i := 0; i < n && r.err == nil; i++ {
			r.SkipAny(maxDepth - 1)
		}
	case TagObject:
		n := r.Count(MinObjectEntry)
		if maxDepth <= 0 {
			r.Fail(ErrDepth)
		}
		for i := 0; i < n && r.err == nil; i++ {
			r.StringBytes()
			r.SkipAny(maxDepth - 1)
		}
	}
}

// Raw reads one any value like SkipAny and returns its bytes, aliasing the
// input.
func (r *Reader) Raw(maxDepth int) []byte {
	start := r.off
	r.SkipAny(maxDepth)
	if r.err != nil {
		return nil
	}
	return r.b[start:r.off:r.off]
}

// AppendTag appends a tag; for null, undefined, true and false that is all.
func AppendTag(dst []byte, t Tag) []byte { return append(dst, byte(t)) }

// AppendAnyNumber appends a JavaScript number as an any value in the form that
// lib0 chooses: a signed integer if it is one of at most 31 bits (−0 included),
// else a float32 if that loses nothing, else a float64.
func AppendAnyNumber(dst []byte, f float64) []byte {
	switch {
	case f == math.Trunc(f) && math.Abs(f) <= math.MaxInt32:
		sign := byte(0)
		if math.Signbit(f) {
			sign = 0x40
		}
		return appendSigned(append(dst, byte(TagInteger)), uint64(math.Abs(f)), sign)
	case float64(float32(f)) == f:
		return AppendFloat32(append(dst, byte(TagFloat32)), float32(f))
	default:
		return AppendFloat64(append(dst, byte(TagFloat64)), f)
	}
}

// AppendAnyBigInt appends a BigInt as an any value.
func AppendAnyBigInt(dst []byte, v int64) []byte {
	return AppendBigInt64(append(dst, byte(TagBigInt)), v)
}

// AppendAnyString appends a string as an any value.
func AppendAnyString(dst []byte, s string) []byte {
	return AppendString(append(dst, byte(TagString)), s)
}

// AppendAnyBytes appends a Uint8Array as an any value.
func AppendAnyBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(AppendUvarint(append(dst, byte(TagBytes)), uint64(len(b))), b...)
}

// AppendAnyArray appends the head of an array; n any values must follow.
func AppendAnyArray(dst []byte, n int) []byte {
	return AppendUvarint(append(dst, byte(TagArray)), uint64(n))
}

// AppendAnyObject appends the head of an object; n pairs of a key
// (AppendString) and an any value must follow.
func AppendAnyObject(dst []byte, n int) []byte {
	return AppendUvarint(append(dst, byte(TagObject)), uint64(n))
}
