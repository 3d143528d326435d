package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ysync/internal/e2e"
	"ysync/internal/testredis"
)

// audience is one document with readers at each of some nodes, and a writer at
// each.
type audience struct {
	readers        int // at each node
	editsPerSecond float64
	measure        time.Duration
	prefix         []string // of each server's command
}

// audienceFigures are what an audience showed.
type audienceFigures struct {
	// local is of those at the owner, relayed of those at each other node.
	local   sample
	relayed []sample
	// edits were made in all; casts are the update frames that nodes put on their
	// links for them.
	edits, casts int
}

// cast is the price of a delivery in all nodes together, in microseconds.
func (f audienceFigures) cast() float64 {
	cpu, n := f.local.CPUSeconds, f.local.Deliveries
	for _, s := range f.relayed {
		cpu, n = cpu+s.CPUSeconds, n+s.Deliveries
	}
	return cpu * 1e6 / float64(max(1, n))
}

// site is what nodes share: a database, a bucket and a Redis.
type site struct {
	*elsewhere
	redis *testredis.Server
	bin   string
}

func startSite(bin, dir string) (*site, error) {
	away, err := startElsewhere(dir)
	if err != nil {
		return nil, err
	}
	redis, err := testredis.New()
	if err != nil {
		away.stop()
		return nil, err
	}
	return &site{elsewhere: away, redis: redis, bin: bin}, nil
}

func (s *site) stop() {
	if err := s.redis.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	s.elsewhere.stop()
}

// start starts so many nodes of one cluster and waits until each sees all; one
// is a server alone, with the same database and bucket.
func (s *site) start(nodes int, prefix []string) (list []*server, err error) {
	env := s.env
	if nodes > 1 {
		env = append(env, "YSYNC_CLUSTER="+s.redis.URL())
	}
	defer func() {
		if err != nil {
			stopAll(list)
		}
	}()
	for i := range nodes {
		data, err := os.MkdirTemp(filepath.Dir(filepath.Dir(s.bucket)), "node")
		if err != nil {
			return list, err
		}
		n, err := e2e.StartUnder(prefix, s.bin, data, env, "--log-level", "error", "--ops", "127.0.0.1:0")
		if err != nil {
			return list, err
		}
		list = append(list, &server{name: fmt.Sprint("node ", i+1), addr: n.Addr, ops: fmt.Sprint(n.Fields["ops"]), pid: n.PID(), stop: n.Kill})
	}
	if nodes == 1 {
		return list, nil
	}
	for _, n := range list {
		members, err := 0, error(nil)
		if !until(time.Minute, func() bool {
			members, err = n.metric("ysync_cluster_members")
			return err != nil || members == nodes
		}) {
			return list, fmt.Errorf("%s sees %d of %d nodes", n.name, members, nodes)
		}
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

func stopAll(list []*server) {
	for _, n := range list {
		n.stop()
	}
}

// metric is the value of a metric without labels.
func (s *server) metric(name string) (int, error) {
	answer, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			return int(v), err
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("%s has no metric %s", s.name, name))
}

// run has the audience gather at the nodes, and measures.
func (a audience) run(nodes []*server) (got audienceFigures, err error) {
	each := make([]*stats, len(nodes))
	g := newGroup(fmt.Sprintf("readers-%d", time.Now().UnixNano()), nil)
	defer func() {
		for _, p := range g.peers {
			p.socket.close()
		}
	}()
	var writers []*writer
	for i, n := range nodes {
		each[i] = &stats{}
		g.stats = each[i]
		p, err := g.join(n.addr)
		if err != nil {
			return got, err
		}
		writers = append(writers, p.writer(uint64(i)))
		for range a.readers {
			leave, err := g.joinReader(n.addr)
			if err != nil {
				return got, err
			}
			defer leave()
		}
	}
	samples := make([]sample, len(nodes))
	_, err = drive(writers, a.editsPerSecond, a.measure, func() {
		windows := make(chan struct{})
		for i, n := range nodes {
			go func() {
				samples[i] = each[i].window(n, a.measure)
				windows <- struct{}{}
			}()
		}
		for range nodes {
			<-windows
		}
	})
	if err != nil {
		return got, err
	}
	owner := 0
	for i, n := range nodes {
		casts, err := n.metric("ysync_relay_casts_total")
		if err != nil {
			return got, err
		}
		if casts > 0 {
			owner = i
		}
		got.casts += casts
	}
	for i, s := range samples {
		if i == owner {
			got.local = s
		} else {
			got.relayed = append(got.relayed, s)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range writers {
		got.edits += w.made
	}
	return got, nil
}

// readersJob compares what a relayed delivery costs with what one costs at a
// server without others, with as many readers at each process.
func readersJob(b *bench, name string) error {
	dir, err := os.MkdirTemp(b.work, "readers")
	if err != nil {
		return err
	}
	s, err := startSite(b.bin, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	a := audience{readers: 1000, editsPerSecond: 10, measure: 20 * time.Second, prefix: []string{"taskset", "-c", serverCore}}
	var crossings, p99s, ratios, together, relayedCost, localCost, localP99 []float64
	for range b.runs {
		var got [2]audienceFigures
		for i, n := range []int{1, 3} {
			nodes, err := s.start(n, a.prefix)
			if err != nil {
				return err
			}
			got[i], err = a.run(nodes)
			stopAll(nodes)
			if err != nil {
				return fmt.Errorf("%d nodes: %w", n, err)
			}
		}
		alone, cluster := got[0], got[1]
		local := alone.local.MicrosPerDelivery
		var cost, worst float64
		for _, r := range cluster.relayed {
			cost += r.MicrosPerDelivery / float64(len(cluster.relayed))
			worst = max(worst, r.P99)
		}
		crossings = append(crossings, float64(cluster.casts)/float64(len(cluster.relayed)*cluster.edits))
		p99s, localP99 = append(p99s, worst), append(localP99, alone.local.P99)
		relayedCost, localCost = append(relayedCost, cost), append(localCost, local)
		ratios, together = append(ratios, cost/local), append(together, cluster.cast()/local)
		fmt.Printf("    alone: %+v\n    owner: %+v\n", alone.local, cluster.local)
		for _, r := range cluster.relayed {
			fmt.Printf("    other: %+v\n", r)
		}
	}
	b.add(row{Job: name, Figure: "update frames for each edit and other node", Ours: crossings, Must: "≤ 1", OK: median(crossings) <= 1})
	b.add(row{Job: name, Figure: "p99 of a relayed delivery in ms", Ours: p99s, Must: "≤ 50", OK: median(p99s) <= 50})
	b.add(row{Job: name, Figure: "CPU µs per relayed delivery", Ours: relayedCost, Must: "–", OK: true})
	b.add(row{Job: name, Figure: "the same at a server alone", Ours: localCost, Must: "–", OK: true})
	b.add(row{Job: name, Figure: "relayed / local", Ours: ratios, Must: "≤ 1.3", OK: median(ratios) <= 1.3})
	b.add(row{Job: name, Figure: "all nodes together / local", Ours: together, Must: "–", OK: true})
	b.add(row{Job: name, Figure: "p99 at a server alone in ms", Ours: localP99, Must: "–", OK: true})
	return nil
}
