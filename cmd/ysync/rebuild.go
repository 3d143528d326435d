package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"ysync/internal/api"
	"ysync/persistence"
	"ysync/snapshots"
)

type snapshotRebuildCmd struct {
	dataFlag
	DryRun bool `help:"Read the stored files and tell what would be rebuilt if the update log were empty; open no log and write nothing." env:"-"`
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
	logger, _ := newLoggers("fatal", s.err) // failures are told below
	var store snapshots.Store
	var log persistence.Receiver
	if c.DryRun {
		if store, err = c.openSnapshots(ctx, &folder{}, c.Data, look, logger); err != nil {
			return err
		}
	} else {
		if err := prepareFolder(c.Data); err != nil {
			return err
		}
		data, failed := c.open(ctx, s, own)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, data.close()) }()
		var ok bool
		if log, ok = data.log.(persistence.Receiver); !ok {
			return errors.New("this update log cannot be rebuilt")
		}
		store = data.store
	}
	return c.rebuild(ctx, s, store, log, logger)
}

func (c *snapshotRebuildCmd) rebuild(ctx context.Context, s streams, store snapshots.Store, log persistence.Receiver, logger *zap.Logger) error {
	progress, out := newBar(), c.printer(s)
	end, err := snapshots.Rebuild(ctx, store, log, snapshots.RebuildOptions{
		Logger: logger, DryRun: c.DryRun,
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
	verb := "rebuilt"
	if c.DryRun {
		verb = "would be rebuilt"
	}
	out.row(end, fmt.Sprintf("%d documents: %d "+verb+" with %d entries, %d were there, %d failed", end.Total, end.Rebuilt, end.Entries, end.Present, end.Failed))
	if err := out.flush(); err != nil {
		return err
	}
	if end.Failed > 0 {
		return &exitError{exitData, errors.New("not everything could be rebuilt")}
	}
	return nil
}
