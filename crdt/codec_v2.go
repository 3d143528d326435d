package crdt

import (
	"slices"
	"sync"
	"unsafe"

	"ysync/internal/lib0"
)

// decoderV2 reads update V2: nine columns, then the rest
// (Yjs: UpdateDecoderV2). Columns are cursors; a run costs nothing.
type decoderV2 struct {
	b          []byte
	r          lib0.Reader
	keyClock   lib0.IntDiffOptRleDecoder
	clients    lib0.UintOptRleDecoder
	leftClock  lib0.IntDiffOptRleDecoder
	rightClock lib0.IntDiffOptRleDecoder
	infos      lib0.RleDecoder
	strings    lib0.StringDecoder
	parentInfs lib0.RleDecoder
	typeRefs   lib0.UintOptRleDecoder
	lens       lib0.UintOptRleDecoder

	keys   [][]byte
	delCur uint64
	neg    bool
}

func (d *decoderV2) start(b []byte) {
	r := lib0.NewReader(b)
	r.Uvarint() // feature flag, unused in Yjs 13
	*d = decoderV2{
		b:          b,
		keyClock:   lib0.NewIntDiffOptRleDecoder(r.Sub()),
		clients:    lib0.NewUintOptRleDecoder(r.Sub()),
		leftClock:  lib0.NewIntDiffOptRleDecoder(r.Sub()),
		rightClock: lib0.NewIntDiffOptRleDecoder(r.Sub()),
		infos:      lib0.NewRleDecoder(r.Sub()),
		strings:    lib0.NewStringDecoder(r.Sub()),
		parentInfs: lib0.NewRleDecoder(r.Sub()),
		typeRefs:   lib0.NewUintOptRleDecoder(r.Sub()),
		lens:       lib0.NewUintOptRleDecoder(r.Sub()),
	}
	d.r = r
}

func (d *decoderV2) uvarint() uint64 { return d.r.Uvarint() }
func (d *decoderV2) bytes() []byte   { return d.r.Bytes() }
func (d *decoderV2) values(n uint64) []byte {
	ahead := d.r
	all := ahead.Rest()
	for ; n > 0 && d.r.Err() == nil; n-- {
		d.r.SkipAny(maxAnyDepth)
	}
	return all[:len(all)-d.r.Len()]
}
func (d *decoderV2) remaining() int  { return d.r.Len() }
func (d *decoderV2) offset() int     { return d.r.Off() }
func (d *decoderV2) seek(offset int) { d.r = lib0.NewReader(d.b[offset:]) }
func (d *decoderV2) client() uint64  { return d.clients.Read() }
func (d *decoderV2) leftID() ID {
	return ID{ClientID(d.clients.Read()), d.clock(&d.leftClock)}
}

func (d *decoderV2) rightID() ID {
	return ID{ClientID(d.clients.Read()), d.clock(&d.rightClock)}
}

func (d *decoderV2) clock(c *lib0.IntDiffOptRleDecoder) Clock {
	v := c.Read()
	if v < 0 {
		d.neg = true
		return 0
	}
	return Clock(v)
}
func (d *decoderV2) info() uint8         { return d.infos.Read() }
func (d *decoderV2) text() ([]byte, int) { return d.strings.Read() }
func (d *decoderV2) parentInfo() bool    { return d.parentInfs.Read() == 1 }
func (d *decoderV2) typeRef() uint64     { return d.typeRefs.Read() }
func (d *decoderV2) length() uint64      { return d.lens.Read() }

// key reads a format key or tag: a number, and the string if the number is new
// (Yjs: readKey).
func (d *decoderV2) key() []byte {
	k := d.clock(&d.keyClock)
	if k < Clock(len(d.keys)) {
		return d.keys[k]
	}
	s, _ := d.strings.Read()
	d.keys = append(d.keys, s)
	return s
}
func (d *decoderV2) json() []byte     { return d.r.Raw(maxAnyDepth) }
func (d *decoderV2) jsonIsText() bool { return false }
func (d *decoderV2) resetDeletes()    { d.delCur = 0 }
func (d *decoderV2) deleteClock() uint64 {
	d.delCur = min(d.delCur+d.r.Uvarint(), maxWireClock+1)
	return d.delCur
}

func (d *decoderV2) deleteLength() uint64 {
	n := d.r.Uvarint() + 1
	d.delCur += n
	return n
}
func (d *decoderV2) failure() error { return d.r.Err() }
func (d *decoderV2) finish() error {
	for _, err := range [...]error{
		d.r.Err(), d.keyClock.Err(), d.clients.Err(), d.leftClock.Err(), d.rightClock.Err(), d.infos.Err(),
		d.strings.Err(), d.parentInfs.Err(), d.typeRefs.Err(), d.lens.Err(),
	} {
		if err != nil {
			return err
		}
	}
	if d.neg {
		return lib0.ErrOverflow
	}
	return nil
}

// encoderV2 writes update V2 (Yjs: UpdateEncoderV2).
type encoderV2 struct {
	dst        []byte
	rest       []byte
	keyClock   lib0.IntDiffOptRleEncoder
	nextKey    int64
	clients    lib0.UintOptRleEncoder
	leftClock  lib0.IntDiffOptRleEncoder
	rightClock lib0.IntDiffOptRleEncoder
	infos      lib0.RleEncoder
	strings    lib0.StringEncoder
	parentInfs lib0.RleEncoder
	typeRefs   lib0.UintOptRleEncoder
	lens       lib0.UintOptRleEncoder
	delCur     uint64
	col        []byte // scratch of finish
}

// encodersV2 keep the memory of their columns. An encoder goes back with finish.
var encodersV2 = sync.Pool{New: func() any { return new(encoderV2) }}

func (e *encoderV2) uvarint(v uint64)  { e.rest = lib0.AppendUvarint(e.rest, v) }
func (e *encoderV2) client(c ClientID) { e.clients.Write(uint64(c)) }
func (e *encoderV2) leftID(id ID) {
	e.clients.Write(uint64(id.Client))
	e.leftClock.Write(int64(id.Clock))
}

func (e *encoderV2) rightID(id ID) {
	e.clients.Write(uint64(id.Client))
	e.rightClock.Write(int64(id.Clock))
}
func (e *encoderV2) info(v uint8)       { e.infos.Write(v) }
func (e *encoderV2) parentInfo(v uint8) { e.parentInfs.Write(v) }
func (e *encoderV2) typeRef(v uint64)   { e.typeRefs.Write(v) }
func (e *encoderV2) length(v uint64)    { e.lens.Write(v) }
func (e *encoderV2) text(s []byte, units int) {
	if units < 0 {
		units = lib0.UTF16Len(s)
	}
	e.strings.WriteUnits(view(s), units)
}
func (e *encoderV2) str(s string) { e.strings.Write(s) }

// key numbers every key anew: Yjs 13 never fills its table of known keys.
func (e *encoderV2) key(s []byte) {
	e.keyClock.Write(e.nextKey)
	e.nextKey++
	e.strings.Write(view(s))
}
func (e *encoderV2) bytes(b []byte) { e.rest = lib0.AppendBytes(e.rest, b) }
func (e *encoderV2) json(b []byte)  { e.any(b) }
func (e *encoderV2) any(b []byte) {
	e.rest = append(e.rest, b...)
	wireValues(e.rest[len(e.rest)-len(b):])
}
func (e *encoderV2) resetDeletes() { e.delCur = 0 }
func (e *encoderV2) deleteClock(v uint64) {
	e.uvarint(v - e.delCur)
	e.delCur = v
}

func (e *encoderV2) deleteLength(v uint64) {
	e.uvarint(v - 1)
	e.delCur += v
}

// finish appends the columns and the rest (Yjs: toUint8Array). The encoder must
// not be used any more.
func (e *encoderV2) finish() []byte {
	const perColumn = 16
	dst := slices.Grow(e.dst, len(e.rest)+9*perColumn)
	dst = append(dst, 0) // feature flag
	dst = e.column(dst, e.keyClock.AppendTo(e.col[:0]))
	dst = e.column(dst, e.clients.AppendTo(e.col[:0]))
	dst = e.column(dst, e.leftClock.AppendTo(e.col[:0]))
	dst = e.column(dst, e.rightClock.AppendTo(e.col[:0]))
	dst = e.column(dst, e.infos.AppendTo(e.col[:0]))
	dst = e.column(dst, e.strings.AppendTo(e.col[:0]))
	dst = e.column(dst, e.parentInfs.AppendTo(e.col[:0]))
	dst = e.column(dst, e.typeRefs.AppendTo(e.col[:0]))
	dst = e.column(dst, e.lens.AppendTo(e.col[:0]))
	dst = append(dst, e.rest...)
	e.reset()
	encodersV2.Put(e)
	return dst
}

func (e *encoderV2) column(dst, col []byte) []byte {
	e.col = col
	return lib0.AppendBytes(dst, col)
}

// reset empties the encoder and keeps the memory of the columns.
func (e *encoderV2) reset() {
	e.dst, e.rest, e.nextKey, e.delCur = nil, e.rest[:0], 0, 0
	e.keyClock.Reset()
	e.clients.Reset()
	e.leftClock.Reset()
	e.rightClock.Reset()
	e.infos.Reset()
	e.strings.Reset()
	e.parentInfs.Reset()
	e.typeRefs.Reset()
	e.lens.Reset()
}

// view is the bytes as a string, for a callee that copies them.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
