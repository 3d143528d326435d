package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ordeal is a run of honest clients beside hostile ones.
type ordeal struct {
	documents, clients int // honest: documents, and clients of each
	attacked           int // documents that attackers are in as well
	attackers          int
	quiet, loud        time.Duration
	every              time.Duration // between two edits of a writer; each document has two
	settle             time.Duration // in which the memory must come down
}

// shown is what came of it. Latencies are milliseconds.
type shown struct {
	quiet, loud                   [3]sample // attacked documents, the others, and how late the clients themselves run
	baseline, peak, after         int64     // resident bytes
	lost                          endings   // honest clients that lost their connection
	unseen                        int       // edits that were not seen by all at the end
	did                           string    // what the attackers did
	cpuQuiet, cpuLoud, settleTook time.Duration
}

// joinEvery is how far apart the honest clients come: within --connect-rate.
const joinEvery = 15 * time.Millisecond

// run does it against a server.
func (o ordeal) run(srv *server) (out shown, err error) {
	prefix := fmt.Sprintf("ordeal-%d", time.Now().UnixNano())
	all := [3]stats{{parts: true}, {parts: true}, {parts: true}}
	var groups []*group
	var writers []*writer
	defer func() {
		for _, g := range groups {
			for _, p := range g.peers {
				p.socket.close()
			}
		}
	}()
	pace := time.NewTicker(joinEvery)
	defer pace.Stop()
	for d := range o.documents {
		of := &all[0]
		if d >= o.attacked {
			of = &all[1]
		}
		g := newGroup(fmt.Sprintf("%s-%d", prefix, d), of)
		groups = append(groups, g)
		for c := range o.clients {
			<-pace.C
			p, err := g.join(srv.addr)
			if err != nil {
				return out, err
			}
			if c < 2 {
				writers = append(writers, p.writer(uint64(d*1000+c)))
			}
		}
	}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	begin := time.Now()
	for i, w := range writers {
		writing.Go(func() {
			at := begin.Add(o.every * time.Duration(i) / time.Duration(len(writers)))
			for ; ; at = at.Add(o.every) {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(at)):
				}
				if w.edit(at) != nil {
					return
				}
			}
		})
	}
	writing.Go(func() { lateness(&all[2], stop) })
	end := sync.OnceFunc(func() {
		close(stop)
		writing.Wait()
	})
	defer end()
	time.Sleep(warmUp)
	hostiles, err := o.attack(srv.addr, prefix)
	if err != nil {
		return out, err
	}
	out.quiet, out.cpuQuiet = o.window(srv, &all, o.quiet)
	out.baseline, _ = srv.memory()
	srv.heap("quiet")
	if err := hostiles.begin(); err != nil {
		return out, err
	}
	watched := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-watched:
				return
			case <-tick.C:
				now, _ := srv.memory()
				out.peak = max(out.peak, now)
			}
		}
	})
	defer time.AfterFunc(o.loud/2, func() { srv.trace(3 * time.Second) }).Stop()
	out.loud, out.cpuLoud = o.window(srv, &all, o.loud)
	srv.heap("loud")
	out.did, err = hostiles.end()
	close(watched)
	watching.Wait()
	if err != nil {
		return out, err
	}
	over := time.Now()
	for out.after, _ = srv.memory(); out.after > out.baseline+out.baseline/10 && time.Since(over) < o.settle; out.after, _ = srv.memory() {
		time.Sleep(200 * time.Millisecond)
	}
	out.settleTook = time.Since(over)
	srv.heap("settled")
	end()
	until(30*time.Second, func() bool { return pending(writers) == 0 }) // or it is told below
	out.unseen = pending(writers)
	for _, g := range groups {
		for _, p := range g.peers {
			out.lost.count(p.ended.Load())
		}
	}
	return out, nil
}

// lateness notes how late a timer of this process comes. That much of a latency is
// of the measuring clients, which share a core with the attackers.
func lateness(s *stats, stop <-chan struct{}) {
	const every = 5 * time.Millisecond
	for {
		at := time.Now().Add(every)
		select {
		case <-stop:
			return
		case <-time.After(every):
			s.delivered(time.Since(at))
		}
	}
}

// window measures the two kinds of documents, and the clients, at once.
func (o ordeal) window(srv *server, all *[3]stats, d time.Duration) (got [3]sample, cpu time.Duration) {
	before := srv.cpu()
	var both sync.WaitGroup
	for i := range all {
		both.Go(func() { got[i] = all[i].window(srv, d) })
	}
	both.Wait()
	return got, srv.cpu() - before
}

// horde are the attackers, in a process of their own, which is there and idle in
// the quiet time as well.
type horde struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said strings.Builder
}

func (o ordeal) attack(addr, prefix string) (*horde, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// By a command, as what a process says of itself holds for one thread of it.
	h := &horde{cmd: exec.Command("nice", "-n", "10",
		self, "attackers", addr, prefix, strconv.Itoa(o.attacked), strconv.Itoa(o.attackers))}
	h.cmd.Env = append(os.Environ(), attackersHere+"=1")
	h.cmd.Stderr = os.Stderr
	h.cmd.Stdout = &h.said
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return h, h.cmd.Start()
}

func (h *horde) begin() error {
	_, err := io.WriteString(h.in, "begin\n")
	return err
}

// end ends them and tells what they did.
func (h *horde) end() (string, error) {
	err := errors.Join(h.in.Close(), h.cmd.Wait())
	return strings.Join(strings.Fields(h.said.String()), " "), err
}

// endings are the reasons for which connections ended that should not have.
type endings map[string]int

// count notes why one ended; nil for one that lives.
func (e *endings) count(why *error) {
	if why == nil {
		return
	}
	if *e == nil {
		*e = endings{}
	}
	text := (*why).Error()
	if _, after, addressed := strings.Cut(text, "->"); addressed {
		text = after[strings.Index(after, " ")+1:] // the addresses are of no interest
	}
	(*e)[text]++
}

// row prints the reasons and returns the line of how many there are.
func (e endings) row(job, figure string) row {
	n := 0
	for why, many := range e {
		fmt.Printf("    %d clients lost their connection: %s\n", many, why)
		n += many
	}
	return row{Job: job, Figure: figure, Ours: []float64{float64(n)}, Must: "0", OK: n == 0, Wrong: true}
}

// attackersHere is set for the process of the attackers.
const attackersHere = "YSYNC_BENCH_ATTACKERS"

// strict are the limits of a server that strangers reach without a token (LIMITS.md).
var strict = []string{
	"--session-messages", "20", "--session-bytes", "64KiB", "--fair-messages", "20", "--press-delay", "5ms",
	"--max-message", "2MiB", "--large-messages", "16MiB", "--max-document", "4MiB", "--max-pending", "256KiB", "--max-refused", "4MiB",
	"--max-outbox", "64KiB", "--sync-bytes", "256KiB", "--sync-diffs", "4MiB", "--connect-rate", "100", "--memory-limit", "240MiB",
}

// hostileFor is how long the attackers go on in the job "hostile".
var hostileFor = time.Minute

func hostileJob(b *bench, name string) error {
	srv, err := b.ours(append([]string{"--log-level", "warn"}, strict...)...)
	if err != nil {
		return err
	}
	defer srv.stop()
	o := ordeal{
		documents: 50, clients: 10, attacked: 25, attackers: 500,
		quiet: min(hostileFor, time.Minute), loud: hostileFor, every: time.Second, settle: time.Minute,
	}
	got, err := o.run(srv)
	if err != nil {
		return err
	}
	fmt.Printf("    attackers did: %s\n", got.did)
	fmt.Printf("    CPU of the server: quiet %.0f ms/s, beside attackers %.0f ms/s; memory settled after %v\n",
		float64(got.cpuQuiet.Milliseconds())/o.quiet.Seconds(), float64(got.cpuLoud.Milliseconds())/o.loud.Seconds(), got.settleTook.Round(time.Second))
	fmt.Printf("    the server waited for its core %.0f ms/s quiet, %.0f ms/s beside attackers, which is what others had of it\n", 1000*got.quiet[2].Waited/o.quiet.Seconds(), 1000*got.loud[2].Waited/o.loud.Seconds())
	own := [2]sample{got.quiet[2], got.loud[2]}
	fmt.Printf("    the clients' own timers were late by p50 %.3g, p99 %.3g ms quiet, p50 %.3g, p99 %.3g ms beside attackers\n", own[0].P50, own[0].P99, own[1].P50, own[1].P99)
	for i, which := range []string{"documents under attack", "other documents"} {
		fmt.Printf("    %s: p99 in ms of each tenth of the time: quiet %.3g, beside attackers %.3g\n", which, got.quiet[i].Parts, got.loud[i].Parts)
		q, l := got.quiet[i], got.loud[i]
		must, factor := "≤ 2 × quiet", 2.0
		if i == 1 {
			must, factor = "≤ 1.2 × quiet", 1.2
		}
		b.add(row{Job: name, Figure: "p99 in ms, " + which + ", quiet", Ours: []float64{q.P99}, Must: "for comparison", OK: true})
		b.add(row{Job: name, Figure: "p50 in ms, " + which, Ours: []float64{l.P50}, Must: "for comparison", OK: true})
		b.add(row{Job: name, Figure: "p99 in ms, " + which, Ours: []float64{l.P99}, Must: must, OK: l.P99 <= factor*q.P99})
	}
	mib := func(n int64) []float64 { return []float64{float64(n) / (1 << 20)} }
	b.add(row{Job: name, Figure: "MiB before", Ours: mib(got.baseline), Must: "for comparison", OK: true})
	b.add(row{Job: name, Figure: "MiB at most", Ours: mib(got.peak), Must: "≤ before + 256", OK: got.peak <= got.baseline+256<<20})
	b.add(row{Job: name, Figure: "MiB a minute later", Ours: mib(got.after), Must: "≤ before + 10 %", OK: got.after <= got.baseline+got.baseline/10})
	b.add(got.lost.row(name, "honest clients disconnected"))
	b.add(row{Job: name, Figure: "edits not seen by all", Ours: []float64{float64(got.unseen)}, Must: "0", OK: got.unseen == 0, Wrong: true})
	failures := max(got.loud[0].Failures, got.loud[1].Failures)
	b.add(row{Job: name, Figure: "messages that clients cannot read", Ours: []float64{float64(failures)}, Must: "0", OK: failures == 0, Wrong: true})
	return nil
}
