package lib0

import (
	"encoding/binary"
	"unicode/utf8"
)

// The column decoders below are cursors: a run is held as a count, so a run of
// 2^53 costs nothing until somebody asks for its values. How many values a
// column has is not written in it; whoever reads one must bound that number.
// Past the end lib0 goes on with zeros; these return zero as well and record
// ErrPastEnd.

// RleDecoder reads what RleEncoder wrote. Its last run never ends.
type RleDecoder struct {
	r       Reader
	count   uint64
	v       uint8
	forever bool
}

// NewRleDecoder returns a cursor over the bytes of r.
func NewRleDecoder(r Reader) RleDecoder { return RleDecoder{r: r} }

// Read returns the next value.
func (d *RleDecoder) Read() uint8 {
	if d.forever {
		return d.v
	}
	if d.count == 0 {
		d.v = d.r.Uint8()
		if d.r.Len() == 0 {
			// After a failure v is zero, and stays so.
			d.forever = true
			return d.v
		}
		d.count = d.r.Uvarint() + 1
		if d.r.err != nil {
			d.v, d.forever = 0, true
			return 0
		}
	}
	d.count--
	return d.v
}

// Err returns the first failure.
func (d *RleDecoder) Err() error { return d.r.err }

// UintOptRleDecoder reads what UintOptRleEncoder wrote.
type UintOptRleDecoder struct {
	r     Reader
	v     uint64
	count uint64
}

// NewUintOptRleDecoder returns a cursor over the bytes of r.
func NewUintOptRleDecoder(r Reader) UintOptRleDecoder { return UintOptRleDecoder{r: r} }

// Read returns the next value, at most MaxSafeInteger.
func (d *UintOptRleDecoder) Read() uint64 {
	if d.count == 0 {
		d.v, d.count = readUintRun(&d.r)
	}
	d.count--
	return d.v
}

// Err returns the first failure.
func (d *UintOptRleDecoder) Err() error { return d.r.err }

// readUintRun returns the head of a run and its length, at least 1.
func readUintRun(r *Reader) (v, count uint64) {
	v, neg := r.signed()
	count = 1
	if neg {
		count = r.Uvarint() + 2
	}
	if r.err != nil {
		return 0, 1
	}
	return v, count
}

// IncUintOptRleDecoder reads what IncUintOptRleEncoder wrote.
type IncUintOptRleDecoder struct {
	r     Reader
	v     uint64
	count uint64
}

// NewIncUintOptRleDecoder returns a cursor over the bytes of r.
func NewIncUintOptRleDecoder(r Reader) IncUintOptRleDecoder { return IncUintOptRleDecoder{r: r} }

// Read returns the next value, at most MaxSafeInteger.
func (d *IncUintOptRleDecoder) Read() uint64 {
	if d.count == 0 {
		d.v, d.count = readUintRun(&d.r)
	}
	if d.v > MaxSafeInteger {
		d.r.Fail(ErrOverflow)
	}
	if d.r.err != nil {
		d.v, d.count = 0, 0
		return 0
	}
	d.count--
	d.v++
	return d.v - 1
}

// Err returns the first failure.
func (d *IncUintOptRleDecoder) Err() error { return d.r.err }

// IntDiffOptRleDecoder reads what IntDiffOptRleEncoder wrote.
type IntDiffOptRleDecoder struct {
	r     Reader
	v     int64
	diff  int64
	count uint64
}

// NewIntDiffOptRleDecoder returns a cursor over the bytes of r.
func NewIntDiffOptRleDecoder(r Reader) IntDiffOptRleDecoder { return IntDiffOptRleDecoder{r: r} }

// Read returns the next value, of a magnitude of at most MaxSafeInteger. It may
// be negative, which no clock is.
func (d *IntDiffOptRleDecoder) Read() int64 {
	if d.count == 0 {
		enc, _ := d.r.Varint()
		d.diff, d.count = enc>>1, 1
		if enc&1 != 0 {
			d.count = d.r.Uvarint() + 2
		}
	}
	// Both summands have at most 54 bits: no overflow before the check.
	v := d.v + d.diff
	if v > MaxSafeInteger || v < -MaxSafeInteger {
		d.r.Fail(ErrOverflow)
	}
	if d.r.err != nil {
		d.count = 0
		return d.pastEnd()
	}
	d.v = v
	d.count--
	return v
}

// pastEnd keeps the last value at a clean end, as lib0 does by adding zero.
func (d *IntDiffOptRleDecoder) pastEnd() int64 {
	d.diff = 0
	return d.v
}

// Err returns the first failure.
func (d *IntDiffOptRleDecoder) Err() error { return d.r.err }

// notASCII are the bits that eight bytes of ASCII lack.
const notASCII = 0x8080808080808080

// StringDecoder reads what StringEncoder wrote. The strings alias the input,
// save those that begin or end inside a surrogate pair.
type StringDecoder struct {
	text []byte // UTF-8, not yet read
	low  uint16 // if not 0: the half of a cut pair that is still unread
	lens UintOptRleDecoder
}

// NewStringDecoder returns a cursor over the bytes of r. It checks the whole
// text for UTF-8.
func NewStringDecoder(r Reader) StringDecoder {
	text := r.StringBytes()
	return StringDecoder{text: text, lens: NewUintOptRleDecoder(r)}
}

// Read returns the next string and its length in UTF-16 code units. A length
// that runs past the text yields what is there and records ErrPastEnd.
func (d *StringDecoder) Read() (s []byte, units int) {
	want := d.lens.Read()
	if want > uint64(len(d.text))+1 {
		// Each unit takes a byte at least, but for one held-back half.
		want = uint64(len(d.text)) + 1
		d.lens.r.Fail(ErrPastEnd)
	}
	n := int(want)
	if d.low != 0 && n > 0 {
		s = AppendUnit(nil, d.low)
		d.low = 0
		units = 1
	}
	i := 0
	for n-units >= 8 && len(d.text)-i >= 8 && binary.LittleEndian.Uint64(d.text[i:])&notASCII == 0 {
		i += 8
		units += 8
	}
	for units < n && i < len(d.text) {
		c := d.text[i]
		if c < utf8.RuneSelf {
			i++
			units++
			continue
		}
		if c < 0xf0 {
			i += 2 + int(c>>5&1)
			units++
			continue
		}
		if units+2 > n {
			return d.cut(s, i), n
		}
		i += 4
		units += 2
	}
	if units < n {
		d.lens.r.Fail(ErrPastEnd)
	}
	head := d.text[:i:i]
	d.text = d.text[i:]
	if s == nil {
		return head, units
	}
	return append(s, head...), units
}

// cut ends a string after the first half of the pair at text[i:].
func (d *StringDecoder) cut(s []byte, i int) []byte {
	r, n := utf8.DecodeRune(d.text[i:])
	r -= 0x10000
	s = append(s, d.text[:i]...)
	s = AppendUnit(s, 0xd800+uint16(r>>10))
	d.low = 0xdc00 + uint16(r&0x3ff)
	d.text = d.text[i+n:]
	return s
}

// Err returns the first failure.
func (d *StringDecoder) Err() error { return d.lens.r.err }
