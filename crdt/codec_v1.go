package crdt

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf8"

	"ysync/internal/lib0"
)

// decoderV1 reads update V1: everything in one stream
// (Yjs: UpdateDecoderV1). After a failure it reads zeros.
type decoderV1 struct {
	b   []byte
	pos int
	bad error
	// own says that the bytes were made here from V2 and keep what V1 cannot
	// say: lone surrogates in text, and values that JSON lacks.
	own bool

	// The client that most IDs name: its varuint, as little-endian bytes with a
	// mask and a length.
	usual     ClientID
	usualName uint64
	usualMask uint64
	usualLen  int
}

// expect says which client most IDs will name.
func (d *decoderV1) expect(c ClientID) {
	var b [8]byte
	d.usual = c
	d.usualLen = len(lib0.AppendUvarint(b[:0], uint64(c)))
	d.usualName = binary.LittleEndian.Uint64(b[:])
	d.usualMask = ^uint64(0) >> (64 - 8*d.usualLen)
}

// fail notes a failure at an offset and ends the input.
func (d *decoderV1) fail(at int, err error) {
	if d.bad == nil {
		d.bad = &lib0.Error{Off: at, Err: err}
	}
	d.pos = len(d.b)
}

func (d *decoderV1) uvarint() uint64 {
	if p := d.pos; p < len(d.b) {
		if c := d.b[p]; c < 0x80 {
			d.pos = p + 1
			return uint64(c)
		}
	}
	return d.longUvarint()
}

// longUvarint reads a number of more than one byte, eight bytes at a time where
// there are as many.
func (d *decoderV1) longUvarint() uint64 {
	p := d.pos
	if len(d.b)-p < 8 {
		v, n := uvarint(d.b[p:])
		switch {
		case n > 0:
			d.pos = p + n
		case len(d.b)-p < 8:
			d.fail(p, lib0.ErrTruncated)
		}
		return v
	}
	v := binary.LittleEndian.Uint64(d.b[p:])
	ends := ^v & 0x8080808080808080
	if ends == 0 {
		d.fail(p, lib0.ErrOverflow)
		return 0
	}
	n := bits.TrailingZeros64(ends)/8 + 1
	v &= ^uint64(0) >> (64 - 8*n)
	// Close the gaps that the continuation bits leave, pair by pair.
	v = v&0x7f007f007f007f00>>1 | v&0x007f007f007f007f
	v = v&0x3fff00003fff0000>>2 | v&0x00003fff00003fff
	v = v&0x0fffffff00000000>>4 | v&0x000000000fffffff
	if v > maxWireClock {
		d.fail(p, lib0.ErrOverflow)
		return 0
	}
	d.pos = p + n
	return v
}

func (d *decoderV1) bytes() []byte {
	p := d.pos
	n := d.uvarint()
	if n > uint64(len(d.b)-d.pos) {
		d.fail(p, lib0.ErrTruncated)
		return nil
	}
	start := d.pos
	d.pos += int(n)
	return d.b[start:d.pos:d.pos]
}

func (d *decoderV1) values(n uint64) []byte {
	r := lib0.NewReader(d.b[d.pos:])
	for ; n > 0 && r.Err() == nil; n-- {
		r.SkipAny(maxAnyDepth)
	}
	if err := r.Err(); err != nil {
		var le *lib0.Error
		if errors.As(err, &le) {
			d.fail(d.pos+le.Off, le.Err)
		}
		return nil
	}
	start := d.pos
	d.pos = len(d.b) - r.Len()
	return d.b[start:d.pos:d.pos]
}

func (d *decoderV1) text() ([]byte, int) {
	p := d.pos
	b := d.bytes()
	i := 0
	for len(b)-i >= 8 && binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 == 0 {
		i += 8
	}
	for ; i < len(b); i++ {
		if b[i] >= utf8.RuneSelf {
			if !d.own && !utf8.Valid(b[i:]) {
				d.fail(p, lib0.ErrUTF8)
				return nil, 0
			}
			return b, i + lib0.UTF16Len(b[i:])
		}
	}
	return b, len(b)
}

func (d *decoderV1) leftID() ID {
	p := d.pos
	if left := len(d.b) - p; d.usualLen > 0 && left >= max(8, d.usualLen+4) && binary.LittleEndian.Uint64(d.b[p:])&d.usualMask == d.usualName {
		p += d.usualLen
		v := binary.LittleEndian.Uint32(d.b[p:])
		if ends := ^v & 0x80808080; ends != 0 {
			n := bits.TrailingZeros32(ends)/8 + 1
			v &= ^uint32(0) >> (32 - 8*n)
			v = v&0x7f007f00>>1 | v&0x007f007f
			v = v&0x3fff0000>>2 | v&0x00003fff
			d.pos = p + n
			return ID{d.usual, Clock(v)}
		}
	}
	return ID{ClientID(d.uvarint()), Clock(d.uvarint())}
}

func (d *decoderV1) info() uint8 {
	if d.pos >= len(d.b) {
		d.fail(d.pos, lib0.ErrTruncated)
		return 0
	}
	d.pos++
	return d.b[d.pos-1]
}

func (d *decoderV1) key() []byte {
	b, _ := d.text()
	return b
}

func (d *decoderV1) json() []byte {
	if d.own {
		return d.bytes()
	}
	return d.key()
}

func (d *decoderV1) client() uint64       { return d.uvarint() }
func (d *decoderV1) rightID() ID          { return d.leftID() }
func (d *decoderV1) parentInfo() bool     { return d.uvarint() == 1 }
func (d *decoderV1) typeRef() uint64      { return d.uvarint() }
func (d *decoderV1) length() uint64       { return d.uvarint() }
func (d *decoderV1) jsonIsText() bool     { return !d.own }
func (d *decoderV1) resetDeletes()        {}
func (d *decoderV1) deleteClock() uint64  { return d.uvarint() }
func (d *decoderV1) deleteLength() uint64 { return d.uvarint() }
func (d *decoderV1) remaining() int       { return len(d.b) - d.pos }
func (d *decoderV1) offset() int          { return d.pos }
func (d *decoderV1) seek(offset int)      { d.pos = offset }
func (d *decoderV1) failure() error       { return d.bad }
func (d *decoderV1) finish() error        { return d.bad }

// encoderV1 writes update V1 (Yjs: UpdateEncoderV1).
type encoderV1 struct {
	buf []byte
	// own keeps what V1 cannot say, for bytes that are read here again: see
	// decoderV1.
	own bool
}

func (e *encoderV1) uvarint(v uint64) { e.buf = lib0.AppendUvarint(e.buf, v) }
func (e *encoderV1) client(c ClientID) {
	e.buf = lib0.AppendUvarint(e.buf, uint64(c))
}

func (e *encoderV1) leftID(id ID) {
	e.buf = lib0.AppendUvarint(lib0.AppendUvarint(e.buf, uint64(id.Client)), uint64(id.Clock))
}
func (e *encoderV1) rightID(id ID)    { e.leftID(id) }
func (e *encoderV1) info(v uint8)     { e.buf = append(e.buf, v) }
func (e *encoderV1) typeRef(v uint64) { e.buf = lib0.AppendUvarint(e.buf, v) }
func (e *encoderV1) length(v uint64)  { e.buf = lib0.AppendUvarint(e.buf, v) }
func (e *encoderV1) parentInfo(v uint8) {
	e.buf = append(e.buf, v)
}

// text writes WTF-8: V1 replaces lone surrogates, which have the same size.
func (e *encoderV1) text(s []byte, _ int) {
	e.buf = lib0.AppendUvarint(e.buf, uint64(len(s)))
	start := len(e.buf)
	e.buf = append(e.buf, s...)
	if !e.own {
		replaceSurrogates(e.buf[start:])
	}
}

func (e *encoderV1) str(s string) {
	e.buf = lib0.AppendUvarint(e.buf, uint64(len(s)))
	start := len(e.buf)
	e.buf = append(e.buf, s...)
	replaceSurrogates(e.buf[start:])
}
func (e *encoderV1) key(s []byte)   { e.text(s, 0) }
func (e *encoderV1) finish() []byte { return e.buf }
func (e *encoderV1) bytes(b []byte) {
	e.buf = lib0.AppendBytes(e.buf, b)
}

func (e *encoderV1) any(b []byte) {
	e.buf = append(e.buf, b...)
	wireValues(e.buf[len(e.buf)-len(b):])
}

// json writes one value, given in the Any encoding, as JSON text.
func (e *encoderV1) json(b []byte) {
	if e.own {
		e.bytes(b)
		return
	}
	if len(b) == 1 {
		switch lib0.Tag(b[0]) {
		case lib0.TagNull:
			e.buf = append(e.buf, "\x04null"...)
			return
		case lib0.TagTrue:
			e.buf = append(e.buf, "\x04true"...)
			return
		case lib0.TagFalse:
			e.buf = append(e.buf, "\x05false"...)
			return
		}
	}
	r := lib0.NewWTF8Reader(b)
	s := stringifyAny(nil, &r)
	e.text(s, 0)
}
func (e *encoderV1) resetDeletes()         {}
func (e *encoderV1) deleteClock(v uint64)  { e.uvarint(v) }
func (e *encoderV1) deleteLength(v uint64) { e.uvarint(v) }

// replaceSurrogates turns the three bytes of each lone surrogate into U+FFFD.
func replaceSurrogates(b []byte) {
	for i := 0; i+2 < len(b); i++ {
		if b[i] == 0xed && b[i+1] >= 0xa0 {
			b[i], b[i+1], b[i+2] = 0xef, 0xbf, 0xbd
		}
	}
}
