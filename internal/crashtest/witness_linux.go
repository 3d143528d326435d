package crashtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The witness is tables beside those of the log. A trigger writes down what is
// appended, who sent it and whose the document is then. Unlike the log it is
// never trimmed.
var witnessTables = []string{
	`CREATE SCHEMA witness`,
	`CREATE TABLE witness.entries (
		document text NOT NULL, generation bigint NOT NULL, position bigint NOT NULL, epoch bigint NOT NULL,
		owner text NOT NULL, current bigint NOT NULL, sender text NOT NULL, data bytea NOT NULL)`,
	`CREATE FUNCTION witness.write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO witness.entries
		SELECT convert_from(d.document, 'UTF8'), n.generation, n.position, n.epoch, d.owner, d.epoch,
			coalesce(host(inet_client_addr()), ''), n.data
		FROM appended AS n JOIN ysync.documents AS d ON d.id = n.id;
		RETURN NULL; END $$`,
	`CREATE TRIGGER witness AFTER INSERT ON ysync.update_log REFERENCING NEW TABLE AS appended
		FOR EACH STATEMENT EXECUTE FUNCTION witness.write()`,
}

// watch has the database write everything down.
func (s *site) watch() error { return s.query(siteDatabase, witnessTables...) }

// splits are the questions whose answers have to be empty.
var splits = map[string]string{
	"an epoch has entries of several nodes": `
		SELECT format('%s, epoch %s: %s from %s', document, epoch, count(*), string_agg(DISTINCT owner || ' at ' || sender, ', '))
		FROM witness.entries GROUP BY document, generation, epoch
		HAVING count(DISTINCT owner) > 1 OR count(DISTINCT sender) > 1`,
	"an entry was appended that was not the owner's to append": `
		SELECT format('%s, position %s: epoch %s of %s, while the epoch is %s', document, position, epoch, sender, current)
		FROM witness.entries WHERE epoch <> current OR owner = ''`,
	"a boot sends from several machines": `
		SELECT format('%s: %s', owner, string_agg(DISTINCT sender, ', ')) FROM witness.entries GROUP BY owner HAVING count(DISTINCT sender) > 1`,
	"an epoch goes back": `
		SELECT format('%s, position %s: epoch %s after %s', document, position, epoch, before) FROM (
			SELECT *, lag(epoch) OVER (PARTITION BY document, generation ORDER BY position) AS before FROM witness.entries) AS e
		WHERE epoch < before`,
	"positions are not one after the other": `
		SELECT format('%s: %s entries, the last is %s', document, count(*), max(position))
		FROM witness.entries GROUP BY document, generation HAVING count(*) <> max(position) OR count(DISTINCT position) <> count(*)`,
}

// split returns what two owners wrote at a time, and other disorder of the log.
func (s *site) split(ctx context.Context) (found []string, err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for what, question := range splits {
		rows, err := conn.Query(ctx, question)
		if err != nil {
			return nil, err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, line := range lines[:min(len(lines), 3)] {
			found = append(found, fmt.Sprintf("%s: %s", what, line))
		}
	}
	return found, nil
}

// epochs counts the claims under which something was appended.
func (s *site) epochs(ctx context.Context) (n int, err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, "SELECT count(*) FROM (SELECT DISTINCT document, epoch FROM witness.entries) AS e").Scan(&n)
	return n, errors.Join(err, conn.Close(ctx))
}

// written is everything that was ever appended to a document, in order.
func (s *site) written(ctx context.Context, document string) ([][]byte, error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT data FROM witness.entries WHERE document = $1 ORDER BY generation, position", document)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	updates, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	return updates, errors.Join(err, conn.Close(ctx))
}
