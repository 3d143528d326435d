package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

// loadRecord reads a document's record as of the moment that r shows, with
// Head and Updated taken from its newest entry.
func loadRecord(r pebble.Reader, name string) (persistence.Record, error) {
	rec, err := storedRecord(r, name)
	if err != nil || !rec.Exists() || !rec.Tombstone.IsZero() {
		return rec, err
	}
	lower, upper := entryBounds(name, rec.Generation)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return rec, storeError(err)
	}
	err = addHead(&rec, it)
	if closing := it.Close(); err == nil && closing != nil {
		err = storeError(closing)
	}
	return rec, err
}

// storedRecord reads a record as it is stored.
func storedRecord(r pebble.Reader, name string) (persistence.Record, error) {
	key := appendRecordKey(nil, name)
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return persistence.Record{Document: name}, nil
	}
	if err != nil {
		return persistence.Record{Document: name}, storeError(err)
	}
	rec, err := decodeRecord(name, key, value)
	if closing := closer.Close(); err == nil && closing != nil {
		err = storeError(closing)
	}
	return rec, err
}

// addHead sets Head and Updated from the last group within the iterator's
// bounds. Where that one is damaged, its key tells the head all the same, and
// the group before it about when: a record with a damaged entry can be listed
// and claimed, for a repair, but whoever reads the entry gets the error.
func addHead(rec *persistence.Record, it *pebble.Iterator) error {
	for valid := it.Last(); valid; valid = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		g, err := openGroup(it.Key(), value)
		if g.last <= rec.Trimmed && rec.Head <= rec.Trimmed {
			err = fmt.Errorf("%w: an entry at or before position %d, which is trimmed", persistence.ErrCorrupt, rec.Trimmed)
			return &atPosition{position: g.last, err: err}
		}
		rec.Head = max(rec.Head, g.last)
		if err == nil {
			rec.Updated = g.ended()
			return nil
		}
		if !errors.Is(err, persistence.ErrCorrupt) {
			return &atPosition{position: g.last, err: err}
		}
	}
	return storeError(it.Error())
}

// Open implements persistence.Log.
func (l *Log) Open(ctx context.Context, name string) (persistence.Record, error) {
	r, err := l.changed(ctx, name, func(r persistence.Record) (persistence.Record, error) { return r, nil })
	if err != nil {
		return persistence.Record{}, readError("open", name, err)
	}
	return r, nil
}

// Read implements persistence.Log.
func (l *Log) Read(ctx context.Context, name string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		goOn := true
		err := l.read(ctx, name, after, func(e persistence.Entry) bool {
			goOn = yield(e, nil)
			return goOn
		})
		if err != nil && goOn {
			yield(persistence.Entry{}, readError("read", name, err))
		}
	}
}

func (l *Log) read(ctx context.Context, name string, after persistence.Position, each func(persistence.Entry) bool) (err error) {
	if err := persistence.CheckName(name); err != nil {
		return err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	snapshot := l.db.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	// The snapshot shows writes that are not durable yet: wait for them.
	if err := await(l.cache.pending(name)); err != nil {
		return err
	}
	rec, err := storedRecord(snapshot, name)
	switch {
	case err != nil:
		return err
	case !rec.Tombstone.IsZero():
		return persistence.ErrErased
	case !rec.Exists():
		return nil
	case after < rec.Trimmed:
		return &atPosition{position: after + 1, err: persistence.ErrTrimmed}
	}
	lower, upper := entryBounds(name, rec.Generation)
	it, err := snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if closing := it.Close(); err == nil && closing != nil {
			err = storeError(closing)
		}
	}()
	damage := addHead(&rec, it)
	switch {
	case damage != nil && !errors.Is(damage, persistence.ErrCorrupt):
		return damage
	case damage != nil:
		rec.Head = lastPosition // yield what can be read, up to the damage
	case after >= rec.Head:
		return nil
	}
	if err := l.walk(ctx, it, appendEntryKey(nil, name, rec.Generation, after+1), rec.Head, each); err != nil {
		return err
	}
	return damage
}

// walk yields the entries from the key on up to the head, each of which must
// be there; for the head lastPosition, up to the last there is.
func (l *Log) walk(ctx context.Context, it *pebble.Iterator, from []byte, head persistence.Position, each func(persistence.Entry) bool) error {
	next, author := keyPosition(from), ""
	for valid := it.SeekGE(from); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return &atPosition{position: next, err: storeError(err)}
		}
		g, err := openGroup(it.Key(), value)
		switch {
		case err != nil:
			return &atPosition{position: next, err: err}
		case g.next > next:
			return missing(next)
		case g.next < next && next != keyPosition(from):
			return overlap(next)
		}
		for g.next <= g.last {
			if err := l.calls.Alive(ctx); err != nil {
				return err
			}
			e, err := g.entry(author)
			if err != nil {
				return &atPosition{position: max(e.Position, next), err: err}
			}
			author = e.Author
			if e.Position < next {
				continue // before what was asked for; it may be trimmed
			}
			e.Update = bytes.Clone(e.Update)
			if !each(e) {
				return nil
			}
			next++
		}
	}
	if err := it.Error(); err != nil {
		return &atPosition{position: next, err: storeError(err)}
	}
	if next != head+1 && head != lastPosition {
		return missing(next)
	}
	return nil
}

// await waits for a commit. It ignores contexts: a commit takes as long as an
// fsync, and the process stops when that fails.
func await(c *commit) error {
	<-c.done
	return c.err
}

// List implements persistence.Log.
func (l *Log) List(ctx context.Context, after string) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		goOn := true
		document, err := l.list(ctx, after, func(r persistence.Record) bool {
			goOn = yield(r, nil)
			return goOn
		})
		if err != nil && goOn {
			yield(persistence.Record{}, readError("list", document, err))
		}
	}
}

// list yields records until one fails, and names that one's document.
func (l *Log) list(ctx context.Context, after string, each func(persistence.Record) bool) (document string, err error) {
	if err := l.calls.Begin(ctx); err != nil {
		return "", err
	}
	defer l.calls.End()
	snapshot := l.db.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	records, err := snapshot.NewIter(&pebble.IterOptions{
		LowerBound: append(appendRecordKey(nil, after), 0), // the first key after that of after
		UpperBound: []byte{keyRecord + 1},
	})
	if err != nil {
		return "", storeError(err)
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	entries, err := snapshot.NewIter(nil)
	if err != nil {
		return "", storeError(err)
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	for valid := records.First(); valid; valid = records.Next() {
		if err := l.calls.Alive(ctx); err != nil {
			return "", err
		}
		name, rest, err := cutName(records.Key()[1:])
		if err != nil || len(rest) > 0 {
			return "", fmt.Errorf("%w: malformed key %q", persistence.ErrCorrupt, records.Key())
		}
		rec, err := listedRecord(records, entries, name)
		if err != nil {
			return name, err
		}
		if err := await(l.cache.pending(name)); err != nil {
			return name, err
		}
		if !each(rec) {
			return "", nil
		}
	}
	return "", storeError(records.Error())
}

// listedRecord is the record under the iterator, with its head.
func listedRecord(records, entries *pebble.Iterator, name string) (persistence.Record, error) {
	value, err := records.ValueAndErr()
	if err != nil {
		return persistence.Record{}, storeError(err)
	}
	rec, err := decodeRecord(name, records.Key(), value)
	if err != nil || !rec.Tombstone.IsZero() {
		return rec, err
	}
	lower, upper := entryBounds(name, rec.Generation)
	entries.SetBounds(lower, upper)
	return rec, addHead(&rec, entries)
}
