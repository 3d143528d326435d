package simtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/relay"
	"ysync/snapshots"
)

// places is how many machines there are.
const places = 3

// node is one process on a machine.
type node struct {
	gate
	place int
	boot  string
	dice  *dice
	lines atomic.Uint64

	// Static once listens is true.
	member *cluster.Member
	hub    *hub.Hub
	relay  *relay.Relay
	// listens: other nodes and clients may come.
	listens atomic.Bool
	// leaving: clients are turned away, those that are here end soon.
	leaving atomic.Bool

	// Guarded by world.mu.
	conns map[*conn]struct{}
}

// bootTime is the clock that is never set.
func (n *node) bootTime() time.Duration { return time.Since(n.w.began) + 2*time.Hour }

// trip is how long something takes to the next machine.
func (n *node) trip() time.Duration { return n.dice.between(50*time.Microsecond, time.Millisecond) }

// start starts a process on a machine. It comes up in time.
func (w *world) start(place int) *node {
	w.mu.Lock()
	w.boots++
	n := &node{place: place, boot: fmt.Sprintf("%c%d", 'a'+place, w.boots), conns: map[*conn]struct{}{}}
	n.w, n.running = w, newState(true)
	n.ctx, n.cancel = context.WithCancel(w.ctx)
	w.nodes[place] = n
	w.silent[place] = false
	w.mu.Unlock()
	n.dice = w.dice(n.boot)
	w.work.Go(func() {
		if err := n.run(); err != nil && n.ctx.Err() == nil {
			w.fault("I15", "%s does not start: %v", n.boot, err)
		}
	})
	return n
}

// run brings a process up, and takes what is left of it down when it is dead.
func (n *node) run() error {
	w := n.w
	logger := w.logger(n.boot)
	log := &dbSession{Log: w.database.log, db: w.database, node: n, dice: w.dice(n.boot + " log")}
	var err error
	for {
		n.member, err = cluster.Join(n.ctx, cluster.Options{
			Self: cluster.Node{
				Boot: n.boot, Name: n.boot, Relay: fmt.Sprintf("machine%d", n.place), Weight: 1,
				Wire: cluster.Wire{Least: relay.LeastVersion, Newest: relay.NewestVersion},
			},
			Roll: &rolls{redis: w.redis, node: n, dice: w.dice(n.boot + " redis")}, Log: log,
			BootTime: n.bootTime,
			Logger:   logger, Metrics: w.metrics,
		})
		if err == nil {
			break
		}
		if !rest(n.ctx, time.Second) {
			return err
		}
	}
	keeper := snapshots.New(&shelf{bucket: w.bucket, node: n, dice: w.dice(n.boot + " bucket")}, log, snapshots.Options{Logger: logger})
	n.hub, err = hub.New(hub.Options{
		Log: log, Snapshots: keeper, Placement: n.member, Boot: n.boot, Seed: w.config.Seed,
		SnapshotInterval: 1500 * time.Millisecond, SegmentInterval: time.Second, IdleUnload: 2 * time.Second,
		Damaged: snapshots.Damaged,
		Limits:  hub.Limits{OutboxBytes: 4 << 10, PresenceBytes: 2 << 10, ChunkBytes: 2 << 10, UncommittedTime: 4 * time.Second},
		Logger:  logger, Metrics: w.metrics, Runners: 1,
	})
	if err != nil {
		return errors.Join(err, n.member.Close(n.ctx))
	}
	n.member.Keep(n.hub)
	n.relay, err = relay.New(relay.Options{
		Hub: n.hub, Directory: n.member, Secret: []byte("shared between all nodes"), Logger: logger, Metrics: w.metrics,
		Connect: func(ctx context.Context, to cluster.Node) (relay.Stream, error) { return w.network.connect(ctx, n, to) },
		Jitter:  func(most time.Duration) time.Duration { return n.dice.between(0, most) },
	})
	if err == nil {
		n.listens.Store(true)
		<-n.ctx.Done()
		n.listens.Store(false)
		n.relay.Close()
	}
	// Nothing that these do gets out of a dead process.
	_ = n.hub.Close(n.ctx)
	_ = n.member.Close(n.ctx)
	return err
}

// kill ends a process. Its machine goes with it if it is silent: then nobody
// says so.
func (n *node) kill(silent bool) {
	n.w.mu.Lock()
	n.w.silent[n.place] = silent
	n.w.mu.Unlock()
	n.cancel()
}

// stop stops a process, or lets it go on.
func (n *node) stop(stopped bool) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.running.set(!stopped)
}

// drain ends a process as an operator does.
func (n *node) drain() {
	ctx, cancel := context.WithTimeout(n.ctx, 10*time.Second)
	defer cancel()
	if err := n.member.Drain(ctx); err != nil {
		n.w.tracef("%s: drain: %v", n.boot, err)
	}
	n.listens.Store(false)
	n.w.mu.Lock()
	var conns []*conn
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.w.mu.Unlock()
	for _, c := range conns {
		rest(ctx, n.dice.between(0, 100*time.Millisecond))
		c.end(hub.CodeRestart, "the server restarts")
	}
	if err := n.hub.Close(ctx); err != nil {
		n.w.tracef("%s: close: %v", n.boot, err)
	}
	n.relay.Close()
	if err := n.member.Close(ctx); err != nil {
		n.w.tracef("%s: leave: %v", n.boot, err)
	}
	n.cancel()
}

// up tells whether a process takes clients.
func (n *node) up() bool { return n != nil && n.listens.Load() && n.ctx.Err() == nil }
