package snapshots

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"slices"
	"strings"

	"ysync/persistence"
)

// Segment writes the log entries after rec.Segmented up to and including `to`
// as history segments, reads each file back and compares it entry by entry. It
// returns the position up to which verified segments now reach, also when it
// fails on the way.
func (k *Keeper) Segment(ctx context.Context, rec persistence.Record, to persistence.Position) (persistence.Position, error) {
	covered, err := k.segment(ctx, rec, to)
	if err != nil {
		return covered, &DocumentError{"segment", rec.Document, err}
	}
	return covered, nil
}

func (k *Keeper) segment(ctx context.Context, rec persistence.Record, to persistence.Position) (persistence.Position, error) {
	covered := rec.Segmented
	if to <= covered {
		return covered, nil
	}
	var entries []persistence.Entry
	size := 0
	flush := func() error {
		if err := k.writeSegment(ctx, rec, entries); err != nil {
			return err
		}
		covered += persistence.Position(len(entries))
		entries, size = entries[:0], 0
		return nil
	}
	for e, err := range k.log.Read(ctx, rec.Document, covered) {
		if err != nil {
			return covered, err
		}
		if want := covered + persistence.Position(len(entries)) + 1; e.Position != want {
			return covered, gap(rec.Document, want)
		}
		entries = append(entries, e)
		size += entryBytes(e)
		if e.Position == to {
			break
		}
		if size >= k.segmentBytes {
			if err := flush(); err != nil {
				return covered, err
			}
		}
	}
	if got := covered + persistence.Position(len(entries)); got != to {
		return covered, gap(rec.Document, got+1)
	}
	if err := flush(); err != nil {
		return covered, err
	}
	return covered, nil
}

func (k *Keeper) writeSegment(ctx context.Context, rec persistence.Record, entries []persistence.Entry) error {
	file, h, err := EncodeSegment(SegmentHeader{Document: rec.Document, Generation: rec.Generation, Epoch: rec.Epoch}, entries)
	if err != nil {
		return err
	}
	key := SegmentKey(h, sha256.Sum256(file))
	if err := k.store.Put(ctx, key, file); err != nil {
		return err
	}
	if err := k.verifySegment(ctx, key, h, entries); err != nil {
		return &FileError{key, errors.Join(ErrVerify, err)}
	}
	return nil
}

// SnapshotInfo is one snapshot file in a listing.
type SnapshotInfo struct {
	Object
	// Header is what the file says of itself.
	Header SnapshotHeader
	// Err is why the header cannot be read; then Header is zero.
	Err error
}

// SegmentInfo is one segment file in a listing.
type SegmentInfo struct {
	Object
	// Header is what the file says of itself.
	Header SegmentHeader
	// Err is why the header cannot be read; then Header is zero.
	Err error
}

// Snapshots lists the snapshot files of a document by generation, then
// position, those included to which no pointer leads any more. It reads headers
// only; damage behind them shows when a file is loaded.
func (k *Keeper) Snapshots(ctx context.Context, document string) ([]SnapshotInfo, error) {
	var infos []SnapshotInfo
	err := k.list(ctx, document, snapshotExt, func(o Object, head []byte, err error) {
		info := SnapshotInfo{Object: o, Err: err}
		if err == nil {
			info.Header, info.Err = DecodeSnapshotHeader(head)
		}
		if info.Err == nil && info.Header.Document != document {
			info.Err = corrupt("it holds document %q", info.Header.Document)
		}
		infos = append(infos, info)
	})
	return infos, err
}

// Segments lists the segment files of a document by generation, then position.
// Ranges may overlap where a writer died before it recorded what it had
// written; entries of the same position are the same. It reads headers only.
func (k *Keeper) Segments(ctx context.Context, document string) ([]SegmentInfo, error) {
	var infos []SegmentInfo
	err := k.list(ctx, document, segmentExt, func(o Object, head []byte, err error) {
		info := SegmentInfo{Object: o, Err: err}
		if err == nil {
			info.Header, info.Err = DecodeSegmentHeader(head)
		}
		if info.Err == nil && info.Header.Document != document {
			info.Err = corrupt("it holds document %q", info.Header.Document)
		}
		infos = append(infos, info)
	})
	return infos, err
}

// list visits the files of a document with an extension, with their heads or
// why those cannot be read.
func (k *Keeper) list(ctx context.Context, document, ext string, visit func(Object, []byte, error)) error {
	for o, err := range k.store.List(ctx, Folder(document)) {
		if err != nil {
			return &DocumentError{"list", document, err}
		}
		if !strings.HasSuffix(o.Key, ext) {
			continue
		}
		head, err := k.store.Head(ctx, o.Key, headBytes)
		if errors.Is(err, ErrNotFound) {
			continue // deleted since it was listed
		}
		visit(o, head, err)
	}
	return nil
}

// fetchSegment reads a whole segment.
func (k *Keeper) fetchSegment(ctx context.Context, key string) (SegmentHeader, []persistence.Entry, error) {
	file, err := k.store.Get(ctx, key, maxFileBytes)
	if err != nil {
		return SegmentHeader{}, nil, err
	}
	h, entries, err := DecodeSegment(file)
	if err != nil {
		return SegmentHeader{}, nil, &FileError{key, err}
	}
	return h, entries, nil
}

// History yields the entries (after, to] of a document's generation from its
// segments, in order. A damaged file is passed over where another covers the
// same entries; otherwise the sequence ends with ErrCorrupt, naming the first
// entry that no readable segment holds.
func (k *Keeper) History(
	ctx context.Context, document string, generation persistence.Generation, after, to persistence.Position,
) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		files, err := k.segmentKeys(ctx, document, generation)
		if err != nil {
			yield(persistence.Entry{}, err)
			return
		}
		var damage []error
		for at := after; at < to; {
			i := covering(files, at)
			if i < 0 {
				err := corrupt("no readable segment holds entry %d", at+1)
				yield(persistence.Entry{}, errors.Join(append([]error{err}, damage...)...))
				return
			}
			file := files[i]
			entries, err := k.entriesOf(ctx, document, file)
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, ErrNewerFormat) {
					yield(persistence.Entry{}, err)
					return
				}
				k.onDamage(document, file.key, err)
				damage = append(damage, err)
				files = slices.Delete(files, i, i+1)
				continue
			}
			for _, e := range entries[at-file.from:] {
				if e.Position > to {
					return
				}
				if !yield(e, nil) {
					return
				}
				at = e.Position
			}
		}
	}
}

type segmentFile struct {
	keyRange
	key    string
	size   int64
	header SegmentHeader
	headed bool
}

// segmentKeys lists the segment files of one generation.
func (k *Keeper) segmentKeys(ctx context.Context, document string, generation persistence.Generation) ([]segmentFile, error) {
	var files []segmentFile
	for o, err := range k.store.List(ctx, Folder(document)) {
		if err != nil {
			return nil, err
		}
		if r, ok := segmentRange(o.Key); ok && r.generation == generation {
			files = append(files, segmentFile{keyRange: r, key: o.Key, size: o.Size})
		}
	}
	return files, nil
}

// covering returns the file that holds entry at+1 and reaches farthest, or -1.
func covering(files []segmentFile, at persistence.Position) int {
	best := -1
	for i, f := range files {
		if f.from <= at && at < f.to && (best < 0 || f.to > files[best].to) {
			best = i
		}
	}
	return best
}
