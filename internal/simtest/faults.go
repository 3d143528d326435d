package simtest

import (
	"context"
	"slices"
	"time"
)

// kind is a kind of fault. break does it, and returns what heals it, nil for
// nothing, and after how long; false when it could not happen now.
type kind struct {
	name   string
	weight int
	begin  func(w *world, d *dice) (heal func(), after time.Duration, did bool)
}

// nothing heals a fault that heals by itself.
func nothing() {}

var allKinds = []kind{
	{"node crash", 4, crash(false)},
	{"machine gone", 3, crash(true)},
	{"all nodes crash", 1, crashAll},
	{"node stopped past its lease", 4, stop(3200*time.Millisecond, 8*time.Second)},
	{"node stopped for a moment", 2, stop(100*time.Millisecond, 3*time.Second)},
	{"node drained and started again", 3, drain},
	{"partition of two nodes", 3, partition(true)},
	{"partition one way", 2, partition(false)},
	{"links reset", 3, resetLinks},
	{"links break after some messages", 2, breakLinks},
	{"links delayed", 2, delayLinks},
	{"client disconnected", 3, disconnect},
	{"client loaded again", 2, reload},
	{"client messages dropped, doubled, reordered", 3, mischief},
	{"client reads nothing", 3, deafen},
	{"client away", 2, away},
	{"Redis down", 2, redisDown(false)},
	{"Redis restarted empty", 2, redisDown(true)},
	{"Redis flushed", 2, redisFlushed},
	{"Redis slow", 1, redisSlow},
	{"Redis answers stale", 2, redisStale},
	{"Redis notices lost and doubled", 1, redisLossy},
	{"Redis cut from a node", 2, redisCut},
	{"database down", 2, databaseDown},
	{"database stalls", 2, databaseStalls},
	{"database calls fail", 3, databaseFails},
	{"database answers lost", 4, databaseLoses},
	{"database slow", 2, databaseSlow},
	{"database cut from a node", 3, databaseCut},
	{"node cut from Redis and database", 2, isolated},
	{"bucket down", 2, bucketDown},
	{"bucket cuts uploads short", 2, bucketCuts},
	{"bucket slow", 1, bucketSlow},
	{"snapshot ordered", 2, snapshotOrdered},
	{"document reset", 1, reset},
}

// breakSomething has a fault happen.
func (w *world) breakSomething() {
	sum := 0
	for _, k := range allKinds {
		sum += k.weight
	}
	for range 100 {
		at := w.plan.n(sum)
		i := 0
		for ; at >= allKinds[i].weight; i++ {
			at -= allKinds[i].weight
		}
		k := allKinds[i]
		heal, after, did := k.begin(w, w.plan)
		if !did {
			continue
		}
		w.count("fault " + k.name)
		w.tracef("FAULT %s, for %v", k.name, after)
		w.faulting.Go(func() {
			rest(w.ctx, after)
			heal()
			w.tracef("HEALED %s", k.name)
		})
		return
	}
}

// someNode draws a process that takes clients.
func (w *world) someNode(d *dice) *node {
	up := w.alive()
	if len(up) == 0 {
		return nil
	}
	return up[d.n(len(up))]
}

// with changes what is guarded by the world's lock.
func (w *world) with(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func crash(silent bool) func(*world, *dice) (func(), time.Duration, bool) {
	return func(w *world, d *dice) (func(), time.Duration, bool) {
		n := w.someNode(d)
		if n == nil || n.leaving.Load() {
			return nil, 0, false
		}
		w.tracef("%s dies", n.boot)
		n.kill(silent)
		return func() { w.start(n.place) }, d.between(100*time.Millisecond, 6*time.Second), true
	}
}

func crashAll(w *world, d *dice) (func(), time.Duration, bool) {
	down := w.alive()
	if len(down) < places || slices.ContainsFunc(down, func(n *node) bool { return n.leaving.Load() }) {
		return nil, 0, false
	}
	for _, n := range down {
		n.kill(false)
	}
	return func() {
		for _, n := range down {
			w.start(n.place)
		}
	}, d.between(100*time.Millisecond, 3*time.Second), true
}

func stop(least, most time.Duration) func(*world, *dice) (func(), time.Duration, bool) {
	return func(w *world, d *dice) (func(), time.Duration, bool) {
		n := w.someNode(d)
		if n == nil || !n.running.on {
			return nil, 0, false
		}
		w.tracef("%s is stopped", n.boot)
		n.stop(true)
		return func() { n.stop(false) }, d.between(least, most), true
	}
}

func drain(w *world, d *dice) (func(), time.Duration, bool) {
	n := w.someNode(d)
	if n == nil || n.leaving.Load() {
		return nil, 0, false
	}
	w.tracef("%s drains", n.boot)
	n.leaving.Store(true)
	return func() { n.drain(); w.start(n.place) }, 0, true
}

func pair(d *dice) (a, b int) {
	a = d.n(places)
	return a, (a + 1 + d.n(places-1)) % places
}

func partition(both bool) func(*world, *dice) (func(), time.Duration, bool) {
	return func(w *world, d *dice) (func(), time.Duration, bool) {
		a, b := pair(d)
		set := func(cut bool) {
			w.network.cut(a, b, cut)
			if both {
				w.network.cut(b, a, cut)
			}
		}
		set(true)
		return func() { set(false) }, d.between(200*time.Millisecond, 8*time.Second), true
	}
}

func resetLinks(w *world, d *dice) (func(), time.Duration, bool) {
	a, b := pair(d)
	return nothing, 0, w.network.reset(a, b) > 0
}

// breakLinks has some messages more come through, so that what belongs together
// comes in part.
func breakLinks(w *world, d *dice) (func(), time.Duration, bool) {
	a, b := pair(d)
	lines := w.network.between(a, b)
	for _, l := range lines {
		l.left.Store(int64(1 + d.n(12)))
	}
	return nothing, 0, len(lines) > 0
}

func delayLinks(w *world, d *dice) (func(), time.Duration, bool) {
	a, b := pair(d)
	w.network.lag(a, b, d.between(10*time.Millisecond, 2*time.Second))
	return func() { w.network.lag(a, b, 0) }, d.between(500*time.Millisecond, 5*time.Second), true
}

// tell has a client do something, in its turn.
func (w *world) tell(d *dice, f func(c *client)) {
	c := w.clients[d.n(len(w.clients))]
	c.orders <- func() { f(c) }
}

func disconnect(w *world, d *dice) (func(), time.Duration, bool) {
	w.tell(d, func(c *client) {
		if c.conn != nil {
			c.conn.cancel()
		}
	})
	return nothing, 0, true
}

func reload(w *world, d *dice) (func(), time.Duration, bool) {
	w.tell(d, func(c *client) {
		if c.conn != nil {
			c.conn.cancel()
			c.lost()
		}
		c.begin()
	})
	return nothing, 0, true
}

func mischief(w *world, d *dice) (func(), time.Duration, bool) {
	long := d.between(500*time.Millisecond, 5*time.Second)
	w.tell(d, func(c *client) { c.oddTo = time.Now().Add(long) })
	return nothing, long, true
}

func deafen(w *world, d *dice) (func(), time.Duration, bool) {
	long := d.between(500*time.Millisecond, 8*time.Second)
	w.tell(d, func(c *client) { c.deafTo = time.Now().Add(long) })
	return nothing, long, true
}

func away(w *world, d *dice) (func(), time.Duration, bool) {
	c := w.clients[d.n(len(w.clients))]
	c.orders <- func() {
		c.sat = true
		if c.conn != nil {
			c.conn.cancel()
		}
	}
	return func() { c.orders <- func() { c.sat = false } }, d.between(time.Second, 10*time.Second), true
}

func redisDown(emptied bool) func(*world, *dice) (func(), time.Duration, bool) {
	return func(w *world, d *dice) (func(), time.Duration, bool) {
		w.with(func() { w.redis.up = false })
		return func() {
			w.with(func() {
				w.redis.up = true
				if emptied {
					clear(w.redis.live)
				}
			})
		}, d.between(200*time.Millisecond, 6*time.Second), true
	}
}

func redisFlushed(w *world, _ *dice) (func(), time.Duration, bool) {
	w.with(func() { clear(w.redis.live) })
	return nothing, 0, true
}

func redisSlow(w *world, d *dice) (func(), time.Duration, bool) {
	slow := d.between(50*time.Millisecond, 1500*time.Millisecond)
	w.with(func() { w.redis.slow = slow })
	return func() { w.with(func() { w.redis.slow = 0 }) }, d.between(time.Second, 5*time.Second), true
}

func redisStale(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.redis.stale = true })
	return func() { w.with(func() { w.redis.stale = false }) }, d.between(500*time.Millisecond, 6*time.Second), true
}

func redisLossy(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.redis.lossy = true })
	return func() { w.with(func() { w.redis.lossy = false }) }, d.between(time.Second, 8*time.Second), true
}

func redisCut(w *world, d *dice) (func(), time.Duration, bool) {
	at := d.n(places)
	w.with(func() { w.redis.cut[at] = true })
	return func() { w.with(func() { w.redis.cut[at] = false }) }, d.between(500*time.Millisecond, 8*time.Second), true
}

func databaseDown(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.database.up = false })
	return func() { w.with(func() { w.database.up = true }) }, d.between(200*time.Millisecond, 7*time.Second), true
}

func databaseStalls(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.database.flows.set(false) })
	return func() { w.with(func() { w.database.flows.set(true) }) }, d.between(200*time.Millisecond, 8*time.Second), true
}

func databaseFails(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.database.failing = 3 })
	return func() { w.with(func() { w.database.failing = 0 }) }, d.between(500*time.Millisecond, 4*time.Second), true
}

func databaseLoses(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.database.losing = 3 })
	return func() { w.with(func() { w.database.losing = 0 }) }, d.between(500*time.Millisecond, 4*time.Second), true
}

func databaseSlow(w *world, d *dice) (func(), time.Duration, bool) {
	slow := d.between(20*time.Millisecond, 2*time.Second)
	w.with(func() { w.database.slow = slow })
	return func() { w.with(func() { w.database.slow = 0 }) }, d.between(500*time.Millisecond, 5*time.Second), true
}

func databaseCut(w *world, d *dice) (func(), time.Duration, bool) {
	at := d.n(places)
	w.with(func() { w.database.cut[at] = true })
	return func() { w.with(func() { w.database.cut[at] = false }) }, d.between(500*time.Millisecond, 9*time.Second), true
}

func isolated(w *world, d *dice) (func(), time.Duration, bool) {
	at := d.n(places)
	set := func(cut bool) { w.with(func() { w.database.cut[at], w.redis.cut[at] = cut, cut }) }
	set(true)
	return func() { set(false) }, d.between(time.Second, 9*time.Second), true
}

func bucketDown(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.bucket.up = false })
	return func() { w.with(func() { w.bucket.up = true }) }, d.between(500*time.Millisecond, 6*time.Second), true
}

func bucketCuts(w *world, d *dice) (func(), time.Duration, bool) {
	w.with(func() { w.bucket.cutting = true })
	return func() { w.with(func() { w.bucket.cutting = false }) }, d.between(500*time.Millisecond, 4*time.Second), true
}

func bucketSlow(w *world, d *dice) (func(), time.Duration, bool) {
	slow := d.between(50*time.Millisecond, 2*time.Second)
	w.with(func() { w.bucket.slow = slow })
	return func() { w.with(func() { w.bucket.slow = 0 }) }, d.between(500*time.Millisecond, 5*time.Second), true
}

// holder is the process that has a document open and may write it, if any.
func (w *world) holder(document string) *node {
	for _, n := range w.alive() {
		ctx, cancel := context.WithTimeout(n.ctx, time.Second)
		stats, loaded, err := n.hub.Inspect(ctx, document)
		cancel()
		if err == nil && loaded && stats.Owned {
			return n
		}
	}
	return nil
}

func snapshotOrdered(w *world, d *dice) (func(), time.Duration, bool) {
	document := w.names[d.n(len(w.names))]
	n := w.holder(document)
	if n == nil {
		return nil, 0, false
	}
	w.work.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
		defer cancel()
		_, err := n.hub.Snapshot(ctx, document, "")
		w.tracef("%s: snapshot of %s: %v", n.boot, document, err)
	})
	return nothing, 0, true
}

func reset(w *world, d *dice) (func(), time.Duration, bool) {
	document := w.names[d.n(len(w.names))]
	n := w.holder(document)
	if n == nil {
		return nil, 0, false
	}
	w.work.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, 8*time.Second)
		defer cancel()
		g, err := n.hub.Reset(ctx, document, "operator", nil)
		w.tracef("%s: reset of %s: generation %d, %v", n.boot, document, g, err)
	})
	return nothing, 0, true
}
