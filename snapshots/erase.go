package snapshots

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"ysync/persistence"
)

// Erased says what was removed of a document.
type Erased struct {
	Document string `json:"document"`
	// Entries is how many entries the log held.
	Entries uint64 `json:"entries"`
	// Snapshots, Segments and Other count files, Bytes their sizes.
	Snapshots int   `json:"snapshots"`
	Segments  int   `json:"segments"`
	Other     int   `json:"other"`
	Bytes     int64 `json:"bytes"`
	// Keys are the files, in the order in which they went.
	Keys []string `json:"keys"`
	// Tombstone is when the document was erased first.
	Tombstone time.Time `json:"tombstone"`
}

// Erase removes a document for good: first the log gets its tombstone, which
// refuses every later write, then all files go, those of retired generations
// and damaged ones too. It may be stopped anywhere and called again, also for a
// name that was never written; the report counts what this call removed. A
// writer that was at work when the tombstone came may leave a file behind:
// Retainer removes such in passing.
func (k *Keeper) Erase(ctx context.Context, document string, at time.Time) (Erased, error) {
	e, err := k.erase(ctx, document, at)
	if err != nil {
		return e, &DocumentError{"erase", document, err}
	}
	k.logger.Info("document erased", zap.String("document", document), zap.Uint64("entries", e.Entries),
		zap.Int("snapshots", e.Snapshots), zap.Int("segments", e.Segments), zap.Int64("bytes", e.Bytes))
	return e, nil
}

func (k *Keeper) erase(ctx context.Context, document string, at time.Time) (Erased, error) {
	e := Erased{Document: document}
	if k.log == nil {
		return e, ErrNoLog
	}
	rec, err := k.log.Open(ctx, document)
	if err != nil {
		return e, err
	}
	if rec.Tombstone.IsZero() {
		e.Entries = uint64(rec.Head - rec.Trimmed)
	}
	if err := k.log.Erase(ctx, document, at); err != nil {
		return e, err
	}
	if rec, err = k.log.Open(ctx, document); err != nil {
		return e, err
	}
	e.Tombstone = rec.Tombstone
	return e, k.sweep(ctx, &e)
}

// sweepTurns bounds how often sweep looks again: a store that lists what it has
// deleted must not hold it for ever.
const sweepTurns = 5

// sweep removes all files of a document, until none is listed.
func (k *Keeper) sweep(ctx context.Context, e *Erased) error {
	for range sweepTurns {
		var objects []Object
		for o, err := range k.store.List(ctx, Folder(e.Document)) {
			if err != nil {
				return err
			}
			objects = append(objects, o)
		}
		if len(objects) == 0 {
			return nil
		}
		for _, o := range objects {
			if err := k.store.Delete(ctx, o.Key); err != nil {
				return err
			}
			switch {
			case strings.HasSuffix(o.Key, snapshotExt):
				e.Snapshots++
			case strings.HasSuffix(o.Key, segmentExt):
				e.Segments++
			default:
				e.Other++
			}
			e.Bytes += o.Size
			e.Keys = append(e.Keys, o.Key)
		}
	}
	return fmt.Errorf("the store lists files again that it has deleted")
}

// Documents calls visit with the name of every document that has files in the
// store, in no particular order, or with the folder and why no name can be read
// out of it. It stops when visit returns an error.
func (k *Keeper) Documents(ctx context.Context, visit func(document, folder string, err error) error) error {
	folders, err := k.folders(ctx)
	if err != nil {
		return err
	}
	for _, f := range folders {
		name, err := k.nameOf(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := visit(name, f.prefix, err); err != nil {
			return err
		}
	}
	return nil
}

// folder is a folder of a document, with some of its files.
type folder struct {
	prefix string
	keys   []string
}

// folderKeys is how many files are asked for the name of their document.
const folderKeys = 6

// folders lists the folders of all documents.
func (k *Keeper) folders(ctx context.Context) ([]folder, error) {
	var fs []folder
	for o, err := range k.store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		prefix, _, ok := strings.Cut(o.Key, "/")
		_, isSnapshot := snapshotPlace(o.Key)
		_, isSegment := segmentRange(o.Key)
		if !ok || !isSnapshot && !isSegment {
			continue
		}
		prefix += "/"
		if n := len(fs); n == 0 || fs[n-1].prefix != prefix {
			fs = append(fs, folder{prefix: prefix})
		}
		if last := &fs[len(fs)-1]; len(last.keys) < folderKeys {
			last.keys = append(last.keys, o.Key)
		} else {
			last.keys[folderKeys-1] = o.Key
		}
	}
	return fs, nil
}

// nameOf reads the name of a document out of the first header that tells it.
func (k *Keeper) nameOf(ctx context.Context, f folder) (string, error) {
	var faults []error
	for _, key := range f.keys {
		head, err := k.store.Head(ctx, key, headBytes)
		var name string
		if err == nil {
			if strings.HasSuffix(key, snapshotExt) {
				var h SnapshotHeader
				h, err = DecodeSnapshotHeader(head)
				name = h.Document
			} else {
				var h SegmentHeader
				h, err = DecodeSegmentHeader(head)
				name = h.Document
			}
		}
		if err == nil && (Folder(name) != f.prefix || !persistence.ValidName(name)) {
			err = corrupt("it holds %q, which has another folder", name)
		}
		if err == nil {
			return name, nil
		}
		faults = append(faults, &FileError{key, err})
	}
	return "", errors.Join(faults...)
}
