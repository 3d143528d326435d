package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// writer edits a document until it is told to stop, and waits for each edit to
// be durable.
type writer struct {
	*peer
	name     string
	document string
	edits    atomic.Int64
	gap      time.Duration // the longest time between two acknowledgements
	gapEnd   time.Time
}

// run writes numbered words.
func (w *writer) run(stop <-chan struct{}) {
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		default:
		}
		w.edit(fmt.Sprintf("%s.%d ", w.name, w.edits.Load()))
		w.edits.Add(1)
		now := time.Now()
		if gap := now.Sub(last); gap > w.gap {
			w.gap, w.gapEnd = gap, now
		}
		last = now
	}
}

// crowd is writers at several documents through several servers.
type crowd struct {
	*testing.T
	writers []*writer
	byDoc   map[string][]*writer
	stop    chan struct{}
	all     sync.WaitGroup
}

func newCrowd(t *testing.T, name string, documents int, through ...*server) *crowd {
	t.Helper()
	c := &crowd{T: t, byDoc: map[string][]*writer{}, stop: make(chan struct{})}
	for i := range documents {
		document := fmt.Sprintf("team/plan-%d", i)
		for j, s := range through {
			w := &writer{document: document, peer: s.join(document), name: fmt.Sprint(name, j)}
			w.edit(fmt.Sprintf("%s.first ", w.name))
			c.writers = append(c.writers, w)
			c.byDoc[document] = append(c.byDoc[document], w)
		}
	}
	for _, w := range c.writers {
		c.all.Go(func() { w.run(c.stop) })
	}
	return c
}

// progress waits until every writer has made so many more edits, each durable.
func (c *crowd) progress(edits int64) {
	c.Helper()
	want := make([]int64, len(c.writers))
	for i, w := range c.writers {
		want[i] = w.edits.Load() + edits
	}
	late := time.After(bound)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i, w := range c.writers {
		for w.edits.Load() < want[i] {
			select {
			case <-tick.C:
			case <-late:
				c.Fatalf("a writer of %s has made %d edits, want %d", w.document, w.edits.Load(), want[i])
			}
		}
	}
}

// finish stops the writers and checks, through a server, that everything that
// was acknowledged is there, once. It returns the longest gaps, in order.
func (c *crowd) finish(through *server) []time.Duration {
	c.Helper()
	close(c.stop)
	c.all.Wait()
	var gaps []time.Duration
	for document, writers := range c.byDoc {
		words := strings.Fields(through.join(document).text())
		count := map[string]int{}
		for _, word := range words {
			count[word]++
		}
		for _, w := range writers {
			gaps = append(gaps, w.gap)
			for i := range w.edits.Load() {
				if word := fmt.Sprintf("%s.%d", w.name, i); count[word] != 1 {
					c.Errorf("%s: %s is there %d times", document, word, count[word])
				}
			}
		}
	}
	slices.SortFunc(gaps, cmp.Compare)
	return gaps
}

// When a node is killed, clients of the others keep their connections and are
// editing again within 3 s, whoever owned the document, and nothing that was
// acknowledged is lost.
func TestKilledOwner(t *testing.T) {
	n := newNodes(t)
	a, b, c := n.three()
	crowd := newCrowd(t, "w", 9, a, b)
	crowd.progress(20)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.until("one was killed", members("a", "b"))
	crowd.progress(20)
	gaps := crowd.finish(b)
	t.Logf("longest gaps: median %v, all but two %v, longest %v", gaps[len(gaps)/2], gaps[len(gaps)-3], gaps[len(gaps)-1])
	if longest := gaps[len(gaps)-1]; longest > 3*time.Second {
		t.Errorf("a client waited for %v", longest)
	}
}

// A node that is told to stop hands its documents over: clients of the others
// hardly notice, and its own are sent away when their documents are elsewhere.
func TestDrainedOwner(t *testing.T) {
	n := newNodes(t)
	a, b, c := n.start("a"), n.start("b"), n.start("c", "--drain-time", "1s")
	for _, s := range []*server{a, b, c} {
		s.until("three nodes", members("a", "b", "c"))
	}
	crowd := newCrowd(t, "w", 9, a, b)
	crowd.progress(20)
	if code, log := c.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
	crowd.progress(20)
	if a.metric("ysync_hub_prepared_total")+b.metric("ysync_hub_prepared_total") == 0 {
		t.Error("no document was read ahead by its next owner")
	}
	gaps := crowd.finish(a)
	t.Logf("longest gaps: median %v, all but two %v, longest %v", gaps[len(gaps)/2], gaps[len(gaps)-3], gaps[len(gaps)-1])
	if longest := gaps[len(gaps)-1]; longest > time.Second {
		t.Errorf("a client waited for %v", longest)
	}
}

// A node that is stopped past its lease loses its documents; when it goes on it
// acknowledges nothing of them by itself, and serves them through their owners.
func TestStoppedOwner(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	a, b, c := n.three()
	crowd, stopped := newCrowd(t, "w", 9, a, b), newCrowd(t, "s", 9, c)
	crowd.progress(20)
	stopped.progress(20)
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.until("one is stopped", members("a", "b"))
	crowd.progress(20)
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.until("it goes on", members("a", "b", "c"))
	crowd.progress(20)
	stopped.progress(20)
	stopped.finish(a)
	gaps := crowd.finish(c)
	t.Logf("longest gaps: median %v, longest %v", gaps[len(gaps)/2], gaps[len(gaps)-1])
	if longest := gaps[len(gaps)-1]; longest > 6*time.Second {
		t.Errorf("a client of another node waited for %v", longest)
	}
}

// With Redis gone, an owner that dies is missed all the same. With the database
// gone, nothing is acknowledged, no connection is lost, and all is taken up again.
func TestWithoutRedisAndWithoutTheDatabase(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	a, b, c := n.three()
	crowd := newCrowd(t, "w", 6, a, b)
	crowd.progress(10)
	if err := n.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	a.until("Redis is gone", func(st status) bool { return len(st.Degraded) == 1 })
	crowd.progress(10)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	crowd.progress(10)
	a.until("one was killed", members("a", "b"))
	if err := n.database.Kill(); err != nil {
		t.Fatal(err)
	}
	a.until("the database is gone too", func(st status) bool { return !st.Cluster.Leased && !st.Cluster.Postgres.Up })
	if len(a.status().Cluster.Members) != 2 {
		t.Errorf("with nobody to ask the members are %+v", a.status().Cluster.Members)
	}
	if err := n.database.Start(); err != nil {
		t.Fatal(err)
	}
	crowd.progress(10)
	if err := n.redis.Start(); err != nil {
		t.Fatal(err)
	}
	a.until("all is back", func(st status) bool { return len(st.Degraded) == 0 && len(st.Cluster.Members) == 2 })
	gaps := crowd.finish(b)
	t.Logf("longest gaps: median %v, longest %v", gaps[len(gaps)/2], gaps[len(gaps)-1])
}
