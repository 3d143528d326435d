package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

// Checkpoint makes a second log in a folder that does not exist, on the same
// disk: everything that was committed before the call is in it. Sorted files are
// hard links, so that it takes little time and room; commits wait for it. The
// folder is there whole or not at all, unless the process dies meanwhile.
func (l *Log) Checkpoint(ctx context.Context, dir string) error {
	if err := l.checkpoint(ctx, dir); err != nil {
		return &persistence.Error{Op: "checkpoint", Err: err}
	}
	return nil
}

func (l *Log) checkpoint(ctx context.Context, dir string) error {
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	if _, err := l.files.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%w: %s is there already", persistence.ErrInvalid, dir))
	}
	// Most of the write-ahead log becomes a sorted file, before anybody waits.
	if err := l.db.Flush(); err != nil {
		return storeError(err)
	}
	if err := l.space.admit(2 * l.memTableBytes); err != nil {
		return err
	}
	// The copy of a write-ahead log that is written meanwhile has holes: what
	// comes later is read later. With the flush inside nothing is on its way.
	l.commits.Lock()
	defer l.commits.Unlock()
	l.stopper.checkpoint.Store(&dir)
	defer l.stopper.checkpoint.Store(nil)
	return storeError(l.db.Checkpoint(dir, pebble.WithFlushedWAL()))
}
