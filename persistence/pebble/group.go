package pebble

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

// Versions of what is stored under an entry's key.
const (
	// singleVersion is one entry, as releases before layout 2 wrote it.
	singleVersion = 1
	// groupVersion is a row of entries of one epoch. The key has the position of
	// the last, so that a seek to any of them finds it.
	groupVersion = 2
)

const (
	// groupBytes is about how much one group holds, a single larger entry
	// apart: what is read to find one entry, and what is lost with one damaged
	// value.
	groupBytes = 16 << 10
	// leastEntryBytes is the length of an entry without author and update.
	leastEntryBytes = 3
)

// group is a stored value whose checksum is right, and how far it was read.
type group struct {
	next, last persistence.Position
	epoch      persistence.Epoch
	first      int64 // time of the first entry in milliseconds since 1970
	span       int64 // from there to that of the last
	author     string
	single     bool
	fields     reader
}

// openGroup reads what comes before the entries of the value stored under key.
// On error, too, last is what the key says.
func openGroup(key, value []byte) (group, error) {
	g := group{last: keyPosition(key)}
	fields, err := fieldsOf(key, value, singleVersion, groupVersion)
	if err != nil {
		return g, err
	}
	g.fields.rest = fields
	g.single = value[0] == singleVersion
	g.epoch = persistence.Epoch(g.fields.uvarint())
	count := uint64(1)
	if !g.single {
		count = g.fields.uvarint()
	}
	g.first = g.fields.varint()
	if !g.single {
		g.span = g.fields.varint()
		if count > uint64(len(g.fields.rest)/leastEntryBytes) {
			g.fields.err = errFields
		}
	}
	if count == 0 || count > uint64(g.last) {
		g.fields.err = errFields
	}
	if g.fields.err != nil {
		return g, g.fields.err
	}
	g.next = g.last - persistence.Position(count) + 1
	return g, nil
}

// ended is the time of the last entry.
func (g *group) ended() time.Time { return time.UnixMilli(g.first + g.span).UTC() }

// entry reads the entry at g.next, which must not be past g.last. Its Update
// aliases the value; its Author is the one given, if it is the same (most
// neighbours' are).
func (g *group) entry(author string) (persistence.Entry, error) {
	e := persistence.Entry{Position: g.next, Epoch: g.epoch, Time: time.UnixMilli(g.first).UTC()}
	r := &g.fields
	if g.single {
		e.Author = known(r.take(r.uvarint()), author)
		e.Update = r.take(uint64(len(r.rest)))
	} else {
		e.Time = time.UnixMilli(g.first + r.varint()).UTC()
		if n := r.uvarint(); n > 0 {
			g.author = known(r.take(n-1), author)
		}
		e.Author = g.author
		e.Update = r.take(r.uvarint())
	}
	g.next++
	if g.next > g.last && len(r.rest) > 0 {
		r.err = errFields
	}
	return e, r.err
}

// known is b as a string, which is s itself if it is the same.
func known(b []byte, s string) string {
	if string(b) == s {
		return s
	}
	return string(b)
}

// grouper puts entries of one document, whose positions follow each other, into
// a write. flush must follow the last.
type grouper struct {
	write      *pebble.Batch
	generation persistence.Generation
	key        []byte
	prefix     int // of key, without generation and position

	// The group under way; count is 0 between two.
	count       uint64
	epoch       persistence.Epoch
	last        persistence.Position
	first, span int64
	author      string
	body        []byte
}

var groupers = sync.Pool{New: func() any { return new(grouper) }}

// begin returns a grouper for a document. end must follow.
func begin(write *pebble.Batch, name string, generation persistence.Generation) *grouper {
	w := groupers.Get().(*grouper)
	w.write, w.generation = write, generation
	w.key = appendEntryPrefix(w.key[:0], name)
	w.prefix = len(w.key)
	return w
}

// end writes what is left and gives the grouper back.
func (w *grouper) end() {
	w.flush()
	w.write, w.author = nil, ""
	if cap(w.body) <= 4*groupBytes {
		groupers.Put(w)
	}
}

func (w *grouper) add(e *persistence.Entry) {
	if w.count > 0 && (e.Epoch != w.epoch || len(w.body)+len(e.Author)+len(e.Update) > groupBytes) {
		w.flush()
	}
	at := e.Time.UnixMilli()
	if w.count == 0 {
		w.epoch, w.first, w.body = e.Epoch, at, w.body[:0]
	}
	w.span = at - w.first
	w.body = binary.AppendVarint(w.body, w.span)
	if w.count == 0 || e.Author != w.author {
		w.author = e.Author
		w.body = append(binary.AppendUvarint(w.body, uint64(len(e.Author))+1), e.Author...)
	} else {
		w.body = append(w.body, 0)
	}
	w.body = append(binary.AppendUvarint(w.body, uint64(len(e.Update))), e.Update...)
	w.count++
	w.last = e.Position
}

func (w *grouper) flush() {
	if w.count == 0 {
		return
	}
	var space [headerBytes + 4*binary.MaxVarintLen64]byte
	space[0] = groupVersion
	head := binary.AppendUvarint(space[:headerBytes], uint64(w.epoch))
	head = binary.AppendUvarint(head, w.count)
	head = binary.AppendVarint(head, w.first)
	head = binary.AppendVarint(head, w.span)
	w.key = appendPlace(w.key[:w.prefix], w.generation, w.last)
	op := w.write.SetDeferred(len(w.key), len(head)+len(w.body))
	copy(op.Key, w.key)
	copy(op.Value[copy(op.Value, head):], w.body)
	sealValue(w.key, op.Value)
	_ = op.Finish() // fails for indexed batches only
	w.count = 0
}

// overlap is the error of a group that begins where it must not.
func overlap(p persistence.Position) error {
	return &atPosition{position: p, err: fmt.Errorf("%w: the entry is there twice", persistence.ErrCorrupt)}
}
