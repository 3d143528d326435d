package snapshots

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"ysync/persistence"
)

// RebuildOptions configure Rebuild. The zero value is valid.
type RebuildOptions struct {
	Logger *zap.Logger
	// Progress is told after every document, one call at a time. Nil for nobody.
	Progress func(RebuildProgress)
	// Workers is how many documents are worked on at a time; 0 means 16.
	Workers int
	// DryRun reads everything that a run would read of the store, and writes
	// nothing. The log may then be nil, and counts as empty.
	DryRun bool
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

// Rebuild fills a log that knows nothing, or was being filled by a Rebuild that
// stopped, from the store alone: every document with its newest generation, its
// newest good snapshot and the entries after it. Each is loaded from its files,
// and what then is in the log compared with them. What was never stored is lost: entries newer than the last segment,
// tombstones and seed keys.
//
// A document that cannot be rebuilt, or is in the log with less than the store
// holds, is counted and logged, and the others go on. The error is that of the
// listing or the context; look at Failed, too.
func Rebuild(ctx context.Context, store Store, log persistence.Receiver, opts RebuildOptions) (RebuildProgress, error) {
	r := rebuilder{log: log, opts: opts, logger: New(store, nil, Options{Logger: opts.Logger}).logger}
	if r.opts.Workers <= 0 {
		r.opts.Workers = 16
	}
	var folders []*shelf
	for s, err := range shelves(ctx, store) {
		if err != nil {
			return RebuildProgress{}, fmt.Errorf("rebuild: %w", err)
		}
		if len(s.names().keys) > 0 {
			folders = append(folders, s)
		}
	}
	r.progress.Total = len(folders)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Workers)
	for _, s := range folders {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			defer clear(s.fetched)
			files := New(s, nil, Options{Logger: opts.Logger})
			name, err := files.nameOf(ctx, s.names())
			var outcome rebuilt
			if err == nil {
				outcome, err = r.document(ctx, files, name)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if name == "" {
				name = s.folder()
			}
			r.done(name, outcome, err)
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = context.Cause(ctx)
		if errors.Is(err, context.Canceled) && r.progress.Done == r.progress.Total {
			err = nil // of the group, which is over
		}
	}
	return r.progress, err
}

type rebuilder struct {
	log    persistence.Receiver
	opts   RebuildOptions
	logger *zap.Logger

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
		r.logger.Error("the document could not be rebuilt", zap.String("document", document), zap.Error(err))
	case outcome.present:
		p.Present++
	default:
		p.Rebuilt++
	}
	if r.opts.Progress != nil {
		r.opts.Progress(*p)
	}
}

func (r *rebuilder) document(ctx context.Context, files *Keeper, name string) (rebuilt, error) {
	t, err := files.follow(ctx, name, 0)
	if err != nil {
		return rebuilt{}, err
	}
	_, point, err := t.at(ctx, Now(), AtOptions{Salvage: true})
	if err != nil {
		return rebuilt{}, err
	}
	if errors.Is(point.Short, ErrCorrupt) || point.Position < t.reach() {
		// More is known than can be read: to go on from here would give other
		// entries the same positions.
		return rebuilt{}, fmt.Errorf("%w: only position %d of %d can be reached: %w", ErrCorrupt, point.Position, t.reach(), point.Short)
	}
	if r.log == nil && r.opts.DryRun {
		return rebuilt{entries: int(point.Position - point.Base)}, nil
	}
	had, err := r.log.Open(ctx, name)
	switch {
	case err != nil:
		return rebuilt{}, err
	case !had.Tombstone.IsZero():
		return rebuilt{}, persistence.ErrErased
	case had.Exists() && had.Generation == point.Generation && had.Head >= point.Position:
		return rebuilt{present: true}, nil
	case had.Exists() && !persistence.Receiving(had.Owner):
		return rebuilt{}, fmt.Errorf("the log has it up to position %d of generation %d only", had.Head, had.Generation)
	}
	if r.opts.DryRun {
		return rebuilt{entries: int(point.Position - max(point.Base, had.Head))}, nil
	}
	rec, err := t.recordAt(ctx, point)
	if err != nil {
		return rebuilt{}, err
	}
	done := rebuilt{}
	err = r.log.Receive(ctx, rec, func(after persistence.Position) iter.Seq2[persistence.Entry, error] {
		done.entries = int(rec.Head - after)
		return t.read(ctx, after, rec.Head)
	})
	if err != nil {
		return rebuilt{}, err
	}
	return done, r.compare(ctx, t, rec)
}

// recordAt is the record that a log has to have of the state at a point, which
// the files hold.
func (t *trail) recordAt(ctx context.Context, point Point) (persistence.Record, error) {
	rec := persistence.Record{
		Document: t.document, Generation: point.Generation, Owner: persistence.ReceivedChecked,
		Head: point.Position, Trimmed: point.Base, Segmented: point.Position, Updated: point.Time,
	}
	for _, f := range t.segments {
		rec.Epoch = max(rec.Epoch, f.epoch)
	}
	for _, f := range t.snapshots {
		rec.Epoch = max(rec.Epoch, f.epoch)
		if f.position != point.Base || f.damaged || point.Base == 0 {
			continue
		}
		file, err := t.keeper.store.Get(ctx, f.Key, maxFileBytes)
		if err != nil {
			return rec, err
		}
		rec.Snapshot = persistence.Pointer{Position: f.position, Key: f.Key, SHA256: sha256.Sum256(file)}
	}
	return rec, nil
}

// compare reads back what was written.
func (r *rebuilder) compare(ctx context.Context, t *trail, want persistence.Record) error {
	got, err := r.log.Open(ctx, want.Document)
	if err != nil {
		return err
	}
	if want.Head == want.Trimmed {
		got.Updated, want.Updated = time.Time{}, time.Time{} // nothing tells it
	}
	if got != want {
		return fmt.Errorf("%w: the log has %+v, rebuilt was %+v", ErrVerify, got, want)
	}
	stored, stop := iter.Pull2(t.read(ctx, want.Trimmed, want.Head))
	defer stop()
	at := want.Trimmed
	for e, err := range r.log.Read(ctx, want.Document, at) {
		if err != nil {
			return err
		}
		s, err, ok := stored()
		if err != nil {
			return err
		}
		if !ok || !sameEntry(s, e) {
			return fmt.Errorf("%w: entry %d reads back otherwise", ErrVerify, e.Position)
		}
		at = e.Position
	}
	if at != want.Head {
		return fmt.Errorf("%w: the log ends at position %d of %d", ErrVerify, at, want.Head)
	}
	return nil
}
