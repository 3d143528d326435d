package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"ysync/internal/api"
	"ysync/internal/session"
	"ysync/snapshots"
)

type docCmd struct {
	List    docListCmd    `cmd:"" help:"List the documents."`
	Get     docGetCmd     `cmd:"" help:"Print a document's content as JSON, now or at a moment."`
	Export  docExportCmd  `cmd:"" help:"Write a document's whole state, to be applied by any Yjs client."`
	Import  docImportCmd  `cmd:"" help:"Apply a file with an update, such as export writes, to a document."`
	Seed    docSeedCmd    `cmd:"" help:"Give a new document its initial content, once however often it is asked for."`
	History docHistoryCmd `cmd:"" help:"Tell who edited when."`
	Authors docAuthorsCmd `cmd:"" help:"Tell who wrote what is in a document."`
	Reset   docResetCmd   `cmd:"" help:"Make a document anew from what it holds, or held, and refuse every copy of before."`
	Erase   docEraseCmd   `cmd:"" help:"Remove a document for good: log, snapshots and history. A tombstone refuses its name from then on."`
	Create  docCreateCmd  `cmd:"" help:"Create a document by steps in JSON."`
	Edit    docEditCmd    `cmd:"" help:"Edit a document by steps in JSON: all of them or none."`
	Copy    docCopyCmd    `cmd:"" help:"Copy a document into a new one."`
	Repair  docRepairCmd  `cmd:"" help:"Find out what is damaged of a document and put it right; damaged bytes are kept aside."`
	Retry   docRetryCmd   `cmd:"" help:"End a document's quarantine at a running server, and load it."`
	Refused docRefusedCmd `cmd:"" help:"List updates that were refused because they broke a limit, write one to a file, or remove it."`
	Hot     docHotCmd     `cmd:"" help:"List the documents that cost a running server most of late."`
	Explain docExplainCmd `cmd:"" help:"Tell the state of a document: log, snapshots, sessions, what waits, limits."`
}

// dataFlag is what all commands on stores have.
type dataFlag struct {
	Data string `help:"Data folder of a server. It must be stopped, unless its update log is in PostgreSQL; with --log and --snapshots there need not be one." default:"./data"`
	storeFlags
}

// open opens the stores. Damage is told on w, one line each.
func (d dataFlag) open(ctx context.Context, s streams, what use) (*folder, error) {
	logger, _ := newLoggers("warn", s.err)
	if what == own {
		prepare := ownFolder
		if d.needNoFolder(d.Data) {
			// What a repair puts aside needs a place.
			prepare = prepareFolder
		}
		if err := prepare(d.Data); err != nil {
			return nil, err
		}
	}
	data, err := d.storeFlags.open(ctx, d.Data, what, logger)
	if exit, ok := errors.AsType[*exitError](err); ok && exit.code == exitInUse {
		return nil, &exitError{exitInUse, fmt.Errorf("%w: stop the server first, or name it with --server", exit.err)}
	}
	return data, err
}

// documentArg is the document that a command is about.
type documentArg struct {
	Document string `arg:"" help:"Name of the document."`
}

// Validate refuses a name that no document can have.
func (d documentArg) Validate() error {
	if err := session.CheckName(d.Document); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

func (d documentArg) request(method string, rest ...string) request {
	return onDocument(method, d.Document, rest...)
}

type docListCmd struct {
	target
	Prefix      string `arg:"" optional:"" help:"List only documents whose name begins so."`
	Sizes       bool   `help:"Tell what each takes; reads the whole log of each." env:"-"`
	Quarantined bool   `help:"List only documents that are in quarantine at --server." env:"-"`
	jsonFlag
}

// Run lists the documents by name.
func (c *docListCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		heads := []any{"DOCUMENT", "POSITION", "IN LOG", "SNAPSHOT", "UPDATED"}
		if c.Sizes {
			heads = append(heads, "LOG", "SNAPSHOTS", "HISTORY", "MEMORY", "DELETED/LIVE")
		}
		out := c.printer(s, heads...)
		r := request{method: http.MethodGet, path: []string{"documents"}, query: url.Values{
			"prefix": {c.Prefix}, "sizes": {strconv.FormatBool(c.Sizes)}, "quarantined": {strconv.FormatBool(c.Quarantined)},
		}}
		err := api.lines(ctx, r, &struct{}{}, func(_ string, value json.RawMessage) error { return printDocument(out, value) })
		return errors.Join(err, out.flush())
	})
}

func printDocument(out *printer, value json.RawMessage) error {
	var d api.Document
	if err := json.Unmarshal(value, &d); err != nil {
		return err
	}
	when := cell(d.Updated)
	switch {
	case d.Erased != nil:
		when = "erased " + cell(d.Erased)
	case d.Quarantined != nil:
		when = "quarantined " + cell(d.Quarantined.Since)
	}
	cells := []any{d.Document, d.Position, d.Logged, d.Snapshot, when}
	if z := d.Sizes; z != nil {
		memory, ratio := "-", "-"
		if z.MemoryBytes > 0 {
			memory, ratio = size(z.MemoryBytes).String(), fmt.Sprintf("%.1f", z.DeletedPerLive)
		}
		cells = append(cells, size(z.LogBytes), size(z.Snapshots.Bytes), size(z.Segments.Bytes), memory, ratio)
	}
	out.row(d, cells...)
	return nil
}

// position is how a position is shown that may be missing.
func position(p uint64) string {
	if p == 0 {
		return "-"
	}
	return fmt.Sprint(p)
}

// atFlag names a moment of the past.
type atFlag struct {
	At string `help:"Moment: now, \"2026-11-17 14:05\", 2026-11-17T14:05:00Z, \"2h ago\", \"#1234\" (a position), \"#1234@1\" (of generation 1), label:NAME." default:"now" env:"-"`
}

// content reads a document at a moment.
func (c *client) content(ctx context.Context, s streams, document, at, format, root string) ([]byte, http.Header, error) {
	at, err := moment(at)
	if err != nil {
		return nil, nil, err
	}
	r := onDocument(http.MethodGet, document, "content")
	r.query.Set("at", at)
	r.query.Set("format", format)
	if root != "" {
		r.query.Set("root", root)
	}
	body, header, err := c.bytes(ctx, r)
	if err == nil && header.Get(api.HeaderShort) != "" {
		fmt.Fprintf(s.err, "ysync: this is position %s of %s, the newest that there is before: %s\n",
			header.Get(api.HeaderPosition), header.Get(api.HeaderTime), header.Get(api.HeaderShort))
	}
	return body, header, err
}

type docGetCmd struct {
	target
	documentArg
	atFlag
	Text bool   `help:"Print the text of a root instead of JSON." env:"-"`
	Root string `help:"Root to print with --text, where there are several." env:"-"`
}

// Run prints the document: one member per root, its kind inferred from what it
// holds.
func (c *docGetCmd) Run(ctx context.Context, s streams) error {
	format := "json"
	if c.Text {
		format = "text"
	} else if c.Root != "" {
		return &exitError{exitUsage, errors.New("--root goes with --text")}
	}
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		body, _, err := api.content(ctx, s, c.Document, c.At, format, c.Root)
		if err != nil {
			return err
		}
		if c.Text {
			body = append(body, '\n')
		}
		_, err = s.out.Write(body)
		return err
	})
}

type docExportCmd struct {
	target
	documentArg
	atFlag
	Format string `help:"What to write: ${enum}. v1 and v2 are update encodings of Yjs." enum:"v1,v2,json,text" default:"v1" env:"-"`
	Root   string `help:"Root to write as text, where there are several." env:"-"`
	Output string `help:"File to write, - for standard output. A file that exists is not overwritten." short:"o" default:"-" env:"-"`
}

// Run writes the document's whole state.
func (c *docExportCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		state, _, err := api.content(ctx, s, c.Document, c.At, c.Format, c.Root)
		if err != nil {
			return err
		}
		if c.Output == "-" {
			_, err = s.out.Write(state)
			return err
		}
		return writeNew(c.Output, state)
	})
}

// writeNew writes a file that must not exist yet.
func writeNew(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// updateArg is a file that holds an update.
type updateArg struct {
	File   string `arg:"" help:"File with the update, - for standard input."`
	Format string `help:"Encoding of the update: ${enum}." enum:"v1,v2" default:"v1" env:"-"`
}

func (u updateArg) open() (io.ReadCloser, error) {
	if u.File == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(u.File)
}

// send sends the update and prints the answer.
func (u updateArg) send(ctx context.Context, c *client, r request, out *printer) error {
	file, err := u.open()
	if err != nil {
		return err
	}
	defer file.Close()
	r.query.Set("format", u.Format)
	r.body = io.Reader(file)
	var a api.Applied
	if err := c.json(ctx, r, &a); err != nil {
		return err
	}
	return printApplied(out, a)
}

func printApplied(out *printer, a api.Applied) error {
	did := rehearsal{a.DryRun}.did("changed")
	switch {
	case a.Pending:
		did = "part of it waits for updates that the document lacks"
	case !a.Changed:
		did = "nothing new in it"
	}
	out.row(a, a.Document, did, fmt.Sprint("position ", a.Position))
	return out.flush()
}

type docImportCmd struct {
	target
	documentArg
	updateArg
	New      bool   `help:"Only into a document that does not exist yet." env:"-"`
	Position string `help:"Only while the document is at this position." placeholder:"N" env:"-"`
	rehearsal
	jsonFlag
}

// Run applies an update.
func (c *docImportCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, c.use(), func(ctx context.Context, api *client) error {
		r := c.order(c.request(http.MethodPost, "updates"))
		r.header = http.Header{}
		if c.New {
			r.header.Set("If-None-Match", "*")
		}
		if c.Position != "" {
			r.header.Set("If-Match", c.Position)
		}
		return c.send(ctx, api, r, c.printer(s))
	})
}

type docSeedCmd struct {
	target
	documentArg
	updateArg
	Key string `help:"Idempotency key: the same key never seeds twice, another one is refused." required:"" env:"-"`
	rehearsal
	jsonFlag
}

// Run seeds a document.
func (c *docSeedCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, c.use(), func(ctx context.Context, api *client) error {
		r := c.order(c.request(http.MethodPut, "seed"))
		r.header = http.Header{"Idempotency-Key": {c.Key}}
		return c.send(ctx, api, r, c.printer(s))
	})
}

type docHistoryCmd struct {
	target
	documentArg
	Since  string `help:"Leave out what came before this time." placeholder:"TIME" env:"-"`
	Until  string `help:"Leave out what came after this time." placeholder:"TIME" env:"-"`
	Pause  string `help:"Rest after which an author's work counts as another stretch." default:"5m" env:"-"`
	Limit  int    `help:"Print at most so many." placeholder:"N" env:"-"`
	Oldest bool   `help:"Oldest first." env:"-"`
	// Generation is 0 for the newest.
	Generation int `help:"Generation of the document; a reset begins the next one. The newest unless given." placeholder:"N" env:"-"`
	jsonFlag
}

// Run prints who edited when.
func (c *docHistoryCmd) Run(ctx context.Context, s streams) error {
	since, err := instant("since", c.Since)
	if err != nil {
		return err
	}
	until, err := instant("until", c.Until)
	if err != nil {
		return err
	}
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		r := c.request(http.MethodGet, "history")
		r.query = url.Values{
			"since": {since}, "until": {until}, "pause": {c.Pause},
			"generation": {strconv.Itoa(c.Generation)},
			"limit":      {strconv.Itoa(c.Limit)}, "newest_first": {strconv.FormatBool(!c.Oldest)},
		}
		out := c.printer(s, "FROM", "TO", "AUTHOR", "POSITIONS", "ENTRIES", "INSERTED", "DELETED")
		err := api.lines(ctx, r, &struct{}{}, func(_ string, value json.RawMessage) error {
			var t snapshots.Stint
			if err := json.Unmarshal(value, &t); err != nil {
				return err
			}
			out.row(t, t.Start, t.End, t.Author, fmt.Sprintf("%d-%d", t.First, t.Last), t.Entries, t.Inserted, t.Deleted)
			return nil
		})
		return errors.Join(err, out.flush())
	})
}

type docAuthorsCmd struct {
	target
	documentArg
	atFlag
	jsonFlag
}

// Run prints who wrote what is there.
func (c *docAuthorsCmd) Run(ctx context.Context, s streams) error {
	at, err := moment(c.At)
	if err != nil {
		return err
	}
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		r := c.request(http.MethodGet, "authors")
		r.query.Set("at", at)
		return api.diff(ctx, r, c.printer(s))
	})
}

type docEraseCmd struct {
	target
	documentArg
	confirm
	jsonFlag
}

// Run erases a document.
func (c *docEraseCmd) Run(ctx context.Context, s streams) error {
	if err := c.ask(s, fmt.Sprintf("Erasing %q removes its log, snapshots and history for good, and nobody can use its name again.", c.Document)); err != nil {
		return err
	}
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request(http.MethodDelete))
		out := c.printer(s)
		return show(ctx, client, r, out, func(e api.Erased) {
			out.row(e, e.Document, c.did("erased"))
			for _, line := range [][]any{
				{"log entries", e.Entries},
				{"snapshots", fmt.Sprintf("%d, %v", e.Snapshots.Count, size(e.Snapshots.Bytes))},
				{"history segments", fmt.Sprintf("%d, %v", e.Segments.Count, size(e.Segments.Bytes))},
				{"sessions closed", e.Sessions},
				{"files removed", fmt.Sprintf("%d, %v", e.Files, size(e.Bytes))},
			} {
				out.row(nil, line...)
			}
		})
	})
}

type docExplainCmd struct {
	target
	documentArg
	Follow bool `help:"Go on and print what changes, once a second, until a signal." env:"-"`
	jsonFlag
}

// Run prints the state of a document.
func (c *docExplainCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		if c.Follow {
			return c.follow(ctx, s, client)
		}
		out := c.printer(s)
		return show(ctx, client, c.request(http.MethodGet), out, func(e api.Explanation) {
			out.row(e, "document", e.Document.Document)
			for _, line := range explained(&e) {
				out.row(nil, line...)
			}
		})
	})
}

// follow prints the state, and then what is different from the second before. What
// JSON tells of it is the whole.
func (c *docExplainCmd) follow(ctx context.Context, s streams, client *client) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := map[string]bool{}
	for {
		out := c.printer(s)
		err := show(ctx, client, c.request(http.MethodGet), out, func(e api.Explanation) {
			now := map[string]bool{}
			at := time.Now().Format("15:04:05")
			var changed [][]any
			for _, line := range explained(&e) {
				text := fmt.Sprint(line...)
				if now[text] = true; !before[text] {
					changed = append(changed, append([]any{at}, line...))
				}
			}
			before = now
			if len(changed) > 0 {
				out.row(e, changed[0]...)
				for _, line := range changed[1:] {
					out.row(nil, line...)
				}
			}
		})
		if ctx.Err() != nil {
			return nil // it was told to stop
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// explained are the lines about a document, for people.
func explained(e *api.Explanation) [][]any {
	lines := [][]any{
		{"generation, epoch", fmt.Sprintf("%d, %d", e.Generation, e.Epoch)},
		{"position", fmt.Sprintf("%d, of %s", e.Position, cell(e.Updated))},
		{"log", fmt.Sprintf("entries %d to %d; snapshots at %s and %s; history up to %d", e.Log.Trimmed+1, e.Log.Head, position(e.Log.Newest), position(e.Log.Previous), e.Log.Segmented)},
		{"snapshot files", fmt.Sprintf("%d, %v, newest %s", e.Snapshots.Count, size(e.Snapshots.Bytes), cell(e.Snapshots.Newest))},
		{"history files", fmt.Sprintf("%d, %v, newest %s", e.Segments.Count, size(e.Segments.Bytes), cell(e.Segments.Newest))},
		{"every moment", fmt.Sprintf("since position %d", e.Since)},
		{"seed key", e.SeedKey},
	}
	if e.Erased != nil {
		return append(lines, []any{"erased", e.Erased})
	}
	if q := e.Quarantined; q != nil {
		lines = append(lines, []any{"quarantined", fmt.Sprintf("since %s: %s", cell(q.Since), q.Reason)})
	}
	for _, r := range e.Refused {
		lines = append(lines, []any{"refused update", fmt.Sprintf("%v of %s: %s", size(r.Bytes), cell(r.Time), cmp.Or(r.Damage, r.Reason))})
	}
	if z := e.Sizes; z != nil {
		lines = append(lines, []any{"log size", size(z.LogBytes)})
		if z.DamagedEntries > 0 {
			lines = append(lines, []any{"damaged log entries", z.DamagedEntries})
		}
	}
	if damaged := e.Snapshots.Damaged + e.Segments.Damaged; damaged > 0 {
		lines = append(lines, []any{"damaged files", damaged})
	}
	m := e.Memory
	if m == nil {
		return append(lines, []any{"in memory", "no"})
	}
	return append(lines,
		[]any{"in memory", fmt.Sprintf("%v of at most %v", size(m.Bytes), size(e.Limits.DocumentBytes))},
		[]any{"units", fmt.Sprintf("%d live, %d deleted: %.1f for each", e.Sizes.LiveUnits, e.Sizes.DeletedUnits, e.Sizes.DeletedPerLive)},
		[]any{"sessions", fmt.Sprintf("%d, %d of them may write; %d shown as present", m.Sessions, m.Writers, m.Presences)},
		[]any{"committed", fmt.Sprintf("up to %d of %d; %v not yet", m.Committed, m.Version, size(m.UncommittedBytes))},
		[]any{"pending", fmt.Sprintf("%d blocks and %d deletions, %v of at most %v", m.PendingBlocks, m.PendingDeletes, size(m.PendingBytes), size(e.Limits.PendingBytes))},
		[]any{"log tail", fmt.Sprintf("%d entries, %v, to replay on a load", m.TailEntries, size(m.TailBytes))},
		[]any{"history since", fmt.Sprintf("%s waits to be stored", cell(m.Unsegmented))},
	)
}
