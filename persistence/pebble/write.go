package pebble

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ysync/internal/fault"
	"ysync/persistence"
)

// maxCommitBytes bounds one write. The database's own bound is 4 GiB.
const maxCommitBytes = 1 << 30

// prepared is a batch that passed its checks, with its document locked.
type prepared struct {
	index    int // in the caller's slice
	document *document
	after    persistence.Record
}

// Append implements persistence.Log.
func (l *Log) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	results := make([]persistence.Result, len(batches))
	if err := l.calls.Begin(ctx); err != nil {
		for i := range batches {
			failBatch(&results[i], &batches[i], err)
		}
		return results
	}
	defer l.calls.End()

	ready, bytes := l.prepare(batches, results)
	if len(ready) == 0 {
		return results
	}
	err := l.space.admit(bytes)
	if err == nil && bytes > maxCommitBytes {
		err = fmt.Errorf("%w: a commit of %d bytes", persistence.ErrInvalid, bytes)
	}
	if err != nil {
		for _, p := range ready {
			failBatch(&results[p.index], &batches[p.index], err)
			p.document.mu.Unlock()
			l.cache.release(p.document)
		}
		return results
	}

	write := l.db.NewBatchWithSize(bytes)
	for _, p := range ready {
		putBatch(write, p.document.record, &batches[p.index])
	}
	c, err := l.apply(write)
	for _, p := range ready {
		if err == nil {
			p.document.record, p.document.last = p.after, c
		} else {
			p.document.loaded = false
		}
		p.document.mu.Unlock()
	}
	if err == nil {
		err = l.land(write, c)
	}
	for _, p := range ready {
		if err != nil {
			failBatch(&results[p.index], &batches[p.index], err)
		} else {
			results[p.index] = persistence.Result{First: p.after.Head + 1 - persistence.Position(len(batches[p.index].Entries)), Last: p.after.Head}
		}
		l.cache.release(p.document)
	}
	return results
}

func failBatch(r *persistence.Result, b *persistence.Batch, err error) {
	*r = persistence.Result{Err: &persistence.Error{Op: "append", Document: b.Document, Err: err}}
}

// prepare locks the documents of the batches in the order of their names
// (which excludes a deadlock with another call), keeps locked those whose
// batch may be appended, and puts a refusal into the results of the others. It
// returns also an upper bound of the bytes to write.
func (l *Log) prepare(batches []persistence.Batch, results []persistence.Result) ([]prepared, int) {
	order := make([]int, len(batches))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(batches[a].Document, batches[b].Document) })
	ready := make([]prepared, 0, len(batches))
	bytes := 0
	for n, i := range order {
		b := &batches[i]
		if !persistence.ValidName(b.Document) || n > 0 && batches[order[n-1]].Document == b.Document {
			failBatch(&results[i], b, fmt.Errorf("%w: document name", persistence.ErrInvalid))
			continue
		}
		d := l.cache.acquire(b.Document)
		d.mu.Lock()
		after, err := l.allowed(d, func(r persistence.Record) (persistence.Record, error) {
			if fault.Active(fault.IgnoreEpoch) {
				unfenced := *b
				unfenced.Epoch, unfenced.Generation = r.Epoch, r.Generation
				return r.Appended(&unfenced)
			}
			return r.Appended(b)
		})
		if err != nil {
			d.mu.Unlock()
			l.cache.release(d)
			failBatch(&results[i], b, err)
			continue
		}
		ready = append(ready, prepared{index: i, document: d, after: after})
		bytes += groupsBytes(b.Document, b.Entries)
	}
	return ready, bytes
}

// groupsBytes is about how much the entries of a document take in a write, at most.
func groupsBytes(name string, entries []persistence.NewEntry) int {
	n := 0
	for i := range entries {
		n += len(entries[i].Author) + len(entries[i].Update) + 24
	}
	return n + (1+n/groupBytes)*(2*len(name)+64)
}

// allowed loads the record of a locked document and asks the rule.
func (l *Log) allowed(d *document, rule func(persistence.Record) (persistence.Record, error)) (persistence.Record, error) {
	if !d.loaded {
		r, err := loadRecord(l.db, d.name)
		if err != nil {
			return r, err
		}
		d.record, d.loaded = r, true
	}
	return rule(d.record)
}

// putBatch adds the entries of a batch to a write, after the record before.
func putBatch(write *pebble.Batch, before persistence.Record, b *persistence.Batch) {
	w := begin(write, b.Document, b.Generation)
	at := before.Updated
	for i := range b.Entries {
		at = persistence.EntryTime(at, b.Entries[i].Time)
		w.add(&persistence.Entry{
			Position: before.Head + 1 + persistence.Position(i),
			Epoch:    b.Epoch,
			Time:     at,
			Author:   b.Entries[i].Author,
			Update:   b.Entries[i].Update,
		})
	}
	w.end()
}

// apply hands a write to the database, which orders and shows it at once. The
// caller holds the locks of the documents concerned. The commit that it
// returns ends with land.
func (l *Log) apply(write *pebble.Batch) (*commit, error) {
	l.commits.RLock()
	defer l.commits.RUnlock()
	if fault.Active(fault.AckBeforeSync) {
		return &commit{done: make(chan struct{})}, l.db.Apply(write, pebble.NoSync)
	}
	if err := l.db.ApplyNoSyncWait(write, pebble.Sync); err != nil {
		return nil, fmt.Errorf("%w: %w", persistence.ErrUnknown, flat{err})
	}
	return &commit{done: make(chan struct{})}, nil
}

// applyLater is apply for a write that is durable when the next one is.
func (l *Log) applyLater(write *pebble.Batch) error {
	l.commits.RLock()
	defer l.commits.RUnlock()
	if err := l.db.Apply(write, pebble.NoSync); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, flat{err})
	}
	return nil
}

// land waits until a write is durable. When that fails nothing is known about
// it nor about what was written since: the process stops.
func (l *Log) land(write *pebble.Batch, c *commit) error {
	if fault.Active(fault.AckBeforeSync) {
		close(c.done)
		return write.Close()
	}
	if err := write.SyncWait(); err != nil {
		l.stopper.stop("commit", err)
		c.err = fmt.Errorf("%w: %w", persistence.ErrUnknown, flat{err})
	}
	close(c.done)
	if c.err != nil {
		return c.err
	}
	return write.Close()
}

// change applies one rule to one record and commits what follows from it.
func (l *Log) change(ctx context.Context, op, name string, rule func(persistence.Record) (persistence.Record, error)) (persistence.Record, error) {
	r, err := l.changed(ctx, name, rule)
	if err != nil {
		return persistence.Record{}, &persistence.Error{Op: op, Document: name, Err: err}
	}
	return r, nil
}

func (l *Log) changed(ctx context.Context, name string, rule func(persistence.Record) (persistence.Record, error)) (persistence.Record, error) {
	if err := persistence.CheckName(name); err != nil {
		return persistence.Record{}, err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return persistence.Record{}, err
	}
	defer l.calls.End()
	d := l.cache.acquire(name)
	defer l.cache.release(d)

	d.mu.Lock()
	after, err := l.allowed(d, rule)
	if err != nil || after == d.record {
		last := d.last
		d.mu.Unlock()
		// The refusal, too, may rest on a commit that is not durable yet.
		<-last.done
		if err == nil {
			err = last.err
		}
		return after, err
	}
	write := l.db.NewBatch()
	if err := putChange(write, &d.record, &after); err != nil {
		d.mu.Unlock()
		return after, err
	}
	if onlyTrimmed(d.record, after) {
		defer d.mu.Unlock()
		if err := l.applyLater(write); err != nil {
			d.loaded = false
			return after, err
		}
		d.record = after
		fault.Reach(fault.MidTrim)
		return after, write.Close()
	}
	c, err := l.apply(write)
	if err != nil {
		d.loaded = false
		d.mu.Unlock()
		return after, err
	}
	d.record, d.last = after, c
	d.mu.Unlock()
	return after, l.land(write, c)
}

// onlyTrimmed reports whether a change is a trim, which needs no fsync of its
// own: when the power fails before the next one, the entries are back.
func onlyTrimmed(before, after persistence.Record) bool {
	before.Trimmed = after.Trimmed
	return before == after
}

// putChange adds a changed record to a write, and the removal of the entries
// that it has given up.
func putChange(write *pebble.Batch, before, after *persistence.Record) error {
	switch {
	case !after.Tombstone.IsZero() || after.Generation != before.Generation:
		lower, upper := documentBounds(after.Document)
		if err := write.DeleteRange(lower, upper, nil); err != nil {
			return err
		}
	case after.Trimmed > before.Trimmed:
		lower := appendEntryKey(nil, after.Document, after.Generation, 0)
		upper := appendEntryKey(nil, after.Document, after.Generation, after.Trimmed+1)
		if err := write.DeleteRange(lower, upper, nil); err != nil {
			return err
		}
	}
	key := appendRecordKey(nil, after.Document)
	return write.Set(key, appendRecord(nil, key, after), nil)
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
	_, err := l.change(ctx, "trim", name, func(r persistence.Record) (persistence.Record, error) {
		if fault.Active(fault.TrimTooEarly) {
			r.Trimmed = upTo
			return r, nil
		}
		return r.TrimmedTo(e, upTo)
	})
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
