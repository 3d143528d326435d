package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ysync/persistence"
)

var _ persistence.Shared = (*Log)(nil)

// Release implements persistence.Shared.
func (l *Log) Release(ctx context.Context, name, owner string, e persistence.Epoch) error {
	_, err := l.change(ctx, "release", name, func(r persistence.Record) (persistence.Record, error) { return r.Released(owner, e) })
	return err
}

// Holdings implements persistence.Shared.
func (l *Log) Holdings(ctx context.Context, documents []string) ([]persistence.Holding, error) {
	if len(documents) > persistence.MaxHoldings {
		return nil, callError("holdings", "", fmt.Errorf("%w: %d documents", persistence.ErrInvalid, len(documents)))
	}
	holdings := make([]persistence.Holding, len(documents))
	names := make([][]byte, len(documents))
	at := make(map[string]int, len(documents))
	for i, name := range documents {
		holdings[i].Document, names[i], at[name] = name, []byte(name), i
	}
	err := l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT document, epoch, owner FROM ysync.documents WHERE document = ANY($1)", names)
		if err != nil {
			return err
		}
		var name []byte
		var epoch int64
		var owner string
		_, err = pgx.ForEachRow(rows, []any{&name, &epoch, &owner}, func() error {
			h := &holdings[at[string(name)]]
			h.Epoch, h.Owner = persistence.Epoch(epoch), owner
			return nil
		})
		return err
	})
	if err != nil {
		return nil, callError("holdings", "", err)
	}
	for i := range holdings { // a name that was given twice
		if j := at[documents[i]]; j != i {
			holdings[i] = holdings[j]
		}
	}
	return holdings, nil
}

// claimRows claims what nobody else is at work on, and waits for nothing: a
// statement of hundreds of rows must neither hang on one of them nor lock rows
// in an order that another does not.
const claimRows = `WITH free AS (
		SELECT d.id AS chosen FROM ysync.documents d
		JOIN unnest($3::bytea[], $4::bigint[]) AS seen (document, epoch) ON d.document = seen.document AND d.epoch = seen.epoch
		WHERE d.tombstone_ms IS NULL FOR UPDATE OF d SKIP LOCKED)
	UPDATE ysync.documents SET stamp = $1, owner = $2, epoch = epoch + 1, generation = greatest(generation, 1)
	FROM free WHERE id = chosen RETURNING ` + columns

// ClaimAll implements persistence.Shared.
func (l *Log) ClaimAll(ctx context.Context, owner string, seen []persistence.Holding) ([]persistence.Record, error) {
	if len(seen) > persistence.MaxHoldings || !isText(owner) {
		return nil, callError("claim all", "", fmt.Errorf("%w: %d documents for %q", persistence.ErrInvalid, len(seen), owner))
	}
	records := make([]persistence.Record, len(seen))
	names, epochs := make([][]byte, len(seen)), make([]int64, len(seen))
	at := make(map[string]int, len(seen))
	for i, h := range seen {
		names[i], epochs[i], at[h.Document] = []byte(h.Document), number(h.Epoch), i
	}
	err := l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, claimRows, rand.Int64(), owner, names, epochs)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanRow(rows)
			if err != nil {
				return err
			}
			l.writerOf(r.Document).claimed(r)
			records[at[r.Document]] = r.Record
		}
		return rows.Err()
	})
	if err != nil {
		return nil, callError("claim all", "", err)
	}
	return records, nil
}

// beatKept is how long the row of a process that is gone stays.
const beatKept = "1 hour"

// Beat says that the process with this boot ID lives, with info about it, and
// returns the infos of all that have said so within ttl, by the database's
// clock, its own among them. It is one short try. Two processes never have the same boot ID.
func (l *Log) Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) (infos [][]byte, err error) {
	err = l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		infos = [][]byte{info}
		if _, err := conn.Exec(ctx, `INSERT INTO ysync.nodes AS n (boot, info, beat) VALUES ($1, $2, clock_timestamp())
			ON CONFLICT (boot) DO UPDATE SET info = excluded.info, beat = excluded.beat`, boot, info); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, `SELECT info FROM ysync.nodes
			WHERE boot <> $1 AND beat > clock_timestamp() - $2 * interval '1 millisecond'`, boot, ttl.Milliseconds())
		if err != nil {
			return err
		}
		var other []byte
		_, err = pgx.ForEachRow(rows, []any{&other}, func() error {
			infos = append(infos, append([]byte(nil), other...))
			return nil
		})
		return err
	})
	if err != nil {
		return nil, callError("beat", "", err)
	}
	return infos, nil
}

// Leave takes a process off those that live, and forgets those that are long gone.
func (l *Log) Leave(ctx context.Context, boot string) error {
	err := l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "DELETE FROM ysync.nodes WHERE boot = $1 OR beat < clock_timestamp() - interval '"+beatKept+"'", boot)
		return err
	})
	if err != nil {
		return callError("leave", "", err)
	}
	return nil
}

// glance runs a short function once, on a connection of the pool.
func (l *Log) glance(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	err := l.once(ctx, f)
	if err == nil {
		l.health.up()
		return nil
	}
	if ctx.Err() == nil {
		l.health.failed(err)
	}
	return callFailure(ctx, err)
}
