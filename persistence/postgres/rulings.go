package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ysync/internal/auth"
)

var _ auth.RulingStore = (*Log)(nil)

// Rulings implements auth.RulingStore. It is one short try, and without news one
// look at an index.
func (l *Log) Rulings(ctx context.Context, after uint64) (found []auth.Ruling, version uint64, err error) {
	version = after
	err = l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT version, ruling FROM ysync.rulings WHERE version > $1 ORDER BY version", int64(after))
		if err != nil {
			return err
		}
		var at int64
		var data []byte
		_, err = pgx.ForEachRow(rows, []any{&at, &data}, func() error {
			var r auth.Ruling
			if err := json.Unmarshal(data, &r); err != nil {
				// Passing over it would let in who was sent away.
				return fmt.Errorf("a ruling that can't be read: %w", err)
			}
			found, version = append(found, r), uint64(at)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, after, callError("rulings", "", err)
	}
	return found, version, nil
}

// Rule implements auth.RulingStore. Versions are given out under the lock of one
// row, so that whoever has seen one has seen all before it.
func (l *Log) Rule(ctx context.Context, r auth.Ruling) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	full := false
	err = l.glance(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var version int64
			if err := tx.QueryRow(ctx, "UPDATE ysync.ruled SET version = version + 1 RETURNING version").Scan(&version); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM ysync.rulings WHERE ends <= $1", r.At); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO ysync.rulings (key, version, ends, ruling) VALUES ($1, $2, $3, $4)
				ON CONFLICT (key) DO UPDATE SET version = excluded.version, ends = excluded.ends, ruling = excluded.ruling`,
				[]byte(r.Key()), version, r.Until, data); err != nil {
				return err
			}
			var count int
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM ysync.rulings").Scan(&count); err != nil {
				return err
			}
			if full = count > auth.MaxRulings; full {
				return auth.ErrRuling
			}
			return nil
		})
	})
	switch {
	case full:
		return fmt.Errorf("%w: there are %d in force already", auth.ErrRuling, auth.MaxRulings)
	case err != nil:
		return callError("rule", "", err)
	}
	return nil
}
