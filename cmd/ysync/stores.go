package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/s3"
	"ysync/snapshots/seal"
)

// storeFlags say where documents are kept when it is not all in the data folder.
type storeFlags struct {
	Log          string   `help:"Update log in PostgreSQL, as postgres://user:password@host/database; empty for one in the data folder. Other users of the machine can read a command line: better set YSYNC_LOG." placeholder:"URL"`
	Snapshots    string   `help:"Bucket for snapshots and history, as s3://bucket/prefix?endpoint=URL&region=NAME&encryption=sse-s3|sse-kms&kms-key=ID&addressing=host|path&checksums=always|required; empty for the data folder. Credentials come from the environment, as for other S3 tools." placeholder:"URL"`
	SnapshotsKey []string `help:"File with a key (head -c 32 /dev/urandom | base64) to encrypt snapshots and history with before they are stored. Further files hold older keys, to read with." placeholder:"FILE"`
}

// open opens the update log and the snapshots.
func (f storeFlags) open(ctx context.Context, path string, what use, logger *zap.Logger) (*folder, error) {
	open := openLog
	if what == look && f.needNoFolder(path) {
		open = openElsewhere
	}
	data, err := open(ctx, path, f.Log, what, logger)
	if err != nil {
		return nil, err
	}
	store, err := f.openSnapshots(ctx, data, path, what, logger)
	if err != nil {
		return nil, errors.Join(err, data.close())
	}
	data.path, data.store = path, store
	data.aside = aside(filepath.Join(path, asideFolder))
	data.keeper = snapshots.New(store, data.log, snapshots.Options{Logger: logger})
	return data, nil
}

// needNoFolder tells whether everything is kept elsewhere and there is no data
// folder at the path: an operator's machine is not the server's.
func (f storeFlags) needNoFolder(path string) bool {
	_, err := os.Stat(path)
	return f.Log != "" && f.Snapshots != "" && errors.Is(err, fs.ErrNotExist)
}

func (f storeFlags) openSnapshots(ctx context.Context, data *folder, path string, what use, logger *zap.Logger) (snapshots.Store, error) {
	var store snapshots.Store
	var err error
	if f.Snapshots == "" {
		data.files, err = openSnapshotFolder(path)
		store = data.files
	} else {
		store, err = f.openBucket(ctx, data, path, what, logger)
	}
	if err != nil || len(f.SnapshotsKey) == 0 {
		return store, err
	}
	var keys [][seal.KeyBytes]byte
	for _, name := range f.SnapshotsKey {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--snapshots-key: %w", err)}
		}
		key, err := seal.ParseKey(text)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--snapshots-key: %s: %w", name, err)}
		}
		keys = append(keys, key)
	}
	return seal.New(store, keys[0], keys[1:]...), nil
}

func openSnapshotFolder(path string) (*dir.Store, error) {
	where, err := os.ReadFile(filepath.Join(path, bucketFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, &exitError{exitUsage, fmt.Errorf("the snapshots of %s are in %s: name the bucket with --snapshots or YSYNC_SNAPSHOTS", path, strings.TrimSpace(string(where)))})
	}
	return dir.Open(vfs.Default, filepath.Join(path, snapshotFolder))
}

// reachWithin bounds how long a start waits for the bucket to answer.
const reachWithin = 5 * time.Second

func (f storeFlags) openBucket(ctx context.Context, data *folder, path string, what use, logger *zap.Logger) (snapshots.Store, error) {
	opts, err := s3.Parse(f.Snapshots)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--snapshots: %w", err)}
	}
	if _, err := os.Stat(filepath.Join(path, snapshotFolder)); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, &exitError{exitUsage, fmt.Errorf("the data folder %s has snapshots of its own, which --snapshots would hide: copy them into the bucket and remove the folder, or name another data folder", path)})
	}
	store, err := s3.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	switch err := store.Reach(soon); {
	case errors.Is(err, s3.ErrRefused):
		return nil, &exitError{exitUsage, fmt.Errorf("--snapshots: %w", err)}
	case err != nil && what == own:
		// Documents whose log reaches back can be served without.
		logger.Error("the bucket of the snapshots does not answer; it is tried again whenever it is needed", zap.Error(err))
	case err != nil:
		return nil, err
	}
	data.about = append(data.about, zap.String("snapshots", store.Location()))
	if what == own {
		return store, writeMark(path, bucketFile, store.Location())
	}
	return store, nil
}
