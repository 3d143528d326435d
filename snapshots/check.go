package snapshots

import (
	"context"
	"crypto/sha256"
	"iter"
	"strings"

	"ysync/crdt"
	"ysync/persistence"
)

// CheckedFile is what reading one stored file whole has shown.
type CheckedFile struct {
	Object
	// Kind is "snapshot", "segment", "retired", "authors" or "refused".
	Kind string
	// From and To are the positions of a segment, (From, To]; of a snapshot To
	// is its position. Zero when the file cannot be read.
	From, To persistence.Position
	Label    string
	// Err is what is wrong; nil for a good file.
	Err error
}

// Check reads all files of a document and verifies every byte: digests,
// that names and headers agree, that states load and that entries are updates.
// The error of the sequence is that of the store; damage is in CheckedFile.Err.
func (k *Keeper) Check(ctx context.Context, document string) iter.Seq2[CheckedFile, error] {
	return func(yield func(CheckedFile, error) bool) {
		for o, err := range k.store.List(ctx, Folder(document)) {
			if err != nil {
				yield(CheckedFile{}, &DocumentError{"check", document, err})
				return
			}
			f := CheckedFile{Object: o}
			switch {
			case strings.HasSuffix(o.Key, snapshotExt):
				f.Kind = kindSnapshot
				f.Err = k.checkSnapshot(ctx, document, &f)
			case strings.HasSuffix(o.Key, segmentExt):
				f.Kind = kindSegment
				f.Err = k.checkSegment(ctx, document, &f)
			case strings.HasSuffix(o.Key, retiredExt):
				f.Kind = kindRetired
				f.Err = k.checkRetired(ctx, document, o)
			case strings.HasSuffix(o.Key, authorsExt):
				f.Kind = kindAuthors
				f.Err = k.checkAuthors(ctx, document, &f)
			case strings.HasSuffix(o.Key, refusedExt):
				f.Kind = kindRefused
				f.Err = k.checkRefused(ctx, document, o)
			default:
				continue
			}
			if ctx.Err() != nil {
				yield(f, &DocumentError{"check", document, ctx.Err()})
				return
			}
			if f.Err != nil {
				k.onDamage(document, o.Key, f.Err)
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (k *Keeper) checkSnapshot(ctx context.Context, document string, f *CheckedFile) error {
	file, err := k.store.Get(ctx, f.Key, maxFileBytes)
	if err != nil {
		return err
	}
	h, state, err := DecodeSnapshot(file)
	if err != nil {
		return &FileError{f.Key, err}
	}
	f.To, f.Label = h.Position, h.Label
	if h.Document != document || SnapshotKey(h, sha256.Sum256(file)) != f.Key {
		return &FileError{f.Key, misnamed(h.Document, document)}
	}
	if err := decodes(state); err != nil {
		return &FileError{f.Key, corrupt("%v", err)}
	}
	return nil
}

func (k *Keeper) checkRetired(ctx context.Context, document string, o Object) error {
	place, ok := retiredPlaceOf(o.Key)
	if !ok {
		return &FileError{o.Key, corrupt("its name is none of a retired file")}
	}
	_, err := k.readRetired(ctx, document, retiredFile{place, o})
	return err
}

func (k *Keeper) checkAuthors(ctx context.Context, document string, f *CheckedFile) error {
	g, to, ok := authorsPlace(f.Key)
	if !ok {
		return &FileError{f.Key, corrupt("its name is none of an authors file")}
	}
	f.To = to
	file, err := k.store.Get(ctx, f.Key, maxFileBytes)
	if err != nil {
		return err
	}
	if _, err := decodeAuthors(file, document, g, to); err != nil {
		return &FileError{f.Key, err}
	}
	return nil
}

func (k *Keeper) checkSegment(ctx context.Context, document string, f *CheckedFile) error {
	file, err := k.store.Get(ctx, f.Key, maxFileBytes)
	if err != nil {
		return err
	}
	h, entries, err := DecodeSegment(file)
	if err != nil {
		return &FileError{f.Key, err}
	}
	f.From, f.To = h.From, h.To
	if h.Document != document || SegmentKey(h, sha256.Sum256(file)) != f.Key {
		return &FileError{f.Key, misnamed(h.Document, document)}
	}
	for _, e := range entries {
		if _, err := crdt.ContentsOf(crdt.V1, e.Update); err != nil {
			return &FileError{f.Key, corrupt("entry %d is no update: %v", e.Position, err)}
		}
	}
	return nil
}

// misnamed says that a file is not what its key says.
func misnamed(holds, document string) error {
	if holds != document {
		return corrupt("it holds document %q", holds)
	}
	return corrupt("its name does not agree with what it holds")
}
