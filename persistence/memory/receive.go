package memory

import (
	"context"
	"iter"
	"slices"

	"ysync/persistence"
)

var _ persistence.Receiver = (*Log)(nil)

// Receive implements persistence.Receiver.
func (l *Log) Receive(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	fail := func(err error) error {
		return &persistence.Error{Op: "receive", Document: rec.Document, Err: err}
	}
	before, err := l.Open(ctx, rec.Document)
	if err != nil {
		return err
	}
	_, from, err := before.Received(rec)
	if err != nil {
		return fail(err)
	}
	var row []persistence.Entry
	if err := persistence.ReceivedRow(rec, from, read(from), 1<<20, func(part []persistence.Entry) error {
		row = append(row, part...)
		return nil
	}); err != nil {
		return fail(err)
	}
	if err := l.begin(ctx); err != nil {
		return fail(err)
	}
	defer l.store.mu.Unlock()
	if l.store.recordLocked(rec.Document) != before {
		return fail(persistence.ErrFenced)
	}
	d := l.store.putLocked(rec)
	if from == before.Head && before.Generation == rec.Generation {
		row = append(slices.Clone(d.entries), row...)
	}
	// What is here ends at the head, and begins after what is trimmed there.
	d.entries = row[len(row)-int(rec.Head-rec.Trimmed):]
	if !rec.Tombstone.IsZero() {
		d.entries = nil
	}
	return nil
}
