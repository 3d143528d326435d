package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"ysync/internal/api"
	"ysync/persistence"
	"ysync/snapshots"
)

type snapshotRebuildCmd struct {
	dataFlag
	jsonFlag
}

// failedDocument is a document that could not be rebuilt.
type failedDocument struct {
	Document string `json:"document"`
	Failure  string `json:"failure"`
}

// Run rebuilds the update log from the snapshots and segments alone. It needs
// the stores for itself: there is no server that could be asked.
func (c *snapshotRebuildCmd) Run(ctx context.Context, s streams) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	go tuneCollector(ctx)
	if err := prepareFolder(c.Data); err != nil {
		return err
	}
	data, err := c.open(ctx, s, own)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	log, ok := data.log.(persistence.Receiver)
	if !ok {
		return errors.New("this update log cannot be rebuilt")
	}
	logger, _ := newLoggers("fatal", s.err) // failures are told below
	progress, out := newBar(), c.printer(s)
	end, err := snapshots.Rebuild(ctx, data.store, log, snapshots.RebuildOptions{
		Logger: logger,
		Progress: func(p snapshots.RebuildProgress) {
			progress.show(api.Progress{What: "documents rebuilt", Done: int64(p.Done), Total: int64(p.Total)})
			if p.Err != nil {
				f := failedDocument{p.Document, p.Err.Error()}
				out.row(f, "failed", f.Document, f.Failure)
			}
		},
	})
	progress.done()
	if err != nil {
		return errors.Join(err, out.flush())
	}
	out.row(end, fmt.Sprintf("%d documents: %d rebuilt with %d entries, %d were there, %d failed", end.Total, end.Rebuilt, end.Entries, end.Present, end.Failed))
	if err := out.flush(); err != nil {
		return err
	}
	if end.Failed > 0 {
		return &exitError{exitData, errors.New("not everything could be rebuilt")}
	}
	return nil
}
