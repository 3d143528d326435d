package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ysync/internal/api"
	"ysync/internal/auth"
	"ysync/internal/migrate"
)

// movedFile is in a data folder whose documents were handed over to other
// stores: who serves it again would make a second history of them.
const movedFile = "MOVED"

type migrateMoveCmd struct {
	Source           string   `arg:"" help:"Operations address of a running server (http://127.0.0.1:8788), or the data folder of one that is stopped, or a backup."`
	FromLog          string   `help:"Update log of the source, where it is in PostgreSQL. Better set YSYNC_FROM_LOG." placeholder:"URL"`
	FromSnapshots    string   `help:"Snapshots of the source, where they are in a bucket." placeholder:"URL"`
	FromSnapshotsKey []string `help:"Key files of the source's snapshots." placeholder:"FILE"`
	Token            string   `help:"Bearer token for the running server. Better set YSYNC_TOKEN." placeholder:"TOKEN"`
	CutOver          bool     `help:"The last run, with the old server stopped: when everything is here, the source folder is marked, and no server opens it again." env:"-"`

	Data string `help:"Data folder to move to, made if there is none. Its server must be stopped." default:"./data"`
	storeFlags
	DryRun bool `help:"Tell what would be copied, and write nothing." env:"-"`
	jsonFlag
}

// moved is one document as `migrate ysync --json` prints it.
type moved struct {
	Document string          `json:"document"`
	Result   migrate.Outcome `json:"result"`
	Entries  int             `json:"entries"`
	Files    int             `json:"files"`
	Deleted  int             `json:"deleted_files,omitempty"`
	Bytes    int64           `json:"bytes"`
	DryRun   bool            `json:"dry_run,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// movedAll is what it prints at the end.
type movedAll struct {
	Documents int                     `json:"documents"`
	Results   map[migrate.Outcome]int `json:"results"`
	Entries   int                     `json:"entries"`
	Files     int                     `json:"files"`
	Bytes     int64                   `json:"bytes"`
	// Rulings are those on rights that were copied.
	Rulings int  `json:"rulings"`
	DryRun  bool `json:"dry_run,omitempty"`
	// TookMS is how long the run took, from the opening of the stores on.
	TookMS int64 `json:"took_ms"`
	// NewestEdit is the newest one there. After the last run nobody could edit
	// since then.
	NewestEdit *time.Time `json:"newest_edit,omitempty"`
}

// Run copies everything that the destination does not have yet.
func (c *migrateMoveCmd) Run(ctx context.Context, s streams) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	go tuneCollector(ctx)
	if err := c.check(); err != nil {
		return &exitError{exitUsage, err}
	}
	begun := time.Now()
	from, err := c.openSource(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	m := &migrate.Mover{From: from.Stores, DryRun: c.DryRun}
	data, err := openDestination(ctx, s, c.Data, c.storeFlags, c.DryRun)
	if err != nil {
		return err
	}
	if data != nil {
		defer func() { err = errors.Join(err, data.close()) }()
		m.To = migrate.Stores{Log: data.log, Files: data.store}
	}
	// First, so that whoever was sent away never finds the documents without them.
	rulings, err := c.rulings(ctx, from.rulings, data)
	if err != nil {
		return err
	}
	all, err := c.copy(ctx, s, m, movedAll{Rulings: rulings}, begun)
	if err != nil || !c.CutOver {
		return err
	}
	where := cmp.Or(c.Snapshots, c.Data)
	if u, _, found := strings.Cut(where, "?"); found {
		where = u
	}
	return writeMark(c.Source, movedFile, fmt.Sprintf("%d documents moved to %s", all.Documents, where))
}

// remote reports whether the source is a running server.
func (c *migrateMoveCmd) remote() bool { return isURL(c.Source) }

func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

func (c *migrateMoveCmd) check() error {
	elsewhere := c.FromLog != "" || c.FromSnapshots != "" || len(c.FromSnapshotsKey) > 0
	switch {
	case c.remote() && elsewhere:
		return errors.New("a running server reads its own stores: leave --from-log and --from-snapshots out")
	case c.remote() && c.CutOver:
		return errors.New("--cut-over: stop the old server first, and name its data folder")
	case c.CutOver && c.DryRun:
		return errors.New("--cut-over and --dry-run exclude each other")
	case !c.remote() && sameFolder(c.Source, c.Data):
		return fmt.Errorf("%s is the source and --data both: name another folder to move to", c.Data)
	}
	return nil
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// moveSource is what is copied from.
type moveSource struct {
	migrate.Stores
	rulings auth.RulingSource
	close   func() error
}

// openSource opens it. A server whose log is in PostgreSQL may run meanwhile,
// unless this is the last run.
func (c *migrateMoveCmd) openSource(ctx context.Context, s streams) (moveSource, error) {
	if c.remote() {
		client, err := target{Server: c.Source, Token: c.Token}.connect(ctx, s, look)
		if err != nil {
			return moveSource{}, err
		}
		return moveSource{migrate.Stores{Log: remoteLog{client}, Files: remoteFiles{client}}, remoteRulings{client}, client.close}, nil
	}
	what := look
	if c.CutOver {
		what = own
	}
	logger, _ := newLoggers("error", s.err)
	flags := storeFlags{Log: c.FromLog, Snapshots: c.FromSnapshots, SnapshotsKey: c.FromSnapshotsKey}
	data, err := flags.open(ctx, c.Source, what, logger)
	if exit, ok := errors.AsType[*exitError](err); ok && exit.code == exitInUse {
		err = &exitError{exitInUse, fmt.Errorf("%w: name the operations address of its server instead, or stop it", exit.err)}
	}
	if err != nil {
		return moveSource{}, fmt.Errorf("the source: %w", err)
	}
	rulings, err := data.rulingStore()
	if err != nil {
		return moveSource{}, errors.Join(fmt.Errorf("the source: %w", err), data.close())
	}
	return moveSource{migrate.Stores{Log: data.log, Files: data.store}, rulings, data.close}, nil
}

// rulings copies what was taken back of rights, and tells how many are new. There
// is no destination yet in some dry runs.
func (c *migrateMoveCmd) rulings(ctx context.Context, from auth.RulingSource, to *folder) (int, error) {
	var store auth.RulingStore
	var there auth.RulingSource
	if to != nil {
		var err error
		if store, err = to.rulingStore(); err != nil {
			return 0, err
		}
		there = store
	}
	missing, err := auth.MissingRulings(ctx, from, there, time.Now())
	if err != nil || c.DryRun {
		return len(missing), err
	}
	for _, r := range missing {
		if err := store.Rule(ctx, r); err != nil {
			return 0, fmt.Errorf("copying the rulings: %w", err)
		}
	}
	return len(missing), nil
}

// copy runs the copy and prints what became of it, and what all says already. Documents that are here
// already, and for people those that went well, are only counted.
func (c *migrateMoveCmd) copy(ctx context.Context, s streams, m *migrate.Mover, all movedAll, begun time.Time) (movedAll, error) {
	progress := newBar()
	out := c.printer(s)
	all.Results, all.DryRun = map[migrate.Outcome]int{}, c.DryRun
	err := m.Run(ctx, func(d migrate.Move, total int) {
		all.Documents++
		all.Results[d.Outcome]++
		if d.Outcome != migrate.Failed && !d.Updated.IsZero() && (all.NewestEdit == nil || d.Updated.After(*all.NewestEdit)) {
			all.NewestEdit = &d.Updated
		}
		all.Entries, all.Files, all.Bytes = all.Entries+d.Entries, all.Files+d.Files, all.Bytes+d.Bytes
		progress.show(api.Progress{What: "documents moved", Done: int64(all.Documents), Total: int64(total)})
		if d.Outcome == migrate.Unchanged {
			return
		}
		row := moved{d.Document, d.Outcome, d.Entries, d.Files, d.Deleted, d.Bytes, c.DryRun, ""}
		if d.Err != nil {
			row.Error = d.Err.Error()
		}
		if c.JSON || d.Err != nil {
			out.row(row, d.Document, string(d.Outcome), row.Error)
		}
	})
	progress.done()
	if err != nil {
		return all, errors.Join(err, out.flush())
	}
	took := time.Since(begun)
	all.TookMS = took.Milliseconds()
	verb := "were copied"
	if c.DryRun {
		verb = "would be copied"
	}
	if c.JSON {
		out.row(all)
	}
	if err := out.flush(); err != nil {
		return all, err
	}
	if !c.JSON {
		fmt.Fprintf(s.out, "%d documents: %s; %d entries and %d files %s, %v, in %v\n",
			all.Documents, c.summary(all.Results), all.Entries, all.Files, verb, size(all.Bytes), took.Round(10*time.Millisecond))
		if all.Rulings > 0 {
			fmt.Fprintf(s.out, "%d rulings on rights %s\n", all.Rulings, verb)
		}
		if c.CutOver && all.NewestEdit != nil {
			fmt.Fprintf(s.out, "the newest edit there is of %s, %v ago: start the new server now\n",
				cell(all.NewestEdit), time.Since(*all.NewestEdit).Round(10*time.Millisecond))
		}
	}
	return all, verdict(all.Results)
}

func (c *migrateMoveCmd) summary(counts map[migrate.Outcome]int) string {
	if len(counts) == 0 {
		return "there are none"
	}
	would := ""
	if c.DryRun {
		would = "would be "
	}
	return summarize(counts, func(o migrate.Outcome) string {
		if o == migrate.Moved {
			return would + string(o)
		}
		return string(o)
	})
}

// checkMoved refuses a data folder whose documents live elsewhere now.
func checkMoved(path string) error {
	text, err := os.ReadFile(filepath.Join(path, movedFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("data folder: %w", err)
	}
	return &exitError{exitUsage, fmt.Errorf("the data folder %s was left: %s. To go back to it, and lose what was written there since, remove its file %s",
		path, strings.TrimSpace(string(text)), movedFile)}
}
