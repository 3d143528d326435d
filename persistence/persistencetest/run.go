// Package persistencetest is the conformance suite of the update log: what
// every backend of persistence.Log must do, tested through the contract alone.
package persistencetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ysync/persistence"
)

// Reopen opens one store. It is called again after the log that it returned
// was closed, and must then find what was committed. While that log is open, a
// store of one process must fail with persistence.ErrLocked; a shared one opens.
type Reopen func() (persistence.Log, error)

// Run runs the suite on a backend for one process at a time. newStore prepares
// an empty store for one test; what it needs cleaned up it registers with
// t.Cleanup. It is called often: prefer a cheap store.
func Run(t *testing.T, newStore func(t testing.TB) Reopen) {
	run(t, newStore, lockChecks)
}

// RunShared is Run for a backend whose store several processes have open.
func RunShared(t *testing.T, newStore func(t testing.TB) Reopen) {
	run(t, newStore, append(sharedChecks, releaseChecks...))
}

// RunReleases runs the part of the suite that is about persistence.Shared, on a
// backend that can be tested with Run.
func RunReleases(t *testing.T, newStore func(t testing.TB) Reopen) {
	runChecks(t, newStore, releaseChecks)
}

func run(t *testing.T, newStore func(t testing.TB) Reopen, second []check) {
	for _, group := range [][]check{second, appendChecks, claimChecks, readChecks, trimChecks, pointerChecks, eraseChecks, nameChecks, listChecks, receiveChecks, resetChecks, lifeChecks, concurrencyChecks} {
		runChecks(t, newStore, group)
	}
	t.Run("Model", func(t *testing.T) { checkModel(t, newStore) })
}

func runChecks(t *testing.T, newStore func(t testing.TB) Reopen, checks []check) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			c.run(&store{T: t, reopen: newStore(t)})
		})
	}
}

// check is one test of the suite.
type check struct {
	name string
	run  func(s *store)
}

// store is an empty store under test, with the log opened on it.
type store struct {
	*testing.T
	reopen Reopen
	open   persistence.Log
}

// ctx is the context of calls that nobody cancels.
var ctx = context.Background()

// log returns the open log, opening it at first use.
func (s *store) log() persistence.Log {
	s.Helper()
	if s.open == nil {
		l, err := s.reopen()
		if err != nil {
			s.Fatalf("opening the store: %v", err)
		}
		s.open = l
		s.Cleanup(func() {
			if err := l.Close(); err != nil && !errors.Is(err, persistence.ErrClosed) {
				s.Errorf("closing the log: %v", err)
			}
		})
	}
	return s.open
}

// restart closes the log and opens the store again.
func (s *store) restart() {
	s.Helper()
	if err := s.log().Close(); err != nil {
		s.Fatalf("closing the log: %v", err)
	}
	s.open = nil
	s.log()
}

// record reads a document's record.
func (s *store) record(document string) persistence.Record {
	s.Helper()
	r, err := s.log().Open(ctx, document)
	if err != nil {
		s.Fatalf("opening %q: %v", document, err)
	}
	return r
}

// claim claims a document at its present epoch.
func (s *store) claim(document, owner string) persistence.Record {
	s.Helper()
	r, err := s.log().Claim(ctx, document, owner, s.record(document).Epoch)
	if err != nil {
		s.Fatalf("claiming %q: %v", document, err)
	}
	return r
}

// put appends updates to a document under its present epoch, one batch.
func (s *store) put(document string, updates ...string) persistence.Result {
	s.Helper()
	r := s.record(document)
	res := s.log().Append(ctx, []persistence.Batch{batch(r, updates...)})
	if len(res) != 1 || res[0].Err != nil {
		s.Fatalf("appending to %q: %+v", document, res)
	}
	return res[0]
}

// read collects the entries after a position.
func (s *store) read(document string, after persistence.Position) ([]persistence.Entry, error) {
	s.Helper()
	var entries []persistence.Entry
	for e, err := range s.log().Read(ctx, document, after) {
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// wantUpdates checks what a document's log holds after a position.
func (s *store) wantUpdates(document string, after persistence.Position, updates ...string) {
	s.Helper()
	entries, err := s.read(document, after)
	if err != nil {
		s.Fatalf("reading %q after %d: %v", document, after, err)
	}
	var got []string
	for i, e := range entries {
		if want := after + 1 + persistence.Position(i); e.Position != want {
			s.Errorf("reading %q after %d: entry %d has position %d, want %d", document, after, i, e.Position, want)
		}
		got = append(got, string(e.Update))
	}
	if !slices.Equal(got, updates) {
		s.Errorf("reading %q after %d: got %q, want %q", document, after, got, updates)
	}
}

// want checks the class of an error.
func (s *store) want(err, class error, what string, args ...any) {
	s.Helper()
	if !errors.Is(err, class) {
		s.Errorf("%s: got %v, want %v", fmt.Sprintf(what, args...), err, class)
	}
}

// wantError checks the class of an error, and that it names op and document.
func (s *store) wantError(err, class error, document string) {
	s.Helper()
	var e *persistence.Error
	if !errors.Is(err, class) || !errors.As(err, &e) || e.Document != document || e.Op == "" {
		s.Errorf("document %q: got %#v (%v), want %v", document, err, err, class)
	}
}

// ok ends the test on an error.
func (s *store) ok(err error, what string) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// noon is the receive time of entries whose time does not matter.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// batch is a batch for the document under the claim that r shows.
func batch(r persistence.Record, updates ...string) persistence.Batch {
	b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch}
	for _, u := range updates {
		b.Entries = append(b.Entries, persistence.NewEntry{Time: noon, Author: "ann", Update: []byte(u)})
	}
	return b
}

// pointer is a snapshot pointer at a position.
func pointer(at persistence.Position) persistence.Pointer {
	return persistence.Pointer{Position: at, Key: fmt.Sprintf("snap/%d", at), SHA256: [32]byte{1, byte(at)}}
}
