package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ysync/internal/api"
	"ysync/snapshots"
)

type snapshotCmd struct {
	List    snapshotListCmd    `cmd:"" help:"List the stored states of a document."`
	Show    snapshotShowCmd    `cmd:"" help:"Show a document at a moment."`
	Create  snapshotCreateCmd  `cmd:"" help:"Store a document's state now, under a label that is kept for ever."`
	Restore snapshotRestoreCmd `cmd:"" help:"Bring a moment back: into a new document, or in place while people work."`
	Diff    snapshotDiffCmd    `cmd:"" help:"Show what changed between two moments, and by whom."`
	Verify  snapshotVerifyCmd  `cmd:"" help:"Read all stored files and log entries and load all documents; exit code 4 when something is damaged."`
	Prune   snapshotPruneCmd   `cmd:"" help:"Thin the history out by age."`
	Rebuild snapshotRebuildCmd `cmd:"" help:"Fill an empty update log from the stored files, when the database or the log folder is lost."`
}

type snapshotListCmd struct {
	target
	documentArg
	jsonFlag
}

// Run lists the stored states.
func (c *snapshotListCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		out := c.printer(s, "GENERATION", "POSITION", "TIME", "LABEL", "STATE", "STORED", "USE")
		err := client.lines(ctx, c.request(http.MethodGet, "snapshots"), &struct{}{}, func(_ string, value json.RawMessage) error {
			var t api.Snapshot
			if err := json.Unmarshal(value, &t); err != nil {
				return err
			}
			use := t.Use
			if t.Damage != "" {
				use = "damaged: " + t.Damage
			}
			out.row(t, t.Generation, t.Position, t.Time, t.Label, size(t.StateBytes), size(t.StoredBytes), use)
			return nil
		})
		return errors.Join(err, out.flush())
	})
}

// momentArg is a moment of a document.
type momentArg struct {
	Moment string `arg:"" help:"Moment: \"2026-11-17 14:05\", 2026-11-17T14:05:00Z, \"2h ago\", \"#1234\" (a position), label:NAME."`
}

type snapshotShowCmd struct {
	target
	documentArg
	momentArg
	jsonFlag
}

// shown is a document at a moment.
type shown struct {
	Document string          `json:"document"`
	Position uint64          `json:"position"`
	Time     string          `json:"time,omitempty"`
	Short    string          `json:"short,omitempty"`
	Content  json.RawMessage `json:"content"`
}

// Run shows a document at a moment.
func (c *snapshotShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		body, header, err := client.content(ctx, s, c.Document, c.Moment, "json", "")
		if err != nil {
			return err
		}
		at, err := strconv.ParseUint(header.Get(api.HeaderPosition), 10, 64)
		if err != nil {
			return err
		}
		v := shown{c.Document, at, header.Get(api.HeaderTime), header.Get(api.HeaderShort), body}
		out := c.printer(s)
		out.row(v, "document", v.Document)
		out.row(nil, "position", position(v.Position))
		out.row(nil, "time", v.Time)
		out.row(nil, "content", strings.TrimSpace(string(body)))
		return out.flush()
	})
}

type snapshotCreateCmd struct {
	target
	documentArg
	Label string `help:"Name of the moment; a labelled snapshot is kept for ever." env:"-"`
	jsonFlag
}

// Run stores a snapshot.
func (c *snapshotCreateCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, own, func(ctx context.Context, client *client) error {
		r := c.request(http.MethodPost, "snapshots")
		r.body = api.SnapshotOrder{Label: c.Label}
		out := c.printer(s)
		return show(ctx, client, r, out, func(t api.Stored) {
			out.row(t, t.Document, fmt.Sprint("stored at position ", t.Position), t.Label)
		})
	})
}

type snapshotRestoreCmd struct {
	target
	documentArg
	momentArg
	Into    string `help:"Restore into this new document." xor:"where" required:"" env:"-"`
	InPlace bool   `help:"Revert the document itself, by ordinary edits that merge with those of the people in it." xor:"where" required:"" env:"-"`
	rehearsal
	jsonFlag
}

// Run restores a moment.
func (c *snapshotRestoreCmd) Run(ctx context.Context, s streams) error {
	at, err := moment(c.Moment)
	if err != nil {
		return err
	}
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request(http.MethodPost, "restore"))
		r.body = api.RestoreOrder{At: at, Into: c.Into, InPlace: c.InPlace}
		out := c.printer(s)
		return show(ctx, client, r, out, func(t api.Restored) {
			out.row(t, "restored", fmt.Sprintf("%s at %s", t.From.Document, shownMoment(t.From)))
			if t.From.Short != "" {
				out.row(nil, "earlier than asked", t.From.Short)
			}
			out.row(nil, "document", t.Document)
			switch {
			case c.DryRun:
				out.row(nil, "would make, delete", fmt.Sprintf("%d, %d units; nothing was changed", t.Added, t.Deleted))
			default:
				out.row(nil, "made, deleted", fmt.Sprintf("%d, %d units", t.Added, t.Deleted))
				out.row(nil, "position", t.Position)
			}
			if t.Undo != "" {
				out.row(nil, "to undo", fmt.Sprintf("ysync snapshot restore %s '%s' --in-place", t.Document, t.Undo))
			}
		})
	})
}

type snapshotDiffCmd struct {
	target
	documentArg
	From string `arg:"" help:"Earlier moment, as in snapshot show."`
	To   string `arg:"" optional:"" default:"now" help:"Later moment."`
	jsonFlag
}

// Run prints what changed.
func (c *snapshotDiffCmd) Run(ctx context.Context, s streams) error {
	from, err := moment(c.From)
	if err != nil {
		return err
	}
	to, err := moment(c.To)
	if err != nil {
		return err
	}
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		r := c.request(http.MethodGet, "diff")
		r.query.Set("from", from)
		r.query.Set("to", to)
		return client.diff(ctx, r, c.printer(s))
	})
}

// chosen says which documents a command is about.
type chosen struct {
	Document string `arg:"" optional:"" help:"Only this document."`
	Prefix   string `help:"Only documents whose name begins so." env:"-"`
}

func (c chosen) request(what string) request {
	r := request{method: http.MethodPost, path: []string{what}, query: url.Values{}}
	if c.Document != "" {
		r.query.Set("document", c.Document)
	}
	if c.Prefix != "" {
		r.query.Set("prefix", c.Prefix)
	}
	return r
}

type snapshotVerifyCmd struct {
	target
	chosen
	jsonFlag
}

// Run verifies everything that is stored.
func (c *snapshotVerifyCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		progress := newBar()
		out := c.printer(s)
		var end api.Verified
		err := client.lines(ctx, c.request("verify"), &end, func(member string, value json.RawMessage) error {
			switch member {
			case "progress":
				return showProgress(progress, value)
			case "file":
				var f api.File
				if err := json.Unmarshal(value, &f); err != nil {
					return err
				}
				if f.Damage != "" {
					out.row(f, "damaged", f.Document, f.Key, f.Damage)
				}
			case "entry":
				var e api.Entry
				if err := json.Unmarshal(value, &e); err != nil {
					return err
				}
				out.row(e, "damaged", e.Document, fmt.Sprint("log entry ", e.Position), e.Damage)
			case "unreadable":
				var u api.Unreadable
				if err := json.Unmarshal(value, &u); err != nil {
					return err
				}
				out.row(u, "cannot be loaded", u.Document, u.Damage)
			}
			return nil
		})
		progress.done()
		if err != nil {
			return errors.Join(err, out.flush())
		}
		out.row(end, fmt.Sprintf("%d documents, %d files, %d log entries, %v: %d damaged, %d documents cannot be loaded",
			end.Documents, end.Files, end.Entries, size(end.Bytes), end.Damaged, end.Unreadable))
		if err := out.flush(); err != nil {
			return err
		}
		if end.Damaged+end.Unreadable > 0 {
			return &exitError{exitData, errors.New("stored files are damaged")}
		}
		return nil
	})
}

func showProgress(b *bar, value json.RawMessage) error {
	var p api.Progress
	if err := json.Unmarshal(value, &p); err != nil {
		return err
	}
	b.show(p)
	return nil
}

type snapshotPruneCmd struct {
	target
	chosen
	Full   time.Duration `help:"Age up to which every moment is kept." default:"168h" env:"-"`
	Hourly time.Duration `help:"Age up to which the state of every full hour is kept." default:"720h" env:"-"`
	Daily  time.Duration `help:"Age up to which the state of every midnight is kept." default:"2160h" env:"-"`
	confirm
	jsonFlag
}

// Run thins the history out.
func (c *snapshotPruneCmd) Run(ctx context.Context, s streams) error {
	if err := c.ask(s, "Pruning removes history for good."); err != nil {
		return err
	}
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request("prune"))
		r.body = api.PruneOrder{Full: c.Full.String(), Hourly: c.Hourly.String(), Daily: c.Daily.String()}
		progress := newBar()
		out := c.printer(s, "DOCUMENT", "SNAPSHOTS MADE", "FILES REMOVED", "BYTES REMOVED", "FILES KEPT")
		var end api.Pruned
		err := client.lines(ctx, r, &end, func(member string, value json.RawMessage) error {
			if member == "progress" {
				return showProgress(progress, value)
			}
			var p snapshots.Plan
			if err := json.Unmarshal(value, &p); err != nil {
				return err
			}
			out.row(p, p.Document, len(p.Write), p.Removed, size(p.RemovedBytes), p.Kept)
			return nil
		})
		progress.done()
		if err != nil {
			return errors.Join(err, out.flush())
		}
		out.row(end, fmt.Sprintf("%d documents", end.Documents), end.Written, end.Removed, size(end.RemovedBytes), end.Kept)
		return out.flush()
	})
}
