package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ysync/internal/api"
	"ysync/internal/migrate"
	"ysync/internal/session"
)

type migrateCmd struct {
	Leveldb migrateLeveldbCmd `cmd:"" name:"y-leveldb" help:"Import from the LevelDB folder of y-websocket (YPERSISTENCE) or y-leveldb."`
	SQLite  migrateSQLiteCmd  `cmd:"" name:"hocuspocus-sqlite" help:"Import from the database of Hocuspocus's SQLite extension."`
	S3      migrateS3Cmd      `cmd:"" name:"hocuspocus-s3" help:"Import from the bucket of Hocuspocus's S3 extension."`
	YSweet  migrateYSweetCmd  `cmd:"" name:"y-sweet" help:"Import from the folder or bucket of y-sweet."`
	Move    migrateMoveCmd    `cmd:"" name:"ysync" help:"Move documents as they are, with their history, to other stores: from a data folder to PostgreSQL and a bucket, or back. The old server serves meanwhile."`
}

// importFlags are what all imports have. Nothing that exists is changed: an
// import can be repeated.
type importFlags struct {
	Data string `help:"Data folder to import into, made if there is none. Its server must be stopped." default:"./data"`
	storeFlags
	Only      []string `help:"Import only documents whose name matches, as in a shell: * and ? stand for anything but /. May be given several times." placeholder:"GLOB" sep:"none" env:"-"`
	Prefix    string   `help:"Put this in front of every name, such as old/." env:"-"`
	Overwrite string   `help:"What to do with documents that exist: ${enum}. They are reported." enum:"never" default:"never" env:"-"`
	DryRun    bool     `help:"Read and compare everything, and write nothing." env:"-"`
	jsonFlag
}

type migrateLeveldbCmd struct {
	Source string `arg:"" help:"The folder. Its server must be stopped."`
	Names  string `help:"How names are stored: ${enum}. url is what the server of y-websocket does: as they stand in the address, with %20 for a blank." enum:"url,plain" default:"url" env:"-"`
	importFlags
}

// Run imports from y-leveldb.
func (c *migrateLeveldbCmd) Run(ctx context.Context, s streams) error {
	source, err := migrate.OpenLevelDB(c.Source)
	name := plainName
	if c.Names == "url" {
		name = urlName
	}
	return c.run(ctx, s, source, err, name)
}

type migrateSQLiteCmd struct {
	Source string `arg:"" help:"The database file. Its server may run; what it saves meanwhile may be missing."`
	importFlags
}

// Run imports from Hocuspocus's SQLite extension.
func (c *migrateSQLiteCmd) Run(ctx context.Context, s streams) error {
	source, err := migrate.OpenSQLite(ctx, c.Source)
	return c.run(ctx, s, source, err, plainName)
}

type migrateS3Cmd struct {
	Source string `arg:"" help:"The bucket and the extension's prefix, as s3://bucket/hocuspocus-documents/?endpoint=URL&region=NAME. Credentials come from the environment."`
	importFlags
}

// Run imports from Hocuspocus's S3 extension.
func (c *migrateS3Cmd) Run(ctx context.Context, s streams) error {
	source, err := migrate.OpenHocuspocusS3(ctx, c.Source)
	return c.run(ctx, s, source, err, plainName)
}

type migrateYSweetCmd struct {
	Source string `arg:"" help:"The folder, or s3://bucket/prefix?endpoint=URL&region=NAME with credentials from the environment."`
	importFlags
}

// Run imports from y-sweet.
func (c *migrateYSweetCmd) Run(ctx context.Context, s streams) error {
	source, err := migrate.OpenYSweet(ctx, c.Source)
	return c.run(ctx, s, source, err, plainName)
}

// plainName is a name that is stored as people see it.
func plainName(name string) (string, error) { return name, nil }

// urlName is the name of the document that a client gets which connects here
// with the address that it used there. The server of y-websocket takes the path
// for a name as it is on the wire.
func urlName(name string) (string, error) { return session.ParseName("/" + name) }

// run imports from a source that was opened, or reports why it was not.
func (c *importFlags) run(ctx context.Context, s streams, source migrate.Source, err error, naming func(string) (string, error)) error {
	switch {
	case errors.Is(err, migrate.ErrNotSource):
		return &exitError{exitUsage, err}
	case errors.Is(err, migrate.ErrInUse):
		return &exitError{exitInUse, err}
	case errors.Is(err, migrate.ErrDamaged):
		return &exitError{exitData, err}
	case err != nil:
		return err
	}
	names, listing, err := c.names(ctx, source, naming)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	data, err := openDestination(ctx, s, c.Data, c.storeFlags, c.DryRun)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	im := &migrate.Importer{Source: source, Owner: bootID(), Now: time.Now, DryRun: c.DryRun, Name: func(name string) (string, error) {
		name, err := naming(name)
		if err != nil {
			return name, err
		}
		return c.Prefix + name, session.CheckName(c.Prefix + name)
	}}
	if data != nil {
		im.Log, im.Keeper = data.log, data.keeper
	}
	err = c.report(ctx, s, im, names)
	if data != nil {
		err = errors.Join(err, data.close())
	}
	if listing != nil {
		listing = &exitError{exitData, fmt.Errorf("not all documents of the source could be listed: %w", listing)}
	}
	return errors.Join(err, listing, source.Close())
}

// names are the documents to import, sorted. listing is what kept others from
// being found.
func (c *importFlags) names(ctx context.Context, source migrate.Source, naming func(string) (string, error)) (names []string, listing, err error) {
	for _, glob := range c.Only {
		if _, err := path.Match(glob, ""); err != nil {
			return nil, nil, &exitError{exitUsage, fmt.Errorf("--only %q: %w", glob, err)}
		}
	}
	names, listing = source.Names(ctx)
	all := len(names)
	names = slices.DeleteFunc(names, func(name string) bool {
		if len(c.Only) == 0 {
			return false
		}
		if here, err := naming(name); err == nil {
			name = here
		}
		return !slices.ContainsFunc(c.Only, func(glob string) bool {
			ok, _ := path.Match(glob, name) // the globs were checked
			return ok
		})
	})
	slices.Sort(names)
	switch {
	case listing != nil:
	case all == 0:
		err = &exitError{exitNotFound, errors.New("the source holds no documents")}
	case len(names) == 0:
		err = &exitError{exitNotFound, fmt.Errorf("none of the %d documents matches --only", all)}
	}
	return names, listing, err
}

// openDestination opens the stores to copy into: nil for a dry run where there
// are none.
func openDestination(ctx context.Context, s streams, path string, stores storeFlags, dry bool) (*folder, error) {
	logger, _ := newLoggers("warn", s.err)
	what := own
	if dry {
		what = look
		if _, err := os.Stat(filepath.Join(path, formatFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	} else if err := prepareFolder(path); err != nil {
		return nil, err
	}
	data, err := stores.open(ctx, path, what, logger)
	if exit, ok := errors.AsType[*exitError](err); ok && exit.code == exitInUse {
		return nil, &exitError{exitInUse, fmt.Errorf("%w: stop the server first", exit.err)}
	}
	return data, err
}

// imported is one document as `migrate --json` prints it.
type imported struct {
	Source   string          `json:"source"`
	Document string          `json:"document"`
	Updates  int             `json:"updates"`
	Bytes    int             `json:"bytes"`
	Result   migrate.Outcome `json:"result"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Error    string          `json:"error,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
}

// report runs the import and prints what became of each document: JSON as they
// end, the table by name.
func (c *importFlags) report(ctx context.Context, s streams, im *migrate.Importer, names []string) error {
	out := c.printer(s, "DOCUMENT", "UPDATES", "BYTES", "RESULT")
	progress := newBar()
	counts := map[migrate.Outcome]int{}
	var rows []migrate.Result
	err := im.Run(ctx, names, func(r migrate.Result) {
		counts[r.Outcome]++
		progress.show(api.Progress{What: "importing", Done: int64(total(counts)), Total: int64(len(names))})
		if !c.JSON {
			rows = append(rows, r)
			return
		}
		row := imported{r.Source, r.Document, r.Updates, r.Bytes, r.Outcome, c.DryRun, "", r.Notes}
		if r.Err != nil {
			row.Error = r.Err.Error()
		}
		out.row(row)
	})
	progress.done()
	slices.SortFunc(rows, func(a, b migrate.Result) int {
		return cmp.Or(strings.Compare(a.Document, b.Document), strings.Compare(a.Source, b.Source))
	})
	for _, r := range rows {
		out.row(nil, cmp.Or(r.Document, r.Source), r.Updates, r.Bytes, c.describe(r))
	}
	if err := errors.Join(err, out.flush()); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(s.out, "%d documents: %s\n", total(counts), c.summary(counts))
	}
	return verdict(counts)
}

// describe is the last cell of a row.
func (c *importFlags) describe(r migrate.Result) string {
	text := string(r.Outcome)
	if c.DryRun && r.Outcome == migrate.Imported {
		text = "would be imported"
	}
	if r.Err != nil {
		text += ": " + strings.TrimPrefix(r.Err.Error(), migrate.ErrDamaged.Error()+": ")
	}
	for _, note := range r.Notes {
		text += "; " + note
	}
	return text
}

func total(counts map[migrate.Outcome]int) (n int) {
	for _, of := range counts {
		n += of
	}
	return n
}

func (c *importFlags) summary(counts map[migrate.Outcome]int) string {
	return summarize(counts, func(o migrate.Outcome) string { return c.describe(migrate.Result{Outcome: o}) })
}

// summarize tells how many documents there were of each outcome.
func summarize(counts map[migrate.Outcome]int, describe func(migrate.Outcome) string) string {
	var parts []string
	for _, o := range []migrate.Outcome{
		migrate.Imported, migrate.Moved, migrate.Removed, migrate.Unchanged, migrate.Empty, migrate.Exists, migrate.Erased,
		migrate.Refused, migrate.Damaged, migrate.Failed,
	} {
		if counts[o] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[o], describe(o)))
		}
	}
	return strings.Join(parts, ", ")
}

// verdict is nil when every document is here as it is in the source.
func verdict(counts map[migrate.Outcome]int) error {
	bad := 0
	for outcome, n := range counts {
		if !outcome.Good() {
			bad += n
		}
	}
	if bad == 0 {
		return nil
	}
	code := exitConflict
	if counts[migrate.Damaged] > 0 {
		code = exitData
	}
	if counts[migrate.Failed] > 0 {
		code = exitFailed
	}
	return &exitError{code, fmt.Errorf("%d of %d documents are not here as they are in the source", bad, total(counts))}
}
