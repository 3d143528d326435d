package migrate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"ysync/crdt"
)

// The first part of a key says what it is of.
const (
	levelDocument = "v1"
	levelVector   = "v1_sv"
)

// levelSource is a folder of y-leveldb.
type levelSource struct {
	db *leveldb.DB
}

// OpenLevelDB opens a folder of y-leveldb for reading. The server that writes it
// must be stopped: ErrInUse where that can be told.
func OpenLevelDB(folder string) (Source, error) {
	// LevelDB would make what it does not find.
	switch _, err := os.Stat(filepath.Join(folder, "CURRENT")); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is no LevelDB folder", ErrNotSource, folder)
	case err != nil:
		return nil, err
	}
	if held, err := levelLocked(filepath.Join(folder, "LOCK")); err != nil {
		return nil, err
	} else if held {
		return nil, fmt.Errorf("%w: stop the server that writes %s", ErrInUse, folder)
	}
	// Without StrictJournal the end of a log that a crash cut off is where the
	// log ends, as LevelDB itself sees it.
	db, err := leveldb.OpenFile(folder, &opt.Options{
		ReadOnly: true, ErrorIfMissing: true,
		Strict: opt.StrictManifest | opt.StrictJournalChecksum | opt.StrictBlockChecksum | opt.StrictReader,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, damaged("%w", err))
	}
	return &levelSource{db}, nil
}

func (s *levelSource) Close() error { return s.db.Close() }

// Names implements Source. What is seen once is skipped with a seek, so that
// only one key of each document is read.
func (s *levelSource) Names(ctx context.Context) ([]string, error) {
	var names []string
	var failures []error
	seen := map[string]bool{}
	for _, space := range []string{levelDocument, levelVector} {
		all := util.BytesPrefix(appendLevelString(nil, space))
		it := s.db.NewIterator(all, nil)
		for ok := it.First(); ok && ctx.Err() == nil; {
			key := levelKey(it.Key())
			_, name := key.string(), key.string()
			if key.bad {
				failures = append(failures, damaged("a key that y-leveldb does not write: %x", it.Key()))
				ok = it.Next()
				continue
			}
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
			ok = it.Seek(util.BytesPrefix(levelPrefix(space, name)).Limit)
		}
		it.Release()
		if err := it.Error(); err != nil {
			failures = append(failures, damaged("the list of documents: %w", err))
		}
	}
	return names, errors.Join(append(failures, ctx.Err())...)
}

// Read implements Source.
func (s *levelSource) Read(ctx context.Context, name string) (Stored, error) {
	var stored Stored
	var last uint32
	bytesRead, meta := 0, 0
	it := s.db.NewIterator(util.BytesPrefix(levelPrefix(levelDocument, name)), nil)
	defer it.Release()
	for it.Next() {
		if err := ctx.Err(); err != nil {
			return Stored{}, err
		}
		key := levelKey(it.Key())
		_, _, kind := key.string(), key.string(), key.string()
		if kind == "meta" && !key.bad {
			meta++
			continue
		}
		clock := key.number()
		if kind != "update" || key.bad || len(key.rest) > 0 {
			return Stored{}, damaged("a key that y-leveldb does not write: %x", it.Key())
		}
		if n := len(stored.Updates); n > 0 && clock != last+1 {
			return Stored{}, damaged("after update %d comes %d", last, clock)
		}
		last = clock
		if bytesRead += len(it.Value()); bytesRead > MaxBytes {
			return Stored{}, ErrTooLarge
		}
		stored.Updates = append(stored.Updates, bytes.Clone(it.Value()))
	}
	if err := it.Error(); err != nil {
		return Stored{}, damaged("%w", err)
	}
	if len(stored.Updates) == 0 {
		return Stored{}, damaged("it has no updates")
	}
	if meta > 0 {
		stored.Notes = append(stored.Notes, fmt.Sprintf("%d values of setMeta are not imported", meta))
	}
	switch b, err := s.db.Get(levelPrefix(levelVector, name), nil); {
	case errors.Is(err, leveldb.ErrNotFound):
		return stored, nil
	case err != nil:
		return Stored{}, damaged("the state vector: %w", err)
	default:
		stored.Known, err = levelStateVector(b)
		return stored, err
	}
}

// levelStateVector decodes the value of a "v1_sv" key.
func levelStateVector(b []byte) (crdt.StateVector, error) {
	_, n := binary.Uvarint(b)
	if n <= 0 {
		return crdt.StateVector{}, damaged("the state vector has no clock")
	}
	b = b[n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size != uint64(len(b)-n) {
		return crdt.StateVector{}, damaged("the state vector has a wrong length")
	}
	sv, err := crdt.DecodeStateVector(b[n:])
	if err != nil {
		return sv, damaged("the state vector: %w", err)
	}
	return sv, nil
}

func appendLevelString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(append(dst, 0), uint64(len(s))), s...)
}

func levelPrefix(space, name string) []byte {
	return appendLevelString(appendLevelString(nil, space), name)
}

// levelParts takes a key apart. After something else than was asked for it is
// bad and gives zeros.
type levelParts struct {
	rest []byte
	bad  bool
}

func levelKey(key []byte) *levelParts { return &levelParts{rest: key} }

func (p *levelParts) string() string {
	if p.bad || len(p.rest) == 0 || p.rest[0] != 0 {
		p.bad = true
		return ""
	}
	size, n := binary.Uvarint(p.rest[1:])
	if n <= 0 || size > uint64(len(p.rest)-1-n) {
		p.bad = true
		return ""
	}
	s := string(p.rest[1+n:][:size])
	p.rest = p.rest[1+n+int(size):]
	return s
}

func (p *levelParts) number() uint32 {
	if p.bad || len(p.rest) < 5 || p.rest[0] != 1 {
		p.bad = true
		return 0
	}
	v := binary.BigEndian.Uint32(p.rest[1:])
	p.rest = p.rest[5:]
	return v
}
