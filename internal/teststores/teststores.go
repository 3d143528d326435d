//go:build unix

// Package teststores gives tests the stores that a server can have: those in its
// data folder, and PostgreSQL with a bucket. One database server and one S3
// server serve all tests of a process; each test has a database and a bucket of
// its own there.
package teststores

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ysync/internal/canary"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
)

// Stores are where a server keeps its documents. The zero value is its data folder.
type Stores struct {
	// Log is the URL of the database, Snapshots that of the bucket.
	Log, Snapshots string
	// Files is the folder in which the objects of the bucket are files.
	Files string
}

// Env is what names the stores in the environment of `ysync`. The password of the
// database, which it does not ask for, is one that no test may find anywhere.
func (s Stores) Env() []string {
	if s == (Stores{}) {
		return nil
	}
	env := []string{"YSYNC_LOG=" + strings.Replace(s.Log, "postgres@", "postgres:"+canary.Mark+".database@", 1), "YSYNC_SNAPSHOTS=" + s.Snapshots}
	for name, value := range s3test.Environment() {
		env = append(env, name+"="+value)
	}
	return env
}

// Each runs a test on the embedded stores and, as "Postgres", on a database with
// a bucket.
func Each(t *testing.T, f func(t *testing.T, s Stores)) {
	t.Run("Embedded", func(t *testing.T) { f(t, Stores{}) })
	t.Run("Postgres", func(t *testing.T) { f(t, External(t)) })
}

// servers are the ones of this process, started when a test first needs them.
var servers struct {
	mu       sync.Mutex
	database *testpg.Server
	store    *s3test.Server
	files    string
	made     int // databases and buckets
}

// External is an empty database and an empty bucket, with the credentials in the
// environment of the process. A test whose servers cannot
// be started ends: it says so, or fails when CI=true. The package's TestMain has
// to use Run.
func External(t testing.TB) Stores {
	t.Helper()
	testpg.Need(t)
	s3test.Need(t)
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if err := start(); err != nil {
		t.Fatal(err)
	}
	servers.made++
	name := fmt.Sprintf("stores-%d", servers.made)
	bucket := servers.store.Bucket(t, name)
	return Stores{
		Log:       servers.database.Database(t),
		Snapshots: fmt.Sprintf("s3://%s/ysync?endpoint=%s", bucket, servers.store.Endpoint),
		Files:     filepath.Join(servers.files, bucket),
	}
}

// WithoutLog are the same stores when the database is lost: with an empty one.
func (s Stores) WithoutLog(t testing.TB) Stores {
	t.Helper()
	servers.mu.Lock()
	defer servers.mu.Unlock()
	s.Log = servers.database.Database(t)
	return s
}

func start() error {
	var err error
	if servers.database == nil {
		if servers.database, err = testpg.New("", "max_connections=300"); err != nil {
			return err
		}
	}
	if servers.store == nil {
		if servers.files, err = os.MkdirTemp("", "ysync-s3-"); err != nil {
			return err
		}
		for name, value := range s3test.Environment() {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
		servers.store, err = s3test.New(servers.files)
	}
	return err
}

// stop ends the servers and removes what they hold.
func stop() error {
	servers.mu.Lock()
	defer servers.mu.Unlock()
	var errs []error
	if servers.database != nil {
		errs = append(errs, servers.database.Remove())
	}
	if servers.store != nil {
		errs = append(errs, servers.store.Stop())
	}
	if servers.files != "" {
		errs = append(errs, os.RemoveAll(servers.files))
	}
	return errors.Join(errs...)
}

// Run runs the tests of a package and ends the servers. It returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}
