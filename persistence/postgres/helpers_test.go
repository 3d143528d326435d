package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence"
	"ysync/persistence/postgres"
)

// one is the server of all tests that do not harm it.
var one struct {
	once   sync.Once
	server *testpg.Server
	err    error
}

func TestMain(m *testing.M) {
	if url := os.Getenv(asOwner); url != "" {
		if err := ownDocument(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if one.server != nil {
		if err := one.server.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// shared returns that server.
func shared(t testing.TB) *testpg.Server {
	t.Helper()
	testpg.Need(t)
	one.once.Do(func() { one.server, one.err = testpg.New("", "max_connections=200") })
	if one.err != nil {
		t.Fatal(one.err)
	}
	return one.server
}

// mustOpen opens a log until the end of the test.
func mustOpen(t testing.TB, o postgres.Options) *postgres.Log {
	t.Helper()
	l, err := postgres.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, persistence.ErrClosed) {
			t.Error(err)
		}
	})
	return l
}

func mustClaim(t testing.TB, l persistence.Log, document string) persistence.Record {
	t.Helper()
	r, err := l.Open(t.Context(), document)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = l.Claim(t.Context(), document, "boot", r.Epoch); err != nil {
		t.Fatal(err)
	}
	return r
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func batch(r persistence.Record, updates ...string) persistence.Batch {
	b := persistence.Batch{Document: r.Document, Generation: r.Generation, Epoch: r.Epoch}
	for _, u := range updates {
		b.Entries = append(b.Entries, persistence.NewEntry{Time: noon, Author: "ann", Update: []byte(u)})
	}
	return b
}

// put is one append.
func put(l persistence.Log, r persistence.Record, updates ...string) persistence.Result {
	return l.Append(context.Background(), []persistence.Batch{batch(r, updates...)})[0]
}

// updates reads a document's log.
func updates(t testing.TB, l persistence.Log, document string) []string {
	t.Helper()
	var out []string
	for e, err := range l.Read(context.Background(), document, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if int(e.Position) != len(out)+1 {
			t.Fatalf("position %d after %d entries", e.Position, len(out))
		}
		out = append(out, string(e.Update))
	}
	return out
}

// author appends to one document as a caller does that keeps the contract: an
// unknown outcome is read back before anything else.
type author struct {
	log    persistence.Log
	record persistence.Record // Head is what is known to be committed
	// acknowledged are the updates that the log said are durable.
	acknowledged []string
	// unknown counts the times that the outcome was unknown.
	unknown int
}

// append appends until it is known what became of it. An error is one that no
// caller may go on after.
func (a *author) append(ctx context.Context, updates ...string) error {
	for {
		res := put(a.log, a.record, updates...)
		switch {
		case res.Err == nil:
			if res.First != a.record.Head+1 {
				return fmt.Errorf("appended at %d, the head was %d", res.First, a.record.Head)
			}
			return a.know(res.Last, updates)
		case errors.Is(res.Err, persistence.ErrFenced), errors.Is(res.Err, persistence.ErrInvalid), errors.Is(res.Err, persistence.ErrCorrupt):
			return res.Err
		case errors.Is(res.Err, persistence.ErrUnknown):
			a.unknown++
			there, err := a.readBack(ctx)
			if err != nil {
				return err
			}
			if there {
				return a.know(a.record.Head+persistence.Position(len(updates)), updates)
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", ctx.Err(), res.Err)
		}
	}
}

func (a *author) know(last persistence.Position, updates []string) error {
	a.record.Head = last
	a.acknowledged = append(a.acknowledged, updates...)
	return nil
}

func (a *author) readBack(ctx context.Context) (there bool, err error) {
	for {
		now, err := a.log.Open(ctx, a.record.Document)
		switch {
		case err == nil && now.Epoch != a.record.Epoch:
			return false, persistence.ErrFenced
		case err == nil:
			return now.Head != a.record.Head, nil
		case ctx.Err() != nil:
			return false, err
		}
	}
}

// audit compares what is in the log with what was acknowledged: neither less
// nor more nor twice.
func (a *author) audit(t testing.TB, l persistence.Log) {
	t.Helper()
	got := updates(t, l, a.record.Document)
	if len(got) != len(a.acknowledged) {
		t.Errorf("%s: %d entries, %d were acknowledged", a.record.Document, len(got), len(a.acknowledged))
	}
	for i := range min(len(got), len(a.acknowledged)) {
		if got[i] != a.acknowledged[i] {
			t.Fatalf("%s: entry %d is %q, acknowledged was %q", a.record.Document, i+1, got[i], a.acknowledged[i])
		}
	}
}
