package main

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"ysync/crdt"
	"ysync/internal/e2e"
	"ysync/syncproto"
)

// b4Updates are the edits of the author of b4State, each a length and an update.
const b4Updates = "crdt/testdata/b4.updates.v1.bin.gz"

// typing is how a trace is typed: by each of some authors into a document of their
// own, every edit after the acknowledgement of the one before.
type typing struct {
	name           string
	authors, edits int
}

// bytesJob types the trace and sums up what was written for each typed character:
// the log in the folder, or table, index and write-ahead log of the database, and
// the snapshots and segments.
func bytesJob(b *bench, name string) error {
	updates, err := readUpdates(b4Updates)
	if err != nil {
		return err
	}
	for _, how := range []typing{{"one author", 1, 10_000}, {"50 authors at once", 50, 4_000}} {
		typed, err := characters(updates[:how.edits])
		if err != nil {
			return err
		}
		typed *= how.authors
		for _, measure := range []func(*bench, typing, [][]byte) ([]cost, error){embeddedBytes, elsewhereBytes} {
			costs, err := measure(b, how, updates[:how.edits])
			if err != nil {
				return err
			}
			for _, c := range costs {
				b.add(row{Job: name, Figure: how.name + ", bytes per character: " + c.what, Ours: []float64{c.bytes / float64(typed)}, Must: "reported", OK: true})
			}
		}
	}
	return nil
}

// cost is what something took, over all documents.
type cost struct {
	what  string
	bytes float64
}

func readUpdates(name string) ([][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var updates [][]byte
	for len(b) > 0 {
		n, w := binary.Uvarint(b)
		updates, b = append(updates, b[w:w+int(n)]), b[w+int(n):]
	}
	return updates, nil
}

// characters counts what was inserted: every character has a clock of its author.
func characters(updates [][]byte) (int, error) {
	doc := crdt.New(crdt.Options{})
	for _, u := range updates {
		if _, err := doc.Apply(nil, crdt.V1, u); err != nil {
			return 0, err
		}
	}
	n := 0
	for _, clock := range doc.StateVector().All() {
		n += int(clock)
	}
	return n, nil
}

// typeAll types the edits; segments are written as often as a person's are, about
// every 600 edits.
func (b *bench) typeAll(how typing, updates [][]byte, data string, env []string, before func(*e2e.Server) error) error {
	s, err := e2e.StartUnder([]string{"taskset", "-c", serverCore + "," + clientCore}, b.bin, data, env, "--log-level", "error", "--segment-interval", "1s")
	if err != nil {
		return err
	}
	defer s.Kill()
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for i := range how.authors {
		all.Go(func() {
			if err := typeOne(s.Addr, fmt.Sprintf("bytes/%d", i), updates); err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	if err := before(s); err != nil {
		return err
	}
	if code, err := s.Stop(); err != nil || code != 0 {
		return fmt.Errorf("the server ended with %d: %w\n%s", code, err, s.Log())
	}
	return nil
}

func typeOne(addr, document string, updates [][]byte) error {
	l, err := dialLight(addr, document, 1)
	if err != nil {
		return err
	}
	defer l.socket.close()
	for _, u := range updates {
		if err := l.socket.write(syncproto.AppendUpdate(nil, u)); err != nil {
			return err
		}
		if err := l.ack(30 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

// embeddedBytes: what the disk had written when the last edit was acknowledged, the
// empty folder's files included, and what is in the folder after the server ended.
func embeddedBytes(b *bench, how typing, updates [][]byte) ([]cost, error) {
	data, err := os.MkdirTemp(b.work, "bytes")
	if err != nil {
		return nil, err
	}
	before, err := diskWrites(data)
	if err != nil {
		return nil, err
	}
	var after float64
	err = b.typeAll(how, updates, data, nil, func(*e2e.Server) (err error) {
		after, err = diskWrites(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The next start moves the log from the write-ahead log, whose files have a
	// size of their own, to tables.
	s, err := e2e.Start(b.bin, data, nil, "--log-level", "error")
	if err != nil {
		return nil, err
	}
	if _, err := s.Stop(); err != nil {
		return nil, err
	}
	held, err := size(filepath.Join(data, "log"), ".sst")
	if err != nil {
		return nil, err
	}
	costs, err := stored("folder", filepath.Join(data, "snapshots"))
	return append([]cost{{"embedded log, held", held}, {"all that the disk wrote meanwhile", after - before}}, costs...), err
}

// elsewhereBytes: what the database's table, index and write-ahead log grew by,
// and what is in the bucket.
func elsewhereBytes(b *bench, how typing, updates [][]byte) ([]cost, error) {
	dir, err := os.MkdirTemp(b.work, "bytes")
	if err != nil {
		return nil, err
	}
	away, err := startElsewhere(dir)
	if err != nil {
		return nil, err
	}
	defer away.stop()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, away.database.URL("postgres"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	var begin string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_lsn()::text").Scan(&begin); err != nil {
		return nil, err
	}
	var table, index, wal float64
	var rows int64
	err = b.typeAll(how, updates, filepath.Join(dir, "data"), away.env, func(*e2e.Server) error {
		return conn.QueryRow(ctx, `SELECT pg_table_size('ysync.update_log'), pg_indexes_size('ysync.update_log'),
			pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn), (SELECT count(*) FROM ysync.update_log)`, begin).Scan(&table, &index, &wal, &rows)
	})
	if err != nil {
		return nil, err
	}
	if want := int64(how.authors * how.edits); rows != want {
		return nil, fmt.Errorf("the log holds %d entries, want %d: some were trimmed", rows, want)
	}
	costs, err := stored("bucket", away.bucket)
	return append([]cost{{"PostgreSQL, table", table}, {"PostgreSQL, index", index}, {"PostgreSQL, write-ahead log", wal}}, costs...), err
}

// stored is what snapshots and segments take in a folder.
func stored(where, dir string) ([]cost, error) {
	snapshots, err := size(dir, ".snapshot")
	if err != nil {
		return nil, err
	}
	segments, err := size(dir, ".segment")
	return []cost{{"snapshots in the " + where, snapshots}, {"segments in the " + where, segments}}, err
}

// size sums up the files of a kind under a folder.
func size(dir, kind string) (float64, error) {
	sum := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, kind) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return float64(sum), err
}

// diskWrites is what the disk of a folder has written so far, for whomever (field 7
// of stat in sysfs, in sectors of 512 bytes). What proc(5) counts for one process
// is more: a page cache of large folios counts one whole for each byte that is new in it.
func diskWrites(dir string) (float64, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0, fmt.Errorf("%s is on no disk: %w", dir, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 7 {
		return 0, fmt.Errorf("no count of sectors: %q", text)
	}
	sectors, err := strconv.ParseFloat(fields[6], 64)
	return sectors * 512, err
}
