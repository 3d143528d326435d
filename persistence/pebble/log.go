package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"ysync/internal/syncqueue"
	"ysync/persistence"
	"ysync/persistence/internal/calls"
)

// formatVersion is the version of the layout that this release writes. It reads
// version 1 too, in which each entry has a key of its own.
const formatVersion = 2

// databaseFormat is the database's own format. It is named, not "the newest",
// so that an update of the library alone never makes a folder unreadable for
// the release before. It has checksums in file footers and tells a torn end
// of the write-ahead log from damage inside it.
const databaseFormat = pebble.FormatTableFormatV6

var _ persistence.Log = (*Log)(nil)

// Log is an open log. It implements persistence.Log.
type Log struct {
	// Static after Open.
	db            *pebble.DB
	files         vfs.FS // without the stopper
	memTableBytes int
	lock          *pebble.Lock
	health        func() error // ends the disk health checks
	cache         *cache
	space         *space
	stopper       *stopper
	calls         *calls.Gate

	// commits is held for reading by whoever hands a write to the database, for
	// writing by Checkpoint.
	commits sync.RWMutex
}

// Open opens the log in a folder, creating it if need be. Errors:
// persistence.ErrLocked when another process, or this one, has it open,
// ErrNewerFormat, ErrCorrupt, or the file system's.
func Open(o Options) (*Log, error) {
	l, err := open(o.withDefaults())
	if err != nil {
		return nil, &persistence.Error{Op: "open", Err: fmt.Errorf("folder %s: %w", o.Dir, err)}
	}
	return l, nil
}

func open(o Options) (_ *Log, err error) {
	if o.Dir == "" {
		return nil, fmt.Errorf("%w: no folder is named", persistence.ErrInvalid)
	}
	if err := makeFolder(o.FS, o.Dir); err != nil {
		return nil, err
	}
	l := &Log{cache: newCache(o.Records), calls: calls.New(), health: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.releaseFolder())
		}
	}()
	files := o.FS
	if files == vfs.Default {
		// The lock is known by the folder's path: two paths to one folder must
		// not pass for two folders.
		if o.Dir, err = canonical(o.Dir); err != nil {
			return nil, err
		}
		queued, unqueue := syncqueue.Logs(syncqueue.Others(files))
		checked, checks := vfs.WithDiskHealthChecks(queued, 5*time.Second, nil, func(info vfs.DiskSlowInfo) {
			o.Logger.Warn("the disk is slow", zap.Stringer("what", info))
		})
		files, l.health = checked, func() error { return errors.Join(checks.Close(), unqueue()) }
	}
	if l.lock, err = pebble.LockDirectory(o.Dir, files); err != nil {
		return nil, lockError(err)
	}
	if err := checkFiles(files, o.Dir); err != nil {
		return nil, err
	}
	l.files, l.memTableBytes = files, o.MemTableBytes
	l.space = newSpace(o)
	l.stopper = &stopper{log: o.Logger, dir: o.Dir, exit: o.exit}
	l.space.putBallast(files)
	if l.db, err = pebble.Open(o.Dir, databaseOptions(o, l, files)); err != nil {
		return nil, openError(err)
	}
	if err := l.checkFormat(); err != nil {
		return nil, errors.Join(err, l.db.Close())
	}
	return l, nil
}

// databaseOptions are the database's options for ours.
func databaseOptions(o Options, l *Log, files vfs.FS) *pebble.Options {
	options := &pebble.Options{
		CacheSize:          int64(o.CacheBytes),
		FS:                 &stopFS{FS: files, stopper: l.stopper, space: l.space},
		Lock:               l.lock,
		FormatMajorVersion: databaseFormat,
		MemTableSize:       uint64(o.MemTableBytes),
		// Trimmed documents give their space back without waiting for traffic.
		FlushDelayDeleteRange: 10 * time.Second,
		Logger:                databaseLogger{log: o.Logger.Sugar(), stopper: l.stopper},
	}
	if o.Logger.Core().Enabled(zap.DebugLevel) {
		options.AddEventListener(pebble.MakeLoggingEventListener(options.Logger))
	}
	options.AddEventListener(pebble.EventListener{
		BackgroundError: func(err error) { l.stopper.background(err) },
		// Damage in one file must not stop the documents that lie elsewhere;
		// whoever reads the damaged ones gets the error.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			o.Logger.Error("a file of the log is damaged", zap.Stringer("what", info))
		},
	})
	return options
}

// makeFolder creates a folder and makes its entry in the parent durable.
func makeFolder(files vfs.FS, dir string) error {
	if info, err := files.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := files.PathDir(dir)
	if parent != dir {
		if err := makeFolder(files, parent); err != nil {
			return err
		}
	}
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d, err := files.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// canonical is the one path of a folder.
func canonical(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// lockError tells a folder in use from one that can't be used: opening the
// lock's file fails with a path, taking the lock without.
func lockError(err error) error {
	var opening *fs.PathError
	if errors.As(err, &opening) {
		return err
	}
	return fmt.Errorf("%w (%w)", persistence.ErrLocked, err)
}

// checkFormat reads the version of the layout, and writes it to a new database.
func (l *Log) checkFormat() error {
	value, closer, err := l.db.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return l.startFormat()
	}
	if err != nil {
		return storeError(err)
	}
	version, err := strconv.ParseUint(string(value), 10, 32)
	if err := closer.Close(); err != nil {
		return err
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: unreadable format version", persistence.ErrCorrupt)
	case version > formatVersion:
		return fmt.Errorf("%w: format %d, this release reads up to %d", persistence.ErrNewerFormat, version, formatVersion)
	case version == 0:
		return fmt.Errorf("%w: format version %d", persistence.ErrCorrupt, version)
	case version < formatVersion:
		// Before anything is written that the release before would not understand.
		return storeError(l.setFormat())
	}
	return nil
}

// startFormat writes the version of the layout to an empty database.
func (l *Log) startFormat() error {
	it, err := l.db.NewIter(nil)
	if err != nil {
		return storeError(err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return storeError(err)
	}
	if !empty {
		return fmt.Errorf("%w: the format version is missing", persistence.ErrCorrupt)
	}
	if err := l.setFormat(); err != nil {
		return err
	}
	// The database began its first write-ahead log before it took up its format,
	// so damage inside could not be told from a torn end. A flush begins the next.
	return l.db.Flush()
}

func (l *Log) setFormat() error {
	return l.db.Set(formatKey, strconv.AppendUint(nil, formatVersion, 10), pebble.Sync)
}

// ReadOnly reports whether appends are refused for want of disk space.
func (l *Log) ReadOnly() bool { return l.space.refuses(0) }

// Close implements persistence.Log.
func (l *Log) Close() error {
	if err := l.calls.Shut(); err != nil {
		return &persistence.Error{Op: "close", Err: err}
	}
	if err := errors.Join(l.db.Close(), l.releaseFolder()); err != nil {
		return &persistence.Error{Op: "close", Err: err}
	}
	return nil
}

// releaseFolder gives up the folder's lock, after the database was closed.
func (l *Log) releaseFolder() error {
	var err error
	if l.lock != nil {
		err = l.lock.Close()
	}
	return errors.Join(err, l.health())
}
