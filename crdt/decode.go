package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"ysync/internal/lib0"
)

// updateDecoder is the surface over which the walk below reads both encodings
// (Yjs: UpdateDecoderV1, UpdateDecoderV2). Failures stay in it until failure is
// asked.
type updateDecoder interface {
	// uvarint, bytes and values read from the bytes that are not in a column;
	// remaining and offset tell of them, and seek goes to an offset.
	uvarint() uint64
	bytes() []byte
	values(n uint64) []byte // n values in the Any encoding
	remaining() int
	offset() int
	seek(offset int)

	client() uint64
	leftID() ID
	rightID() ID
	info() uint8
	text() (s []byte, units int)
	parentInfo() bool
	typeRef() uint64
	length() uint64
	key() []byte
	json() []byte // one embedded value: JSON text in V1, Any in V2
	jsonIsText() bool
	resetDeletes()
	deleteClock() uint64
	deleteLength() uint64
	// failure is the first failure in the rest; finish looks at all columns.
	failure() error
	finish() error
}

// updateReader walks the blocks and then the delete set of an update, once for
// both encodings (Yjs: lazyStructReaderGenerator, readDeleteSet). It allocates
// nothing but what a decoder needs.
type updateReader struct {
	dec updateDecoder
	v1  decoderV1 // dec is one of these
	v2  *decoderV2
	// isV1 says that calls may go straight to v1.
	isV1 bool

	// maxBlocks bounds the blocks of the update, maxPayload the content that they
	// stand for in V2, maxSections the sections that hold blocks, maxDeletes the
	// ranges of the delete set unless it is 0.
	maxBlocks   int
	maxPayload  int
	maxSections int
	maxDeletes  int

	sections uint64 // still to read
	blocks   uint64 // still to read in this section
	client   ClientID
	clock    uint64

	section int // sections begun that hold blocks
	origin  int // of this section's first block, in the rest
	total   int // blocks read
	skips   int
	types   int
	payload int // bytes of content read
	err     error

	// reuses says that a block is done with when the next one is read, so that values
	// may be copied to where those before were.
	reuses bool
	values []byte

	deleteClients uint64
	deleteRuns    uint64
	deletesOpen   bool
	deletes       int    // ranges read
	maxDeleters   int    // clients with ranges still to come
	deleteEnd     uint64 // of the range before, in the same client
}

// maxWireClock is 2^53-1: clocks and lengths are JavaScript numbers.
const maxWireClock = 1<<53 - 1

var errPastLimit = fmt.Errorf("%w: clock beyond %d", ErrLimit, uint64(maxClock))

func malformed(msg string) error { return fmt.Errorf("%w: %s", ErrMalformed, msg) }

// newUpdateReader starts a walk. maxBlocks bounds the blocks of the update; 0 is
// the default.
func newUpdateReader(v Version, update []byte, maxBlocks int) (*updateReader, error) {
	r := &updateReader{}
	err := r.start(v, update, maxBlocks)
	return r, err
}

// start is newUpdateReader for a reader that is used again.
func (r *updateReader) start(v Version, update []byte, maxBlocks int) error {
	*r = updateReader{v2: r.v2}
	if uint64(len(update)) > math.MaxUint32 {
		return &UpdateError{0, fmt.Errorf("%w: update beyond 4 GiB", ErrLimit)}
	}
	switch v {
	case V1:
		r.v1.b = update
		r.dec = &r.v1
		r.isV1 = true
		if r.maxBlocks = len(update); maxBlocks > 0 {
			r.maxBlocks = min(maxBlocks, len(update))
		}
	case V2:
		if r.v2 == nil {
			r.v2 = new(decoderV2)
		}
		r.v2.start(update)
		r.dec = r.v2
		if r.maxBlocks = maxBlocks; maxBlocks <= 0 {
			r.maxBlocks = blocksPerUpdate(len(update))
		}
		r.maxPayload = payloadPerUpdate(len(update))
	default:
		return &UpdateError{0, malformed("unknown encoding version")}
	}
	r.maxSections = mostSections(v, len(update))
	r.sections = r.dec.uvarint()
	if r.dec.failure() != nil {
		return r.check()
	}
	return nil
}

// again is start for a reader of V1 that read an update of V1 before. It leaves
// the count of blocks to the caller.
func (r *updateReader) again(update []byte) {
	r.v1.b, r.v1.pos, r.v1.bad = update, 0, nil
	r.err, r.deletesOpen, r.deleteRuns = nil, false, 0
	r.blocks, r.total, r.maxBlocks = 0, 0, len(update)
	r.sections = r.v1.uvarint()
}

// forget drops what leads to the update.
func (r *updateReader) forget() {
	r.v1 = decoderV1{}
	if r.v2 != nil {
		*r.v2 = decoderV2{}
	}
}

// failed tells whether something failed, except in a column.
func (r *updateReader) failed() bool {
	if r.isV1 {
		return r.v1.bad != nil || r.err != nil
	}
	return r.dec.failure() != nil || r.err != nil
}

// fail notes the first failure.
func (r *updateReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// check returns the first failure as an *UpdateError.
func (r *updateReader) check() error {
	if err := r.dec.finish(); err != nil {
		class := ErrMalformed
		if errors.Is(err, lib0.ErrDepth) {
			class = ErrLimit
		}
		off := -1
		var le *lib0.Error
		if errors.As(err, &le) {
			off = le.Off
		}
		return &UpdateError{off, fmt.Errorf("%w: %w", class, err)}
	}
	if r.err != nil {
		return &UpdateError{r.dec.offset(), r.err}
	}
	return nil
}

// next reads the next block into b; false at the end of the blocks or after a
// failure.
func (r *updateReader) next(b *rawBlock) bool {
	for r.blocks == 0 {
		if r.sections == 0 || !r.nextSection() {
			return false
		}
	}
	return r.took(b, r.read(b))
}

// likelySections is how many sections the update says that it has, as far as it can.
func (r *updateReader) likelySections() int { return int(min(r.sections, uint64(r.maxSections))) }

// took goes on to the block after b, if that was read.
func (r *updateReader) took(b *rawBlock, ok bool) bool {
	if !ok {
		r.blocks, r.sections = 0, 0
		return false
	}
	r.blocks--
	r.total++
	r.clock += b.length
	return true
}

func (r *updateReader) nextSection() bool {
	n := r.dec.uvarint()
	c := ClientID(r.dec.client())
	clock := r.dec.uvarint()
	if r.dec.failure() != nil {
		r.sections = 0
		return false
	}
	if n > uint64(r.maxBlocks-r.total) {
		r.fail(fmt.Errorf("%w: more than %d blocks", ErrLimit, r.maxBlocks))
		r.sections = 0
		return false
	}
	r.sections--
	if n > 0 {
		if r.section++; r.section > r.maxSections {
			r.fail(malformed("two sections of one client"))
			r.sections = 0
			return false
		}
	}
	r.blocks, r.client, r.clock = n, c, clock
	if r.isV1 && n > 1 {
		r.v1.expect(c)
	}
	r.origin = r.dec.offset()
	return true
}

// reset prepares a block for reading. The rest of its fields are only
// meaningful where a flag or the kind says so, save for the slices.
func (b *rawBlock) reset(c ClientID, clock uint64, kind contentKind) {
	b.client, b.clock, b.kind = c, clock, kind
	b.hasOrigin, b.hasRight, b.hasRoot, b.hasParent, b.hasKey = false, false, false, false, false
	b.jsonText = false
	b.origin, b.right, b.parent = ID{}, ID{}, ID{}
	b.root, b.key, b.name, b.data = nil, nil, nil, nil
}

// read reads one block at r.client and r.clock.
func (r *updateReader) read(b *rawBlock) bool {
	var info uint8
	if r.isV1 {
		info = r.v1.info()
	} else {
		info = r.dec.info()
	}
	return r.readAfter(info, b)
}

// readAfter is read with the first byte, which was read already.
func (r *updateReader) readAfter(info uint8, b *rawBlock) bool {
	b.reset(r.client, r.clock, contentKind(info&0x1f))
	switch b.kind {
	case kindGC:
		b.length = r.dec.length()
	case kindSkip:
		b.length = r.dec.uvarint()
		r.skips++
	default:
		b.hasOrigin, b.hasRight = info&0x80 != 0, info&0x40 != 0
		switch {
		case info&0xc0 == 0:
			r.readParent(b, info)
		case r.isV1:
			if b.hasOrigin {
				b.origin = r.v1.leftID()
			}
			if b.hasRight {
				b.right = r.v1.leftID()
			}
		default:
			if b.hasOrigin {
				b.origin = r.dec.leftID()
			}
			if b.hasRight {
				b.right = r.dec.rightID()
			}
		}
		if r.isV1 && b.kind == kindString {
			var n int
			b.data, n = r.v1.text()
			b.length = uint64(n)
			r.payload += len(b.data)
		} else {
			r.readContent(b)
		}
	}
	if r.failed() {
		return false
	}
	return r.valid(b, info)
}

// readParent reads where a block without origins lives.
func (r *updateReader) readParent(b *rawBlock, info uint8) {
	if r.dec.parentInfo() {
		b.hasRoot = true
		b.root, _ = r.dec.text()
	} else {
		b.hasParent = true
		b.parent = r.dec.leftID()
	}
	if info&0x20 != 0 {
		b.hasKey = true
		b.key, _ = r.dec.text()
	}
}

// valid refuses what no replica can have made.
func (r *updateReader) valid(b *rawBlock, info uint8) bool {
	switch {
	case b.length == 0:
		r.fail(malformed("empty block"))
	case (b.kind == kindGC || b.kind == kindSkip) && info != uint8(b.kind):
		r.fail(malformed("flags on a block without content"))
	case b.length > maxWireClock || b.end() > maxWireClock:
		r.fail(malformed("clock beyond 2^53"))
	case b.end() > maxClock || b.origin.Clock > maxClock || b.right.Clock > maxClock || b.parent.Clock > maxClock:
		r.fail(errPastLimit)
	case r.ownFuture(b.hasOrigin, b.origin) || r.ownFuture(b.hasRight, b.right) || r.ownFuture(b.hasParent, b.parent):
		r.fail(malformed("block refers to itself or a later one"))
	default:
		return true
	}
	return false
}

func (r *updateReader) ownFuture(set bool, id ID) bool {
	return set && id.Client == r.client && uint64(id.Clock) >= r.clock
}

// readContent reads the payload (Yjs: readItemContent).
func (r *updateReader) readContent(b *rawBlock) {
	dec := r.dec
	b.length = 1
	switch b.kind {
	case kindDeleted:
		b.length = dec.length()
	case kindJSON:
		r.readJSONs(b)
	case kindBinary:
		b.data = dec.bytes()
	case kindString:
		var n int
		b.data, n = dec.text()
		b.length = uint64(n)
	case kindEmbed:
		b.data, b.jsonText = dec.json(), dec.jsonIsText()
		r.checkJSON(b)
	case kindFormat:
		b.name = dec.key()
		b.data, b.jsonText = dec.json(), dec.jsonIsText()
		r.checkJSON(b)
	case kindType:
		r.types++
		t := dec.typeRef()
		if t > uint64(KindXMLText) {
			r.fail(malformed("unknown type"))
			return
		}
		b.typeKind = TypeKind(t)
		if b.typeKind.named() {
			b.name = dec.key()
		}
	case kindAny:
		b.length = dec.length()
		if b.length > uint64(dec.remaining()) {
			r.fail(malformed("more values than bytes"))
			return
		}
		b.data = dec.values(b.length)
	case kindDoc:
		b.name, _ = dec.text()
		b.data = dec.values(1)
		if len(b.data) > 0 && (b.data[0] == byte(lib0.TagNull) || b.data[0] == byte(lib0.TagUndefined)) {
			r.fail(malformed("subdocument without options"))
		}
	default:
		r.fail(malformed("unknown content"))
	}
	r.payload += len(b.data) + len(b.name)
	if !r.isV1 && r.payload > r.maxPayload {
		r.fail(fmt.Errorf("%w: more than %d bytes of content", ErrLimit, r.maxPayload))
	}
}

// readJSONs reads the strings of legacy JSON content. They are kept as counted
// strings, which is how V1 holds them.
func (r *updateReader) readJSONs(b *rawBlock) {
	n := r.dec.length()
	b.length = n
	if n > uint64(r.maxBlocks) {
		r.fail(fmt.Errorf("%w: %d values", ErrLimit, n))
		return
	}
	if r.reuses {
		b.data = r.values[:0]
	}
	for range n {
		s, _ := r.dec.text()
		if r.dec.failure() != nil {
			return
		}
		if string(s) != "undefined" {
			if !validJSON(s) {
				r.fail(malformed("JSON"))
				return
			}
		}
		if need := len(s) + binary.MaxVarintLen64; cap(b.data)-len(b.data) < need && len(b.data) >= 256 {
			b.data = slices.Grow(b.data, max(need, len(b.data)/2)) // append alone would allocate twice as much in all
		}
		b.data = lib0.AppendBytes(b.data, s)
	}
	if r.reuses {
		r.values = b.data
	}
}

func (r *updateReader) checkJSON(b *rawBlock) {
	if !b.jsonText || r.dec.failure() != nil || simpleJSON(b.data) {
		return
	}
	if !validJSON(b.data) {
		r.fail(malformed("JSON"))
	}
}

// simpleJSON recognises the values that nearly all formats have.
func simpleJSON(b []byte) bool {
	switch string(b) {
	case "null", "true", "false":
		return true
	}
	return false
}

// nextDelete reads the next range of the delete set, after the last block;
// false at the end or after a failure.
func (r *updateReader) nextDelete(run *deleteRun) bool {
	if !r.deletesOpen {
		r.deletesOpen = true
		if r.err != nil {
			return false
		}
		r.deleteClients = r.dec.uvarint()
		r.maxDeleters = mostClients(r.dec.remaining())
	}
	for r.deleteRuns == 0 {
		if r.deleteClients == 0 || r.dec.failure() != nil {
			return false
		}
		r.deleteClients--
		r.dec.resetDeletes()
		r.client = ClientID(r.dec.uvarint())
		r.deleteRuns = r.dec.uvarint()
		r.deleteEnd = 0
		if r.deleteRuns > uint64(r.dec.remaining()) {
			r.fail(malformed("more deletes than bytes"))
			r.deleteClients, r.deleteRuns = 0, 0
			return false
		}
		if r.deleteRuns > 0 {
			if r.maxDeleters--; r.maxDeleters < 0 {
				r.fail(malformed("deletes of one client in many places"))
				r.deleteClients, r.deleteRuns = 0, 0
				return false
			}
		}
	}
	r.deleteRuns--
	if r.deletes++; r.deletes > r.maxDeletes && r.maxDeletes > 0 {
		r.fail(fmt.Errorf("%w: more than %d deleted ranges", ErrLimit, r.maxDeletes))
		r.deleteClients, r.deleteRuns = 0, 0
		return false
	}
	from := r.dec.deleteClock()
	n := r.dec.deleteLength()
	switch {
	case r.dec.failure() != nil:
	case n == 0:
		r.fail(malformed("empty delete"))
	case from > maxWireClock || n > maxWireClock || from+n > maxWireClock:
		r.fail(malformed("clock beyond 2^53"))
	case from+n > maxClock:
		r.fail(errPastLimit)
	case from < r.deleteEnd:
		// Yjs sorts before it writes, and spoils such ranges if they must wait.
		r.fail(malformed("deletes out of order"))
	default:
		r.deleteEnd = from + n
		*run = deleteRun{r.client, Range{Clock(from), Clock(from + n)}}
		return true
	}
	r.deleteClients, r.deleteRuns = 0, 0
	return false
}

// mostSections is how many clients so many bytes of an update may hold blocks of:
// in V1 128 IDs take one byte, and a section four besides; in V2 64 take one and
// 8192 two, and a section two besides.
func mostSections(v Version, size int) int {
	const few, fewBytes = 1 << 13, 3<<6 + 4*(1<<13-1<<6)
	switch {
	case v == V1:
		return 1<<7 + size/6
	case size < fewBytes:
		return 1<<4 + size/4
	}
	return few + (size-fewBytes)/5
}

// mostClients is how many clients so many bytes of a delete set may name: few IDs
// take one byte.
func mostClients(size int) int { return 1<<7 + size/5 }

// deleteSet reads the whole delete set, after the last block. It walks through it
// twice, so that it allocates what the set takes and no more.
func (r *updateReader) deleteSet() (IDSet, error) {
	at := r.dec.offset()
	var run deleteRun
	clients, spans := 0, 0
	client, end := ClientID(0), Clock(0)
	for r.nextDelete(&run) {
		if run.client != client || clients == 0 {
			clients++
			spans++
		} else if run.From != end {
			spans++
		}
		client, end = run.client, run.To
	}
	if err := r.check(); err != nil || clients == 0 {
		return IDSet{}, err
	}
	s := IDSet{clients: make([]idSetClient, 0, clients)}
	room := make(ranges, 0, spans)
	r.rewindDeletes(at)
	for r.nextDelete(&run) {
		n := len(s.clients) - 1
		if n < 0 || s.clients[n].client != run.client {
			s.clients = append(s.clients, idSetClient{client: run.client})
			n++
		} else if last := &room[len(room)-1]; last.to == uint32(run.From) {
			last.to = uint32(run.To)
			continue
		}
		room = append(room, run.span())
		c := &s.clients[n]
		from := len(room) - 1 - int(c.packed.n)
		c.set(room[from:len(room):len(room)])
	}
	s.normalise()
	return s, nil
}

// rewindDeletes goes back to the start of the delete set, which was read.
func (r *updateReader) rewindDeletes(at int) {
	r.dec.seek(at)
	r.err, r.deletesOpen, r.deletes = nil, false, 0
}
