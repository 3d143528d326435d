package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"ysync/persistence"
)

//go:embed migrations/*.sql
var migrations embed.FS

const migrationsTable = "ysync.migrations"

// migrateTimeout bounds the whole migration, the wait for another process included.
const migrateTimeout = 5 * time.Minute

// errSchema is for tables that are not there, or not this release's yet.
var errSchema = errors.New("the tables of the log are not of this release")

// schemaVersion is the version of the schema that this release needs.
func schemaVersion() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, errors.Join(errors.New("no migrations"), err)
	}
	return goose.NumericComponent(files[len(files)-1]) // Glob sorts
}

// prepareSchema brings the tables to this release's version, or checks that
// they are.
func prepareSchema(ctx context.Context, config *pgx.ConnConfig, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	want, err := schemaVersion()
	if err != nil {
		return err
	}
	bounded, done := context.WithTimeout(ctx, o.StatementTimeout)
	defer done()
	has, err := storedVersion(bounded, conn)
	switch {
	case err != nil:
		return err
	case has > want:
		return fmt.Errorf("%w: schema version %d, this release knows up to %d", persistence.ErrNewerFormat, has, want)
	case has == want:
		return nil
	case o.Schema == Require:
		return fmt.Errorf("%w: schema version %d, this release needs %d: `ysync serve` migrates it", errSchema, has, want)
	}
	return migrate(ctx, conn, config, want)
}

// storedVersion is the version of the tables that are there, 0 for none.
func storedVersion(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM ysync.migrations WHERE is_applied").Scan(&version)
	if c := code(err); c == codeNoTable || c == codeNoSchema {
		return 0, nil
	}
	return version, err
}

// migrate applies what is missing while it holds the lock on the first row of
// the migrations table. (Advisory locks do nothing on some of the databases
// that speak this protocol.)
func migrate(ctx context.Context, conn *pgx.Conn, config *pgx.ConnConfig, want int64) error {
	db := stdlib.OpenDB(*config)
	defer db.Close()
	provider, err := newProvider(ctx, conn, db)
	if err != nil {
		return err
	}
	// Whoever waits here has nothing else to do.
	if _, err := conn.Exec(ctx, "SET lock_timeout = 0"); err != nil {
		return err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var first int64
	if err := tx.QueryRow(ctx, "SELECT version_id FROM ysync.migrations WHERE version_id = 0 FOR UPDATE").Scan(&first); err != nil {
		return err
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if has > want {
		return fmt.Errorf("%w: schema version %d, this release knows up to %d", persistence.ErrNewerFormat, has, want)
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// newProvider makes the schema and the migrations table. Processes that do it
// at once collide in the catalog, and one of them looks again.
func newProvider(ctx context.Context, conn *pgx.Conn, db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		var there bool
		err := conn.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_namespace WHERE nspname = 'ysync'").Scan(&there)
		if err == nil && !there {
			_, err = conn.Exec(ctx, "CREATE SCHEMA ysync")
		}
		if err == nil {
			var p *goose.Provider
			p, err = goose.NewProvider(goose.DialectPostgres, db, files,
				goose.WithTableName(migrationsTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
			if err != nil {
				return nil, err
			}
			if _, err = p.GetDBVersion(ctx); err == nil { // makes the table
				return p, nil
			}
		}
		if c := code(err); try == 10 || c != codeUniqueViolation && c != codeDuplicateSchema && c != codeDuplicateTable {
			return nil, err
		}
	}
}
