package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"ysync/crdt"
	"ysync/internal/session"
	"ysync/persistence"
)

type docCmd struct {
	List   docListCmd   `cmd:"" help:"List the documents."`
	Get    docGetCmd    `cmd:"" help:"Print a document's content as JSON."`
	Export docExportCmd `cmd:"" help:"Write a document's whole state, to be applied by any Yjs client."`
}

// dataFlag is what all commands on a data folder have.
type dataFlag struct {
	Data string `help:"Data folder of a server. It must be stopped, unless its update log is in PostgreSQL." default:"./data"`
	storeFlags
}

// open opens the folder. Damage is told on w, one line each.
func (d dataFlag) open(ctx context.Context, s streams) (*folder, error) {
	logger, _ := newLoggers("warn", s.err)
	data, err := d.storeFlags.open(ctx, d.Data, look, logger)
	if exit, ok := errors.AsType[*exitError](err); ok && exit.code == exitInUse {
		return nil, &exitError{exitInUse, fmt.Errorf("%w: stop the server first", exit.err)}
	}
	return data, err
}

// load rebuilds one document.
func (d dataFlag) load(ctx context.Context, s streams, name string) (*crdt.Doc, error) {
	if err := session.CheckName(name); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	data, err := d.open(ctx, s)
	if err != nil {
		return nil, err
	}
	document, record, _, err := data.keeper.Load(ctx, name)
	err = errors.Join(err, data.close())
	switch {
	case errors.Is(err, persistence.ErrErased):
		return nil, &exitError{exitNotFound, fmt.Errorf("the document %q was erased", name)}
	case errors.Is(err, persistence.ErrCorrupt):
		return nil, &exitError{exitData, err}
	case err != nil:
		return nil, err
	case !record.Exists():
		return nil, &exitError{exitNotFound, fmt.Errorf("there is no document %q", name)}
	}
	return document, nil
}

type docListCmd struct {
	dataFlag
	JSON bool `help:"Print one JSON object per document." env:"-"`
}

// listing is one document as `doc list --json` prints it.
type listing struct {
	Document   string     `json:"document"`
	Generation uint64     `json:"generation"`
	Position   uint64     `json:"position"`
	Logged     uint64     `json:"logged_entries"`
	Snapshot   uint64     `json:"snapshot_position"`
	Updated    *time.Time `json:"updated,omitempty"`
	Erased     *time.Time `json:"erased,omitempty"`
}

func newListing(r persistence.Record) listing {
	l := listing{
		Document:   r.Document,
		Generation: uint64(r.Generation),
		Position:   uint64(r.Head),
		Logged:     uint64(r.Head - r.Trimmed),
		Snapshot:   uint64(r.Snapshot.Position),
	}
	if !r.Updated.IsZero() {
		l.Updated = &r.Updated
	}
	if !r.Tombstone.IsZero() {
		l.Erased = &r.Tombstone
	}
	return l
}

// Run lists the documents by name.
func (c *docListCmd) Run(ctx context.Context, s streams) error {
	data, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	encoder := json.NewEncoder(s.out)
	if !c.JSON {
		fmt.Fprintln(out, "DOCUMENT\tPOSITION\tIN LOG\tSNAPSHOT\tUPDATED")
	}
	for record, err := range data.log.List(ctx, "") {
		if err != nil {
			return errors.Join(err, data.close())
		}
		l := newListing(record)
		if c.JSON {
			if err := encoder.Encode(l); err != nil {
				return errors.Join(err, data.close())
			}
			continue
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%s\t%s\n", l.Document, l.Position, l.Logged, position(l.Snapshot), l.when())
	}
	return errors.Join(out.Flush(), data.close())
}

func position(p uint64) string {
	if p == 0 {
		return "-"
	}
	return fmt.Sprint(p)
}

func (l listing) when() string {
	switch {
	case l.Erased != nil:
		return "erased " + l.Erased.Format(time.RFC3339)
	case l.Updated != nil:
		return l.Updated.Format(time.RFC3339)
	default:
		return "-"
	}
}

type docGetCmd struct {
	dataFlag
	Document string `arg:"" help:"Name of the document."`
}

// Run prints the document as JSON: one member per root, its kind inferred from
// what it holds.
func (c *docGetCmd) Run(ctx context.Context, s streams) error {
	document, err := c.load(ctx, s, c.Document)
	if err != nil {
		return err
	}
	_, err = s.out.Write(append(document.AppendJSON(nil, nil), '\n'))
	return err
}

type docExportCmd struct {
	dataFlag
	Document string `arg:"" help:"Name of the document."`
	Format   string `help:"What to write: ${enum}. v1 and v2 are update encodings of Yjs." enum:"v1,v2,json" default:"v1" env:"-"`
	Output   string `help:"File to write, - for standard output. A file that exists is not overwritten." short:"o" default:"-" env:"-"`
}

// Run writes the document's whole state.
func (c *docExportCmd) Run(ctx context.Context, s streams) error {
	document, err := c.load(ctx, s, c.Document)
	if err != nil {
		return err
	}
	var state []byte
	switch c.Format {
	case "v1":
		state = document.AppendStored(nil, crdt.V1)
	case "v2":
		state = document.AppendStored(nil, crdt.V2)
	default:
		state = append(document.AppendJSON(nil, nil), '\n')
	}
	if c.Output == "-" {
		_, err = s.out.Write(state)
		return err
	}
	return writeNew(c.Output, state)
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
