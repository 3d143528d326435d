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
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// A retired file stands at the beginning of a generation that a reset made. It
// names all clients of the generations before, whose blocks must never come
// back. It stays as long as the document.

const (
	retiredMagic = magic("YSYNCRET")
	retiredExt   = ".retired"
	kindRetired  = "retired"
	// MaxRetired is how many clients a retired file may name. Every copy of a
	// document that was ever edited counts.
	MaxRetired = 1 << 20
)

// retiredPlace is what the key of a retired file tells.
type retiredPlace struct {
	generation persistence.Generation
	epoch      persistence.Epoch
}

func (p retiredPlace) key(document string, sum [sha256.Size]byte) string {
	return fmt.Sprintf("%s%020d-%020d-%s%s", Folder(document), p.generation, p.epoch, hex.EncodeToString(sum[:8]), retiredExt)
}

// retiredPlaceOf reads the place out of a key; ok is false for other files.
func retiredPlaceOf(key string) (p retiredPlace, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], retiredExt)
	if !ok {
		return p, false
	}
	var n [2]uint64
	if !keyNumbers(name, n[:]) {
		return p, false
	}
	return retiredPlace{persistence.Generation(n[0]), persistence.Epoch(n[1])}, true
}

// retirement is what a retired file holds.
type retirement struct {
	retiredPlace
	at      time.Time
	author  string
	clients []crdt.ClientID // ascending
}

func encodeRetired(document string, r *retirement) ([]byte, error) {
	if len(r.clients) > MaxRetired {
		return nil, fmt.Errorf("%w: the document has had %d clients, at most %d can be retired", ErrTooLarge, len(r.clients), MaxRetired)
	}
	if err := boundedNames(document, r.author); err != nil {
		return nil, err
	}
	var raw []byte
	var last crdt.ClientID
	for _, c := range r.clients {
		raw = binary.AppendUvarint(raw, uint64(c-last))
		last = c
	}
	body := compress(raw)
	header := appendString(nil, document)
	header = binary.AppendUvarint(header, uint64(r.generation))
	header = binary.AppendUvarint(header, uint64(r.epoch))
	header = appendString(appendTime(header, r.at), r.author)
	for _, n := range []int{len(r.clients), len(raw), len(body)} {
		header = binary.AppendUvarint(header, uint64(n))
	}
	sum := sha256.Sum256(raw)
	return seal(retiredMagic, append(header, sum[:]...), body), nil
}

// retiredHeader is what a retired file says of itself.
type retiredHeader struct {
	document string
	retirement
	count       uint64
	raw, stored int64
	sum         [sha256.Size]byte
}

func readRetiredHeader(header []byte) (retiredHeader, error) {
	f := fields{rest: header}
	var h retiredHeader
	h.document = string(f.string())
	h.generation, h.epoch = persistence.Generation(f.uvarint()), persistence.Epoch(f.uvarint())
	h.at, h.author = f.time(), string(f.string())
	h.count, h.raw, h.stored = f.uvarint(), f.size(), f.size()
	copy(h.sum[:], f.bytes(sha256.Size))
	return h, f.end()
}

// decodeRetired checks a whole file.
func decodeRetired(file []byte, document string, at retiredPlace) (*retirement, error) {
	header, body, err := openFile(retiredMagic, file)
	if err != nil {
		return nil, err
	}
	h, err := readRetiredHeader(header)
	if err != nil {
		return nil, err
	}
	if h.document != document || h.retiredPlace != at {
		return nil, corrupt("it holds %q, generation %d, epoch %d", h.document, h.generation, h.epoch)
	}
	raw, err := openBody(body, h.raw, h.stored, h.sum)
	if err != nil {
		return nil, err
	}
	if h.count > uint64(len(raw)) {
		return nil, corrupt("it claims %d clients", h.count)
	}
	r := h.retirement
	r.clients = make([]crdt.ClientID, 0, h.count)
	f := fields{rest: raw}
	var last crdt.ClientID
	for range h.count {
		last += crdt.ClientID(f.uvarint())
		r.clients = append(r.clients, last)
	}
	return &r, f.end()
}

// retiredFile is a retired file in a listing.
type retiredFile struct {
	retiredPlace
	Object
}

// newestRetired is the one of the reset that began a generation: that of the
// newest claim. Others are of resets that were cut off.
func newestRetired(files []retiredFile, g persistence.Generation) (found retiredFile, ok bool) {
	for _, f := range files {
		if f.generation == g && (!ok || f.epoch > found.epoch) {
			found, ok = f, true
		}
	}
	return found, ok
}

func (k *Keeper) readRetired(ctx context.Context, document string, f retiredFile) (*retirement, error) {
	file, err := k.store.Get(ctx, f.Key, maxFileBytes)
	if err != nil {
		return nil, err
	}
	r, err := decodeRetired(file, document, f.retiredPlace)
	if err != nil {
		return nil, &FileError{f.Key, err}
	}
	return r, nil
}

// Retired returns, in ascending order, the clients of the generations before
// that of rec. Their blocks must never be let into the document again. If the
// file with them is damaged it reads them out of the history, and fails when
// that is not there any more: without them nobody can tell what must be refused.
func (k *Keeper) Retired(ctx context.Context, rec persistence.Record) ([]crdt.ClientID, error) {
	if rec.Generation <= 1 {
		return nil, nil
	}
	clients, err := k.retired(ctx, rec.Document, rec.Generation)
	if err != nil {
		return nil, &DocumentError{"retired", rec.Document, err}
	}
	return clients, nil
}

func (k *Keeper) retired(ctx context.Context, document string, g persistence.Generation) ([]crdt.ClientID, error) {
	var files []retiredFile
	for o, err := range k.store.List(ctx, Folder(document)) {
		if err != nil {
			return nil, err
		}
		if p, ok := retiredPlaceOf(o.Key); ok {
			files = append(files, retiredFile{p, o})
		}
	}
	var clients []crdt.ClientID
	for ; g > 1; g-- {
		f, ok := newestRetired(files, g)
		err := corrupt("generation %d has no file with the retired clients", g)
		if ok {
			var r *retirement
			if r, err = k.readRetired(ctx, document, f); err == nil {
				return union(clients, r.clients), nil
			}
		}
		if ctx.Err() != nil || errors.Is(err, ErrNewerFormat) {
			return nil, err
		}
		k.damaged(document, persistence.Pointer{Key: f.Key}, err, "retired clients unreadable, taking them out of the history")
		doc, _, past := k.at(ctx, document, Now().In(g-1), AtOptions{})
		if past != nil {
			return nil, errors.Join(err, past)
		}
		more, past := clientsOf(doc.AppendStored(nil, crdt.V2))
		if past != nil {
			return nil, past
		}
		clients = union(clients, more)
	}
	return clients, nil
}

// clientsOf are the clients that a state (update V2) mentions, ascending.
func clientsOf(state []byte) ([]crdt.ClientID, error) {
	seen := make(map[crdt.ClientID]struct{})
	var last crdt.ClientID
	for c, err := range crdt.MentionsOf(crdt.V2, state) {
		if err != nil {
			return nil, err
		}
		if c != last || len(seen) == 0 {
			seen[c], last = struct{}{}, c
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// union merges clients into one ascending row.
func union(a, b []crdt.ClientID) []crdt.ClientID {
	a = append(a, b...)
	slices.Sort(a)
	return slices.Clip(slices.Compact(a))
}
