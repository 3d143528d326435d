package snapshots

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ysync/crdt"
	"ysync/persistence"
)

// RebuildOptions configure Rebuild. The zero value is valid.
type RebuildOptions struct {
	Logger *zap.Logger
	// Progress is told after every document, one call at a time. Nil for nobody.
	Progress func(RebuildProgress)
	// Workers is how many documents are worked on at a time; 0 means 16.
	Workers int
}

// RebuildProgress is how far a Rebuild has come.
type RebuildProgress struct {
	// Total is how many folders of documents the store has, Done how many of
	// them have been dealt with.
	Total int `json:"total"`
	Done  int `json:"done"`
	// Rebuilt went into the log, Present were there already, Failed did neither.
	Rebuilt int `json:"rebuilt"`
	Present int `json:"present"`
	Failed  int `json:"failed"`
	// Entries is how many entries were written.
	Entries int `json:"entries"`
	// Document is the newest one dealt with, Err why it failed.
	Document string `json:"document"`
	Err      error  `json:"-"`
}

// rebuildOwner is who owns a document while it is rebuilt.
const rebuildOwner = "rebuild"

// Rebuild fills a log that knows nothing, or was being filled by a Rebuild that
// stopped, from the store alone: every document with its newest generation, its
// newest good snapshot and the entries after it. Each is then loaded and
// compared. What was never stored is lost: entries newer than the last segment,
// tombstones and seed keys.
//
// A document that cannot be rebuilt, or is in the log with less than the store
// holds, is counted and logged, and the others go on. The error is that of the
// listing or the context; look at Failed, too.
func Rebuild(ctx context.Context, store Store, log persistence.Adopter, opts RebuildOptions) (RebuildProgress, error) {
	r := rebuilder{
		log: log, opts: opts,
		files: New(store, nil, Options{Logger: opts.Logger}), both: New(store, log, Options{Logger: opts.Logger}),
	}
	if r.opts.Workers <= 0 {
		r.opts.Workers = 16
	}
	folders, err := r.files.folders(ctx)
	if err != nil {
		return RebuildProgress{}, fmt.Errorf("rebuild: %w", err)
	}
	r.progress.Total = len(folders)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Workers)
	for _, f := range folders {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			name, err := r.files.nameOf(ctx, f)
			var outcome rebuilt
			if err == nil {
				outcome, err = r.document(ctx, name)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if name == "" {
				name = f.prefix
			}
			r.done(name, outcome, err)
			return nil
		})
	}
	err = g.Wait()
	if err == nil {
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) && r.progress.Done == r.progress.Total {
			err = nil // of the group, which is over
		}
	}
	return r.progress, err
}

type rebuilder struct {
	log         persistence.Adopter
	files, both *Keeper
	opts        RebuildOptions

	mu       sync.Mutex // guards progress, and calls of opts.Progress
	progress RebuildProgress
}

// rebuilt is what became of one document.
type rebuilt struct {
	entries int
	present bool
}

func (r *rebuilder) done(document string, outcome rebuilt, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.progress
	p.Done++
	p.Entries += outcome.entries
	p.Document, p.Err = document, err
	switch {
	case err != nil:
		p.Failed++
		r.files.logger.Error("the document could not be rebuilt", zap.String("document", document), zap.Error(err))
	case outcome.present:
		p.Present++
	default:
		p.Rebuilt++
	}
	if r.opts.Progress != nil {
		r.opts.Progress(*p)
	}
}

func (r *rebuilder) document(ctx context.Context, name string) (rebuilt, error) {
	t, err := r.files.follow(ctx, name, 0)
	if err != nil {
		return rebuilt{}, err
	}
	doc, point, err := t.at(ctx, Now(), AtOptions{Salvage: true})
	if err != nil {
		return rebuilt{}, err
	}
	if errors.Is(point.Short, ErrCorrupt) || point.Position < t.reach() {
		// More is known than can be read: to go on from here would give other
		// entries the same positions.
		return rebuilt{}, fmt.Errorf("%w: only position %d of %d can be reached: %w", ErrCorrupt, point.Position, t.reach(), point.Short)
	}
	rec, err := r.log.Open(ctx, name)
	if err != nil {
		return rebuilt{}, err
	}
	switch {
	case !rec.Tombstone.IsZero():
		return rebuilt{}, persistence.ErrErased
	case rec.Exists() && rec.Generation == point.Generation && rec.Head >= point.Position:
		return rebuilt{present: true}, nil
	case rec.Exists() && (rec.Generation != point.Generation || rec.Epoch > 0 && rec.Owner != "" && rec.Owner != rebuildOwner):
		return rebuilt{}, fmt.Errorf("the log has it up to position %d of generation %d only", rec.Head, rec.Generation)
	case !rec.Exists():
		if rec, err = r.adopt(ctx, t, point); err != nil {
			return rebuilt{}, err
		}
	}
	n, err := r.append(ctx, t, rec, point.Position)
	if err != nil {
		return rebuilt{entries: n}, err
	}
	return rebuilt{entries: n}, r.compare(ctx, name, doc, point)
}

// adopt makes the record, at the snapshot that the state was replayed on.
func (r *rebuilder) adopt(ctx context.Context, t *trail, point Point) (persistence.Record, error) {
	rec := persistence.Record{Document: t.document, Generation: point.Generation, Head: point.Base}
	for _, f := range t.snapshots {
		rec.Epoch = max(rec.Epoch, f.epoch)
		if f.position != point.Base || f.damaged || point.Base == 0 {
			continue
		}
		file, err := r.files.store.Get(ctx, f.Key, maxFileBytes)
		if err != nil {
			return rec, err
		}
		if _, _, err := DecodeSnapshot(file); err != nil {
			return rec, &FileError{f.Key, err}
		}
		rec.Snapshot = persistence.Pointer{Position: f.position, Key: f.Key, SHA256: sha256.Sum256(file)}
	}
	if n := len(t.segments); n > 0 { // epochs grow with positions
		h, err := t.segmentHeader(ctx, n-1)
		if err != nil {
			return rec, err
		}
		rec.Epoch = max(rec.Epoch, h.Epoch)
	}
	if err := r.log.Adopt(ctx, rec); err != nil {
		return rec, err
	}
	return r.log.Open(ctx, t.document)
}

// rebuildBatch bounds one append.
const (
	rebuildBatchEntries = 4096
	rebuildBatchBytes   = 4 << 20
)

// append writes the entries after the head into the log.
func (r *rebuilder) append(ctx context.Context, t *trail, rec persistence.Record, to persistence.Position) (int, error) {
	if rec.Head >= to {
		return 0, nil
	}
	rec, err := r.log.Claim(ctx, t.document, rebuildOwner, rec.Epoch)
	if err != nil {
		return 0, err
	}
	n, bytes := 0, 0
	batch := persistence.Batch{Document: t.document, Generation: rec.Generation, Epoch: rec.Epoch}
	flush := func() error {
		if len(batch.Entries) == 0 {
			return nil
		}
		if res := r.log.Append(ctx, []persistence.Batch{batch}); res[0].Err != nil {
			return res[0].Err
		}
		n += len(batch.Entries)
		batch.Entries, bytes = nil, 0
		return nil
	}
	for e, err := range t.read(ctx, rec.Head, to) {
		if err != nil {
			return n, err
		}
		batch.Entries = append(batch.Entries, persistence.NewEntry{Time: e.Time, Author: e.Author, Update: e.Update})
		if bytes += len(e.Update); len(batch.Entries) >= rebuildBatchEntries || bytes >= rebuildBatchBytes {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	if err := flush(); err != nil {
		return n, err
	}
	return n, r.log.SetSegmented(ctx, t.document, rec.Epoch, to)
}

// compare loads the document as a server would.
func (r *rebuilder) compare(ctx context.Context, name string, want *crdt.Doc, point Point) error {
	got, rec, _, err := r.both.Load(ctx, name)
	if err != nil {
		return err
	}
	if rec.Head != point.Position || rec.Generation != point.Generation {
		return fmt.Errorf("%w: the log has position %d, rebuilt was %d", ErrVerify, rec.Head, point.Position)
	}
	a := summary{got.StateVector(), got.Deletes(), got.Pending()}
	if err := a.difference(summary{want.StateVector(), want.Deletes(), want.Pending()}); err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return nil
}
