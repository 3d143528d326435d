package main

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/snapshots"
)

var rebuildDocuments = flag.Int("rebuild", 40, "how many documents are rebuilt")

// TestRebuildMany rebuilds an empty log from the stored files of many documents
// of a few KB, and prints what that took the program.
func TestRebuildMany(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		data := s.open()
		state, entries := history(t, 100, 100)
		var writers errgroup.Group
		writers.SetLimit(32)
		for i := range *rebuildDocuments {
			writers.Go(func() error {
				name := fmt.Sprint("many/", i)
				file, h, err := snapshots.EncodeSnapshot(snapshots.SnapshotHeader{Document: name, Generation: 1, Epoch: 1, Position: 100, Time: entries[0].Time}, state)
				if err != nil {
					return err
				}
				if err := data.store.Put(t.Context(), snapshots.SnapshotKey(h, sha256.Sum256(file)), file); err != nil {
					return err
				}
				file, sh, err := snapshots.EncodeSegment(snapshots.SegmentHeader{Document: name, Generation: 1, Epoch: 1}, entries)
				if err != nil {
					return err
				}
				return data.store.Put(t.Context(), snapshots.SegmentKey(sh, sha256.Sum256(file)), file)
			})
		}
		if err := errors.Join(writers.Wait(), data.close()); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "snapshot", "rebuild", "--data", s.data)
		cmd.Env = s.env(command(t)).Env
		began := time.Now()
		out, errs, code := finish(t, cmd)
		want := fmt.Sprintf("%d documents: %d rebuilt with %d entries, 0 were there, 0 failed", *rebuildDocuments, *rebuildDocuments, 100**rebuildDocuments)
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%d %s%s, want %s", code, out, errs, want)
		}
		used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		t.Logf("%d documents of %d bytes rebuilt in %v, %v of processor time: %v each", *rebuildDocuments, len(state), time.Since(began), used, used/time.Duration(*rebuildDocuments))
		if out := s.must(nil, "doc", "list", "--json"); strings.Count(out, `"position":200`) != *rebuildDocuments {
			t.Errorf("doc list: %.500s", out)
		}
	})
}

// open opens the stores of a site as a server does.
func (s *site) open() *folder {
	s.t.Helper()
	if err := prepareFolder(s.data); err != nil {
		s.t.Fatal(err)
	}
	logger, _ := newLoggers("error", discard{})
	flags := storeFlags{Log: s.stores.Log, Snapshots: s.stores.Snapshots}
	if key := os.Getenv("YSYNC_SNAPSHOTS_KEY"); key != "" && s.stores.Snapshots != "" {
		flags.SnapshotsKey = []string{key}
	}
	data, err := flags.open(s.t.Context(), s.data, own, logger)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// history is a document's state after some edits, and the log entries of more.
func history(t *testing.T, before, after int) (state []byte, entries []persistence.Entry) {
	t.Helper()
	doc := crdt.New(crdt.Options{})
	text := doc.Text("t")
	for i := range before + after {
		if i == before {
			state = doc.AppendState(nil, crdt.V2)
		}
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, (i*7)%(text.Len()+1), fmt.Sprintf("Edit number %d. ", i)) })
		if err != nil {
			t.Fatal(err)
		}
		if i >= before {
			entries = append(entries, persistence.Entry{
				Position: persistence.Position(i + 1), Epoch: 1, Time: time.UnixMilli(1_700_000_000_000 + int64(i)).UTC(), Author: "ann", Update: commit.AppendUpdate(nil, crdt.V1),
			})
		}
	}
	return state, entries
}
