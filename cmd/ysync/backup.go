package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"ysync/internal/api"
)

type backupCmd struct {
	target
	Dest   string `arg:"" help:"Folder of the backup, on the machine of the server: made if there is none, brought up to date if it is one."`
	Copy   bool   `help:"Copy every file, where hard links would share it with the data folder. On another disk files are always copied." env:"-"`
	Verify bool   `help:"Read the backup at the end, every file and every document." default:"true" negatable:"" env:"-"`
	jsonFlag
}

// backedUp is what `backup --json` prints.
type backedUp struct {
	api.BackedUp
	Verified *api.Verified `json:"verified,omitempty"`
}

// Run makes the backup, by a running server or of the folder of one that is
// stopped, and reads it.
func (c *backupCmd) Run(ctx context.Context, s streams) error {
	dest, err := filepath.Abs(c.Dest)
	if err != nil {
		return err
	}
	end := backedUp{}
	err = c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		progress := newBar()
		defer progress.done()
		r := request{method: http.MethodPost, path: []string{"backup"}, body: api.BackupOrder{To: dest, Copy: c.Copy}}
		return client.lines(ctx, r, &end.BackedUp, func(_ string, value json.RawMessage) error { return showProgress(progress, value) })
	})
	if err != nil {
		return err
	}
	var damage error
	if c.Verify {
		if end.Verified, err = c.verify(ctx, s, dest); err != nil {
			return fmt.Errorf("the backup was made, and cannot be verified: %w", err)
		}
		if end.Verified.Damaged+end.Verified.Unreadable > 0 {
			damage = &exitError{exitData, fmt.Errorf("in the backup %d files are damaged, and %d documents cannot be loaded: `ysync snapshot verify --data %s` names them",
				end.Verified.Damaged, end.Verified.Unreadable, dest)}
		}
	}
	out := c.printer(s)
	text := fmt.Sprintf("%s: %d files of history, %d of them new, %v; the log %v", dest, end.Files, end.NewFiles, size(end.Bytes), size(end.LogBytes))
	if end.Verified != nil {
		text += fmt.Sprintf("; %d documents verified", end.Verified.Documents)
	}
	out.row(end, text)
	return errors.Join(out.flush(), damage)
}

// verify reads all of a backup, as `ysync snapshot verify` does.
func (c *backupCmd) verify(ctx context.Context, s streams, dest string) (*api.Verified, error) {
	stores := dataFlag{Data: dest, storeFlags: storeFlags{SnapshotsKey: c.SnapshotsKey}}
	end := new(api.Verified)
	quiet := streams{s.out, discard{}} // what is damaged is counted
	err := target{dataFlag: stores}.with(ctx, quiet, look, func(ctx context.Context, client *client) error {
		progress := newBar()
		defer progress.done()
		r := request{method: http.MethodPost, path: []string{"verify"}}
		return client.lines(ctx, r, end, func(member string, value json.RawMessage) error {
			if member != "progress" {
				return nil
			}
			return showProgress(progress, value)
		})
	})
	return end, err
}

// discard takes log lines that nobody is to read.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) Sync() error                 { return nil }
