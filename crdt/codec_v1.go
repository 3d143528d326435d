package crdt

import (
	"ysync/internal/lib0"
)

// decoderV1 reads update V1: everything in one stream
// (Yjs: UpdateDecoderV1).
type decoderV1 struct {
	r lib0.Reader
	// own says that the bytes were made here from V2 and keep what V1 cannot
	// say: lone surrogates in text, and values that JSON lacks.
	own bool
}

func newDecoderV1(b []byte) *decoderV1 { return &decoderV1{r: lib0.NewReader(b)} }

func (d *decoderV1) rest() *lib0.Reader { return &d.r }
func (d *decoderV1) client() uint64     { return d.r.Uvarint() }
func (d *decoderV1) leftID() ID {
	return ID{ClientID(d.r.Uvarint()), Clock(d.r.Uvarint())}
}
func (d *decoderV1) rightID() ID { return d.leftID() }
func (d *decoderV1) info() uint8 { return d.r.Uint8() }
func (d *decoderV1) text() ([]byte, int) {
	b := d.key()
	return b, lib0.UTF16Len(b)
}
func (d *decoderV1) parentInfo() bool { return d.r.Uvarint() == 1 }
func (d *decoderV1) typeRef() uint64  { return d.r.Uvarint() }
func (d *decoderV1) length() uint64   { return d.r.Uvarint() }
func (d *decoderV1) key() []byte {
	if d.own {
		return d.r.Bytes()
	}
	return d.r.StringBytes()
}
func (d *decoderV1) json() []byte         { return d.key() }
func (d *decoderV1) jsonIsText() bool     { return !d.own }
func (d *decoderV1) resetDeletes()        {}
func (d *decoderV1) deleteClock() uint64  { return d.r.Uvarint() }
func (d *decoderV1) deleteLength() uint64 { return d.r.Uvarint() }
func (d *decoderV1) failure() error       { return d.r.Err() }
func (d *decoderV1) finish() error        { return d.r.Err() }

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
func (e *encoderV1) any(b []byte) { e.buf = append(e.buf, b...) }

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
	r := lib0.NewReader(b)
	s := appendStringify(nil, readAny(&r))
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
