package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"ysync/internal/api"
	"ysync/snapshots"
)

type docRepairCmd struct {
	target
	documentArg
	rehearsal
	jsonFlag
}

// Run repairs a document.
func (c *docRepairCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request(http.MethodPost, "repair"))
		out := c.printer(s)
		return show(ctx, client, r, out, func(report snapshots.Repair) {
			out.row(report, report.Document, repaired(&report, c.DryRun))
			if report.Damage != "" {
				out.row(nil, "could not be loaded", report.Damage)
			}
			for _, f := range report.Findings {
				out.row(nil, f.What, found(f), f.Damage)
				out.row(nil, " ", " ", f.Remedy)
				if f.Aside != "" {
					out.row(nil, " ", " ", "the damaged bytes are in "+f.Aside)
				}
			}
			if report.Lost > 0 {
				out.row(nil, "lost", fmt.Sprintf("%d entries, until a client that has them comes", report.Lost))
			}
			if report.Snapshot != "" {
				out.row(nil, "stored", report.Snapshot)
			}
		})
	})
}

func repaired(r *snapshots.Repair, dry bool) string {
	switch {
	case r.Repaired:
		return fmt.Sprintf("repaired, at position %d", r.Position)
	case dry && len(r.Findings) > 0:
		return fmt.Sprintf("%d findings, at position %d; nothing was changed", len(r.Findings), r.Position)
	case len(r.Findings) > 0:
		return "there is nothing that a repair could do"
	}
	return "nothing is damaged"
}

// found is where a finding is, for people.
func found(f snapshots.Finding) string {
	switch {
	case f.To == f.From+1:
		return fmt.Sprint("position ", f.To)
	case f.To > 0 && f.From > 0:
		return fmt.Sprintf("positions %d to %d", f.From+1, f.To)
	case f.To > 0:
		return fmt.Sprint("up to position ", f.To)
	}
	return ""
}

type docRetryCmd struct {
	Server string `help:"Operations address of the running server, as http://127.0.0.1:8788 (its --ops)." placeholder:"URL" required:""`
	Token  string `help:"Bearer token for --server; better set YSYNC_TOKEN." placeholder:"TOKEN"`
	documentArg
	jsonFlag
}

// Run ends a quarantine, which only a running server has.
func (c *docRetryCmd) Run(ctx context.Context, s streams) error {
	at := target{Server: c.Server, Token: c.Token}
	return at.with(ctx, s, own, func(ctx context.Context, client *client) error {
		var r api.Retried
		if err := client.json(ctx, c.request(http.MethodPost, "retry"), &r); err != nil {
			return err
		}
		out := c.printer(s)
		if r.Loaded {
			out.row(r, r.Document, "is served")
			return out.flush()
		}
		out.row(r, r.Document, "stays in quarantine", r.Quarantine.Reason)
		return errors.Join(out.flush(), &exitError{exitData, errors.New("the document is damaged: see ysync doc repair")})
	})
}

type docRefusedCmd struct {
	target
	Document string `arg:"" optional:"" help:"Name of the document; all without it, which lists the whole store of snapshots."`
	ID       string `arg:"" optional:"" help:"The update to write or to remove."`
	Output   string `help:"File to write it to, - for standard output. A file that exists is not overwritten." short:"o" default:"-" env:"-"`
	Drop     bool   `help:"Remove it." env:"-"`
	jsonFlag
}

// Validate refuses a name that no document can have, and --drop without an ID.
func (c *docRefusedCmd) Validate() error {
	if c.Drop && c.ID == "" {
		return &exitError{exitUsage, errors.New("--drop: name the update to remove")}
	}
	if c.Document == "" {
		return nil
	}
	return documentArg{c.Document}.Validate()
}

// Run lists refused updates, or writes or removes one.
func (c *docRefusedCmd) Run(ctx context.Context, s streams) error {
	switch {
	case c.ID == "":
		return c.with(ctx, s, look, func(ctx context.Context, api *client) error { return c.list(ctx, s, api) })
	case c.Drop:
		return c.with(ctx, s, own, func(ctx context.Context, client *client) error {
			out := c.printer(s)
			return show(ctx, client, onDocument(http.MethodDelete, c.Document, "refused", c.ID), out, func(r api.Refused) {
				out.row(r, r.Document, r.ID, "removed")
			})
		})
	}
	return c.with(ctx, s, look, func(ctx context.Context, api *client) error {
		answer, err := api.do(ctx, onDocument(http.MethodGet, c.Document, "refused", c.ID))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		update, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if c.Output == "-" {
			_, err = s.out.Write(update)
			return err
		}
		return writeNew(c.Output, update)
	})
}

func (c *docRefusedCmd) list(ctx context.Context, s streams, client *client) error {
	out := c.printer(s, "DOCUMENT", "ID", "REFUSED", "SUBJECT", "SIZE", "REASON")
	r := request{method: http.MethodGet, path: []string{"refused"}, query: url.Values{"document": {c.Document}}}
	err := client.lines(ctx, r, &struct{}{}, func(_ string, value json.RawMessage) error {
		var u api.Refused
		if err := json.Unmarshal(value, &u); err != nil {
			return err
		}
		reason := cmp.Or(u.Damage, u.Reason)
		if u.Waiting {
			reason += " (not stored yet)"
		}
		out.row(u, u.Document, u.ID, cell(u.Time), u.Subject, size(u.Bytes), reason)
		return nil
	})
	return errors.Join(err, out.flush())
}

type docCopyCmd struct {
	target
	documentArg
	Into string `arg:"" help:"Name of the new document."`
	rehearsal
	jsonFlag
}

// Run copies a document.
func (c *docCopyCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request(http.MethodPost, "copy"))
		r.body = api.CopyOrder{Into: c.Into}
		var t api.Restored
		if err := client.json(ctx, r, &t); err != nil {
			return err
		}
		out := c.printer(s)
		verb := "holds"
		if c.DryRun {
			verb = "would hold"
		}
		out.row(t, t.Document, fmt.Sprintf("%s %s as of position %d", verb, t.From.Document, t.From.Position))
		return out.flush()
	})
}

// opsArg are steps of an edit.
type opsArg struct {
	Ops string `arg:"" help:"Steps as a JSON array, - to read them from standard input: {\"op\": \"set\", \"path\": [\"meta\", \"title\"], \"value\": \"Plan\"}, {\"op\": \"text\", \"path\": [\"body\"], \"at\": 0, \"insert\": \"Hello\"}, insert, remove; see docs/API.md."`
}

func (a opsArg) order() (o api.EditOrder, err error) {
	content := []byte(a.Ops)
	if a.Ops == "-" {
		if content, err = io.ReadAll(os.Stdin); err != nil {
			return o, err
		}
	}
	if err := json.Unmarshal(content, &o.Ops); err != nil {
		return o, &exitError{exitUsage, fmt.Errorf("the steps are no JSON array: %w", err)}
	}
	return o, nil
}

type docEditCmd struct {
	target
	documentArg
	opsArg
	Position string `help:"Only while the document is at this position." placeholder:"N" env:"-"`
	rehearsal
	jsonFlag
}

// Run edits a document.
func (c *docEditCmd) Run(ctx context.Context, s streams) error {
	r := c.request(http.MethodPost, "edit")
	if c.Position != "" {
		r.header = http.Header{"If-Match": {c.Position}}
	}
	return c.change(ctx, s, c.target, c.rehearsal, r, c.jsonFlag)
}

type docCreateCmd struct {
	target
	documentArg
	opsArg
	rehearsal
	jsonFlag
}

// Run creates a document.
func (c *docCreateCmd) Run(ctx context.Context, s streams) error {
	return c.change(ctx, s, c.target, c.rehearsal, c.request(http.MethodPut), c.jsonFlag)
}

// change sends the steps and prints the answer.
func (a opsArg) change(ctx context.Context, s streams, at target, how rehearsal, r request, format jsonFlag) error {
	order, err := a.order()
	if err != nil {
		return err
	}
	return at.with(ctx, s, how.use(), func(ctx context.Context, client *client) error {
		r = how.order(r)
		r.body = order
		var done api.Applied
		if err := client.json(ctx, r, &done); err != nil {
			return err
		}
		return printApplied(format.printer(s), done)
	})
}

// aside is a folder for damaged bytes.
type aside string

// keep writes a file into the folder, durably. Where another one of that name
// is, the new one gets a number.
func (a aside) keep(name string, content []byte) (string, error) {
	if err := os.MkdirAll(string(a), 0o750); err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		at := filepath.Join(string(a), name)
		if n > 0 {
			at += fmt.Sprint(".", n)
		}
		err := writeNew(at, content)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return at, syncFolder(string(a))
	}
}

// scrubFile keeps the state of the scrub in the data folder.
type scrubFile string

var _ snapshots.ScrubStates = scrubFile("")

// Load implements snapshots.ScrubStates.
func (f scrubFile) Load() (state snapshots.ScrubState, err error) {
	text, err := os.ReadFile(filepath.Join(string(f), scrubName))
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	return state, json.Unmarshal(text, &state)
}

// Save implements snapshots.ScrubStates.
func (f scrubFile) Save(state snapshots.ScrubState) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return writeMark(string(f), scrubName, string(text))
}
