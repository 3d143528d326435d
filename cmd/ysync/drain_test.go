package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// goodbyes are how connections ended.
type goodbyes struct {
	mu    sync.Mutex
	codes []websocket.StatusCode
	at    []time.Time
}

// hear reads a peer's connection until it ends.
func (g *goodbyes) hear(p *peer) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for {
		if _, _, err := p.ws.Read(ctx); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.codes, g.at = append(g.codes, websocket.CloseStatus(err)), append(g.at, time.Now())
			return
		}
	}
}

func (g *goodbyes) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.codes)
}

// within asks again and again until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(what)
		}
	}
}

// What a node that is told to stop does, in order: it is not ready any more, while
// its clients are still there; takes no connections and no documents; hands over
// what it has; sends its clients away one after the other; and ends.
func TestDrainInOrder(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	a, b, c := n.start("a"), n.start("b"), n.start("c", "--drain-time", "5s")
	for _, s := range []*server{a, b, c} {
		s.until("three nodes", members("a", "b", "c"))
	}
	const documents = 30
	var ends goodbyes
	var readers sync.WaitGroup
	for i := range documents {
		p := c.join(fmt.Sprint("plan-", i))
		p.edit("hey")
		readers.Go(func() { ends.hear(p) })
	}
	if c.documents() == 0 {
		t.Fatal("of all documents the node has none")
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "it stays ready", func() bool {
		answer, err := http.Get("http://" + c.ops() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		return answer.Body.Close() == nil && answer.StatusCode == http.StatusServiceUnavailable
	})
	if left := documents - ends.count(); left == 0 {
		t.Error("it was ready until all its clients were gone")
	}
	_, answer, err := websocket.Dial(t.Context(), "ws://"+c.addr()+"/other", nil)
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("another client is answered %+v, %v", answer, err)
	}
	within(t, "it keeps documents", func() bool { return c.documents() == 0 })
	for i := range 10 {
		a.join(fmt.Sprint("new-", i)).edit("hey")
	}
	if had := c.documents(); had > 0 {
		t.Errorf("it was given %d documents", had)
	}
	if ends.count() == documents {
		t.Error("its clients were all gone before its documents were elsewhere")
	}
	readers.Wait()
	for _, code := range ends.codes {
		if code != websocket.StatusServiceRestart {
			t.Errorf("a client was sent away with %d", code)
		}
	}
	// 5 s and a bit less than one share of thirty, however slow the machine is.
	if spread := ends.at[documents-1].Sub(ends.at[0]); spread < time.Second {
		t.Errorf("all clients were sent away within %v", spread)
	}
	log := <-c.rest
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
	for i := range documents {
		if text := b.join(fmt.Sprint("plan-", i)).text(); text != "hey" {
			t.Errorf("document %d is %q", i, text)
		}
	}
}

// A node that cannot hand over, nor commit, as the database stands still, ends
// all the same by its deadline, and says what it did not do.
func TestDrainEndsByItsDeadline(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	n := newNodes(t)
	a := n.start("a", "--shutdown-timeout", "3s")
	b := n.start("b")
	a.until("two nodes", members("a", "b"))
	b.until("two nodes", members("a", "b"))
	var peers []*peer
	for i := range 8 {
		p := a.join(fmt.Sprint("plan-", i))
		p.edit("hey")
		peers = append(peers, p)
	}
	if err := n.database.Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.write("lost?")
	}
	start := time.Now()
	code, log := a.stop(syscall.SIGTERM)
	t.Logf("ended %v after SIGTERM", time.Since(start).Round(time.Millisecond))
	// Three seconds, what comes after them, and a slow machine.
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if code == 0 || !strings.Contains(log, "cut off") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if err := n.database.Thaw(); err != nil {
		t.Fatal(err)
	}
	b.until("it is alone", members("b"))
	for i := range peers {
		if text := b.join(fmt.Sprint("plan-", i)).text(); !strings.HasPrefix(text, "hey") {
			t.Errorf("document %d is %q", i, text)
		}
	}
}
