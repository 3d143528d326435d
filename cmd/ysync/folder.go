package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// The data folder:
//
//	FORMAT      the version of this layout, a decimal number
//	log/        the update log, when it is embedded
//	LOG         says that the update log is in PostgreSQL, when it is
//	SNAPSHOTS   names the bucket that the snapshots are in, when they are
//	snapshots/  stored states and history segments, when they are not
//	SCRUB       how far the scrub is
//	RULINGS     what was taken back of rights, when the log is embedded
//	aside/      damaged bytes that repairs have replaced
//	BACKUP      says that it is a backup, and when it was made
//	MOVED       says that the documents were handed over to other stores
const (
	formatFile     = "FORMAT"
	elsewhereFile  = "LOG"
	bucketFile     = "SNAPSHOTS"
	formatVersion  = 1
	logFolder      = "log"
	snapshotFolder = "snapshots"
	scrubName      = "SCRUB"
	rulingsFile    = "RULINGS"
	asideFolder    = "aside"
)

// folder is an open data folder, with the update log in it or elsewhere.
type folder struct {
	path  string
	log   persistence.Log
	store snapshots.Store
	// files are the snapshots where they are in the folder, as they are stored;
	// nil where they are not.
	files  *dir.Store
	keeper *snapshots.Keeper
	// aside is where damaged bytes go.
	aside aside
	// about tells an operator of a log that is elsewhere.
	about []zap.Field
	// status is the same for /status, with the state of now; nil for none.
	status func() any
	// unlock lets others open the folder; nil when the log does that.
	unlock func() error
}

// openFolder opens the embedded log of a data folder that exists. Nobody else
// has it open.
func openFolder(path string, logger *zap.Logger) (*folder, error) {
	if err := checkFormat(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, elsewhereFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, &exitError{exitUsage, fmt.Errorf("the update log of %s is in PostgreSQL: name it with --log or YSYNC_LOG", path)})
	}
	options := pebble.Options{Dir: filepath.Join(path, logFolder), Logger: logger}
	options.MemTableBytes, options.CacheBytes = logMemory(debug.SetMemoryLimit(-1))
	if _, isBackup, err := readBackupMark(path); err != nil {
		return nil, err
	} else if isBackup {
		options.Space.BallastBytes = -1
	}
	log, err := pebble.Open(options)
	switch {
	case errors.Is(err, persistence.ErrLocked):
		return nil, &exitError{exitInUse, fmt.Errorf("the data folder %s is in use by another process", path)}
	case errors.Is(err, persistence.ErrNewerFormat), errors.Is(err, persistence.ErrCorrupt):
		return nil, &exitError{exitData, err}
	case err != nil:
		return nil, err
	}
	// What a backup left behind that died.
	if err := os.RemoveAll(filepath.Join(path, stagingFolder)); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &folder{log: log}, nil
}

// logMemory is what the embedded log may hold in memory of a process that may take
// limit bytes: at most three tables of writes and a cache of reads. Where memory is
// scarce, what is written in a rush must not be held long after it.
func logMemory(limit int64) (table, cache int) {
	return int(min(max(limit/256, 1<<20), 16<<20)), int(min(max(limit/16, 4<<20), 32<<20))
}

// rulingStore has what was taken back of rights: in the database that the log is
// in, or else in the folder.
func (f *folder) rulingStore() (auth.RulingStore, error) {
	if store, ok := f.log.(auth.RulingStore); ok {
		return store, nil
	}
	file, err := auth.OpenRulingFile(filepath.Join(f.path, rulingsFile))
	if err != nil {
		return nil, &exitError{exitData, err}
	}
	return file, nil
}

// rulings are those that the store has, and what other nodes add to it.
func (f *folder) rulings(ctx context.Context, logger *zap.Logger) (*auth.Rulings, error) {
	store, err := f.rulingStore()
	if err != nil {
		return nil, err
	}
	return auth.NewRulings(ctx, store, func(err error) {
		if err != nil {
			logger.Error("what other nodes take back of rights can't be read; what is known stays in force", zap.Error(err))
			return
		}
		logger.Info("what other nodes take back of rights can be read again")
	})
}

func (f *folder) close() error {
	err := f.log.Close()
	if f.unlock != nil {
		err = errors.Join(err, f.unlock())
	}
	return err
}

// prepareFolder makes path a data folder if there is nothing in it yet.
func prepareFolder(path string) error {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, formatFile)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, ownFolder(path)) // nil when it is there: its content is checked on opening
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	for _, entry := range entries {
		// The root of a mounted disk is never quite empty.
		switch name := entry.Name(); {
		case name == "lost+found" || strings.HasPrefix(name, "."):
		case name == backupFile:
			return &exitError{exitData, fmt.Errorf("%s is a backup that was not finished: make it again", path)}
		default:
			return &exitError{exitData, fmt.Errorf("%s is no data folder (it has no file %s) and is not empty: it holds %q", path, formatFile, name)}
		}
	}
	return writeMark(path, formatFile, fmt.Sprint(formatVersion))
}

// ownFolder prepares a data folder for whoever writes to it.
func ownFolder(path string) error {
	if err := checkFormat(path); err != nil {
		return err
	}
	if err := checkMoved(path); err != nil {
		return err
	}
	return endBackup(path)
}

// writeMark writes a file of one line so that it is there whole or not at all.
func writeMark(path, name, line string) error {
	temporary := filepath.Join(path, "."+name)
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, line)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(path, name)); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return syncFolder(path)
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
