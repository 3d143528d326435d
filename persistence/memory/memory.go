// Package memory is the update log in memory, for tests and for trying things
// out: it keeps the whole contract but survives only as long as its Store.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"ysync/internal/fault"
	"ysync/persistence"
)

var _ persistence.Log = (*Log)(nil)

// Store holds what a folder holds for a log on disk: it outlives the Log that
// is opened on it. The zero Store is empty and ready.
type Store struct {
	mu        sync.Mutex
	open      bool
	documents map[string]*document
}

// document is a record with the entries Trimmed+1 … Head. Entries are never
// changed in place, so a reader may keep the slice it saw.
type document struct {
	record  persistence.Record
	entries []persistence.Entry
}

// Open opens the store. One Log at a time: ErrLocked until the other is closed.
func (s *Store) Open() (*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		return nil, &persistence.Error{Op: "open", Err: persistence.ErrLocked}
	}
	s.open = true
	if s.documents == nil {
		s.documents = make(map[string]*document)
	}
	return &Log{store: s}, nil
}

// New returns a log on a store of its own.
func New() *Log {
	return &Log{store: &Store{open: true, documents: make(map[string]*document)}}
}

// Log is an open store. It implements persistence.Log.
type Log struct {
	store *Store

	// Guarded by store.mu.
	closed bool
}

// begin takes the store's lock for one call; the caller unlocks when err is nil.
func (l *Log) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.store.mu.Lock()
	if l.closed {
		l.store.mu.Unlock()
		return persistence.ErrClosed
	}
	return nil
}

// recordLocked returns the record of a document, written or not.
func (s *Store) recordLocked(name string) persistence.Record {
	if d := s.documents[name]; d != nil {
		return d.record
	}
	return persistence.Record{Document: name}
}

// putLocked stores a changed record and returns its document.
func (s *Store) putLocked(r persistence.Record) *document {
	d := s.documents[r.Document]
	if d == nil {
		d = new(document)
		s.documents[r.Document] = d
	}
	d.record = r
	return d
}

// change applies one rule to a record, atomically.
func (l *Log) change(ctx context.Context, op, name string, rule func(persistence.Record) (persistence.Record, error)) (persistence.Record, error) {
	fail := func(err error) (persistence.Record, error) {
		return persistence.Record{}, &persistence.Error{Op: op, Document: name, Err: err}
	}
	if err := persistence.CheckName(name); err != nil {
		return fail(err)
	}
	if err := l.begin(ctx); err != nil {
		return fail(err)
	}
	defer l.store.mu.Unlock()
	before := l.store.recordLocked(name)
	after, err := rule(before)
	if err != nil {
		return fail(err)
	}
	if after != before {
		d := l.store.putLocked(after)
		if after.Generation != before.Generation {
			d.entries = nil
		} else if gone := after.Trimmed - before.Trimmed; gone > 0 {
			// A document that is adopted is trimmed of entries it never had.
			d.entries = slices.Clone(d.entries[min(gone, persistence.Position(len(d.entries))):])
		}
	}
	return after, nil
}

// Open implements persistence.Log.
func (l *Log) Open(ctx context.Context, name string) (persistence.Record, error) {
	return l.change(ctx, "open", name, func(r persistence.Record) (persistence.Record, error) { return r, nil })
}

// Claim implements persistence.Log.
func (l *Log) Claim(ctx context.Context, name, owner string, seen persistence.Epoch) (persistence.Record, error) {
	return l.change(ctx, "claim", name, func(r persistence.Record) (persistence.Record, error) { return r.Claimed(owner, seen) })
}

// SetSnapshot implements persistence.Log.
func (l *Log) SetSnapshot(ctx context.Context, name string, e persistence.Epoch, p persistence.Pointer) error {
	_, err := l.change(ctx, "set snapshot", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSnapshot(e, p) })
	return err
}

// SetSegmented implements persistence.Log.
func (l *Log) SetSegmented(ctx context.Context, name string, e persistence.Epoch, p persistence.Position) error {
	_, err := l.change(ctx, "set segmented", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSegmented(e, p) })
	return err
}

// SetSeed implements persistence.Log.
func (l *Log) SetSeed(ctx context.Context, name string, e persistence.Epoch, key string) error {
	_, err := l.change(ctx, "set seed", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSeed(e, key) })
	return err
}

// Trim implements persistence.Log.
func (l *Log) Trim(ctx context.Context, name string, e persistence.Epoch, upTo persistence.Position) error {
	_, err := l.change(ctx, "trim", name, func(r persistence.Record) (persistence.Record, error) { return r.TrimmedTo(e, upTo) })
	return err
}

// Reset implements persistence.Log.
func (l *Log) Reset(ctx context.Context, name string, e persistence.Epoch, head persistence.Position, p persistence.Pointer) error {
	_, err := l.change(ctx, "reset", name, func(r persistence.Record) (persistence.Record, error) { return r.Renewed(e, head, p) })
	return err
}

// Erase implements persistence.Log.
func (l *Log) Erase(ctx context.Context, name string, at time.Time) error {
	_, err := l.change(ctx, "erase", name, func(r persistence.Record) (persistence.Record, error) { return r.ErasedAt(at), nil })
	return err
}

// Append implements persistence.Log.
func (l *Log) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	results := make([]persistence.Result, len(batches))
	fail := func(i int, err error) {
		results[i].Err = &persistence.Error{Op: "append", Document: batches[i].Document, Err: err}
	}
	if err := l.begin(ctx); err != nil {
		for i := range batches {
			fail(i, err)
		}
		return results
	}
	defer l.store.mu.Unlock()
	seen := make(map[string]struct{}, len(batches))
	for i := range batches {
		b := &batches[i]
		if _, twice := seen[b.Document]; twice || !persistence.ValidName(b.Document) {
			fail(i, fmt.Errorf("%w: document name", persistence.ErrInvalid))
			continue
		}
		seen[b.Document] = struct{}{}
		before := l.store.recordLocked(b.Document)
		allowed := *b
		if fault.Active(fault.IgnoreEpoch) {
			allowed.Epoch, allowed.Generation = before.Epoch, before.Generation
		}
		after, err := before.Appended(&allowed)
		if err != nil {
			fail(i, err)
			continue
		}
		d := l.store.putLocked(after)
		at := before.Updated
		for j := range b.Entries {
			at = persistence.EntryTime(at, b.Entries[j].Time)
			d.entries = append(d.entries, persistence.Entry{
				Position: before.Head + 1 + persistence.Position(j),
				Epoch:    b.Epoch,
				Time:     at,
				Author:   b.Entries[j].Author,
				Update:   slices.Clone(b.Entries[j].Update),
			})
		}
		results[i] = persistence.Result{First: before.Head + 1, Last: after.Head}
	}
	return results
}

// Read implements persistence.Log.
func (l *Log) Read(ctx context.Context, name string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		entries, err := l.entries(ctx, name, after)
		for _, e := range entries {
			if err = l.alive(ctx); err != nil {
				break
			}
			e.Update = slices.Clone(e.Update)
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(persistence.Entry{}, &persistence.Error{Op: "read", Document: name, Err: err})
		}
	}
}

// entries returns a document's entries after a position, as of one moment.
func (l *Log) entries(ctx context.Context, name string, after persistence.Position) ([]persistence.Entry, error) {
	if err := persistence.CheckName(name); err != nil {
		return nil, err
	}
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.store.mu.Unlock()
	d := l.store.documents[name]
	switch {
	case d == nil:
		return nil, nil
	case !d.record.Tombstone.IsZero():
		return nil, persistence.ErrErased
	case after < d.record.Trimmed:
		return nil, persistence.ErrTrimmed
	case after >= d.record.Head:
		return nil, nil
	}
	return d.entries[after-d.record.Trimmed:], nil
}

// alive reports why a sequence must end, if it must.
func (l *Log) alive(ctx context.Context) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	l.store.mu.Unlock()
	return nil
}

// List implements persistence.Log.
func (l *Log) List(ctx context.Context, after string) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		records, err := l.records(ctx)
		for _, r := range records {
			if r.Document <= after {
				continue
			}
			if err = l.alive(ctx); err != nil {
				break
			}
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(persistence.Record{}, &persistence.Error{Op: "list", Err: err})
		}
	}
}

// records returns all records, ordered by name.
func (l *Log) records(ctx context.Context) ([]persistence.Record, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.store.mu.Unlock()
	records := make([]persistence.Record, 0, len(l.store.documents))
	for d := range maps.Values(l.store.documents) {
		records = append(records, d.record)
	}
	slices.SortFunc(records, func(a, b persistence.Record) int { return cmp.Compare(a.Document, b.Document) })
	return records, nil
}

// Close implements persistence.Log.
func (l *Log) Close() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.closed {
		return &persistence.Error{Op: "close", Err: persistence.ErrClosed}
	}
	l.closed = true
	l.store.open = false
	return nil
}
