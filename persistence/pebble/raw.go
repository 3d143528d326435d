package pebble

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

var _ persistence.RawReader = (*Log)(nil)

// Raw implements persistence.RawReader: the value under the entry's key.
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
	value, closer, err := l.db.Get(appendEntryKey(nil, name, rec.Generation, p))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	return bytes.Clone(value), storeError(closer.Close())
}
