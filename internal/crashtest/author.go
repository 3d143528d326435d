package crashtest

import (
	"fmt"
	"strings"

	"ysync/internal/lib0"
)

// The roots of every document under test.
const (
	textRoot  = "text"
	arrayRoot = "array"
	mapRoot   = "map"
)

// kind is what an edit does.
type kind uint8

const (
	kindText   kind = iota // appends a token to the author's own text
	kindArray              // appends a token to the author's own elements
	kindMap                // sets a key of its own, named by the token
	kindLatest             // overwrites the author's one key with its number
	kindErase              // deletes what another edit inserted
	kindCount
)

// edit is one update, made by one author.
type edit struct {
	author   *author
	n        int
	kind     kind
	update   []byte // update V1
	clock    uint64 // of the first unit; 0 for an erasure
	length   uint64
	target   *edit // of an erasure
	document string

	// Guarded by ledger.mu.
	acked  bool
	erased []*edit // erasures of this edit that were made
}

func (e *edit) String() string {
	s := fmt.Sprintf("%s edit %s of client %d at clock %d", [...]string{"text", "array", "map", "latest", "erase"}[e.kind],
		e.token(), e.author.client, e.clock)
	if e.target != nil {
		s += " of (" + e.target.String() + ")"
	}
	return s
}

// token names the edit in the document: "<author.n>".
func (e *edit) token() string { return fmt.Sprintf("<%d.%d>", e.author.id, e.n) }

// author makes updates, by hand: the audit must not depend on the encoder
// under test. Its blocks stand right of its own earlier ones, so that no other
// author's land inside a token.
type author struct {
	id     int
	client uint64
	clock  uint64
	n      int
	// last are the clocks of the author's newest unit in text, array and its
	// latest key; absent before the first.
	last map[kind]uint64
}

func newAuthor(id int, client uint64) *author {
	return &author{id: id, client: client, last: make(map[kind]uint64)}
}

// latestKey is the key that the author overwrites.
func (a *author) latestKey() string { return fmt.Sprintf("latest.%d", a.id) }

const (
	infoAny    = 8
	infoString = 4
	hasOrigin  = 0x80
	hasKey     = 0x20
)

// make returns the author's next edit. target is nil but for an erasure.
func (a *author) make(k kind, document string, target *edit) *edit {
	a.n++
	e := &edit{author: a, n: a.n, kind: k, document: document, target: target}
	if k == kindErase {
		e.update = appendErasure([]byte{0}, target)
		return e
	}
	e.clock, e.length = a.clock, 1
	b := []byte{1, 1} // one client, one block
	b = lib0.AppendUvarint(b, a.client)
	b = lib0.AppendUvarint(b, a.clock)
	switch k {
	case kindText:
		b = a.appendPlace(b, infoString, k, textRoot, "")
		b = lib0.AppendString(b, e.token())
		e.length = uint64(len(e.token()))
	case kindArray:
		b = a.appendPlace(b, infoAny, k, arrayRoot, "")
		b = lib0.AppendAnyString(append(b, 1), e.token())
	case kindMap:
		b = a.appendPlace(b, infoAny, k, mapRoot, e.token())
		b = lib0.AppendAnyString(append(b, 1), e.token())
	case kindLatest:
		b = a.appendPlace(b, infoAny, k, mapRoot, a.latestKey())
		b = lib0.AppendAnyNumber(append(b, 1), float64(a.n))
	}
	a.clock += e.length
	if k != kindMap {
		a.last[k] = a.clock - 1
	}
	e.update = append(b, 0) // no deletes
	return e
}

// appendPlace appends a block's info and where it stands: right of the
// author's last block of the kind, or first in the root, under a key if any.
func (a *author) appendPlace(b []byte, info byte, k kind, root, key string) []byte {
	if last, ok := a.last[k]; ok && k != kindMap {
		b = append(b, info|hasOrigin)
		b = lib0.AppendUvarint(b, a.client)
		return lib0.AppendUvarint(b, last)
	}
	if key != "" {
		info |= hasKey
	}
	b = append(b, info, 1)
	b = lib0.AppendString(b, root)
	if key != "" {
		b = lib0.AppendString(b, key)
	}
	return b
}

// appendErasure appends a delete set of the target's units.
func appendErasure(b []byte, target *edit) []byte {
	b = lib0.AppendUvarint(append(b, 1), target.author.client)
	b = lib0.AppendUvarint(append(b, 1), target.clock)
	return lib0.AppendUvarint(b, target.length)
}

// tokens returns the tokens in a text, and what is left of it without them.
func tokens(text string) (found []string, rest string) {
	for {
		i := strings.IndexByte(text, '<')
		j := strings.IndexByte(text, '>')
		if i < 0 || j < i {
			return found, rest + text
		}
		rest += text[:i]
		found = append(found, text[i:j+1])
		text = text[j+1:]
	}
}
