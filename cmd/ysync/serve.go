package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ysync/examples/editor"
	"ysync/internal/api"
	"ysync/internal/cluster"
	"ysync/internal/gateway"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/relay"
	"ysync/internal/tracing"
	"ysync/snapshots"
)

type serveCmd struct {
	Config string `help:"YAML file with values for these flags, by their names." placeholder:"FILE"`
	Listen string `help:"Address for clients, host:port. Without --keys on loopback only." default:"127.0.0.1:8787"`
	Ops    string `help:"Address for operators: /healthz, /readyz, /metrics, /status, /debug/pprof. Without --keys on loopback only; empty for none." default:""`
	Data   string `help:"Data folder; made if it is not there." default:"./data"`
	storeFlags
	clusterFlags
	accessFlags
	transportFlags
	limitFlags
	traceFlags

	SnapshotInterval time.Duration `help:"Time after which a changed document is stored as a snapshot; 0 for by size and when it is unloaded." default:"0s"`
	SegmentInterval  time.Duration `help:"Time after which updates are written to the history." default:"60s"`
	RetainFull       time.Duration `help:"Age up to which every moment of the history is kept; 0 for all of it, for ever." default:"168h"`
	RetainHourly     time.Duration `help:"Age up to which the state of every full hour is kept." default:"720h"`
	RetainDaily      time.Duration `help:"Age up to which the state of every midnight is kept. Labelled snapshots are kept for ever." default:"2160h"`
	ScrubInterval    time.Duration `help:"Time from the begin of one reading of everything that is stored to that of the next, which finds damage while there are other copies; 0 for none." default:"168h"`
	ScrubRate        size          `help:"Bytes that the scrub reads in a second, at most." default:"4MiB"`
	WarnDocument     size          `help:"Size of one document in memory above which a line and a metric tell of it; 0 for half of --max-document." default:"0"`
	WarnDeleted      int           `help:"Deleted units for each that lives in a document above which a line and a metric tell of it." default:"20"`
	IdleUnload       time.Duration `help:"How long a document without clients stays in memory." default:"30s"`
	ShutdownTimeout  time.Duration `help:"How long a shutdown may take; what is not done by then is cut off." default:"20s"`
	LogLevel         string        `help:"Least level to log: ${enum}." default:"info" enum:"debug,info,warn,error"`
}

// Run serves until a signal. A second signal ends the process at once.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return &exitError{exitUsage, err}
	}
	logger, announce := newLoggers(c.LogLevel, s.err)
	defer func() { _ = logger.Sync() }()
	boundMemory(int64(c.MemoryLimit), logger) // the log takes its part of it
	if err := prepareFolder(c.Data); err != nil {
		return err
	}
	data, err := c.storeFlags.open(ctx, c.Data, own, logger)
	if err != nil {
		return err
	}
	err = c.serve(ctx, s, data, logger, announce)
	return errors.Join(err, data.close())
}

func (c *serveCmd) check() error {
	if err := c.accessFlags.check(); err != nil {
		return err
	}
	if err := c.checkListen("listen", c.Listen); err != nil {
		return err
	}
	if c.Ops != "" {
		if err := c.checkListen("ops", c.Ops); err != nil {
			return err
		}
	}
	if err := c.clusterFlags.check(c.storeFlags); err != nil {
		return err
	}
	if err := c.transportFlags.check(); err != nil {
		return err
	}
	if err := c.traceFlags.check(); err != nil {
		return err
	}
	if err := c.limitFlags.check(); err != nil {
		return err
	}
	for name, d := range map[string]time.Duration{
		"segment-interval": c.SegmentInterval, "idle-unload": c.IdleUnload, "shutdown-timeout": c.ShutdownTimeout,
	} {
		if d <= 0 {
			return fmt.Errorf("--%s: %v: want more than 0", name, d)
		}
	}
	for name, d := range map[string]time.Duration{
		"snapshot-interval": c.SnapshotInterval, "retain-full": c.RetainFull,
		"retain-hourly": c.RetainHourly, "retain-daily": c.RetainDaily, "scrub-interval": c.ScrubInterval,
	} {
		if d < 0 {
			return fmt.Errorf("--%s: %v: want 0 or more", name, d)
		}
	}
	for name, n := range map[string]size{
		"scrub-rate": c.ScrubRate, "warn-deleted": size(c.WarnDeleted),
	} {
		if n <= 0 {
			return fmt.Errorf("--%s: %d: want more than 0", name, n)
		}
	}
	return nil
}

// serve runs the server on an open data folder.
func (c *serveCmd) serve(ctx context.Context, s streams, data *folder, logger, announce *zap.Logger) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	go tuneCollector(ctx)
	connections := c.MaxConnections
	if files, bounded := openFiles(); bounded {
		if connections = connectionsFor(connections, files); connections < c.MaxConnections {
			logger.Info("fewer connections than --max-connections, as the process may not open more files",
				zap.Int("connections", connections), zap.Uint64("files", files))
		}
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := metrics.New(registry)
	ports, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer ports.close()
	clients, err := c.secure(ports.clients, m, logger)
	if err != nil {
		return err
	}
	nodes, err := c.join(ctx, c.node(ports), data, m, logger)
	if err != nil {
		return err
	}
	defer func() { leave(nodes, logger) }()
	tracer, endTraces, err := c.tracer(ctx, nodes.Self().Boot, logger)
	if err != nil {
		return err
	}
	defer endTraces()
	h, err := c.newHub(data, nodes, m, tracer, logger)
	if err != nil {
		return err
	}
	policy := snapshots.Policy{Full: c.RetainFull, Hourly: c.RetainHourly, Daily: c.RetainDaily}
	by, err := c.prepare(ctx, data, c.name(), logger, announce)
	if err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	defer func() { _ = by.audit.Close() }()
	failed := make(chan error, 4)
	documents, links, err := ports.relay.link(h, nodes, m, tracer, logger, failed)
	if err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	if links != nil {
		defer links.Close()
	}
	var owners api.Owners
	var others *peers
	if links != nil {
		others = newPeers(nodes, links, logger)
		owners = others
		nodes.Announce(others.ahead)
	}
	operations, err := newAPI(h, data, owners, by, policy, logger)
	if err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	if links != nil {
		defer others.answer(links, h, http.HandlerFunc(operations.FromNode), failed).Close()
	}
	nodes.Keep(h)
	proxies, err := c.proxies()
	if err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	server, err := gateway.New(gateway.Options{
		API:             operations,
		Hub:             h,
		Documents:       documents,
		Auth:            by.auth,
		Rulings:         by.rulings,
		Audit:           by.audit,
		Sites:           by.sites,
		Metrics:         m,
		Logger:          logger,
		Page:            editor.Files(),
		Session:         c.session(),
		Subject:         c.subject(),
		Tenant:          c.tenant(),
		Proxies:         proxies,
		Compress:        c.Compression,
		Tracer:          tracer,
		Marks:           c.marks(),
		MaxConnections:  connections,
		ConnectRate:     c.ConnectRate,
		MaxWaitingLoads: c.MaxWaitingLoads,
		MaxRequests:     c.MaxRequests,
		LargeBudget:     int64(c.LargeMessages),
		Log:             data.status,
		Cluster:         clusterStatus(nodes),
	})
	if err != nil {
		return errors.Join(err, h.Close(ctx))
	}
	if ports.operations != nil {
		ops := gateway.OperationsServer(server.Operations(registry, thisBuild().Version))
		defer ops.Close()
		go func() {
			if err := ops.Serve(ports.operations); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("operations: %w", err)
			}
		}()
	}
	go func() { failed <- server.Serve(clients) }()
	var care sync.WaitGroup
	care.Go(func() { by.run(ctx) })
	care.Go(func() {
		retainer := snapshots.Retainer{Keeper: data.keeper, Metrics: m, Policy: policy, Logger: logger}
		_ = retainer.Run(ctx) // it ends with ctx
	})
	if c.ScrubInterval > 0 {
		care.Go(func() {
			scrubber := snapshots.Scrubber{
				Keeper: data.keeper, Metrics: m, Logger: logger, Every: c.ScrubInterval, Rate: int(c.ScrubRate), States: scrubFile(c.Data),
			}
			_ = scrubber.Run(ctx) // it ends with ctx
		})
	}
	fields := []zap.Field{zap.String("addr", ports.clients.Addr().String()), zap.String("data", c.Data), zap.String("version", thisBuild().Version)}
	announce.Info("serving", append(append(fields, ports.about()...), data.about...)...)
	greet(s.out, ports.clients.Addr().String(), c.Data, c.whoMay())

	var cause error
	select {
	case <-ctx.Done():
		announce.Info("stopping", zap.Duration("at_most", c.ShutdownTimeout))
	case cause = <-failed:
	}
	stop() // from here on, another signal ends the process
	care.Wait()
	deadline, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	if err := c.shutdown(deadline, server, nodes, logger); err != nil {
		return errors.Join(cause, fmt.Errorf("the shutdown was cut off: %w", err))
	}
	announce.Info("stopped")
	return cause
}

// newHub returns the hub of the documents.
func (c *serveCmd) newHub(data *folder, nodes membership, m *metrics.Metrics, tracer *tracing.Tracer, logger *zap.Logger) (*hub.Hub, error) {
	limits := c.limitFlags.hub()
	limits.LargeBytes, limits.DeletedPerLive = int(c.WarnDocument), c.WarnDeleted
	limits.VerifyUser = c.TokenUser == "verify"
	return hub.New(hub.Options{
		Log:              data.log,
		Tracer:           tracer,
		Snapshots:        data.keeper,
		Placement:        nodes,
		Damaged:          snapshots.Damaged,
		Boot:             nodes.Self().Boot,
		Limits:           limits,
		SnapshotInterval: c.SnapshotInterval,
		SegmentInterval:  c.SegmentInterval,
		IdleUnload:       c.IdleUnload,
		Logger:           logger,
		Metrics:          m,
	})
}

// shutdown stops taking connections, hands documents to other nodes, if there
// are any, closes the connections and the hub. What a hand-over did not get
// done, the next owner does.
func (c *serveCmd) shutdown(ctx context.Context, server *gateway.Server, nodes membership, logger *zap.Logger) error {
	server.Quiesce()
	handing, cancel := context.WithTimeout(ctx, c.ShutdownTimeout/2)
	defer cancel()
	if err := nodes.Drain(handing); err != nil {
		logger.Warn("not all documents were handed over", zap.Error(err))
	}
	if len(nodes.Members()) > 1 {
		server.Stagger(ctx, min(c.DrainTime, c.ShutdownTimeout/4))
	}
	return server.Shutdown(ctx)
}

// ports are the listeners of the server.
type ports struct {
	clients    net.Listener
	operations net.Listener // nil for none
	relay      relayPort
}

// open opens the ports.
func (c *serveCmd) open(ctx context.Context) (p *ports, err error) {
	p = &ports{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.clients, err = gateway.Listen(ctx, c.Listen); err != nil {
		return p, fmt.Errorf("--listen: %w", err)
	}
	if c.Ops != "" {
		if p.operations, err = net.Listen("tcp", c.Ops); err != nil {
			return p, fmt.Errorf("--ops: %w", err)
		}
	}
	p.relay, err = c.listen(ctx)
	return p, err
}

// close closes what is open; servers have closed theirs already.
func (p *ports) close() {
	for _, l := range []net.Listener{p.clients, p.operations, p.relay.listener} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// about names the ports beside that for clients.
func (p *ports) about() (fields []zap.Field) {
	if p.operations != nil {
		fields = append(fields, zap.String("ops", p.operations.Addr().String()))
	}
	if p.relay.listener != nil {
		fields = append(fields, zap.String("relay", p.relay.advertise))
	}
	return fields
}

// node describes this process to others.
func (c *serveCmd) node(p *ports) cluster.Node {
	n := cluster.Node{
		Boot: bootID(), Name: c.name(), Relay: p.relay.advertise, Weight: c.NodeWeight,
		Version: thisBuild().Version, Wire: cluster.Wire{Least: relay.LeastVersion, Newest: relay.NewestVersion}, Client: reached(p.clients, p.relay.advertise),
	}
	if p.operations != nil {
		n.Operations = reached(p.operations, p.relay.advertise)
	}
	return n
}

// leaveWithin bounds the farewell to the other nodes.
const leaveWithin = 2 * time.Second

func leave(nodes membership, logger *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := nodes.Close(ctx); err != nil {
		logger.Warn("the other nodes were not told that this one stops", zap.Error(err))
	}
}

// bootID names this run in the claims of documents.
func bootID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// newLoggers returns the log, and a second one for the few lines that are
// written whatever the level: programs wait for them.
func newLoggers(level string, w zapcore.WriteSyncer) (logger, announce *zap.Logger) {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		least = zapcore.InfoLevel
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	sink := zapcore.Lock(w)
	core := func(l zapcore.Level) zapcore.Core {
		return zapcore.NewCore(zapcore.NewJSONEncoder(config), sink, l)
	}
	// A flood of one message must not drown the log, or the disk.
	sampled := zapcore.NewSamplerWithOptions(core(least), time.Second, 100, 100)
	return zap.New(sampled), zap.New(core(zapcore.InfoLevel))
}
