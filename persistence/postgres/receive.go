package postgres

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
)

var _ persistence.Receiver = (*Log)(nil)

// receiveBytes is about how many bytes of entries one statement of Receive holds.
const receiveBytes = 4 << 20

// Receive implements persistence.Receiver. A document is received in one
// transaction.
func (l *Log) Receive(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	if err := l.received(ctx, rec, read); err != nil {
		return callError("receive", rec.Document, err)
	}
	return nil
}

func (l *Log) received(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	if err := persistence.CheckName(rec.Document); err != nil {
		return err
	}
	if !utf8.ValidString(rec.Owner) || strings.ContainsRune(rec.Owner, 0) {
		return fmt.Errorf("%w: the owner's name is no text", persistence.ErrInvalid)
	}
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	for p := l.patience(); ; {
		before, err := l.load(ctx, rec.Document)
		if err != nil {
			return callFailure(ctx, err)
		}
		after, from, err := before.Received(rec)
		if err != nil || after == before.Record {
			return err // a try of which the outcome was unknown may have done it
		}
		r := reception{rec: after, from: from, before: before}
		done, err := l.receive(ctx, &r, read(from))
		switch {
		case done:
			return nil
		case r.source != nil:
			return r.source
		case err == nil: // somebody was faster: look again
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if l.health.failed(err) == refused || !p.wait(ctx) {
			return storeError(err)
		}
	}
}

// reception is one try to receive a document.
type reception struct {
	rec    persistence.Record
	from   persistence.Position
	before row
	// source is what kept the entries from being read.
	source error
}

// receive writes the row, the entries and what follows from them. It reports
// whether it did: not when somebody else has changed the row since.
func (l *Log) receive(ctx context.Context, r *reception, entries iter.Seq2[persistence.Entry, error]) (done bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, l.options.StatementTimeout)
	conn, err := l.pool.Acquire(bounded)
	cancel()
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		now, ours, err := store(ctx, tx, r.before, r.rec, rand.Int64())
		if err != nil || !ours {
			return err
		}
		if err := r.entries(ctx, tx, now.id, entries); err != nil {
			return err
		}
		// An update leaves the head to the appends, of which there are none here.
		_, err = tx.Exec(ctx, "UPDATE ysync.documents SET head = $1, trimmed = $2, updated_ms = $3 WHERE id = $4",
			number(r.rec.Head), number(r.rec.Trimmed), millisOf(r.rec.Updated), now.id)
		if err == nil && r.before.id != 0 {
			_, err = tx.Exec(ctx, "DELETE FROM ysync.update_log WHERE id = $1 AND (generation <> $2 OR position <= $3)",
				now.id, number(r.rec.Generation), number(r.rec.Trimmed))
		}
		done = err == nil
		return err
	})
	return done && err == nil, err
}

func (r *reception) entries(ctx context.Context, tx pgx.Tx, id int64, entries iter.Seq2[persistence.Entry, error]) error {
	watched := func(yield func(persistence.Entry, error) bool) {
		for e, err := range entries {
			if err != nil {
				r.source = err
			}
			if !yield(e, err) {
				return
			}
		}
	}
	columns := []string{"id", "generation", "position", "epoch", "time_ms", "crc", "author", "data"}
	var failed error
	err := persistence.ReceivedRow(r.rec, r.from, watched, receiveBytes, func(part []persistence.Entry) error {
		_, failed = tx.CopyFrom(ctx, pgx.Identifier{"ysync", "update_log"}, columns, pgx.CopyFromSlice(len(part), func(i int) ([]any, error) {
			e := &part[i]
			return []any{
				id, number(r.rec.Generation), number(e.Position), number(e.Epoch), e.Time.UnixMilli(),
				checksum(r.rec.Document, r.rec.Generation, e), []byte(e.Author), e.Update,
			}, nil
		}))
		return failed
	})
	if failed == nil && err != nil {
		r.source = err
	}
	return err
}
