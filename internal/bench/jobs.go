package main

import (
	"fmt"
	"os"
	"time"
)

// job is one comparison.
type job struct {
	name, what string
	run        func(b *bench, name string) error
}

var jobs []job

func init() {
	jobs = []job{
		{"many", "100 documents × 10 clients, all writing, closed loop", loopJob(shape{100, 10, 10}, 2.5)},
		{"crowd", "1 document × 200 clients, 2 writers, closed loop", loopJob(shape{1, 200, 2}, 10)},
		{"pair", "1 document × 2 clients, both writing, closed loop", pairJob},
		{"fixed", "9,000 deliveries/s: 10 documents × 10 clients", fixedJob},
		{"overload", "twice the highest sustained rate, 100 documents × 10 clients", overloadJob},
		{"idle", "10,000 idle connections with presence, 100 documents, a minute", idleJob},
		{"redial", "2,000 clients drop and dial again at once", redialJob},
		{"cold", "5,000 documents of 20 KB read after a restart", coldJob},
		{"acks", "acknowledged updates over 1,000 documents, embedded log and PostgreSQL, all on one machine", acksJob},
		{"bytes", "the B4 trace typed, and what it takes on disk, in PostgreSQL and in the bucket", bytesJob},
		{"load", "one client opens the B4 document after a restart, from folder, PostgreSQL and bucket", loadJob},
		{"hostile", "500 hostile clients beside 500 honest ones (-for)", hostileJob},
		{"presence", "500 clients of one document that send back what they see, as stock clients do", presenceJob},
		{"readers", "1 document × 3,000 readers at three nodes, 10 edits/s, PostgreSQL and Redis", readersJob},
		{"join", "150 clients join a document of 20 MB at once", joinJob},
	}
}

func jobNames() []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// samples are what the runs of one job showed.
type samples struct{ ours, logOff, theirs []sample }

// each runs measureOne against fresh servers in turn, ours with the log on disk
// and without one, and the rival, so that a drift of the machine's speed meets all.
func (b *bench) each(measureOne func(*server) (sample, error)) (all samples, err error) {
	for range b.runs {
		for _, from := range []struct {
			start func() (*server, error)
			into  *[]sample
		}{
			{func() (*server, error) { return b.ours() }, &all.ours},
			{b.oursLogOff, &all.logOff},
			{b.rival, &all.theirs},
		} {
			srv, err := from.start()
			if err != nil {
				return all, err
			}
			got, err := measureOne(srv)
			srv.stop()
			if err != nil {
				return all, fmt.Errorf("%s: %w", srv.name, err)
			}
			*from.into = append(*from.into, got)
			fmt.Printf("    %-20s %.0f deliveries/s, %.0f per CPU second, %.2f µs each, p50 %.2f ms, p99 %.2f ms, %d failures\n",
				srv.name, got.PerSecond, got.PerCPUSecond, got.MicrosPerDelivery, got.P50, got.P99, got.Failures)
		}
	}
	return all, nil
}

func pick(samples []sample, of func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}

func perCPU(s sample) float64 { return s.PerCPUSecond }
func p99(s sample) float64    { return s.P99 }
func micros(s sample) float64 { return s.MicrosPerDelivery }

// addCompared adds a row of one figure of all servers.
func (b *bench) addCompared(job, figure string, all samples, of func(sample) float64, must string, ok func(ours, theirs float64) bool) {
	o, t := pick(all.ours, of), pick(all.theirs, of)
	b.add(row{Job: job, Figure: figure, Ours: o, LogOff: pick(all.logOff, of), Rival: t, Must: must, OK: ok(median(o), median(t))})
}

func noMore(ours, theirs float64) bool { return ours <= theirs }

func (b *bench) addFaster(name string, all samples, factor float64) {
	b.addCompared(name, "deliveries per CPU second", all, perCPU, fmt.Sprintf("≥ %.1f × rival", factor),
		func(ours, theirs float64) bool { return ours >= factor*theirs })
	b.addCompared(name, "p99 in ms", all, p99, "≤ rival", noMore)
}

func loopJob(sh shape, factor float64) func(*bench, string) error {
	return func(b *bench, name string) error {
		all, err := b.each(func(s *server) (sample, error) { return closedLoop(s, sh) })
		if err != nil {
			return err
		}
		b.addFaster(name, all, factor)
		return nil
	}
}

func pairJob(b *bench, name string) error {
	all, err := b.each(func(s *server) (sample, error) { return closedLoop(s, shape{1, 2, 2}) })
	if err != nil {
		return err
	}
	b.addFaster(name, all, 4)
	var bare []float64
	for range b.runs {
		srv, err := echo()
		if err != nil {
			return err
		}
		got, err := echoLoop(srv)
		srv.stop()
		if err != nil {
			return err
		}
		bare = append(bare, got.MicrosPerDelivery)
	}
	o := pick(all.ours, micros)
	b.add(row{
		Job: name, Figure: "CPU µs per delivery; rival: bare echo", Ours: o, LogOff: pick(all.logOff, micros), Rival: bare,
		Must: "≤ 2.5 × echo", OK: median(o) <= 2.5*median(bare),
	})
	return nil
}

func fixedJob(b *bench, name string) error {
	all, err := b.each(func(s *server) (sample, error) {
		got, _, err := openLoop(s, shape{10, 10, 10}, 1000, measure)
		return got, err
	})
	if err != nil {
		return err
	}
	b.addCompared(name, "p99 in ms", all, p99, "≤ rival", noMore)
	b.addCompared(name, "CPU µs per delivery", all, micros, "≤ rival", noMore)
	return nil
}

func overloadJob(b *bench, name string) error {
	var share, drain []float64
	for range b.runs {
		srv, err := b.ours()
		if err != nil {
			return err
		}
		sh := shape{100, 10, 10}
		best, err := closedLoop(srv, sh)
		if err == nil {
			var got sample
			var drained time.Duration
			got, drained, err = openLoop(srv, sh, 2*best.PerSecond/float64(sh.clients-1), measure)
			fmt.Printf("    sustained %.0f/s, under twice that %.0f/s, drained in %v\n", best.PerSecond, got.PerSecond, drained)
			share = append(share, got.PerSecond/best.PerSecond)
			drain = append(drain, drained.Seconds())
		}
		srv.stop()
		if err != nil {
			return err
		}
	}
	b.add(row{Job: name, Figure: "share of the sustained rate", Ours: share, Must: "≥ 0.8", OK: median(share) >= 0.8})
	b.add(row{Job: name, Figure: "seconds to drain", Ours: drain, Must: "≤ 60", OK: median(drain) <= 60})
	return nil
}

func idleJob(b *bench, name string) error {
	var rates, perCPU, busy, bytesEach [2][]float64
	// A minute each: the memory figure is ours alone to meet, so once each.
	for i, start := range []func() (*server, error){func() (*server, error) { return b.ours() }, b.rival} {
		srv, err := start()
		if err != nil {
			return err
		}
		got, err := idle(srv, 10_000)
		srv.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", srv.name, err)
		}
		rates[i] = append(rates[i], got.connectsPerSecond)
		perCPU[i] = append(perCPU[i], got.connectsPerCPUSecond)
		busy[i] = append(busy[i], got.clientBusy)
		bytesEach[i] = append(bytesEach[i], got.bytesEach)
	}
	b.add(row{Job: name, Figure: "connects per second", Ours: rates[0], Rival: rates[1], Must: "≥ 2 × rival", OK: median(rates[0]) >= 2*median(rates[1])})
	b.add(row{Job: name, Figure: "connects per CPU second", Ours: perCPU[0], Rival: perCPU[1], Must: "–", OK: true})
	b.add(row{Job: name, Figure: "clients' share of their core", Ours: busy[0], Rival: busy[1], Must: "–", OK: true})
	b.add(row{Job: name, Figure: "bytes per connection", Ours: bytesEach[0], Rival: bytesEach[1], Must: "≤ 12288", OK: median(bytesEach[0]) <= 12288})
	return nil
}

func redialJob(b *bench, name string) error {
	var took [2][]float64
	for range b.runs {
		for i, start := range []func() (*server, error){func() (*server, error) { return b.ours() }, b.rival} {
			srv, err := start()
			if err != nil {
				return err
			}
			d, err := redial(srv, 2000)
			srv.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", srv.name, err)
			}
			took[i] = append(took[i], d.Seconds())
		}
	}
	b.add(row{Job: name, Figure: "seconds until all are synced", Ours: took[0], Rival: took[1], Must: "≤ rival / 2", OK: median(took[0]) <= median(took[1])/2})
	return nil
}

func coldJob(b *bench, name string) error {
	const documents = 5000
	data, err := os.MkdirTemp(b.work, "cold")
	if err != nil {
		return err
	}
	srv, err := ours(b.bin, data)
	if err != nil {
		return err
	}
	err = cold(srv.addr, documents)
	srv.stop()
	if err != nil {
		return err
	}
	var rates []float64
	for range b.runs {
		srv, err := ours(b.bin, data)
		if err != nil {
			return err
		}
		rate, err := readAll(srv.addr, documents)
		srv.stop()
		if err != nil {
			return err
		}
		rates = append(rates, rate)
	}
	b.add(row{Job: name, Figure: "documents per second", Ours: rates, Must: "≥ 2000", OK: median(rates) >= 2000})
	return nil
}

func joinJob(b *bench, name string) error {
	var peaks, took []float64
	for range b.runs {
		srv, err := b.ours()
		if err != nil {
			return err
		}
		peak, d, err := join(srv, 150)
		srv.stop()
		if err != nil {
			return err
		}
		peaks, took = append(peaks, float64(peak)/(1<<20)), append(took, d.Seconds())
	}
	b.add(row{Job: name, Figure: "highest memory in MiB", Ours: peaks, Must: "≤ 286 (300 MB)", OK: median(peaks) <= 286})
	b.add(row{Job: name, Figure: "seconds until all are synced", Ours: took, Must: "–", OK: true})
	return nil
}
