package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ysync/persistence"
)

const (
	// pageRows and pageBytes bound what one statement of a sequence fetches; a
	// page holds at least one entry, however large.
	pageRows  = 2000
	pageBytes = 4 << 20
	// listRows is how many records one statement of List fetches.
	listRows = 500
)

// Read implements persistence.Log. No connection is held while the caller
// looks at an entry.
func (l *Log) Read(ctx context.Context, name string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		goOn := true
		err := l.read(ctx, name, after, func(e persistence.Entry) bool {
			goOn = yield(e, nil)
			return goOn
		})
		if err != nil && goOn {
			yield(persistence.Entry{}, callError("read", name, err))
		}
	}
}

func (l *Log) read(ctx context.Context, name string, after persistence.Position, each func(persistence.Entry) bool) error {
	if err := persistence.CheckName(name); err != nil {
		return err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	r, err := l.load(ctx, name)
	if err != nil {
		return callFailure(ctx, err)
	}
	if err := readable(r, after); err != nil {
		return err
	}
	for after < r.Head {
		page, err := l.page(ctx, r, after)
		if err != nil {
			return callFailure(ctx, err)
		}
		for i := range page {
			if err := l.calls.Alive(ctx); err != nil {
				return err
			}
			e := &page[i]
			if e.Position != after+1 {
				return l.missing(ctx, r, after)
			}
			if sum := checksum(name, r.Generation, &e.Entry); sum != e.crc {
				return &atPosition{e.Position, fmt.Errorf("%w: checksum mismatch", persistence.ErrCorrupt)}
			}
			if !each(e.Entry) {
				return nil
			}
			after = e.Position
		}
		if len(page) == 0 {
			return l.missing(ctx, r, after)
		}
	}
	return nil
}

// readable refuses to read what is gone.
func readable(r row, after persistence.Position) error {
	switch {
	case !r.Tombstone.IsZero():
		return persistence.ErrErased
	case after < r.Trimmed:
		return &atPosition{after + 1, persistence.ErrTrimmed}
	}
	return nil
}

// missing says why the entry behind a position is not there: it was removed
// since the sequence began, or it is lost.
func (l *Log) missing(ctx context.Context, r row, after persistence.Position) error {
	now, err := l.load(ctx, r.Document)
	if err != nil {
		return callFailure(ctx, err)
	}
	if err := readable(now, after); err != nil {
		return err
	}
	if now.Generation != r.Generation {
		return &atPosition{after + 1, persistence.ErrTrimmed}
	}
	return &atPosition{after + 1, fmt.Errorf("%w: the entry is missing", persistence.ErrCorrupt)}
}

// stored is an entry with the checksum that lies beside it.
type stored struct {
	persistence.Entry
	crc int32
}

// The window counts the bytes in front of each entry: what lies behind the
// bound is not fetched.
const readPage = `SELECT position, epoch, time_ms, crc, author, data FROM (
	SELECT position, epoch, time_ms, crc, author, data,
		sum(octet_length(data)) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before
	FROM (
		SELECT position, epoch, time_ms, crc, author, data FROM ysync.update_log
		WHERE id = $1 AND generation = $2 AND position > $3 AND position <= $4
		ORDER BY position LIMIT $5
	) AS entries
) AS page WHERE before < $6 ORDER BY position`

// page reads the next entries after a position.
func (l *Log) page(ctx context.Context, r row, after persistence.Position) (page []stored, err error) {
	err = l.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		page = page[:0]
		rows, err := conn.Query(ctx, readPage, r.id, number(r.Generation), number(after), number(r.Head), pageRows, pageBytes)
		if err != nil {
			return err
		}
		var (
			position, epoch, ms int64
			crc                 int32
			author, data        []byte
			newest              string
		)
		_, err = pgx.ForEachRow(rows, []any{&position, &epoch, &ms, &crc, &author, &data}, func() error {
			if newest != string(author) { // most neighbours' are the same
				newest = string(author)
			}
			page = append(page, stored{crc: crc, Entry: persistence.Entry{
				Position: persistence.Position(position), Epoch: persistence.Epoch(epoch),
				Time: time.UnixMilli(ms).UTC(), Author: newest, Update: data,
			}})
			data = nil // it belongs to the entry
			return nil
		})
		return err
	})
	return page, err
}

// List implements persistence.Log.
func (l *Log) List(ctx context.Context, after string) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		goOn := true
		err := l.list(ctx, after, func(r persistence.Record) bool {
			goOn = yield(r, nil)
			return goOn
		})
		if err != nil && goOn {
			yield(persistence.Record{}, callError("list", "", err))
		}
	}
}

func (l *Log) list(ctx context.Context, after string, each func(persistence.Record) bool) error {
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	for {
		page, err := l.listPage(ctx, after)
		if err != nil {
			return callFailure(ctx, err)
		}
		for _, r := range page {
			if err := l.calls.Alive(ctx); err != nil {
				return err
			}
			if !each(r) {
				return nil
			}
			after = r.Document
		}
		if len(page) < listRows {
			return nil
		}
	}
}

func (l *Log) listPage(ctx context.Context, after string) (page []persistence.Record, err error) {
	err = l.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT "+columns+" FROM ysync.documents WHERE document > $1 ORDER BY document LIMIT $2", []byte(after), listRows)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(from pgx.CollectableRow) (persistence.Record, error) {
			r, err := scanRow(from)
			return r.Record, err
		})
		return err
	})
	return page, err
}
