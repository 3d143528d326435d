package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchcrdt:", err)
		os.Exit(1)
	}
}

// report is what is kept as evidence.
type report struct {
	Machine string            `json:"machine"`
	Rivals  map[string]string `json:"rivals"`
	Rounds  int               `json:"rounds"`
	Rows    []result          `json:"rows"`
}

// result is what one row showed.
type result struct {
	ID     string            `json:"id"`
	What   string            `json:"what"`
	Unit   string            `json:"unit"`
	Ours   sample            `json:"ours"`
	Rivals map[string]sample `json:"rivals,omitempty"`
	Must   string            `json:"must"`
	OK     bool              `json:"ok"`
	Fault  string            `json:"fault,omitempty"`
}

func run() error {
	only := flag.String("rows", "", "rows to run, comma-separated prefixes (default: all)")
	rounds := flag.Int("runs", 3, "rounds of each row; the median of their medians is judged")
	budget := flag.Duration("budget", 300*time.Millisecond, "how long an engine repeats a row in a round")
	out := flag.String("out", "", "write the figures to this JSON file")
	dir := flag.String("dir", "internal/benchcrdt", "folder of driver.mjs, with node_modules")
	from := flag.String("data", "crdt/testdata", "folder of the data")
	against := flag.String("against", strings.Join(all, ","), "rivals to run")
	flag.Parse()

	b := &bench{data: newData(*from), dir: *dir, rounds: *rounds, budget: *budget, open: map[string]*rival{}}
	b.against = strings.Split(*against, ",")
	defer b.stop()
	rep := report{
		Machine: fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Rivals:  versions, Rounds: *rounds,
	}
	missed := 0
	for _, r := range rows() {
		if !wanted(*only, r.id) {
			continue
		}
		res, err := b.row(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.id, err)
		}
		if !res.OK {
			missed++
		}
		rep.Rows = append(rep.Rows, res)
		fmt.Println(res)
	}
	fmt.Printf("\n%d rows, %d short of what must be\n", len(rep.Rows), missed)
	if *out == "" {
		return nil
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

// wanted tells whether a row is on a list of names and prefixes; the name of a
// row is no prefix.
func wanted(only, id string) bool {
	if only == "" {
		return true
	}
	for p := range strings.SplitSeq(only, ",") {
		exact := slices.ContainsFunc(rows(), func(r row) bool { return r.id == p })
		if id == p || !exact && strings.HasPrefix(id, p) {
			return true
		}
	}
	return false
}

// bench runs rows.
type bench struct {
	data    *data
	dir     string
	against []string
	rounds  int
	budget  time.Duration
	open    map[string]*rival
}

// rival starts a rival on first use.
func (b *bench) rival(name string) (*rival, error) {
	if r := b.open[name]; r != nil {
		return r, nil
	}
	r, err := startRival(b.dir, b.data.dir, name)
	if err == nil {
		b.open[name] = r
	}
	return r, err
}

func (b *bench) stop() {
	for _, r := range b.open {
		r.stop()
	}
	clear(b.open)
}

const maxSamples = 1000

// row runs a row: in each round the rivals, one after the other, and then ours.
func (b *bench) row(r row) (result, error) {
	rivals := map[string][]sample{}
	var mine []sample
	names := slices.DeleteFunc(slices.Clone(r.rivals), func(n string) bool { return !slices.Contains(b.against, n) })
	ours := r.plan
	if ours == nil {
		j := r.job(b.data)
		ours = func(_ *data, budget time.Duration) sample { return j.measure(budget, b.samples(r)) }
	}
	if !r.heavy && r.hold == "" && r.plan == nil {
		for _, n := range names {
			if _, err := b.ask(n, r, b.budget); err != nil {
				return result{}, err
			}
		}
		ours(b.data, b.budget)
	}
	for range b.rounds {
		for _, n := range names {
			s, err := b.ask(n, r, b.budget)
			if err != nil {
				return result{}, err
			}
			rivals[n] = append(rivals[n], s)
		}
		mine = append(mine, ours(b.data, b.budget))
	}
	res := result{ID: r.id, What: r.what, Unit: r.unit, Ours: together(mine), Must: r.must.text, Rivals: map[string]sample{}}
	for n, s := range rivals {
		res.Rivals[n] = together(s)
	}
	if y, ok := res.Rivals["yjs"]; ok && r.same {
		if what := res.Ours.differs(y); what != "" {
			res.Fault = what + " differs from yjs"
		}
	}
	res.OK = res.Fault == "" && len(names) == len(r.rivals) && r.must.ok(res.Ours, res.Rivals)
	return res, nil
}

func (b *bench) samples(r row) int {
	if r.heavy {
		return 1
	}
	return maxSamples
}

func (b *bench) ask(name string, r row, budget time.Duration) (sample, error) {
	if r.hold != "" {
		p, err := startRival(b.dir, b.data.dir, name)
		if err != nil {
			return sample{}, err
		}
		defer p.stop()
		return p.ask(request{Hold: r.hold, Samples: r.count})
	}
	p, err := b.rival(name)
	if err != nil {
		return sample{}, err
	}
	return p.ask(request{Row: r.id, Budget: budget.Milliseconds(), Samples: b.samples(r)})
}

// String is the row's line in the table: medians, and how many times the best
// rival takes what ours does.
func (r result) String() string {
	line := fmt.Sprintf("%-18s %-37s ours %-9s", r.ID, r.What, amount(r.Ours.Median, r.Unit))
	for _, n := range all {
		cell := ""
		if s, ok := r.Rivals[n]; ok {
			cell = fmt.Sprintf("%s %s (%.1f×)", n, amount(s.Median, r.Unit), s.Median/r.Ours.Median)
		}
		line += fmt.Sprintf(" %-24s", cell)
	}
	verdict := "ok"
	if !r.OK {
		verdict = "SHORT"
	}
	if r.Fault != "" {
		verdict += ": " + r.Fault
	}
	return fmt.Sprintf("%s must %s  %s", line, r.Must, verdict)
}
