package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ysync/internal/s3test"
	"ysync/internal/testpg"
)

// elsewhere is a database and a bucket.
type elsewhere struct {
	database *testpg.Server
	store    *s3test.Server
	// bucket is the folder whose files are the objects.
	bucket string
	// env names both to our server.
	env []string
}

func startElsewhere(dir string) (*elsewhere, error) {
	database, err := startPostgres()
	if err != nil {
		return nil, err
	}
	e := &elsewhere{database: database}
	if err := e.startBucket(filepath.Join(dir, "bucket")); err != nil {
		e.stop()
		return nil, err
	}
	e.env = []string{"YSYNC_LOG=" + database.URL("postgres"), "YSYNC_SNAPSHOTS=s3://ysync?endpoint=" + e.store.Endpoint}
	for k, v := range s3test.Environment() {
		e.env = append(e.env, k+"="+v)
	}
	return e, nil
}

func (e *elsewhere) startBucket(files string) error {
	if err := os.Mkdir(files, 0o750); err != nil {
		return err
	}
	store, err := s3test.New(files)
	if err != nil {
		return err
	}
	e.store, e.bucket = store, filepath.Join(files, "ysync")
	return store.Make("ysync")
}

func (e *elsewhere) stop() {
	err := e.database.Remove()
	if e.store != nil {
		err = errors.Join(err, e.store.Stop())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}
