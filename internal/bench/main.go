package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"

	"ysync/internal/e2e"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "echo" {
		fmt.Fprintln(os.Stderr, serveEcho())
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "attackers" {
		if err := attackerMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	bin, work, rivalDir string
	runs                int
	report              report
}

// report is what is kept as evidence.
type report struct {
	Machine string `json:"machine"`
	Rival   string `json:"rival"`
	Rows    []row  `json:"rows"`
}

// row is one line of the result: a job, what was measured and what must be.
type row struct {
	Job    string    `json:"job"`
	Figure string    `json:"figure"`
	Ours   []float64 `json:"ours"`
	LogOff []float64 `json:"ours_log_off,omitempty"`
	Rival  []float64 `json:"rival,omitempty"`
	Must   string    `json:"must"`
	OK     bool      `json:"ok"`
	// Wrong: that it is short is a fault of the server, whatever the machine.
	Wrong bool `json:"wrong,omitempty"`
}

func run() error {
	only := flag.String("only", "", "comma-separated jobs to run (default: all): "+strings.Join(jobNames(), ", "))
	runs := flag.Int("runs", 3, "runs of each job; medians are judged")
	out := flag.String("out", "", "write the figures to this JSON file")
	rivalDir := flag.String("rival", "internal/bench", "folder whose node_modules hold @y/websocket-server")
	bin := flag.String("bin", "", "the ysync binary (default: built now)")
	flag.DurationVar(&hostileFor, "for", hostileFor, "how long the attackers of the job hostile go on")
	flag.StringVar(&profiles, "profiles", "", "folder for CPU profiles of our server")
	flag.Parse()
	if err := pinSelf(); err != nil {
		return err
	}
	if profiles != "" {
		f, err := os.Create(filepath.Join(profiles, "clients.pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// The clients must not be what limits: they collect garbage rarely.
	debug.SetGCPercent(400)

	work, err := os.MkdirTemp("", "ysync-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := &bench{bin: *bin, work: work, rivalDir: *rivalDir, runs: *runs}
	if b.bin == "" {
		if b.bin, err = e2e.Build(work, "-trimpath"); err != nil {
			return err
		}
	}
	b.report.Machine = fmt.Sprintf("%s/%s, %s, server and clients on one core each", runtime.GOOS, runtime.GOARCH, runtime.Version())
	b.report.Rival = "@y/websocket-server 0.1.1 on Node, in memory alone; ours: log on disk, every commit synced"

	wanted := strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	err = b.runJobs(wanted)
	missed, wrong := 0, 0
	for _, r := range b.report.Rows {
		if !r.OK {
			missed++
		}
		if r.Wrong && !r.OK {
			wrong++
		}
	}
	fmt.Printf("\n%d figures, %d short of what must be\n", len(b.report.Rows), missed)
	if wrong > 0 {
		err = errors.Join(err, fmt.Errorf("%d figures are wrong on any machine", wrong))
	}
	if *out != "" {
		// What there is, also when a job has failed.
		text, writing := json.MarshalIndent(b.report, "", "  ")
		if writing == nil {
			writing = os.WriteFile(*out, append(text, '\n'), 0o644)
		}
		err = errors.Join(err, writing)
	}
	return err
}

// runJobs runs the jobs that are wanted, all if none is named. After one has failed it
// goes on with the next.
func (b *bench) runJobs(wanted []string) error {
	var failed error
	for _, j := range jobs {
		if len(wanted) > 0 && !slices.Contains(wanted, j.name) {
			continue
		}
		fmt.Printf("\n%s: %s\n", j.name, j.what)
		if err := j.run(b, j.name); err != nil {
			fmt.Println("    failed:", err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", j.name, err))
		}
	}
	return failed
}

func (b *bench) ours(args ...string) (*server, error) {
	data, err := os.MkdirTemp(b.work, "data")
	if err != nil {
		return nil, err
	}
	return ours(b.bin, data, args...)
}

// memoryFolder is a file system in memory: what is synced there is not on disk,
// and syncing costs nothing.
const memoryFolder = "/dev/shm"

// oursLogOff starts our server with its data in memory.
func (b *bench) oursLogOff() (*server, error) {
	data, err := os.MkdirTemp(memoryFolder, "ysync-bench")
	if err != nil {
		return nil, err
	}
	srv, err := ours(b.bin, data)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(data))
	}
	srv.name = "ysync, log off"
	stop := srv.stop
	srv.stop = func() {
		stop()
		if err := os.RemoveAll(data); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	return srv, nil
}

func (b *bench) rival() (*server, error) {
	dir, err := filepath.Abs(b.rivalDir)
	if err != nil {
		return nil, err
	}
	return rival(dir)
}

func (b *bench) add(r row) {
	b.report.Rows = append(b.report.Rows, r)
	verdict := "ok"
	if !r.OK {
		verdict = "SHORT"
	}
	line := fmt.Sprintf("  %-34s ours %s", r.Figure, figures(r.Ours))
	if len(r.LogOff) > 0 {
		line += fmt.Sprintf("  log off %s", figures(r.LogOff))
	}
	if len(r.Rival) > 0 {
		line += fmt.Sprintf("  rival %s  ratio %.2f", figures(r.Rival), median(r.Ours)/median(r.Rival))
	}
	fmt.Printf("%s  must %s  %s\n", line, r.Must, verdict)
}

func figures(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.4g [%s]", median(values), strings.Join(parts, " "))
}
