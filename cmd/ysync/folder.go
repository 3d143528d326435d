package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// The data folder:
//
//	FORMAT      the version of this layout, a decimal number
//	log/        the update log
//	snapshots/  stored states and history segments
const (
	formatFile     = "FORMAT"
	formatVersion  = 1
	logFolder      = "log"
	snapshotFolder = "snapshots"
)

// folder is an open data folder. Nobody else has it open.
type folder struct {
	log    *pebble.Log
	keeper *snapshots.Keeper
}

// openFolder opens a data folder that exists.
func openFolder(path string, logger *zap.Logger) (*folder, error) {
	if err := checkFormat(path); err != nil {
		return nil, err
	}
	log, err := pebble.Open(pebble.Options{Dir: filepath.Join(path, logFolder), Logger: logger})
	switch {
	case errors.Is(err, persistence.ErrLocked):
		return nil, &exitError{exitInUse, fmt.Errorf("the data folder %s is in use by another process", path)}
	case errors.Is(err, persistence.ErrNewerFormat), errors.Is(err, persistence.ErrCorrupt):
		return nil, &exitError{exitData, err}
	case err != nil:
		return nil, err
	}
	store, err := dir.Open(vfs.Default, filepath.Join(path, snapshotFolder))
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &folder{log: log, keeper: snapshots.New(store, log, snapshots.Options{Logger: logger})}, nil
}

func (f *folder) close() error { return f.log.Close() }

// prepareFolder makes path a data folder if there is nothing in it yet.
func prepareFolder(path string) error {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, formatFile)); !errors.Is(err, fs.ErrNotExist) {
		return err // nil when it is there: its content is checked on opening
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	for _, entry := range entries {
		// The root of a mounted disk is never quite empty.
		if name := entry.Name(); name != "lost+found" && !strings.HasPrefix(name, ".") {
			return &exitError{exitData, fmt.Errorf("%s is no data folder (it has no file %s) and is not empty: it holds %q", path, formatFile, name)}
		}
	}
	return writeFormat(path)
}

// writeFormat writes the version file so that it is there whole or not at all.
func writeFormat(path string) error {
	temporary := filepath.Join(path, "."+formatFile)
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, formatVersion)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(path, formatFile)); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	parent, err := vfs.Default.OpenDir(path)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func checkFormat(path string) error {
	text, err := os.ReadFile(filepath.Join(path, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitData, fmt.Errorf("%s is no data folder: it has no file %s", path, formatFile)}
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case err != nil || version < 1:
		return &exitError{exitData, fmt.Errorf("the data folder %s is damaged: %s says %.40q", path, formatFile, text)}
	case version > formatVersion:
		return &exitError{exitData, fmt.Errorf("the data folder %s has format %d and was written by a newer release; this one reads up to %d", path, version, formatVersion)}
	}
	return nil
}
