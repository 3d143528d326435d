package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/internal/api"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
)

// A backup is a data folder with one more file, which says what it is. It goes
// when a server opens the folder: what is served is no backup any more.
const (
	backupFile    = "BACKUP"
	backupVersion = 1
	// stagingFolder, in the data folder, holds the copy of the log from which
	// the backup's is made. newLog and oldLog are in the backup while its log is
	// exchanged.
	stagingFolder = ".backup"
	newLog        = ".log.new"
	oldLog        = ".log.old"
)

// backupMark is the content of backupFile.
type backupMark struct {
	Format int `json:"format"`
	// Complete is when the backup was finished last.
	Complete time.Time `json:"complete,omitzero"`
	// Begun is from when on it may lack what was written.
	Begun   time.Time `json:"begun"`
	Version string    `json:"version"`
}

// readBackupMark reads the mark of a folder; ok is false when it has none.
func readBackupMark(path string) (m backupMark, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(path, backupFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("backup: %w", err)
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Format < 1 {
		return m, true, &exitError{exitData, fmt.Errorf("%s: %w: it says %.40q", filepath.Join(path, backupFile), snapshots.ErrCorrupt, text)}
	}
	if m.Format > backupVersion {
		return m, true, &exitError{exitData, fmt.Errorf("%s: %w: format %d, this release reads up to %d", filepath.Join(path, backupFile), snapshots.ErrNewerFormat, m.Format, backupVersion)}
	}
	return m, true, nil
}

func writeBackupMark(path string, m backupMark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeMark(path, backupFile, string(text))
}

// endBackup makes a backup a data folder, as a writer opens it.
func endBackup(path string) error {
	m, ok, err := readBackupMark(path)
	switch {
	case err != nil || !ok:
		return err
	case m.Complete.IsZero():
		return &exitError{exitData, fmt.Errorf("the backup %s was never finished", path)}
	}
	return errors.Join(os.Remove(filepath.Join(path, backupFile)), syncFolder(path))
}

// backup is one run.
type backup struct {
	folder   string // of the data
	log      *pebble.Log
	files    *dir.Store
	order    api.BackupOrder
	progress func(api.Progress)
	end      api.BackedUp
}

// backupOf is how backups of a data folder are made; nil when its documents are
// not all in it.
func backupOf(data *folder) api.Backup {
	log, ok := data.log.(*pebble.Log)
	if !ok || data.files == nil {
		return nil
	}
	return func(ctx context.Context, o api.BackupOrder, progress func(api.Progress)) (api.BackedUp, error) {
		b := &backup{folder: data.path, log: log, files: data.files, order: o, progress: progress, end: api.BackedUp{To: o.To}}
		if err := b.run(ctx); err != nil {
			return b.end, fmt.Errorf("backup to %s: %w", o.To, err)
		}
		return b.end, nil
	}
}

// run copies first the log and then the files that it points at, which nobody
// may delete meanwhile.
func (b *backup) run(ctx context.Context) error {
	if err := b.prepare(); err != nil {
		return err
	}
	lock, err := cockroach.LockDirectory(b.order.To, vfs.Default)
	if err != nil {
		return invalidBackup("a server or another backup uses it")
	}
	defer lock.Close()
	mark := backupMark{Format: backupVersion, Begun: time.Now().UTC().Truncate(time.Millisecond), Version: thisBuild().Version}
	defer b.files.Hold()()
	staging := filepath.Join(b.folder, stagingFolder)
	if err := os.RemoveAll(staging); err != nil {
		return err
	}
	defer os.RemoveAll(staging)
	if err := b.log.Checkpoint(ctx, filepath.Join(staging, logFolder)); err != nil {
		return err
	}
	if b.end.LogBytes, err = b.copyLog(filepath.Join(staging, logFolder), filepath.Join(b.order.To, newLog)); err != nil {
		return err
	}
	listed, err := b.copyFiles(ctx)
	if err != nil {
		return err
	}
	if err := b.copyRulings(); err != nil {
		return err
	}
	if err := b.exchange(mark); err != nil {
		return err
	}
	return b.forget(ctx, listed)
}

// prepare makes the folder, or looks whether it is one that may be written to.
func (b *backup) prepare() error {
	to := b.order.To
	data, err := filepath.Abs(b.folder)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(data, to); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return invalidBackup("it is in the data folder")
	}
	if err := os.MkdirAll(to, 0o750); err != nil {
		return err
	}
	if _, isBackup, err := readBackupMark(to); err != nil || isBackup {
		return err
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// The mark of a backup that died in its first moment is no file of anybody.
		if name := e.Name(); name != "lost+found" && name != "."+backupFile {
			return invalidBackup("it is not empty and no backup: it holds %q", name)
		}
	}
	return writeBackupMark(to, backupMark{Format: backupVersion, Begun: time.Now().UTC(), Version: thisBuild().Version})
}

// invalidBackup refuses the folder that was named.
func invalidBackup(format string, args ...any) error {
	return &api.Problem{
		Type: "about:blank", Title: "Conflict", Status: 409, Code: api.CodeExists, Detail: "backup: " + fmt.Sprintf(format, args...),
	}
}

// copyLog copies a closed log, and makes it durable.
func (b *backup) copyLog(from, to string) (int64, error) {
	if err := errors.Join(os.RemoveAll(to), os.Mkdir(to, 0o700)); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		total += info.Size()
		// Only sorted files are never written again.
		link := !b.order.Copy && strings.HasSuffix(e.Name(), ".sst")
		if err := place(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), link); err != nil {
			return 0, err
		}
	}
	return total, syncFolder(to)
}

// copyRulings takes over what was taken back of rights, newer than the log rather
// than older: without it whoever was sent away could come back with the backup. The
// file is replaced whole by who writes it, and is not there before the first ruling.
func (b *backup) copyRulings() error {
	err := place(filepath.Join(b.folder, rulingsFile), filepath.Join(b.order.To, rulingsFile), false)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Remove(filepath.Join(b.order.To, rulingsFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, syncFolder(b.order.To))
}

// copyFiles takes over the stored files that the backup does not have, and
// returns the keys of all.
func (b *backup) copyFiles(ctx context.Context) (map[string]struct{}, error) {
	root, from := filepath.Join(b.order.To, snapshotFolder), filepath.Join(b.folder, snapshotFolder)
	if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, err
	}
	var all []snapshots.Object
	for o, err := range b.files.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	listed := make(map[string]struct{}, len(all))
	touched := map[string]struct{}{root: {}}
	for i, o := range all {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		listed[o.Key] = struct{}{}
		to := filepath.Join(root, filepath.FromSlash(o.Key))
		b.end.Files, b.end.Bytes = b.end.Files+1, b.end.Bytes+o.Size
		if i%64 == 0 || i == len(all)-1 {
			b.progress(api.Progress{What: "files backed up", Done: int64(i + 1), Total: int64(len(all))})
		}
		if info, err := os.Stat(to); err == nil && info.Size() == o.Size {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return nil, err
		}
		if err := place(filepath.Join(from, filepath.FromSlash(o.Key)), to, !b.order.Copy); err != nil {
			return nil, err
		}
		touched[filepath.Dir(to)] = struct{}{}
		b.end.NewFiles++
	}
	for folder := range touched {
		if err := syncFolder(folder); err != nil {
			return nil, err
		}
	}
	return listed, syncFolder(b.order.To)
}

// exchange puts the new log in the place of the old one. In between the folder
// is no data folder.
func (b *backup) exchange(mark backupMark) error {
	at := func(name string) string { return filepath.Join(b.order.To, name) }
	if err := os.Remove(at(formatFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(syncFolder(b.order.To), os.RemoveAll(at(oldLog))); err != nil {
		return err
	}
	if err := os.Rename(at(logFolder), at(oldLog)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(at(newLog), at(logFolder)); err != nil {
		return err
	}
	mark.Complete = time.Now().UTC().Truncate(time.Millisecond)
	if err := writeBackupMark(b.order.To, mark); err != nil {
		return err
	}
	if err := writeMark(b.order.To, formatFile, fmt.Sprint(formatVersion)); err != nil {
		return err
	}
	return os.RemoveAll(at(oldLog))
}

// forget removes files that the data folder does not have any more.
func (b *backup) forget(ctx context.Context, listed map[string]struct{}) error {
	store, err := dir.Open(vfs.Default, filepath.Join(b.order.To, snapshotFolder))
	if err != nil {
		return err
	}
	for o, err := range store.List(ctx, "") {
		if err != nil {
			return err
		}
		if _, there := listed[o.Key]; there {
			continue
		}
		if err := store.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}

// place makes a file that is there whole or not at all: a hard link if that is
// wanted and possible, else a durable copy.
func place(from, to string, link bool) error {
	if link {
		if err := os.Link(from, to); err == nil {
			return nil
		}
	}
	temporary := filepath.Join(filepath.Dir(to), "."+filepath.Base(to))
	if err := vfs.Copy(vfs.Default, from, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, to)
}

func syncFolder(path string) error {
	d, err := vfs.Default.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
