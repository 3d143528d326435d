package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// RulingFile keeps the rulings of a server that is alone in a file, which is
// replaced whole and synced. Its methods may be called from any goroutine.
type RulingFile struct {
	path string
	now  func() time.Time

	mu sync.Mutex
	// Guarded by mu.
	kept ruled
}

// rulingFormat is the format of the file.
const rulingFormat = 1

type ruled struct {
	Format  int               `json:"format"`
	Version uint64            `json:"version"`
	Rulings map[string]Ruling `json:"rulings"`
}

var _ RulingStore = (*RulingFile)(nil)

// OpenRulingFile reads a file, which need not be there yet.
func OpenRulingFile(path string) (*RulingFile, error) {
	f := &RulingFile{path: path, now: time.Now, kept: ruled{Rulings: map[string]Ruling{}}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.kept.Rulings = nil
		err = json.Unmarshal(data, &f.kept)
	}
	switch {
	case err != nil:
	case f.kept.Format > rulingFormat:
		err = fmt.Errorf("format %d is of a newer release, this one reads up to %d", f.kept.Format, rulingFormat)
	case f.kept.Rulings == nil:
		err = errors.New("it holds no rulings")
	}
	if err != nil {
		// To go on without would let in again who was sent away.
		return nil, fmt.Errorf("the rulings of %s can't be read: %w", path, err)
	}
	return f, nil
}

// Rulings implements RulingStore. After anything new it gives all.
func (f *RulingFile) Rulings(_ context.Context, after uint64) ([]Ruling, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after == f.kept.Version {
		return nil, after, nil
	}
	var all []Ruling
	for _, r := range f.kept.Rulings {
		all = append(all, r)
	}
	return all, f.kept.Version, nil
}

// Rule implements RulingStore. What lifts another is kept, too, for whoever takes
// the rulings over and has the other already, unless it takes the room of those in
// force.
func (f *RulingFile) Rule(_ context.Context, r Ruling) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := ruled{Format: rulingFormat, Version: f.kept.Version + 1, Rulings: map[string]Ruling{r.Key(): r}}
	for key, old := range f.kept.Rulings {
		if key != r.Key() && f.now().Before(old.Until) {
			next.Rulings[key] = old
		}
	}
	if len(next.Rulings) > MaxRulings {
		maps.DeleteFunc(next.Rulings, func(key string, old Ruling) bool { return key != r.Key() && old.Scope == Admin })
	}
	if len(next.Rulings) > MaxRulings {
		return fmt.Errorf("%w: there are %d in force already", ErrRuling, MaxRulings)
	}
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := replaceFile(f.path, data); err != nil {
		return fmt.Errorf("the ruling can't be kept: %w", err)
	}
	f.kept = next
	return nil
}

// replaceFile writes a file so that it is there whole, as before or as after.
func replaceFile(path string, data []byte) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
