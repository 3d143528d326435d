package simtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/snapshots"
)

// Config says what to simulate.
type Config struct {
	Seed uint64
	// Faults is how many faults happen.
	Faults int
	// Trace has every event kept.
	Trace bool
	// Live gets every event as it comes; nil for nobody.
	Live io.Writer
	// Dump has the final histories kept.
	Dump bool
}

// Result is what a run has shown.
type Result struct {
	Seed uint64
	// Violations are the invariants that did not hold, the first ones.
	Violations []string
	// Counts says how often what happened, by name: faults as "fault …".
	Counts map[string]int
	// Virtual is how long the run took by its own clock, Healed how long after
	// the last fault had healed everything was acknowledged and equal.
	Virtual, Healed time.Duration
	Trace           []string
	Histories       []History
}

// world is one run.
type world struct {
	config Config
	// tracing: somebody wants to know what happens.
	tracing bool
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	network  *network
	redis    *redis
	database *database
	bucket   *bucket
	metrics  *metrics.Metrics
	clients  []*client
	names    []string
	plan     *dice
	faulting sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	nodes      [places]*node
	silent     [places]bool // the machine of the node that died there is gone
	boots      int
	sessions   uint64
	step       int // how many faults have begun
	counted    map[string]int
	violations []string
	trace      []string
	clocks     map[crdt.ClientID]crdt.Clock // what every client has made
}

// shared are the metrics of all runs: nobody reads them.
var shared = sync.OnceValue(func() *metrics.Metrics { return metrics.New(prometheus.NewRegistry()) })

// Run simulates a cluster.
func Run(t *testing.T, config Config) Result {
	t.Helper()
	w := &world{config: config, tracing: config.Trace || config.Live != nil, metrics: shared(), counted: map[string]int{}, clocks: map[crdt.ClientID]crdt.Clock{}}
	var r Result
	synctest.Test(t, func(*testing.T) { r = w.run() })
	// Compressors that are kept for reuse hold channels of this bubble, which no
	// other may touch: two collections empty the pools.
	runtime.GC()
	runtime.GC()
	return r
}

func (w *world) run() Result {
	w.began = time.Now()
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.network, w.redis, w.database = newNetwork(w), newRedis(w), newDatabase(w)
	w.bucket = &bucket{w: w, objects: map[string][]byte{}, up: true}
	w.plan = w.dice("plan")
	for place := range places {
		w.start(place)
	}
	for i := range 2 + w.plan.n(2) {
		w.names = append(w.names, fmt.Sprint("doc", i))
	}
	for i := range 6 + w.plan.n(3) {
		w.clients = append(w.clients, w.newClient(i+1, w.names[i%len(w.names)]))
	}
	rest(w.ctx, 1500*time.Millisecond)
	for i := range w.config.Faults {
		w.mu.Lock()
		w.step = i + 1
		w.mu.Unlock()
		w.breakSomething()
		rest(w.ctx, w.plan.between(200*time.Millisecond, 1800*time.Millisecond))
	}
	w.faulting.Wait()
	r := Result{Seed: w.config.Seed, Healed: w.judge()}
	r.Virtual = time.Since(w.began)
	if w.config.Dump {
		r.Histories = w.histories()
	}
	w.cancel()
	w.work.Wait()
	r.Violations, r.Counts, r.Trace = w.violations, w.counted, w.trace
	return r
}

// fault notes that an invariant does not hold.
func (w *world) fault(invariant, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("seed %d, step %d, %v: %s: %s", w.config.Seed, w.step, time.Since(w.began), invariant, fmt.Sprintf(format, args...))
	if len(w.violations) < maxViolations {
		w.violations = append(w.violations, text)
	}
	w.note(text)
}

// maxViolations is how many are kept: the first ones tell the story.
const maxViolations = 10

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted[what]++
}

func (w *world) tracef(format string, args ...any) {
	if !w.tracing {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(fmt.Sprintf(format, args...))
}

// note keeps a line of the trace. mu is held.
func (w *world) note(text string) {
	if !w.tracing {
		return
	}
	text = fmt.Sprintf("%13v  %s", time.Since(w.began), text)
	if w.config.Trace {
		w.trace = append(w.trace, text)
	}
	if w.config.Live != nil {
		_, _ = fmt.Fprintln(w.config.Live, text)
	}
}

// logger is that of a process.
func (w *world) logger(boot string) *zap.Logger {
	if !w.tracing {
		return zap.NewNop()
	}
	return zap.New(&tracer{w: w, boot: boot, LevelEnabler: zapcore.DebugLevel})
}

// tracer puts the lines of a log into the trace.
type tracer struct {
	zapcore.LevelEnabler
	w      *world
	boot   string
	fields []zapcore.Field
}

// With implements zapcore.Core.
func (t *tracer) With(fields []zapcore.Field) zapcore.Core {
	return &tracer{t.LevelEnabler, t.w, t.boot, append(slices.Clone(t.fields), fields...)}
}

// Check implements zapcore.Core.
func (t *tracer) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, t)
}

// Write implements zapcore.Core.
func (t *tracer) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clone(t.fields), fields...) {
		f.AddTo(m)
	}
	t.w.tracef("%s: %s %v", t.boot, e.Message, m.Fields)
	return nil
}

// Sync implements zapcore.Core.
func (t *tracer) Sync() error { return nil }

// born notes a client that has made nothing yet.
func (w *world) born(c *client) { w.madeBy(c.id, 0) }

// makes notes what a client has made before any of it is sent.
func (w *world) makes(c *client) { w.madeBy(c.id, c.clock()) }

func (w *world) madeBy(id crdt.ClientID, clock crdt.Clock) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clocks[id] = clock
}

func (w *world) made(id crdt.ClientID) crdt.Clock {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clocks[id]
}

// snapshotState is what a snapshot holds that a pointer leads to.
func (w *world) snapshotState(p persistence.Pointer) ([]byte, error) {
	w.mu.Lock()
	file, there := w.bucket.objects[p.Key]
	w.mu.Unlock()
	if !there {
		return nil, fmt.Errorf("%s: %w", p.Key, snapshots.ErrNotFound)
	}
	_, state, err := snapshots.DecodeSnapshot(file)
	return state, err
}

// alive are the processes that take clients.
func (w *world) alive() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.nodes[:]), func(n *node) bool { return !n.up() })
}

// total adds up the counts of several runs.
func total(into, counts map[string]int) {
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		into[what] += counts[what]
	}
}
