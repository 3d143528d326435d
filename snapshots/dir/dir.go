// Package dir keeps snapshot files in a folder of a file system.
//
// A file is written under tmp/, synced, renamed to its place, and then every
// folder up to the root is synced, so that a power loss at any moment leaves
// the whole file or none. tmp/ is emptied at open: what lies there belongs to
// nobody. The folder has one writer process, which the owner of the data folder
// sees to.
package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/internal/syncqueue"
	"ysync/snapshots"
)

const (
	tmpFolder  = "tmp"
	folderMode = 0o750
	// chunkBytes is the size of one write. The file system may change the
	// bytes it is given, so that every write goes through a scratch buffer.
	chunkBytes = 256 << 10
)

// category names this store's writes in the file system's statistics.
const category vfs.DiskWriteCategory = "ysync-snapshots"

// Store is a folder of immutable files. Its methods may be called from any
// goroutine.
type Store struct {
	// Static after Open.
	fs   vfs.FS
	root string

	mu sync.Mutex // guards the fields below
	// next numbers the temporary files of this process.
	next uint64
	// busy holds the keys that a Put or Delete is working on. Waiting for one
	// means waiting for its channel to close.
	busy map[string]chan struct{}
	// holds counts the calls of Hold that were not released; held is closed
	// when none is left, and nil while there is none.
	holds int
	held  chan struct{}
}

var _ snapshots.Store = (*Store)(nil)

// Open opens the folder, creates it when it is not there, and removes what
// interrupted writes left behind.
func Open(fsys vfs.FS, root string) (*Store, error) {
	if fsys == vfs.Default { // what stands in for a disk in tests judges its syncs itself
		fsys = syncqueue.Others(fsys)
	}
	s := &Store{fs: fsys, root: root, busy: make(map[string]chan struct{})}
	if err := s.create(); err != nil {
		return nil, fmt.Errorf("snapshot folder %s: %w", root, err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("snapshot folder %s: sweep: %w", root, err)
	}
	return s, nil
}

// create makes the root and tmp folders, and makes their names durable.
func (s *Store) create() error {
	// Every folder that has to be made is a name in the one above it.
	parents := []string{s.root, s.fs.PathDir(s.root)}
	for dir := s.fs.PathDir(s.root); ; dir = s.fs.PathDir(dir) {
		if _, err := s.fs.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		above := s.fs.PathDir(dir)
		if above == dir {
			break
		}
		parents = append(parents, above)
	}
	if err := s.fs.MkdirAll(s.fs.PathJoin(s.root, tmpFolder), folderMode); err != nil {
		return err
	}
	for _, dir := range parents {
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sweep() error {
	tmp := s.fs.PathJoin(s.root, tmpFolder)
	names, err := s.fs.List(tmp)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.fs.Remove(s.fs.PathJoin(tmp, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Put implements snapshots.Store.
func (s *Store) Put(ctx context.Context, key string, blob []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	release, err := s.acquire(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	final := s.path(key)
	switch old, err := s.read(final, int64(len(blob))); {
	case errors.Is(err, snapshots.ErrTooLarge), err == nil && !bytes.Equal(old, blob):
		return &snapshots.FileError{Key: key, Err: snapshots.ErrExists}
	case err == nil, errors.Is(err, fs.ErrNotExist):
		// The same bytes are written again: the file that lies there may be
		// the leftover of a Put that failed before it was durable.
	default:
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := s.write(key, final, blob); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

func (s *Store) write(key, final string, blob []byte) error {
	s.mu.Lock()
	s.next++
	tmp := s.fs.PathJoin(s.root, tmpFolder, strconv.FormatUint(s.next, 10))
	s.mu.Unlock()
	if err := s.writeTemp(tmp, blob); err != nil {
		return errors.Join(err, s.discard(tmp))
	}
	folders := s.folders(key)
	if err := s.fs.MkdirAll(folders[0], folderMode); err != nil {
		return errors.Join(err, s.discard(tmp))
	}
	if err := s.fs.Rename(tmp, final); err != nil {
		return errors.Join(err, s.discard(tmp))
	}
	// All of them each time: an earlier Put may have made a folder and died
	// before its name was durable. A folder without changes syncs at no cost.
	for _, dir := range folders {
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) writeTemp(name string, blob []byte) (err error) {
	f, err := s.fs.Create(name, category)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	scratch := make([]byte, min(len(blob), chunkBytes))
	for rest := blob; len(rest) > 0; {
		n := copy(scratch, rest)
		if w, err := f.Write(scratch[:n]); err != nil {
			return err
		} else if w != n {
			return io.ErrShortWrite
		}
		rest = rest[n:]
	}
	return f.Sync()
}

// discard removes a temporary file that will not be renamed. What cannot be
// removed is swept at the next open.
func (s *Store) discard(tmp string) error {
	if err := s.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Get implements snapshots.Store.
func (s *Store) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	b, err := s.read(s.path(key), limit)
	return b, readError("get", key, err)
}

// Head implements snapshots.Store.
func (s *Store) Head(_ context.Context, key string, n int) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	f, err := s.fs.Open(s.path(key))
	if err != nil {
		return nil, readError("head", key, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, readError("head", key, err)
	}
	return b, nil
}

// read returns a whole file of at most limit bytes.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := readAll(f, limit)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return b, nil
}

func readAll(f vfs.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, snapshots.ErrTooLarge
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return b, nil
}

func readError(op, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &snapshots.FileError{Key: key, Err: snapshots.ErrNotFound}
	case errors.Is(err, snapshots.ErrTooLarge):
		return &snapshots.FileError{Key: key, Err: snapshots.ErrTooLarge}
	default:
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
}

// List implements snapshots.Store. Folders are read one at a time, in order.
func (s *Store) List(_ context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		if prefix != "" {
			if err := checkKey(strings.TrimSuffix(prefix, "/")); err != nil || !strings.HasSuffix(prefix, "/") {
				yield(snapshots.Object{}, fmt.Errorf("list: %q is no key prefix", prefix))
				return
			}
		}
		s.walk(prefix, yield)
	}
}

// walk yields the files below prefix and reports whether to go on.
func (s *Store) walk(prefix string, yield func(snapshots.Object, error) bool) bool {
	names, err := s.fs.List(s.path(strings.TrimSuffix(prefix, "/")))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(snapshots.Object{}, fmt.Errorf("list %s: %w", prefix, err))
		return false
	}
	slices.Sort(names)
	for _, name := range names {
		key := prefix + name
		if key == tmpFolder || checkKey(key) != nil {
			continue // no file of ours
		}
		info, err := s.fs.Stat(s.path(key))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted since
		case err != nil:
			yield(snapshots.Object{}, fmt.Errorf("list %s: %w", key, err))
			return false
		case info.IsDir():
			if !s.walk(key+"/", yield) {
				return false
			}
		default:
			if !yield(snapshots.Object{Key: key, Size: info.Size()}, nil) {
				return false
			}
		}
	}
	return true
}

// Delete implements snapshots.Store. The folder stays: another Put may be
// about to rename a file into it.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := s.deletable(ctx); err != nil {
		return err
	}
	release, err := s.acquire(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if err := s.fs.Remove(s.path(key)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("delete %s: %w", key, err)
	}
	if err := s.syncDir(s.folders(key)[0]); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// Hold makes every Delete wait until release is called: what is listed meanwhile
// stays. Release may be called once.
func (s *Store) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds++; s.holds == 1 {
		s.held = make(chan struct{})
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.holds--; s.holds == 0 {
			close(s.held)
			s.held = nil
		}
	}
}

// deletable waits until nobody holds the files.
func (s *Store) deletable(ctx context.Context) error {
	for {
		s.mu.Lock()
		held := s.held
		s.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acquire waits until no other Put or Delete works on key, and claims it.
func (s *Store) acquire(ctx context.Context, key string) (release func(), err error) {
	for {
		s.mu.Lock()
		wait, taken := s.busy[key]
		if !taken {
			done := make(chan struct{})
			s.busy[key] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.busy, key)
				s.mu.Unlock()
				close(done)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// folders returns the folders of a key, innermost first, the root last.
func (s *Store) folders(key string) []string {
	var out []string
	for d := path.Dir(key); d != "."; d = path.Dir(d) {
		out = append(out, s.path(d))
	}
	return append(out, s.root)
}

func (s *Store) path(key string) string {
	return s.fs.PathJoin(append([]string{s.root}, strings.Split(key, "/")...)...)
}

func (s *Store) syncDir(name string) error {
	d, err := s.fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkKey refuses what is no key, and the folder of unfinished files.
func checkKey(key string) error {
	if err := snapshots.CheckKey(key); err != nil {
		return err
	}
	if strings.HasPrefix(key, tmpFolder+"/") {
		return fmt.Errorf("%q is no key: the folder is for unfinished files", key)
	}
	return nil
}
