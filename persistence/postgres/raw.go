package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"ysync/persistence"
)

var _ persistence.RawReader = (*Log)(nil)

// Raw implements persistence.RawReader: the row as JSON.
func (l *Log) Raw(ctx context.Context, name string, p persistence.Position) ([]byte, error) {
	b, err := l.raw(ctx, name, p)
	if err != nil {
		return nil, callError("raw", name, &atPosition{p, err})
	}
	return b, nil
}

func (l *Log) raw(ctx context.Context, name string, p persistence.Position) ([]byte, error) {
	r, err := l.opened(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return nil, err
	}
	defer l.calls.End()
	var text []byte
	err = l.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, `SELECT row_to_json(e)::text FROM (
			SELECT position, epoch, time_ms, crc, author, data FROM ysync.update_log WHERE id = $1 AND generation = $2 AND position = $3
		) AS e`, r.id, number(r.Generation), number(p)).Scan(&text)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return text, callFailure(ctx, err)
}
