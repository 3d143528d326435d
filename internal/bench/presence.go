package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// gathering is one document full of people.
type gathering struct {
	mirrors, real int           // clients of ours, and real ones in Node
	script        string        // of the real ones
	measure       time.Duration // with a state a second of each
	ghosts        time.Duration // after which those who went must be gone; 0 does not look
}

// gathered is what a gathering showed.
type gathered struct {
	edits      sample
	late       sample  // how late timers of the clients' process came
	clients    float64 // cores of the clients that are not real
	cores      float64 // of the server
	lost       endings // clients that lost their connection
	seen       int     // clients that a client shows at the end of the measurement
	seenByReal []int
	ghosts     int // clients that are shown although they went, after gathering.ghosts
}

func (g gathering) run(srv *server) (out gathered, err error) {
	document := fmt.Sprintf("gathering-%d", time.Now().UnixNano())
	s := &stats{}
	writing := newGroup(document, s)
	writing.receivers = 1 // the writer hears nothing of its own edits
	p, err := writing.connect(srv.addr)
	if err != nil {
		return out, err
	}
	defer p.socket.close()
	edits := &arrivals{writer: p.doc.ClientID(), at: map[crdt.Clock]time.Time{}}
	mirrors := make([]*mirror, g.mirrors)
	defer func() {
		for _, m := range mirrors {
			if m != nil {
				m.socket.close()
			}
		}
	}()
	for i := range mirrors {
		if mirrors[i], err = dialMirror(srv.addr, document, uint64(1000+i), edits); err != nil {
			return out, err
		}
	}
	node, err := g.startReal(srv.addr, document)
	if err != nil {
		return out, err
	}
	defer node.end()

	stop := make(chan struct{})
	var living sync.WaitGroup
	over := sync.OnceFunc(func() {
		close(stop)
		living.Wait()
	})
	defer over()
	for i, m := range mirrors {
		living.Go(func() {
			// Each at its own moment of the second.
			at := time.Now().Add(time.Second * time.Duration(i) / time.Duration(len(mirrors)))
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(at)):
				}
				at = at.Add(time.Second)
				if m.mute.Load() || m.show(n) != nil {
					return
				}
				if n%3 == 0 && m.check() != nil {
					return
				}
			}
		})
	}
	living.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if edits.write(p) != nil {
				return
			}
		}
	})
	time.Sleep(2 * warmUp)
	var own stats
	living.Go(func() { lateness(&own, stop) })
	used := ownCPU()
	living.Go(func() { out.late = own.window(srv, g.measure) })
	out.edits = edits.stats.window(srv, g.measure)
	out.clients = (ownCPU() - used).Seconds() / g.measure.Seconds()
	out.cores = out.edits.CPUSeconds / g.measure.Seconds()
	out.seen = len(mirrors[0].sees())
	for _, m := range mirrors {
		out.lost.count(m.ended.Load())
	}
	if g.ghosts > 0 {
		out.ghosts, err = g.leave(srv, document, mirrors, edits)
		if err != nil {
			return out, err
		}
	}
	over()
	out.seenByReal, err = node.end()
	return out, err
}

// write makes one edit and notes when.
func (a *arrivals) write(p *peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	commit, err := p.doc.Transact(nil, func(tx *crdt.Txn) { p.doc.Text("text").Insert(tx, 0, "e") })
	if err != nil {
		return err
	}
	a.mu.Lock()
	for _, added := range commit.Added() {
		a.at[added.From] = time.Now()
	}
	a.mu.Unlock()
	return p.socket.write(syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1)))
}

// leave lets half of the clients go, half of these without a word, and returns
// how many of them a newcomer is shown after a while.
func (g gathering) leave(srv *server, document string, mirrors []*mirror, edits *arrivals) (int, error) {
	for i, m := range mirrors[:len(mirrors)/2] {
		m.mute.Store(true)
		if i%2 == 0 {
			m.socket.close()
		}
	}
	time.Sleep(g.ghosts)
	late, err := dialMirror(srv.addr, document, 1, edits)
	if err != nil {
		return 0, err
	}
	defer late.socket.close()
	time.Sleep(2 * time.Second)
	n := 0
	for _, id := range late.sees() {
		if id >= 1000 && id < uint64(1000+len(mirrors)/2) {
			n++
		}
	}
	return n, nil
}

// realClients are clients in Node.
type realClients struct {
	n    int
	cmd  *exec.Cmd
	in   io.Closer
	out  *bufio.Reader
	once sync.Once
	seen []int
	err  error
}

// startReal starts them and waits until they are synced.
func (g gathering) startReal(addr, document string) (*realClients, error) {
	c := &realClients{n: g.real}
	if g.real == 0 {
		return c, nil
	}
	c.cmd = exec.Command("node", filepath.Base(g.script), document, strconv.Itoa(g.real))
	c.cmd.Dir = filepath.Dir(g.script)
	c.cmd.Env = append(os.Environ(), "YSYNC_URL=ws://"+addr)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := c.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != "synced" {
		_, _ = c.end()
		return nil, fmt.Errorf("the real clients: %q, %w", line, err)
	}
	return c, nil
}

// end ends them and returns how many clients each of them showed at last.
func (c *realClients) end() ([]int, error) {
	if c.n == 0 {
		return nil, nil
	}
	c.once.Do(func() {
		_ = c.in.Close()
		line, _ := c.out.ReadString('\n')
		for _, field := range strings.Fields(line) {
			n, err := strconv.Atoi(field)
			if err != nil {
				c.err = fmt.Errorf("the real clients said %q", line)
			}
			c.seen = append(c.seen, n)
		}
		if err := c.cmd.Wait(); err != nil {
			c.err = err
		}
		if c.err == nil && len(c.seen) != c.n {
			c.err = fmt.Errorf("the real clients said %q", line)
		}
	})
	return c.seen, c.err
}

// realScript runs real clients; it is beside the packages that it needs.
const realScript = "internal/e2e/crowd.mjs"

func presenceJob(b *bench, name string) error {
	srv, err := b.ours()
	if err != nil {
		return err
	}
	defer srv.stop()
	g := gathering{mirrors: 490, real: 10, script: realScript, measure: 30 * time.Second, ghosts: 35 * time.Second}
	got, err := g.run(srv)
	if err != nil {
		return err
	}
	all := g.mirrors + g.real
	fmt.Printf("    %d deliveries of edits, p50 %.2f ms; a client shows %d others, the real ones %v at the end\n", got.edits.Deliveries, got.edits.P50, got.seen, got.seenByReal)
	fmt.Printf("    the clients in Go used %.2f cores, and their timers were late by p50 %.3g, p99 %.3g ms; the server waited for its core %.0f ms/s\n",
		got.clients, got.late.P50, got.late.P99, 1000*got.edits.Waited/g.measure.Seconds())
	b.add(row{Job: name, Figure: "cores of the server", Ours: []float64{got.cores}, Must: "≤ 1", OK: got.cores < 1})
	b.add(row{Job: name, Figure: "p99 of edits in ms", Ours: []float64{got.edits.P99}, Must: "≤ 100", OK: got.edits.P99 <= 100 && got.edits.Deliveries > 0})
	b.add(row{Job: name, Figure: "clients shown to a client", Ours: []float64{float64(got.seen)}, Must: fmt.Sprintf("≥ %d", all), OK: got.seen >= all, Wrong: true})
	b.add(got.lost.row(name, "clients that lost their connection"))
	b.add(row{Job: name, Figure: "ghosts after 35 s", Ours: []float64{float64(got.ghosts)}, Must: "0", OK: got.ghosts == 0, Wrong: true})
	b.add(row{Job: name, Figure: "messages that clients cannot read", Ours: []float64{float64(got.edits.Failures)}, Must: "0", OK: got.edits.Failures == 0, Wrong: true})
	return nil
}
