package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"ysync/persistence"
	"ysync/persistence/postgres"
)

// use is what a command does with a log that several processes may have open.
type use uint8

const (
	// look reads. The server may run meanwhile.
	look use = iota
	// own serves the documents: tables are migrated, the folder is locked.
	own
)

// openLog opens the update log at a URL, or the one in the data folder when
// there is no URL.
func openLog(ctx context.Context, path, url string, what use, logger *zap.Logger) (*folder, error) {
	if url == "" {
		return openFolder(path, logger)
	}
	if err := checkURL(url); err != nil {
		return nil, err
	}
	if err := checkFormat(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, logFolder)); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, &exitError{exitUsage, fmt.Errorf("the data folder %s has an update log of its own, which --log would hide: name another folder", path)})
	}
	unlock := func() error { return nil }
	if what == own {
		lock, err := cockroach.LockDirectory(path, vfs.Default)
		if err != nil {
			return nil, &exitError{exitInUse, fmt.Errorf("the data folder %s is in use by another process (%w)", path, err)}
		}
		unlock = lock.Close
	}
	f, err := openPostgres(ctx, url, what, logger)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	f.unlock = unlock
	if what == own {
		if err := writeMark(path, elsewhereFile, "postgres"); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// openElsewhere opens the update log at a URL for who has no data folder.
func openElsewhere(ctx context.Context, _, url string, what use, logger *zap.Logger) (*folder, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	return openPostgres(ctx, url, what, logger)
}

func checkURL(url string) error {
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		return nil
	}
	return &exitError{exitUsage, errors.New("--log: want a URL such as postgres://user:password@host/database")}
}

func openPostgres(ctx context.Context, url string, what use, logger *zap.Logger) (*folder, error) {
	o := postgres.Options{URL: url, Logger: logger, Schema: postgres.Require}
	if what == own {
		o.Schema = postgres.Migrate
	}
	log, err := postgres.Open(ctx, o)
	switch {
	case errors.Is(err, persistence.ErrInvalid):
		return nil, &exitError{exitUsage, fmt.Errorf("--log: %w", err)}
	case errors.Is(err, persistence.ErrNewerFormat):
		return nil, &exitError{exitData, err}
	case err != nil:
		return nil, err
	}
	d := log.Durability()
	return &folder{
		log: log,
		about: []zap.Field{
			zap.String("log", log.Address()), zap.String("postgres", d.Server), zap.Stringer("durability", d),
		},
		status: func() any { return logStatus{log.Address(), d, log.Health()} },
	}, nil
}

// logStatus is what /status shows of a log in PostgreSQL.
type logStatus struct {
	Address    string              `json:"address"`
	Durability postgres.Durability `json:"durability"`
	Health     postgres.Health     `json:"health"`
}
