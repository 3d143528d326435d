package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// ctx is the context of calls that nobody cancels.
var ctx = context.Background()

// mustOpen opens a log and closes it at the end of the test.
func mustOpen(t testing.TB, o pebble.Options) *pebble.Log {
	t.Helper()
	log, err := pebble.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil && !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return log
}

// mustClaim claims a document at its present epoch.
func mustClaim(t testing.TB, log *pebble.Log, document string) persistence.Record {
	t.Helper()
	r, err := log.Open(ctx, document)
	if err == nil {
		r, err = log.Claim(ctx, document, "boot", r.Epoch)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// batch is a batch of updates under the claim that r shows.
func batch(r persistence.Record, updates ...[]byte) persistence.Batch {
	b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch}
	for _, u := range updates {
		b.Entries = append(b.Entries, persistence.NewEntry{Time: start, Author: "ann", Update: u})
	}
	return b
}

// put appends updates, one commit.
func put(log *pebble.Log, r persistence.Record, updates ...[]byte) error {
	return log.Append(ctx, []persistence.Batch{batch(r, updates...)})[0].Err
}

// updates reads all that a document's log holds.
func updates(log *pebble.Log, document string) (out []string, err error) {
	for e, err := range log.Read(ctx, document, 0) {
		if err != nil {
			return out, err
		}
		if e.Position != persistence.Position(len(out)+1) {
			return out, fmt.Errorf("position %d after %d entries", e.Position, len(out))
		}
		out = append(out, string(e.Update))
	}
	return out, nil
}
