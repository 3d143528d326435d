package snapshots

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ysync/crdt"
	"ysync/persistence"
)

// An authors file says who made what the entries up to a position brought. It
// is written before entries go, and holds what was learnt from them and from
// the file before it.

const (
	authorsMagic = magic("YSYNCAUT")
	authorsExt   = ".authors"
	kindAuthors  = "authors"
	// keptAuthors is how many of them are kept: the newest, and one in case it
	// is damaged.
	keptAuthors = 2
)

// authorsKey is the key of an authors file with stored digest sum. Keys of one
// document sort by generation, then position.
func authorsKey(document string, g persistence.Generation, to persistence.Position, sum [sha256.Size]byte) string {
	return fmt.Sprintf("%s%020d-%020d-%s%s", Folder(document), g, to, hex.EncodeToString(sum[:8]), authorsExt)
}

// authorsPlace reads generation and position out of a key; ok is false for
// other files.
func authorsPlace(key string) (g persistence.Generation, to persistence.Position, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], authorsExt)
	if !ok {
		return 0, 0, false
	}
	var n [2]uint64
	if !keyNumbers(name, n[:]) {
		return 0, 0, false
	}
	return persistence.Generation(n[0]), persistence.Position(n[1]), true
}

type authorsFile struct {
	Object
	to persistence.Position
}

// encodeAuthors is the file of what a knows. Deletions are not in it.
func encodeAuthors(document string, g persistence.Generation, a *Authors) []byte {
	var raw []byte
	clients := slices.Sorted(maps.Keys(a.bound))
	raw = binary.AppendUvarint(raw, uint64(len(clients)))
	for _, c := range clients {
		raw = appendString(binary.AppendUvarint(raw, uint64(c)), a.bound[c])
	}
	clients = slices.Sorted(maps.Keys(a.delivered.clients))
	raw = binary.AppendUvarint(raw, uint64(len(clients)))
	for _, c := range clients {
		own := a.delivered.clients[c]
		own.settle()
		raw = binary.AppendUvarint(binary.AppendUvarint(raw, uint64(c)), uint64(len(own.settled)))
		for _, e := range own.settled {
			raw = binary.AppendUvarint(binary.AppendUvarint(raw, uint64(e.From)), uint64(e.To))
			raw = appendString(raw, a.delivered.who[e.who])
		}
	}
	body := compress(raw)
	header := appendString(nil, document)
	for _, n := range []uint64{uint64(g), uint64(a.From), uint64(a.To), uint64(len(raw)), uint64(len(body))} {
		header = binary.AppendUvarint(header, n)
	}
	sum := sha256.Sum256(raw)
	return seal(authorsMagic, append(header, sum[:]...), body)
}

// decodeAuthors checks a whole file and returns what it knows.
func decodeAuthors(file []byte, document string, g persistence.Generation, to persistence.Position) (*Authors, error) {
	header, body, err := openFile(authorsMagic, file)
	if err != nil {
		return nil, err
	}
	h := fields{rest: header}
	name, generation := string(h.string()), persistence.Generation(h.uvarint())
	a := &Authors{
		From: persistence.Position(h.uvarint()), To: persistence.Position(h.uvarint()),
		bound: make(map[crdt.ClientID]string),
	}
	size, stored := h.size(), h.size()
	var sum [sha256.Size]byte
	copy(sum[:], h.bytes(sha256.Size))
	if err := h.end(); err != nil {
		return nil, err
	}
	if name != document || generation != g || a.To != to || a.From > a.To {
		return nil, corrupt("it holds %q, generation %d, up to %d", name, generation, a.To)
	}
	raw, err := openBody(body, size, stored, sum)
	if err != nil {
		return nil, err
	}
	f := fields{rest: raw}
	for n := f.uvarint(); n > 0 && f.err == nil; n-- {
		c := crdt.ClientID(f.uvarint())
		a.bound[c] = string(f.string())
	}
	for n := f.uvarint(); n > 0 && f.err == nil; n-- {
		c := crdt.ClientID(f.uvarint())
		for m := f.uvarint(); m > 0 && f.err == nil; m-- {
			from, to := crdt.Clock(f.uvarint()), crdt.Clock(f.uvarint())
			a.delivered.add(c, crdt.Range{From: from, To: to}, string(f.string()))
		}
	}
	return a, f.end()
}

// storedAuthors is what the newest readable authors file knows; nothing when
// there is none.
func (t *trail) storedAuthors(ctx context.Context) (*Authors, error) {
	for _, f := range slices.Backward(t.authorsFiles) {
		file, err := t.keeper.store.Get(ctx, f.Key, maxFileBytes)
		var a *Authors
		if err == nil {
			a, err = decodeAuthors(file, t.document, t.generation, f.to)
		}
		switch {
		case err == nil:
			return a, nil
		case ctx.Err() != nil, errors.Is(err, ErrNewerFormat):
			return nil, err
		}
		t.keeper.damaged(t.document, persistence.Pointer{Position: f.to, Key: f.Key}, err, "authors file unusable, passed over")
	}
	return &Authors{bound: make(map[crdt.ClientID]string)}, nil
}

// keepAuthors writes an authors file for the entries up to a position, which
// are to go, and reads it back.
func (t *trail) keepAuthors(ctx context.Context, to persistence.Position) error {
	a, err := t.authors(ctx, to, to)
	if err != nil {
		return err
	}
	if a.To < to {
		return corrupt("the authors after position %d cannot be read", a.To)
	}
	file := encodeAuthors(t.document, t.generation, a)
	key := authorsKey(t.document, t.generation, a.To, sha256.Sum256(file))
	if err := t.keeper.store.Put(ctx, key, file); err != nil {
		return err
	}
	back, err := t.keeper.store.Get(ctx, key, maxFileBytes)
	if err != nil {
		return err
	}
	b, err := decodeAuthors(back, t.document, t.generation, a.To)
	if err == nil && string(encodeAuthors(t.document, t.generation, b)) != string(file) {
		err = corrupt("it reads back otherwise")
	}
	if err != nil {
		return &FileError{key, errors.Join(ErrVerify, err)}
	}
	return nil
}

func (f authorsFile) removal(g persistence.Generation) Removal {
	return Removal{Key: f.Key, Size: f.Size, Kind: kindAuthors, Generation: g, To: f.to}
}
