package pebble_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/persistence/persistencetest"
)

// The suite on a file system in memory; it opens hundreds of stores.
func TestConformance(t *testing.T) {
	persistencetest.Run(t, func(testing.TB) persistencetest.Reopen {
		o := small("log")
		o.FS = vfs.NewMem()
		return func() (persistence.Log, error) { return open(o) }
	})
}

// The suite on the disk, with the defaults.
func TestConformanceOnDisk(t *testing.T) {
	persistencetest.Run(t, func(t testing.TB) persistencetest.Reopen {
		o := pebble.Options{Dir: t.TempDir(), Space: pebble.Space{BallastBytes: -1}}
		return func() (persistence.Log, error) { return open(o) }
	})
}

// small is options for a log that flushes and compacts within a short test.
func small(dir string) pebble.Options {
	return pebble.Options{Dir: dir, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, Records: 4}
}

// open is Open, with an untyped nil for a failure.
func open(o pebble.Options) (persistence.Log, error) {
	l, err := pebble.Open(o)
	if err != nil {
		return nil, err
	}
	return l, nil
}
