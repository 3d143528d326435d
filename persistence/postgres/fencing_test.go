package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
	"ysync/persistence/postgres"
)

// connect is a connection for what a test does behind the log's back.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// awaitTrue waits until a query is true.
func awaitTrue(t testing.TB, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		var yes bool
		if err := conn.QueryRow(context.Background(), query, args...).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never true: %s", query)
		}
	}
}

const someoneWaits = `SELECT count(*) > 0 FROM pg_stat_activity
	WHERE datname = current_database() AND application_name = 'ysync' AND wait_event_type = 'Lock'`

// behindClaim lets an append under an old claim wait behind the next claim,
// which commits while it waits. It returns what became of the append.
func behindClaim(t *testing.T, url string, l *postgres.Log) persistence.Result {
	t.Helper()
	r := mustClaim(t, l, "a")
	claim, watch := connect(t, url), connect(t, url)
	execute(t, claim, "BEGIN")
	execute(t, claim, "UPDATE ysync.documents SET epoch = epoch + 1, owner = 'next', stamp = stamp + 1 WHERE document = 'a'")
	done := make(chan persistence.Result)
	go func() { done <- put(l, r, "old") }()
	awaitTrue(t, watch, someoneWaits)
	execute(t, claim, "COMMIT")
	return <-done
}

func TestAppendThatWaitsBehindAClaimIsFenced(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	if res := behindClaim(t, url, l); !errors.Is(res.Err, persistence.ErrFenced) {
		t.Errorf("append: %+v", res)
	}
	if got := updates(t, l, "a"); len(got) > 0 {
		t.Errorf("in the log: %q", got)
	}
	if now, err := l.Open(t.Context(), "a"); err != nil || now.Head != 0 || now.Owner != "next" {
		t.Errorf("record: %+v, %v", now, err)
	}
}

// Nobody waits here: the claim is long over when the old owner appends.
func TestAppendOfAnOldClaimChangesNothing(t *testing.T) {
	url := shared(t).Database(t)
	old, next := mustOpen(t, postgres.Options{URL: url}), mustOpen(t, postgres.Options{URL: url})
	r := mustClaim(t, old, "a")
	if res := put(old, r, "1"); res.Err != nil {
		t.Fatal(res.Err)
	}
	claimed := mustClaim(t, next, "a")
	for range 3 {
		if res := put(old, r, "2"); !errors.Is(res.Err, persistence.ErrFenced) {
			t.Errorf("append: %+v", res)
		}
	}
	if now, err := next.Open(t.Context(), "a"); err != nil || now != claimed {
		t.Errorf("record: %+v, %v; claimed was %+v", now, err, claimed)
	}
	if got := updates(t, next, "a"); len(got) != 1 {
		t.Errorf("in the log: %q", got)
	}
}

// The test above would notice: without the comparison of the epoch the old
// owner writes.
func TestFencingTestFindsAMissingComparison(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, patient(url))
	l.WithoutEpoch()
	if res := behindClaim(t, url, l); res.Err != nil {
		t.Errorf("the fault was not planted: %+v", res)
	}
	if now, err := l.Open(t.Context(), "a"); err != nil || now.Head != 1 || now.Owner != "next" {
		t.Errorf("record: %+v, %v", now, err)
	}
}

// An owner that sleeps in the middle of a transaction holds the row; a claim
// ends its connection and does not wait for it to wake up.
func TestClaimBehindAStalledOwner(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, postgres.Options{URL: url})
	r := mustClaim(t, l, "a")
	if res := put(l, r, "1"); res.Err != nil {
		t.Fatal(res.Err)
	}
	for name, begin := range map[string]func(*testing.T, *pgx.Conn){
		"in a transaction": func(t *testing.T, conn *pgx.Conn) {
			execute(t, conn, "BEGIN")
			execute(t, conn, "UPDATE ysync.documents SET head = head WHERE document = 'a'")
		},
		// The statement was executed and the message that commits it is missing.
		"in a statement": func(t *testing.T, conn *pgx.Conn) {
			f := conn.PgConn().Frontend()
			f.SendParse(parse("UPDATE ysync.documents SET head = head WHERE document = 'a'"))
			f.SendBind(bind())
			f.SendExecute(execution())
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
			watch := connect(t, url)
			awaitTrue(t, watch, "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL", int32(conn.PgConn().PID()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			begin(t, connect(t, url+"?application_name=ysync"))
			start := time.Now()
			now := mustClaim(t, l, "a")
			took := time.Since(start)
			t.Logf("claimed in %v", took)
			if now.Head != 1 || took > 1500*time.Millisecond {
				t.Errorf("claimed %+v in %v", now, took)
			}
		})
	}
}

// Changes of a record that take about as long as the wait after which a stalled
// owner is looked for: the look may begin when the change has ended.
func TestLookForAStalledOwnerThatComesLate(t *testing.T) {
	l := mustOpen(t, postgres.Options{URL: shared(t).Database(t), LockTimeout: 2 * time.Millisecond})
	var all sync.WaitGroup
	for i := range 8 {
		r := mustClaim(t, l, fmt.Sprint("document", i))
		all.Go(func() {
			for n := range 200 {
				if err := l.SetSeed(t.Context(), r.Document, r.Epoch, fmt.Sprint(n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A stranger's transaction is left alone: the claim reports that it cannot
// get the lock.
func TestClaimLeavesStrangersAlone(t *testing.T) {
	url := shared(t).Database(t)
	l := mustOpen(t, postgres.Options{URL: url, Patience: time.Millisecond, LockTimeout: 100 * time.Millisecond})
	r := mustClaim(t, l, "a")
	stranger := connect(t, url+"?application_name=psql")
	execute(t, stranger, "BEGIN")
	execute(t, stranger, "UPDATE ysync.documents SET head = head WHERE document = 'a'")
	if _, err := l.Claim(t.Context(), "a", "boot", r.Epoch); err == nil || errors.Is(err, persistence.ErrUnknown) || errors.Is(err, persistence.ErrFenced) {
		t.Errorf("claim behind a stranger: %v", err)
	}
	if res := put(l, r, "x"); res.Err == nil || errors.Is(res.Err, persistence.ErrUnknown) {
		t.Errorf("append behind a stranger: %+v", res)
	}
	execute(t, stranger, "COMMIT")
	if res := put(l, r, "x"); res.Err != nil {
		t.Errorf("append after it: %+v", res)
	}
}
