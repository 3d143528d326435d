package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence/postgres"
)

// crowd appends to many documents at once until it is told to stop.
type crowd struct {
	t       *testing.T
	authors []*author
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	count   atomic.Int64 // appends acknowledged
	poke    chan struct{}
}

func newCrowd(t *testing.T, l *postgres.Log, documents int) *crowd {
	c := &crowd{t: t, poke: make(chan struct{}, 1)}
	for i := range documents {
		c.authors = append(c.authors, &author{log: l, record: mustClaim(t, l, fmt.Sprint("doc", i))})
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for i, a := range c.authors {
		c.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// What is begun is ended: only then is it known what must be there.
				bounded, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
				err := a.append(bounded, fmt.Sprint(i, "/", n, "/0"), fmt.Sprint(i, "/", n, "/1"))
				done()
				if err != nil {
					t.Errorf("document %d: %v", i, err)
					return
				}
				c.count.Add(1)
				select {
				case c.poke <- struct{}{}:
				default:
				}
			}
		})
	}
	return c
}

// more waits until n more appends were acknowledged, and returns how long that took.
func (c *crowd) more(n int64) time.Duration {
	c.t.Helper()
	start, from := time.Now(), c.count.Load()
	for c.count.Load() < from+n {
		select {
		case <-c.poke:
		case <-time.After(2 * time.Minute):
			c.t.Fatal("nothing is committed any more")
		}
	}
	return time.Since(start)
}

// end stops the crowd and audits every document.
func (c *crowd) end(l *postgres.Log) {
	c.t.Helper()
	c.cancel()
	c.wg.Wait()
	total, unknown := 0, 0
	for _, a := range c.authors {
		a.audit(c.t, l)
		total += len(a.acknowledged)
		unknown += a.unknown
	}
	c.t.Logf("%d entries acknowledged, all there once; %d outcomes read back by the caller", total, unknown)
}

func TestServerKilledUnderLoad(t *testing.T) {
	server := testpg.Start(t)
	l := mustOpen(t, postgres.Options{URL: server.Database(t)})
	c := newCrowd(t, l, 8)
	for round := range 4 {
		c.more(40)
		how, end := "killed", server.Kill
		if round%2 == 1 {
			how, end = "restarted", server.Stop
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: the next append was acknowledged %v after it was back", how, c.more(1))
	}
	c.more(40)
	c.end(l)
}

func TestConnectionsTerminatedUnderLoad(t *testing.T) {
	server := shared(t)
	url := server.Database(t)
	l := mustOpen(t, postgres.Options{URL: url})
	c := newCrowd(t, l, 8)
	killer := connect(t, url+"?application_name=killer")
	for range 40 {
		c.more(3)
		execute(t, killer, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'ysync'`)
	}
	c.more(3)
	c.end(l)
}

// A server that stands still answers nothing, and loses nothing.
func TestServerFrozenUnderLoad(t *testing.T) {
	server := testpg.Start(t)
	l := mustOpen(t, postgres.Options{
		URL: server.Database(t), StatementTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second, Patience: 200 * time.Millisecond,
	})
	c := newCrowd(t, l, 8)
	for range 3 {
		c.more(20)
		if err := server.Freeze(); err != nil {
			t.Fatal(err)
		}
		before := c.count.Load()
		frozen := time.NewTimer(3 * time.Second)
		<-frozen.C
		// What was on its way may have been answered.
		if n := c.count.Load() - before; n > int64(len(c.authors)) {
			t.Errorf("%d appends were acknowledged by a server that stands still", n)
		}
		if err := server.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	c.more(20)
	c.end(l)
}

// A log whose server stands still closes all the same, before the driver has given
// its connections up, for which it takes fifteen seconds.
func TestCloseWhileTheServerIsFrozen(t *testing.T) {
	server := testpg.Start(t)
	l := mustOpen(t, postgres.Options{
		URL: server.Database(t), StatementTimeout: 500 * time.Millisecond, ConnectTimeout: time.Second, Patience: 200 * time.Millisecond,
	})
	mustClaim(t, l, "plan")
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context(), "plan"); err == nil {
		t.Error("a server that stands still answers")
	}
	start := time.Now()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	took := time.Since(start)
	t.Logf("closed within %v", took)
	if took > 12*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
}
