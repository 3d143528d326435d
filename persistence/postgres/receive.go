package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
		r := reception{log: l, rec: after, from: from, before: before, id: idOf(before), stamp: rand.Int64()}
		done, err := r.run(ctx, read(from))
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
	log       *Log
	rec       persistence.Record
	from      persistence.Position
	before    row
	id, stamp int64 // of the row when it is written
	conn      *pgxpool.Conn
	tx        pgx.Tx // nil as long as all is sent at once
	// source is what kept the entries from being read.
	source error
}

// run writes the row and the entries in one transaction: all at once, where
// that is not too much. It reports whether it did: not when somebody else has
// changed the row since.
func (r *reception) run(ctx context.Context, entries iter.Seq2[persistence.Entry, error]) (done bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, r.log.options.StatementTimeout)
	r.conn, err = r.log.pool.Acquire(bounded)
	cancel()
	if err != nil {
		return false, err
	}
	defer r.conn.Release()
	defer func() {
		if r.tx != nil {
			_ = r.tx.Rollback(context.WithoutCancel(ctx)) // nothing, after a commit
		}
	}()
	var waiting []persistence.Entry // the newest part, and perhaps the only one
	var failed error
	err = persistence.ReceivedRow(r.rec, r.from, entries, receiveBytes, func(part []persistence.Entry) error {
		if waiting != nil {
			if failed = r.sendPart(ctx, waiting); failed != nil {
				return failed
			}
		}
		waiting = slices.Clone(part)
		return nil
	})
	switch {
	case err != nil && failed == nil:
		r.source = err
		return false, err
	case err == nil && r.tx == nil:
		batch := r.row()
		r.entries(batch, waiting)
		err = send(ctx, r.conn, batch)
	case err == nil:
		if err = r.sendPart(ctx, waiting); err == nil {
			err = r.tx.Commit(ctx)
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// sendPart sends entries within a transaction, which the first of them begins.
func (r *reception) sendPart(ctx context.Context, part []persistence.Entry) (err error) {
	batch := &pgx.Batch{}
	if r.tx == nil {
		if r.tx, err = r.conn.Begin(ctx); err != nil {
			return err
		}
		batch = r.row()
	}
	r.entries(batch, part)
	return send(ctx, r.tx, batch)
}

// row are the statements that write the record, and remove what is not of it.
// What follows the first one changes nothing where that did not.
func (r *reception) row() *pgx.Batch {
	batch := &pgx.Batch{}
	changed := func(from pgx.Row) error {
		_, err := scanRow(from)
		return err
	}
	if r.before.id == 0 {
		batch.Queue(insertRow, insertArguments(r.id, r.rec, r.stamp)...).QueryRow(changed)
		return batch
	}
	batch.Queue(updateRow, updateArguments(r.before, r.rec, r.stamp)...).QueryRow(changed)
	// An update leaves the head to the appends, of which there are none here.
	batch.Queue("UPDATE ysync.documents SET head = $1, trimmed = $2, updated_ms = $3 WHERE id = $4 AND stamp = $5",
		number(r.rec.Head), number(r.rec.Trimmed), millisOf(r.rec.Updated), r.id, r.stamp)
	batch.Queue(`DELETE FROM ysync.update_log WHERE id = $1 AND (generation <> $2 OR position <= $3)
		AND EXISTS (SELECT 1 FROM ysync.documents WHERE id = $1 AND stamp = $4)`,
		r.id, number(r.rec.Generation), number(r.rec.Trimmed), r.stamp)
	return batch
}

const insertEntries = `INSERT INTO ysync.update_log (id, generation, position, epoch, time_ms, crc, author, data)
	SELECT d.id, d.generation, e.position, e.epoch, e.time_ms, e.crc, e.author, e.data
	FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::bytea[], $8::bytea[])
		AS e(position, epoch, time_ms, crc, author, data) JOIN ysync.documents AS d ON d.id = $1 AND d.stamp = $2`

// entries adds the statement that inserts a part of the entries.
func (r *reception) entries(batch *pgx.Batch, part []persistence.Entry) {
	if len(part) == 0 {
		return
	}
	n := len(part)
	positions, epochs, times := make([]int64, n), make([]int64, n), make([]int64, n)
	sums, authors, updates := make([]int32, n), make([][]byte, n), make([][]byte, n)
	for i := range part {
		e := &part[i]
		positions[i], epochs[i], times[i] = number(e.Position), number(e.Epoch), e.Time.UnixMilli()
		sums[i] = checksum(r.rec.Document, r.rec.Generation, e)
		authors[i], updates[i] = []byte(e.Author), e.Update
		if e.Update == nil {
			updates[i] = []byte{} // nil would be no value
		}
	}
	batch.Queue(insertEntries, r.id, r.stamp, positions, epochs, times, sums, authors, updates)
}

// sender is a connection, on which a batch is a transaction of its own, or a
// transaction.
type sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func send(ctx context.Context, s sender, batch *pgx.Batch) error {
	return s.SendBatch(ctx, batch).Close()
}
