package lib0

import (
	"encoding/binary"
	"math"
)

// AppendUvarint appends v in groups of seven bits, least significant first,
// the high bit of a byte saying that more follow (lib0 encoding.js
// writeVarUint).
func AppendUvarint(dst []byte, v uint64) []byte {
	for v > 0x7f {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// UvarintLen returns the number of bytes that AppendUvarint appends for v.
func UvarintLen(v uint64) int {
	n := 1
	for v > 0x7f {
		v >>= 7
		n++
	}
	return n
}

// AppendVarint appends v with its sign in the second-highest bit of the first
// byte, which leaves six bits of the magnitude there and seven in each further
// byte (lib0 encoding.js writeVarInt). Negative zero, a value of its own in
// this encoding, is written by AppendNegativeZero.
func AppendVarint(dst []byte, v int64) []byte {
	u, sign := uint64(v), byte(0)
	if v < 0 {
		u, sign = -u, 0x40
	}
	return appendSigned(dst, u, sign)
}

// AppendNegativeZero appends JavaScript's −0 as a signed integer.
func AppendNegativeZero(dst []byte) []byte { return append(dst, 0x40) }

func appendSigned(dst []byte, u uint64, sign byte) []byte {
	first := sign | byte(u&0x3f)
	u >>= 6
	if u == 0 {
		return append(dst, first)
	}
	return AppendUvarint(append(dst, first|0x80), u)
}

// AppendString appends s with its length in bytes before it, as well-formed
// UTF-8 (see the package comment on surrogates; lib0 writeVarString).
func AppendString(dst []byte, s string) []byte {
	if IsWellFormed(s) {
		dst = AppendUvarint(dst, uint64(len(s)))
		return append(dst, s...)
	}
	w := appendWellFormed(make([]byte, 0, len(s)), s)
	return AppendBytes(dst, w)
}

// AppendBytes appends b with its length before it (lib0 writeVarUint8Array).
func AppendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	dst = AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// AppendFloat32 appends v big-endian.
func AppendFloat32(dst []byte, v float32) []byte {
	if v != v {
		return binary.BigEndian.AppendUint32(dst, 0x7fc00000)
	}
	return binary.BigEndian.AppendUint32(dst, math.Float32bits(v))
}

// AppendFloat64 appends v big-endian. Every NaN is written as 7ff8000000000000,
// since JavaScript has one NaN only.
func AppendFloat64(dst []byte, v float64) []byte {
	if v != v {
		return binary.BigEndian.AppendUint64(dst, 0x7ff8000000000000)
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

// AppendBigInt64 appends v big-endian.
func AppendBigInt64(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

// AppendBigUint64 appends v big-endian.
func AppendBigUint64(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, v)
}

// AppendBigUint32 appends v big-endian.
func AppendBigUint32(dst []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, v)
}

// AppendUint16 appends v little-endian.
func AppendUint16(dst []byte, v uint16) []byte {
	return binary.LittleEndian.AppendUint16(dst, v)
}

// AppendUint32 appends v little-endian.
func AppendUint32(dst []byte, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(dst, v)
}
