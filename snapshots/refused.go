package snapshots

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
)

// A refused file holds a valid update that broke a limit and was not taken in.
// The client that made it builds on it for ever, so somebody may want it. It is no
// part of the document or of its history; its name is the digest of the update, so
// that a client which brings the same again and again makes one file.

const (
	refusedMagic = magic("YSYNCREF")
	refusedExt   = ".refused"
	kindRefused  = "refused"

	// MaxRefused is how many refused updates are kept of a document; the oldest go
	// first. Options.RefusedBytes bounds their size.
	MaxRefused          = 64
	defaultRefusedBytes = 64 << 20
)

// Refused is a refused update in a list.
type Refused struct {
	Document string
	// ID names it among those of its document.
	ID string
	// Time is when it was refused, in whole milliseconds, Author the subject of the
	// grant under which it came, Reason what it was refused for.
	Time           time.Time
	Author, Reason string
	// Bytes is the size of the update.
	Bytes int64
	// Err is why its file cannot be read; nil for a good one.
	Err error
}

type refusedHeader struct {
	Refused
	stored int64
	sum    [sha256.Size]byte
}

// RefusedID is the ID that an update gets when it is refused.
func RefusedID(update []byte) string { return refusedID(sha256.Sum256(update)) }

func refusedID(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:16]) }

func refusedKey(document, id string) string { return Folder(document) + id + refusedExt }

// refusedIDOf reads the ID out of a key; ok is false for other files.
func refusedIDOf(key string) (id string, ok bool) {
	return strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], refusedExt)
}

// validRefusedID tells whether an ID can be one.
func validRefusedID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == 16 && strings.ToLower(id) == id
}

func encodeRefused(r Refused, update []byte) ([]byte, error) {
	if err := boundedNames(r.Document, r.Author, r.Reason); err != nil {
		return nil, err
	}
	if err := bounded("the update", len(update)); err != nil {
		return nil, err
	}
	body := compress(update)
	header := appendTime(appendString(nil, r.Document), r.Time)
	header = appendString(appendString(header, r.Author), r.Reason)
	header = binary.AppendUvarint(binary.AppendUvarint(header, uint64(len(update))), uint64(len(body)))
	sum := sha256.Sum256(update)
	return seal(refusedMagic, append(header, sum[:]...), body), nil
}

func readRefusedHeader(header []byte) (refusedHeader, error) {
	f := fields{rest: header}
	var h refusedHeader
	h.Document, h.Time = string(f.string()), f.time()
	h.Author, h.Reason = string(f.string()), string(f.string())
	h.Bytes, h.stored = f.size(), f.size()
	copy(h.sum[:], f.bytes(sha256.Size))
	h.ID = refusedID(h.sum)
	return h, f.end()
}

// checkRefusedPlace refuses a header that is not that of the file of this key.
func checkRefusedPlace(h refusedHeader, key string) error {
	if refusedKey(h.Document, h.ID) != key {
		return corrupt("it holds an update for %q, which has another name", h.Document)
	}
	return nil
}

// decodeRefused checks a whole file.
func decodeRefused(file []byte, key string) (update []byte, err error) {
	header, body, err := openFile(refusedMagic, file)
	if err != nil {
		return nil, err
	}
	h, err := readRefusedHeader(header)
	if err == nil {
		err = checkRefusedPlace(h, key)
	}
	if err != nil {
		return nil, err
	}
	return openBody(body, h.Bytes, h.stored, h.sum)
}

// Refuse keeps an update that was refused, and removes the oldest of its document
// beyond the bounds. What is kept already stays as it is.
func (k *Keeper) Refuse(ctx context.Context, document string, at time.Time, author, reason string, update []byte) error {
	if err := k.refuse(ctx, Refused{Document: document, Time: milli(at), Author: author, Reason: reason}, update); err != nil {
		return &DocumentError{"refuse", document, err}
	}
	return nil
}

func (k *Keeper) refuse(ctx context.Context, r Refused, update []byte) error {
	file, err := encodeRefused(r, update)
	if err != nil {
		return err
	}
	key := refusedKey(r.Document, RefusedID(update))
	var others []Object
	size := int64(len(file))
	for o, err := range k.store.List(ctx, Folder(r.Document)) {
		if err != nil {
			return err
		}
		if o.Key == key {
			return nil
		}
		if _, ok := refusedIDOf(o.Key); ok {
			others = append(others, o)
			size += o.Size
		}
	}
	// ErrExists: another node was faster.
	if err := k.store.Put(ctx, key, file); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	if len(others) < MaxRefused && size <= k.refusedBytes {
		return nil
	}
	return k.dropOldestRefused(ctx, others, size)
}

// dropOldestRefused removes files until one more is within the bounds. size is
// that of all, the newest included.
func (k *Keeper) dropOldestRefused(ctx context.Context, files []Object, size int64) error {
	type dated struct {
		Object
		at time.Time // zero when it cannot be read: the first to go
	}
	var old []dated
	for _, o := range files {
		d := dated{Object: o}
		if r, err := k.refusedHead(ctx, o.Key); err == nil {
			d.at = r.Time
		}
		old = append(old, d)
	}
	slices.SortFunc(old, func(a, b dated) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.Key, b.Key))
	})
	for len(old) > 0 && (len(old) >= MaxRefused || size > k.refusedBytes) {
		if err := k.store.Delete(ctx, old[0].Key); err != nil {
			return err
		}
		size -= old[0].Size
		old = old[1:]
	}
	return nil
}

// refusedHead reads what a file says of itself.
func (k *Keeper) refusedHead(ctx context.Context, key string) (Refused, error) {
	head, err := k.store.Head(ctx, key, headBytes)
	var h refusedHeader
	if err == nil {
		var header []byte
		if header, _, err = openHeader(refusedMagic, head); err == nil {
			h, err = readRefusedHeader(header)
		}
		if err == nil {
			err = checkRefusedPlace(h, key)
		}
		if err != nil {
			err = &FileError{key, err}
		}
	}
	return h.Refused, err
}

// Refused yields the refused updates that are kept of a document, or of all when
// its name is empty, in no particular order. For all it lists the whole store. One
// whose file is damaged has an error; the document of such a one is not known when
// all were asked for. The error of the sequence is the store's.
func (k *Keeper) Refused(ctx context.Context, document string) iter.Seq2[Refused, error] {
	return func(yield func(Refused, error) bool) {
		prefix := ""
		if document != "" {
			prefix = Folder(document)
		}
		for o, err := range k.store.List(ctx, prefix) {
			if err != nil {
				yield(Refused{}, &DocumentError{"refused", document, err})
				return
			}
			id, ok := refusedIDOf(o.Key)
			if !ok {
				continue
			}
			r, err := k.refusedHead(ctx, o.Key)
			switch {
			case errors.Is(err, ErrNotFound):
				continue // removed meanwhile
			case err != nil && !isDamage(err):
				yield(Refused{}, &DocumentError{"refused", document, err})
				return
			case err != nil:
				r = Refused{Document: document, ID: id, Err: err}
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// RefusedUpdate is a refused update of a document (update V1). ErrNotFound if
// there is none of this ID.
func (k *Keeper) RefusedUpdate(ctx context.Context, document, id string) ([]byte, error) {
	update, err := k.refusedUpdate(ctx, document, id)
	if err != nil {
		return nil, &DocumentError{"refused", document, err}
	}
	return update, nil
}

func (k *Keeper) refusedUpdate(ctx context.Context, document, id string) ([]byte, error) {
	if !validRefusedID(id) {
		return nil, ErrNotFound
	}
	key := refusedKey(document, id)
	file, err := k.store.Get(ctx, key, maxFileBytes)
	if err != nil {
		return nil, err
	}
	update, err := decodeRefused(file, key)
	if err != nil {
		return nil, &FileError{key, err}
	}
	return update, nil
}

// DropRefused removes a refused update. ErrNotFound if there is none of this ID.
func (k *Keeper) DropRefused(ctx context.Context, document, id string) error {
	_, err := k.refusedUpdate(ctx, document, id)
	if err == nil || errors.Is(err, ErrCorrupt) {
		err = k.store.Delete(ctx, refusedKey(document, id))
	}
	if err != nil {
		return &DocumentError{"drop refused", document, err}
	}
	return nil
}

// checkRefused reads one whole.
func (k *Keeper) checkRefused(ctx context.Context, document string, o Object) error {
	id, ok := refusedIDOf(o.Key)
	if !ok || !validRefusedID(id) {
		return &FileError{o.Key, corrupt("its name is none of a refused update")}
	}
	_, err := k.refusedUpdate(ctx, document, id)
	return err
}
