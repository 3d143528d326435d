package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteSource is a database of Hocuspocus's SQLite extension.
type sqliteSource struct {
	db *sql.DB
}

// OpenSQLite opens a database of Hocuspocus's SQLite extension for reading. Its
// server may run; what it writes meanwhile may be missing.
func OpenSQLite(ctx context.Context, file string) (Source, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSource, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no file", ErrNotSource, file)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	// Absolute, the path of a URL begins with a slash, also before a drive letter.
	if path = filepath.ToSlash(path); path[0] != '/' {
		path = "/" + path
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	s := &sqliteSource{db}
	var found string
	err = db.QueryRowContext(ctx, `SELECT group_concat(name) FROM pragma_table_info('documents') WHERE name IN ('name', 'data')`).Scan(&found)
	if err == nil && found != "name,data" && found != "data,name" {
		err = errors.New("wrong columns")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s has no table documents (name, data): %w", ErrNotSource, file, err), s.Close())
	}
	return s, nil
}

func (s *sqliteSource) Close() error { return s.db.Close() }

// Names implements Source.
func (s *sqliteSource) Names(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT DISTINCT name FROM documents`)
	if err != nil {
		return nil, damaged("%w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name sql.NullString
		if err := rows.Scan(&name); err != nil {
			return names, damaged("a document's name: %w", err)
		}
		if !name.Valid {
			return names, damaged("a document has no name")
		}
		names = append(names, name.String)
	}
	if err := rows.Err(); err != nil {
		return names, damaged("the list of documents: %w", err)
	}
	return names, nil
}

// Read implements Source. Hocuspocus reads the newest row of a name, which only
// a schema of one's own can hold twice.
func (s *sqliteSource) Read(ctx context.Context, name string) (Stored, error) {
	const one = ` FROM documents WHERE name = ? ORDER BY rowid DESC LIMIT 1`
	var kind string
	var size int64
	if err := s.db.QueryRowContext(ctx, `SELECT typeof(data), coalesce(length(data), 0)`+one, name).Scan(&kind, &size); err != nil {
		return Stored{}, damaged("%w", err)
	}
	switch {
	case kind != "blob":
		return Stored{}, damaged("its data is of the type %s", kind)
	case size > MaxBytes:
		return Stored{}, ErrTooLarge
	}
	var data []byte
	if err := s.db.QueryRowContext(ctx, `SELECT data`+one, name).Scan(&data); err != nil {
		return Stored{}, damaged("%w", err)
	}
	return Stored{Updates: [][]byte{data}}, nil
}
