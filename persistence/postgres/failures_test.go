package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence"
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

// A full disk: appends are refused, or their outcome is read back; there are
// no losses, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	testpg.Need(t)
	// Not t.TempDir: the server's user must be able to get there.
	dir, err := os.MkdirTemp("", "ysync-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	const size = 160 << 20
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", size), "tmpfs", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk cannot be mounted: %v: %s", err, out)
		}
		t.Skipf("did not run: a small disk cannot be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server := testpg.StartIn(t, dir, "min_wal_size=32MB", "max_wal_size=32MB", "restart_after_crash=on")
	url := server.Database(t)
	l := mustOpen(t, postgres.Options{URL: url, Patience: 100 * time.Millisecond})
	a := &author{log: l, record: mustClaim(t, l, "a")}
	noise := make([]byte, 1<<20) // nothing that compresses
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	big := string(noise)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := a.append(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := fillUp(ballast, 24<<20, dir); err != nil {
		t.Fatal(err)
	}
	refused := false
	for n := 0; !refused && n < 200; n++ {
		res := put(l, a.record, fmt.Sprint(n), big)
		switch {
		case res.Err == nil:
			a.record.Head = res.Last
			a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
		default:
			refused = true
			t.Logf("append %d: %v", n, res.Err)
			if errors.Is(res.Err, persistence.ErrUnknown) {
				a.unknown++
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if errors.Is(res.Err, persistence.ErrUnknown) {
				there, err := a.readBack(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if there {
					a.record.Head += 2
					a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
				}
			}
		}
	}
	if !refused {
		t.Fatal("the disk did not fill up")
	}
	if err := a.append(ctx, "last"); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	a.audit(t, l)
}
