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

// both runs measureOne against fresh servers in turn, ours and the rival, so
// that a drift of the machine's speed meets both.
func (b *bench) both(measureOne func(*server) (sample, error)) (ours, theirs []sample, err error) {
	for range b.runs {
		for _, start := range []func() (*server, error){func() (*server, error) { return b.ours() }, b.rival} {
			srv, err := start()
			if err != nil {
				return nil, nil, err
			}
			got, err := measureOne(srv)
			srv.stop()
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", srv.name, err)
			}
			fmt.Printf("    %-20s %.0f deliveries/s, %.0f per CPU second, %.2f µs each, p50 %.2f ms, p99 %.2f ms, %d failures\n",
				srv.name, got.PerSecond, got.PerCPUSecond, got.MicrosPerDelivery, got.P50, got.P99, got.Failures)
			if srv.name == "ysync" {
				ours = append(ours, got)
			} else {
				theirs = append(theirs, got)
			}
		}
	}
	return ours, theirs, nil
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

func (b *bench) addFaster(name string, ours, theirs []sample, factor float64) {
	o, t := pick(ours, perCPU), pick(theirs, perCPU)
	b.add(row{name, "deliveries per CPU second", o, t, fmt.Sprintf("≥ %.1f × rival", factor), median(o) >= factor*median(t)})
	o, t = pick(ours, p99), pick(theirs, p99)
	b.add(row{name, "p99 in ms", o, t, "≤ rival", median(o) <= median(t)})
}

func loopJob(sh shape, factor float64) func(*bench, string) error {
	return func(b *bench, name string) error {
		ours, theirs, err := b.both(func(s *server) (sample, error) { return closedLoop(s, sh) })
		if err != nil {
			return err
		}
		b.addFaster(name, ours, theirs, factor)
		return nil
	}
}

func pairJob(b *bench, name string) error {
	ours, theirs, err := b.both(func(s *server) (sample, error) { return closedLoop(s, shape{1, 2, 2}) })
	if err != nil {
		return err
	}
	b.addFaster(name, ours, theirs, 4)
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
	o := pick(ours, micros)
	b.add(row{name, "CPU µs per delivery; rival: bare echo", o, bare, "≤ 2.5 × echo", median(o) <= 2.5*median(bare)})
	return nil
}

func fixedJob(b *bench, name string) error {
	ours, theirs, err := b.both(func(s *server) (sample, error) {
		got, _, err := openLoop(s, shape{10, 10, 10}, 1000, measure)
		return got, err
	})
	if err != nil {
		return err
	}
	o, t := pick(ours, p99), pick(theirs, p99)
	b.add(row{name, "p99 in ms", o, t, "≤ rival", median(o) <= median(t)})
	o, t = pick(ours, micros), pick(theirs, micros)
	b.add(row{name, "CPU µs per delivery", o, t, "≤ rival", median(o) <= median(t)})
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
	b.add(row{name, "share of the sustained rate", share, nil, "≥ 0.8", median(share) >= 0.8})
	b.add(row{name, "seconds to drain", drain, nil, "≤ 60", median(drain) <= 60})
	return nil
}

func idleJob(b *bench, name string) error {
	var rates, bytesEach [2][]float64
	// A minute each: the memory figure is ours alone to meet, so once each.
	for i, start := range []func() (*server, error){func() (*server, error) { return b.ours() }, b.rival} {
		srv, err := start()
		if err != nil {
			return err
		}
		rate, each, err := idle(srv, 10_000)
		srv.stop()
		if err != nil {
			return fmt.Errorf("%s: %w", srv.name, err)
		}
		rates[i], bytesEach[i] = append(rates[i], rate), append(bytesEach[i], each)
	}
	b.add(row{name, "connects per second", rates[0], rates[1], "≥ 2 × rival", median(rates[0]) >= 2*median(rates[1])})
	b.add(row{name, "bytes per connection", bytesEach[0], bytesEach[1], "≤ 12288", median(bytesEach[0]) <= 12288})
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
	b.add(row{name, "seconds until all are synced", took[0], took[1], "≤ rival / 2", median(took[0]) <= median(took[1])/2})
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
	b.add(row{name, "documents per second", rates, nil, "≥ 2000", median(rates) >= 2000})
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
	b.add(row{name, "highest memory in MiB", peaks, nil, "≤ 286 (300 MB)", median(peaks) <= 286})
	b.add(row{name, "seconds until all are synced", took, nil, "–", true})
	return nil
}
