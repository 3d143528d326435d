package lib0

import "unsafe"

// The column encoders below collect one value per Write and give their bytes
// with AppendTo, which may be called at any time and leaves the encoder as it
// is. The zero value of each is ready for use; Reset empties it and keeps its
// memory.

// RleEncoder collects bytes; equal neighbours become one byte and a count.
// The count of the last run is left out: it goes on for ever
// (lib0 encoding.js RleEncoder over writeUint8).
type RleEncoder struct {
	buf   []byte
	last  uint8
	count uint64
}

// Write adds v to the column.
func (e *RleEncoder) Write(v uint8) {
	if e.count > 0 && e.last == v {
		e.count++
		return
	}
	if e.count > 0 {
		e.buf = AppendUvarint(e.buf, e.count-1)
	}
	e.buf = append(e.buf, v)
	e.last, e.count = v, 1
}

// AppendTo appends the column to dst.
func (e *RleEncoder) AppendTo(dst []byte) []byte { return append(dst, e.buf...) }

// Reset empties the column.
func (e *RleEncoder) Reset() { *e = RleEncoder{buf: e.buf[:0]} }

// UintOptRleEncoder collects unsigned integers of at most 53 bits; a run of
// equal ones is written as the negated value and a count (lib0
// UintOptRleEncoder).
type UintOptRleEncoder struct {
	buf   []byte
	last  uint64
	count uint64
}

// Write adds v to the column.
func (e *UintOptRleEncoder) Write(v uint64) {
	if e.last == v {
		e.count++
		return
	}
	e.buf = appendUintRun(e.buf, e.last, e.count)
	e.last, e.count = v, 1
}

// AppendTo appends the column to dst.
func (e *UintOptRleEncoder) AppendTo(dst []byte) []byte {
	return appendUintRun(append(dst, e.buf...), e.last, e.count)
}

// Reset empties the column.
func (e *UintOptRleEncoder) Reset() { *e = UintOptRleEncoder{buf: e.buf[:0]} }

func appendUintRun(dst []byte, v, count uint64) []byte {
	switch count {
	case 0:
		return dst
	case 1:
		return appendSigned(dst, v, 0)
	}
	return AppendUvarint(appendSigned(dst, v, 0x40), count-2)
}

// IncUintOptRleEncoder collects unsigned integers; a run of which each is one
// more than the one before is written as the negated first value and a count
// (lib0 IncUintOptRleEncoder). Updates do not use it.
type IncUintOptRleEncoder struct {
	buf   []byte
	first uint64
	count uint64
}

// Write adds v to the column.
func (e *IncUintOptRleEncoder) Write(v uint64) {
	if e.first+e.count == v {
		e.count++
		return
	}
	e.buf = appendUintRun(e.buf, e.first, e.count)
	e.first, e.count = v, 1
}

// AppendTo appends the column to dst.
func (e *IncUintOptRleEncoder) AppendTo(dst []byte) []byte {
	return appendUintRun(append(dst, e.buf...), e.first, e.count)
}

// Reset empties the column.
func (e *IncUintOptRleEncoder) Reset() { *e = IncUintOptRleEncoder{buf: e.buf[:0]} }

// IntDiffOptRleEncoder collects integers by their differences; a run of equal
// differences is written once with a count, whose presence the lowest bit of
// the difference tells (lib0 IntDiffOptRleEncoder). Differences of more than 52
// bits are beyond what the decoder accepts.
type IntDiffOptRleEncoder struct {
	buf   []byte
	last  int64
	diff  int64
	count uint64
}

// Write adds v to the column.
func (e *IntDiffOptRleEncoder) Write(v int64) {
	if e.diff == v-e.last {
		e.last = v
		e.count++
		return
	}
	e.buf = appendDiffRun(e.buf, e.diff, e.count)
	e.diff, e.last, e.count = v-e.last, v, 1
}

// AppendTo appends the column to dst.
func (e *IntDiffOptRleEncoder) AppendTo(dst []byte) []byte {
	return appendDiffRun(append(dst, e.buf...), e.diff, e.count)
}

// Reset empties the column.
func (e *IntDiffOptRleEncoder) Reset() { *e = IntDiffOptRleEncoder{buf: e.buf[:0]} }

func appendDiffRun(dst []byte, diff int64, count uint64) []byte {
	switch count {
	case 0:
		return dst
	case 1:
		return AppendVarint(dst, diff*2)
	}
	return AppendUvarint(AppendVarint(dst, diff*2+1), count-2)
}

// StringEncoder collects strings as one long string followed by a column of
// their lengths in UTF-16 code units (lib0 StringEncoder). Surrogate halves at
// the seam of two neighbours join, as they do when JavaScript concatenates.
type StringEncoder struct {
	text []byte
	lens UintOptRleEncoder
}

// Write adds s to the column.
func (e *StringEncoder) Write(s string) {
	e.text = append(e.text, s...)
	e.lens.Write(uint64(UTF16Len(s)))
}

// WriteUnits adds s, whose length in UTF-16 code units the caller knows.
func (e *StringEncoder) WriteUnits(s string, units int) {
	e.text = append(e.text, s...)
	e.lens.Write(uint64(units))
}

// AppendTo appends the column to dst.
func (e *StringEncoder) AppendTo(dst []byte) []byte {
	text := unsafe.String(unsafe.SliceData(e.text), len(e.text)) // not kept
	return e.lens.AppendTo(AppendString(dst, text))
}

// Reset empties the column.
func (e *StringEncoder) Reset() {
	e.text = e.text[:0]
	e.lens.Reset()
}
