package lib0

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// The classes of failure. An error reported by this package is an *Error that
// wraps one of them.
var (
	// ErrTruncated: the input ends inside a value, or a length says more than
	// is left.
	ErrTruncated = errors.New("truncated")
	// ErrPastEnd: a signed integer or a column entry was asked for exactly at
	// the end of its input. lib0 does not notice and reads zero; here zero is
	// returned too, but the failure sticks. It is a kind of ErrTruncated.
	ErrPastEnd = fmt.Errorf("read past the end: %w", ErrTruncated)
	// ErrOverflow: an integer exceeds MaxSafeInteger or is spelt with more
	// than eight bytes.
	ErrOverflow = errors.New("integer out of range")
	// ErrUTF8: a string is not valid UTF-8.
	ErrUTF8 = errors.New("string is not valid UTF-8")
	// ErrTag: an any value starts with an unknown tag.
	ErrTag = errors.New("unknown tag of an any value")
	// ErrDepth: an any value is nested deeper than the caller allows.
	ErrDepth = errors.New("any value nested too deeply")
)

// Error is a failure to decode, with the place where the failing value starts.
type Error struct {
	// Off is the byte offset in the outermost input.
	Off int
	// Err is one of the classes above, or what was given to Reader.Fail.
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("lib0: %v at byte %d", e.Err, e.Off) }

func (e *Error) Unwrap() error { return e.Err }

// Reader decodes values from a byte slice, front to back. The first failure
// sticks; from then on every read yields the zero value and consumes nothing.
// A Reader is a plain value: copying it forks the cursor. It is not safe for
// concurrent use.
type Reader struct {
	b    []byte
	off  int  // next byte of b, 0 ≤ off ≤ len(b)
	base int  // offset of b in the outermost input, for errors only
	wtf8 bool // strings are as in memory
	err  error
}

// NewReader returns a Reader over b, which it aliases.
func NewReader(b []byte) Reader { return Reader{b: b} }

// NewWTF8Reader returns a Reader over bytes of the program's own, in which
// strings may hold lone surrogates as they do in memory. They are not checked.
func NewWTF8Reader(b []byte) Reader { return Reader{b: b, wtf8: true} }

// Len returns the number of bytes left, 0 after a failure.
func (r *Reader) Len() int {
	if r.err != nil {
		return 0
	}
	return len(r.b) - r.off
}

// Off returns the offset of the next byte in the outermost input.
func (r *Reader) Off() int { return r.base + r.off }

// Err returns the first failure, an *Error, or nil.
func (r *Reader) Err() error { return r.err }

// Fail records err as a failure at the current offset, unless one is recorded
// already. A nil err is ignored.
func (r *Reader) Fail(err error) { r.failAt(r.off, err) }

func (r *Reader) failAt(off int, err error) {
	if r.err == nil && err != nil {
		r.err = &Error{Off: r.base + off, Err: err}
	}
}

// Rest returns the bytes not read yet, aliasing the input, and consumes them.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	b := r.b[r.off:len(r.b):len(r.b)]
	r.off = len(r.b)
	return b
}

// Take consumes n bytes and returns them, aliasing the input. A negative n or
// one beyond what is left fails with ErrTruncated.
func (r *Reader) Take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.Fail(ErrTruncated)
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 {
	if r.err != nil {
		return 0
	}
	if r.off >= len(r.b) {
		r.Fail(ErrTruncated)
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

// Uvarint reads an unsigned integer of at most 53 bits in at most eight bytes.
func (r *Reader) Uvarint() uint64 {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] < 0x80 {
		r.off++
		return uint64(r.b[r.off-1])
	}
	return r.uvarintSlow()
}

func (r *Reader) uvarintSlow() uint64 {
	if r.err != nil {
		return 0
	}
	start := r.off
	v, n, err := scan(r.b[start:], 0, 0)
	if err != nil {
		r.failAt(start, err)
		return 0
	}
	r.off = start + n
	return v
}

// Varint reads a signed integer whose magnitude has at most 53 bits. negZero
// says that it was −0. At the very end of the input it fails with ErrPastEnd.
func (r *Reader) Varint() (v int64, negZero bool) {
	u, neg := r.signed()
	if neg {
		return -int64(u), u == 0
	}
	return int64(u), false
}

func (r *Reader) signed() (u uint64, neg bool) {
	if r.err != nil {
		return 0, false
	}
	start := r.off
	if len(r.b)-start >= 4 {
		v := binary.LittleEndian.Uint32(r.b[start:])
		if ends := ^v & 0x80808080; ends != 0 {
			n := bits.TrailingZeros32(ends)/8 + 1
			r.off = start + n
			neg = v&0x40 != 0
			v &= ^uint32(0) >> (32 - 8*n)
			return uint64(v&0x3f | v>>8&0x7f<<6 | v>>16&0x7f<<13 | v>>24<<20), neg
		}
	}
	if start >= len(r.b) {
		r.Fail(ErrPastEnd)
		return 0, false
	}
	first := r.b[start]
	u, neg = uint64(first&0x3f), first&0x40 != 0
	n := 1
	if first&0x80 != 0 {
		rest, m, err := scan(r.b[start+1:], u, 6)
		if err != nil {
			r.failAt(start, err)
			return 0, false
		}
		u, n = rest, 1+m
	}
	r.off = start + n
	return u, neg
}

// scan adds to v the seven-bit groups at the front of b, the first of them
// shifted by shift.
func scan(b []byte, v uint64, shift uint) (sum uint64, n int, err error) {
	for ; n < len(b); n++ {
		if shift > 49 {
			return 0, 0, ErrOverflow
		}
		v |= uint64(b[n]&0x7f) << shift
		shift += 7
		if b[n] < 0x80 {
			if v > MaxSafeInteger {
				return 0, 0, ErrOverflow
			}
			return v, n + 1, nil
		}
	}
	return 0, 0, ErrTruncated
}

// UvarintNumber reads an unsigned integer as lib0's readVarUint computes it:
// a float64 that has lost its low bits above 2^53, and an error only if more
// bytes follow a value that is out of range already.
func (r *Reader) UvarintNumber() float64 {
	if r.err != nil {
		return 0
	}
	start := r.off
	v, n, err := scanNumber(r.b[start:], 0, 1)
	if err != nil {
		r.failAt(start, err)
		return 0
	}
	r.off = start + n
	return v
}

// VarintNumber reads a signed integer as lib0's readVarInt computes it,
// negative zero included. At the very end of the input it fails with
// ErrPastEnd.
func (r *Reader) VarintNumber() float64 {
	if r.err != nil {
		return 0
	}
	start := r.off
	if start >= len(r.b) {
		r.Fail(ErrPastEnd)
		return 0
	}
	first := r.b[start]
	v, n := float64(first&0x3f), 1
	if first&0x80 != 0 {
		rest, m, err := scanNumber(r.b[start+1:], v, 64)
		if err != nil {
			r.failAt(start, err)
			return 0
		}
		v, n = rest, 1+m
	}
	r.off = start + n
	if first&0x40 != 0 {
		return math.Copysign(v, -1)
	}
	return v
}

func scanNumber(b []byte, v, mult float64) (sum float64, n int, err error) {
	for ; n < len(b); n++ {
		v += float64(b[n]&0x7f) * mult
		mult *= 128
		if b[n] < 0x80 {
			if math.IsNaN(v) {
				// 0·∞ after some 150 superfluous bytes.
				return 0, 0, ErrOverflow
			}
			return v, n + 1, nil
		}
		if v > MaxSafeInteger {
			return 0, 0, ErrOverflow
		}
	}
	return 0, 0, ErrTruncated
}

// Count reads a number of elements, each of at least minBytes bytes in this
// same input, and fails with ErrTruncated if what is left cannot hold them. A
// caller may therefore allocate in proportion to it.
func (r *Reader) Count(minBytes int) int {
	start := r.off
	n := r.Uvarint()
	if r.err == nil && n > uint64(r.Len()/max(minBytes, 1)) {
		r.failAt(start, ErrTruncated)
		return 0
	}
	return int(n)
}

// Bytes reads a length and that many bytes, aliasing the input.
func (r *Reader) Bytes() []byte {
	start := r.off
	n := r.Uvarint()
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)-r.off) {
		r.off = start
		r.Fail(ErrTruncated)
		return nil
	}
	return r.Take(int(n))
}

// Sub reads a length and returns a Reader over that many bytes. Its offsets
// still count from the start of the outermost input.
func (r *Reader) Sub() Reader {
	b := r.Bytes()
	if r.err != nil {
		return Reader{err: r.err}
	}
	return Reader{b: b, base: r.base + r.off - len(b), wtf8: r.wtf8}
}

// StringBytes reads a length and that many bytes of UTF-8, or of WTF-8 that is
// not checked, aliasing the input.
func (r *Reader) StringBytes() []byte {
	start := r.off
	b := r.Bytes()
	if r.err == nil && !r.wtf8 && !utf8.Valid(b) {
		r.failAt(start, ErrUTF8)
		return nil
	}
	return b
}

// String reads a string into memory of its own.
func (r *Reader) String() string { return string(r.StringBytes()) }

// Float32 reads a big-endian float32.
func (r *Reader) Float32() float32 {
	if b := r.Take(4); b != nil {
		return math.Float32frombits(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Float64 reads a big-endian float64.
func (r *Reader) Float64() float64 {
	if b := r.Take(8); b != nil {
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	return 0
}

// BigInt64 reads a big-endian int64.
func (r *Reader) BigInt64() int64 { return int64(r.BigUint64()) }

// BigUint64 reads a big-endian uint64.
func (r *Reader) BigUint64() uint64 {
	if b := r.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// BigUint32 reads a big-endian uint32.
func (r *Reader) BigUint32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint16 reads a little-endian uint16.
func (r *Reader) Uint16() uint16 {
	if b := r.Take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads a little-endian uint32.
func (r *Reader) Uint32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}
