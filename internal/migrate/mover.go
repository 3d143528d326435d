package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ysync/persistence"
	"ysync/snapshots"
)

// The outcomes of a document that moves, beside Unchanged, Exists, Damaged and
// Failed.
const (
	// Moved: it was copied, or what of it is new, and compared; with
	// Mover.DryRun it would be.
	Moved Outcome = "moved"
	// Removed: it was erased there, and now is here.
	Removed Outcome = "erased there"
)

// Stores are what holds documents with their past.
type Stores struct {
	Log   persistence.Log
	Files snapshots.Store
}

// Mover copies documents as they are from stores of this project to others:
// records, log entries, snapshots and history, tombstones. Nobody writes to the
// stores that it copies to; those that it copies from may be in use. A copy that
// was cut off, or is to catch up with what has changed, is made by another run,
// which takes only what is new.
type Mover struct {
	From, To Stores
	// DryRun looks at what there is to do and writes nothing. To may then be
	// empty stores' zero value, when there are none yet.
	DryRun bool
	// Workers is how many documents are copied at a time; 0 means 16.
	Workers int
}

// Move is what became of one document, or of the folder of one.
type Move struct {
	Document string
	Outcome  Outcome
	// Entries, Files and Bytes are what was copied, Deleted how many files went
	// because they are gone there.
	Entries, Files, Deleted int
	Bytes                   int64
	// Updated is when it was last changed there.
	Updated time.Time
	// Err is why the outcome is not good, or nil.
	Err error
}

// plan is what a run knows at its beginning.
type plan struct {
	from, to map[string]map[string]struct{} // keys by folder
	records  []persistence.Record           // there
	here     map[string]persistence.Record
}

// Run copies what differs and hands each document that it looked at to done, in
// the order in which they end, one at a time; total is how many there are. One
// that cannot be copied does not stop the others.
func (m *Mover) Run(ctx context.Context, done func(move Move, total int)) error {
	p, err := m.look(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(m.Workers, 16))
	for _, rec := range p.records {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			d := m.document(p, rec)
			d.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			done(d.Move, len(p.records))
			if errors.Is(d.Err, persistence.ErrReadOnly) || errors.Is(d.Err, persistence.ErrClosed) {
				return d.Err
			}
			return nil
		})
	}
	return group.Wait()
}

// look lists both sides. What changes meanwhile is seen by the next run.
func (m *Mover) look(ctx context.Context) (*plan, error) {
	p := &plan{here: map[string]persistence.Record{}}
	var err error
	if m.To.Files != nil {
		if p.to, err = keysOf(ctx, m.To.Files); err != nil {
			return nil, fmt.Errorf("listing what is here: %w", err)
		}
		for rec, err := range m.To.Log.List(ctx, "") {
			if err != nil {
				return nil, fmt.Errorf("listing what is here: %w", err)
			}
			p.here[rec.Document] = rec
		}
	}
	if p.from, err = keysOf(ctx, m.From.Files); err != nil {
		return nil, fmt.Errorf("listing the files: %w", err)
	}
	for rec, err := range m.From.Log.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("listing the documents: %w", err)
		}
		p.records = append(p.records, rec)
	}
	return p, nil
}

func keysOf(ctx context.Context, store snapshots.Store) (map[string]map[string]struct{}, error) {
	folders := map[string]map[string]struct{}{}
	for o, err := range store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		folder, _, _ := strings.Cut(o.Key, "/")
		if folders[folder+"/"] == nil {
			folders[folder+"/"] = map[string]struct{}{}
		}
		folders[folder+"/"][o.Key] = struct{}{}
	}
	return folders, nil
}

// document begins with one document.
func (m *Mover) document(p *plan, rec persistence.Record) *moving {
	folder := snapshots.Folder(rec.Document)
	d := &moving{
		Move: Move{Document: rec.Document, Updated: rec.Updated}, mover: m,
		record: rec, here: p.here[rec.Document], source: p.from[folder], have: p.to[folder],
	}
	if !rec.Tombstone.IsZero() {
		d.source = nil // what a writer left behind is not taken along
	}
	return d
}

// same reports whether two records are of the same state of a document. Not
// every log knows the time of an entry that is trimmed.
func same(a, b persistence.Record) bool {
	for _, r := range []*persistence.Record{&a, &b} {
		r.Owner = ""
		if r.Head == r.Trimmed {
			r.Updated = time.Time{}
		}
	}
	return a == b
}
