package pebble

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

var _ persistence.RawReader = (*Log)(nil)

// Raw implements persistence.RawReader: the value that holds the entry, with its
// neighbours.
func (l *Log) Raw(ctx context.Context, name string, p persistence.Position) ([]byte, error) {
	b, err := l.raw(ctx, name, p)
	if err != nil {
		return nil, readError("raw", name, &atPosition{position: p, err: err})
	}
	return b, nil
}

func (l *Log) raw(ctx context.Context, name string, p persistence.Position) ([]byte, error) {
	if err := persistence.CheckName(name); err != nil {
		return nil, err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return nil, err
	}
	defer l.calls.End()
	rec, err := storedRecord(l.db, name)
	if err != nil {
		return nil, err
	}
	lower, upper := entryBounds(name, rec.Generation)
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, storeError(err)
	}
	var value []byte
	if it.SeekGE(appendEntryKey(nil, name, rec.Generation, p)) {
		value, err = it.ValueAndErr()
		if g, bad := openGroup(it.Key(), value); bad != nil || g.next <= p {
			value = bytes.Clone(value)
		} else {
			value = nil // it begins behind the entry
		}
	}
	return value, storeError(errors.Join(err, it.Error(), it.Close()))
}
