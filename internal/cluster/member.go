package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/fault"
	"ysync/internal/metrics"
	"ysync/persistence"
)

// DefaultTTL is how long a node counts as alive after its newest sign of life.
// It may be short, as taking a live node for dead costs a move, not an edit.
const DefaultTTL = 3 * time.Second

// Log is what a member needs of the update log.
type Log interface {
	persistence.Shared

	// Beat says that boot lives, and returns the infos of all that have said so
	// within ttl. Leave takes boot off them.
	Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) ([][]byte, error)
	Leave(ctx context.Context, boot string) error
}

// Roll is a place beside the database where nodes say that they live. Its
// methods may be called from any goroutine.
type Roll interface {
	// Beat says that boot lives, and returns the infos of all that have said so
	// within ttl. Leave takes boot off them.
	Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) ([][]byte, error)
	Leave(ctx context.Context, boot string) error
	// Listen calls f whenever the members have changed, and when they may have
	// while nobody listened, until ctx ends.
	Listen(ctx context.Context, f func())
	// Close ends what Roll has open. Nothing is called after it.
	Close()
}

// Options configure a Member. Self, Redis, Log, Logger and Metrics are required.
type Options struct {
	Self Node
	// Redis is the URL of Redis.
	Redis string
	// Roll takes the place of Redis; nil for the Redis at the URL.
	Roll Roll
	Log  Log
	// BootTime reads a clock that goes on while the machine sleeps and is never
	// set; nil for that of the machine.
	BootTime func() time.Duration
	// TTL is how long a node counts as alive after its newest sign of life; 0
	// for DefaultTTL. All nodes should agree.
	TTL     time.Duration
	Logger  *zap.Logger
	Metrics *metrics.Metrics
}

// Member is a Directory of several nodes.
//
// A node says that it lives in two places, in Redis and in the database of the
// log, and counts as alive while either has heard it. So neither can take the
// cluster down alone: with Redis gone, or restarted empty, nobody disappears;
// with the database gone nothing can be claimed anyway, and Redis shows who is
// there. Redis pushes changes; the database is asked once a second.
type Member struct {
	// Static after Join.
	opt     Options
	ttl     time.Duration
	redis   Roll
	rolls   [2]*roll // Redis, Postgres
	look    together[string, persistence.Holding]
	claims  together[persistence.Holding, persistence.Record]
	ctx     context.Context
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	self    Node
	members []Node // in order of Boot; replaced, never changed
	alive   map[string]Node
	changed chan struct{}
	settled time.Duration // when members changed last
	// evicted are nodes that were taken off, and when that was done; missing
	// those that no roll shows, since when.
	evicted map[string]time.Duration
	missing map[string]time.Duration
	// emptied is when Redis was found to have lost what it held, boot time; 0 for never.
	emptied time.Duration
	lapsed  bool
	docs    Documents // nil before Keep
	ahead   Ahead     // nil for none
	seen    routes
	closed  bool
}

// roll is one of the places where nodes say that they live.
type roll struct {
	name  string
	beat  func(ctx context.Context, boot string, info []byte, ttl time.Duration) ([][]byte, error)
	leave func(ctx context.Context, boot string) error
	poke  chan struct{} // of capacity 1: beat now

	// Guarded by Member.mu.
	up     bool
	view   map[string]Node
	sent   time.Duration // when the newest beat that succeeded was sent; boot time
	downAt time.Time     // since when it fails; the zero time while it does not
	err    error
	rounds chan struct{} // closed when the beat under way, or the next, has ended
}

// Join makes this node a member. It returns when Redis or the database has
// heard of it, or with the context's error.
func Join(ctx context.Context, opt Options) (*Member, error) {
	if opt.TTL <= 0 {
		opt.TTL = DefaultTTL
	}
	if opt.Self.Boot == "" || opt.Self.Weight <= 0 {
		return nil, errors.New("cluster: a node needs a boot ID and a weight over 0")
	}
	if opt.BootTime == nil {
		opt.BootTime = bootTime
	}
	if fault.Active(fault.WallClock) {
		opt.BootTime = func() time.Duration { return time.Duration(time.Now().UnixNano()) }
	}
	m := &Member{
		opt: opt, ttl: opt.TTL, self: opt.Self,
		changed: make(chan struct{}), evicted: make(map[string]time.Duration), missing: make(map[string]time.Duration), lapsed: true,
	}
	if m.redis = opt.Roll; m.redis == nil {
		redis, err := newRedisRoll(opt.Redis, m.redisEmptied)
		if err != nil {
			return nil, err
		}
		m.redis = redis
	}
	m.rolls = [2]*roll{
		{name: metrics.Redis, beat: m.redis.Beat, leave: m.redis.Leave},
		{name: metrics.Postgres, beat: opt.Log.Beat, leave: opt.Log.Leave},
	}
	m.look.batch = opt.Log.Holdings
	m.claims.batch = func(ctx context.Context, seen []persistence.Holding) ([]persistence.Record, error) {
		return opt.Log.ClaimAll(ctx, opt.Self.Boot, seen)
	}
	m.seen.init()
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for _, r := range m.rolls {
		r.poke = make(chan struct{}, 1)
		r.rounds = make(chan struct{})
		m.working.Go(func() { m.beats(r) })
	}
	m.working.Go(func() { m.redis.Listen(m.ctx, func() { m.rolls[0].now() }) })
	if err := m.await(ctx); err != nil {
		return nil, errors.Join(err, m.Close(context.WithoutCancel(ctx)))
	}
	return m, nil
}

// await waits until both rolls were tried and one knows this node.
func (m *Member) await(ctx context.Context) error {
	return m.until(ctx, func() bool {
		return (m.rolls[0].up || m.rolls[1].up) && m.rolls[0].tried() && m.rolls[1].tried()
	})
}

// until waits, beat by beat, until a condition on what mu guards holds.
func (m *Member) until(ctx context.Context, holds func() bool) error {
	for {
		m.mu.Lock()
		done := holds()
		first, second := m.rolls[0].rounds, m.rolls[1].rounds
		m.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-first:
		case <-second:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *roll) tried() bool { return r.up || r.err != nil }

// now has the roll beat at once.
func (r *roll) now() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// beats says again and again that this node lives.
func (m *Member) beats(r *roll) {
	ticker := time.NewTicker(m.ttl / 3)
	defer ticker.Stop()
	for {
		m.beat(r)
		select {
		case <-ticker.C:
		case <-r.poke:
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Member) beat(r *roll) {
	info, err := json.Marshal(m.Self())
	if err != nil {
		m.opt.Logger.Error("this node can't be described", zap.Error(err))
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.ttl/3)
	defer cancel()
	start, sent := time.Now(), m.opt.BootTime()
	infos, err := r.beat(ctx, m.opt.Self.Boot, info, m.ttl)
	if m.ctx.Err() != nil {
		return
	}
	result := metrics.OK
	if err != nil {
		result = metrics.Failed
	}
	m.opt.Metrics.BeatSeconds.WithLabelValues(r.name, result).Observe(time.Since(start).Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard(r, infos, sent, err)
	close(r.rounds)
	r.rounds = make(chan struct{})
}

// heard takes in the outcome of a beat. mu is held.
func (m *Member) heard(r *roll, infos [][]byte, sent time.Duration, err error) {
	if err != nil {
		if r.downAt.IsZero() {
			r.downAt = time.Now()
			m.opt.Metrics.Degraded.WithLabelValues(r.name).Set(1)
			m.opt.Logger.Warn("a roll of the cluster's members does not answer", zap.String("roll", r.name), zap.Error(err))
		}
		r.up, r.err = false, err
	} else {
		if !r.downAt.IsZero() {
			m.opt.Logger.Info("a roll of the cluster's members answers again", zap.String("roll", r.name),
				zap.Duration("after", time.Since(r.downAt)))
		}
		m.opt.Metrics.Degraded.WithLabelValues(r.name).Set(0)
		r.up, r.err, r.downAt, r.sent = true, nil, time.Time{}, sent
		before := r.view
		r.view = m.read(infos)
		m.passOver(r)
		m.askOther(r, before)
	}
	m.judgeSelf()
	m.merge()
}

// redisEmptied notes that Redis has lost what it held. Whoever lives says so
// within a third of the TTL, and is seen in the database meanwhile.
func (m *Member) redisEmptied() {
	m.mu.Lock()
	m.emptied = m.opt.BootTime()
	m.mu.Unlock()
	m.opt.Metrics.RedisEmptiedTotal.Inc()
	m.opt.Logger.Warn("Redis has lost what it held: members are those that the database shows")
}

// askOther has the other roll beat at once when one has ceased to show a node
// that the other showed: the time of its next beat is too late to tell whether
// the node lives. mu is held.
func (m *Member) askOther(r *roll, before map[string]Node) {
	for _, other := range m.rolls {
		for boot := range before {
			if _, shown := r.view[boot]; shown || other == r {
				continue
			}
			if _, there := other.view[boot]; there {
				other.now()
				return
			}
		}
	}
}

// passOver takes the nodes off a roll's answer that were evicted after it was
// asked. mu is held.
func (m *Member) passOver(r *roll) {
	for boot, gone := range m.evicted {
		if r.sent <= gone {
			delete(r.view, boot)
		}
		if m.rolls[0].sent > gone && m.rolls[1].sent > gone {
			delete(m.evicted, boot)
		}
	}
}

// read decodes infos. What can't be read is of a release that this one can't
// work with, and is passed over.
func (m *Member) read(infos [][]byte) map[string]Node {
	view := make(map[string]Node, len(infos))
	for _, info := range infos {
		var n Node
		d := json.NewDecoder(bytes.NewReader(info))
		if err := d.Decode(&n); err != nil || n.Boot == "" || n.Weight <= 0 {
			m.opt.Logger.Warn("a member can't be read", zap.ByteString("info", info[:min(len(info), 256)]), zap.Error(err))
			continue
		}
		view[n.Boot] = n
	}
	return view
}

// judgeSelf notes whether this node can write, which others must know. mu is held.
func (m *Member) judgeSelf() {
	log := m.rolls[1]
	mute := !log.downAt.IsZero() && time.Since(log.downAt) > m.ttl
	if mute != m.self.Mute {
		m.self.Mute = mute
		m.rolls[0].now()
	}
}

// merge makes one list of what the rolls say. One that does not answer has no
// say as long as the other does; when neither does, the last list stays. mu is held.
func (m *Member) merge() {
	alive := map[string]Node{}
	heard := false
	for _, r := range m.rolls {
		if !r.up {
			continue
		}
		heard = true
		for boot, n := range r.view {
			if other, ok := alive[boot]; ok {
				n.Draining = n.Draining || other.Draining
				n.Mute = n.Mute && other.Mute
			}
			alive[boot] = n
		}
	}
	m.judgeLease()
	alive[m.self.Boot] = m.self
	for boot, n := range m.alive {
		if _, shown := alive[boot]; shown {
			delete(m.missing, boot)
		} else if _, gone := m.evicted[boot]; !gone && (!heard || !m.surelyGone(boot)) {
			alive[boot] = n
		} else {
			delete(m.missing, boot)
		}
	}
	members := make([]Node, 0, len(alive))
	for _, n := range alive {
		members = append(members, n)
	}
	slices.SortFunc(members, func(a, b Node) int { return cmp.Compare(a.Boot, b.Boot) })
	if slices.Equal(members, m.members) {
		return
	}
	m.announce(members)
	m.members, m.alive = members, alive
	m.settled = m.opt.BootTime()
	m.opt.Metrics.Members.Set(float64(len(members)))
	close(m.changed)
	m.changed = make(chan struct{})
}

// surelyGone tells whether every roll that answers was asked since the node was
// missed first: one of them may have been emptied, and the other not have been
// asked since the node came. mu is held.
func (m *Member) surelyGone(boot string) bool {
	since, known := m.missing[boot]
	if !known {
		since = m.opt.BootTime()
		m.missing[boot] = since
	}
	sure := true
	for _, r := range m.rolls {
		if r.up && r.sent < since {
			sure = false
			r.now()
		}
	}
	return sure
}

// announce logs who came and went. mu is held.
func (m *Member) announce(members []Node) {
	for _, n := range members {
		if _, known := m.alive[n.Boot]; !known {
			m.opt.Logger.Info("a node is there", zap.String("boot", n.Boot), zap.String("name", n.Name), zap.String("relay", n.Relay))
		}
	}
	for _, n := range m.members {
		if !slices.ContainsFunc(members, func(o Node) bool { return o.Boot == n.Boot }) {
			m.opt.Logger.Warn("a node is gone", zap.String("boot", n.Boot), zap.String("name", n.Name), zap.String("relay", n.Relay))
		}
	}
}

// judgeLease notes whether others can know that this node lives. mu is held.
func (m *Member) judgeLease() {
	valid := m.leased()
	if valid == !m.lapsed {
		return
	}
	m.lapsed = !valid
	if valid {
		m.opt.Metrics.Lease.Set(1)
		m.opt.Logger.Info("others see this node again")
		return
	}
	m.opt.Metrics.Lease.Set(0)
	m.opt.Logger.Warn("others may take this node for dead")
}

// leased tells whether a roll heard of this node so recently that nobody can
// take it for dead yet. It is true by the clock that goes on while the process
// or the machine sleeps, so a node that slept knows. mu is held.
func (m *Member) leased() bool {
	newest := max(m.rolls[0].sent, m.rolls[1].sent)
	return newest > 0 && m.opt.BootTime()-newest < m.ttl*2/3
}

// renewed makes sure, when the lease has lapsed, that the rolls were asked
// again before what they said is relied on.
func (m *Member) renewed(ctx context.Context) {
	m.mu.Lock()
	m.judgeLease()
	if m.leased() || m.closed {
		m.mu.Unlock()
		return
	}
	first, second := m.rolls[0].rounds, m.rolls[1].rounds
	m.mu.Unlock()
	for _, r := range m.rolls {
		r.now()
	}
	select {
	case <-first:
	case <-ctx.Done():
	}
	select {
	case <-second:
	case <-ctx.Done():
	}
}

// Self implements Directory.
func (m *Member) Self() Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Members implements Directory.
func (m *Member) Members() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members
}

// Changed implements Directory.
func (m *Member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Refused implements Directory. The node is taken off the members, here and for
// everybody. If it lives after all, its next beat brings it back.
func (m *Member) Refused(node Node) {
	m.mu.Lock()
	_, known := m.alive[node.Boot]
	if !known || node.Boot == m.self.Boot || m.closed {
		m.mu.Unlock()
		return
	}
	m.evicted[node.Boot] = time.Duration(1<<63 - 1)
	for _, r := range m.rolls {
		delete(r.view, node.Boot)
	}
	m.merge()
	m.working.Go(func() { m.evict(node.Boot) })
	m.mu.Unlock()
}

// evict takes a node off both rolls. What a roll is asked after that counts.
func (m *Member) evict(boot string) {
	if err := m.strike(m.ctx, boot); err != nil {
		m.opt.Logger.Debug("a node could not be taken off", zap.Error(err))
	}
	m.mu.Lock()
	m.evicted[boot] = m.opt.BootTime()
	m.mu.Unlock()
	for _, r := range m.rolls {
		r.now()
	}
}

// strike takes a node off the rolls: Redis comes last, as it tells everybody to
// look.
func (m *Member) strike(ctx context.Context, boot string) (err error) {
	for _, r := range []*roll{m.rolls[1], m.rolls[0]} {
		bounded, cancel := context.WithTimeout(ctx, redisTimeout)
		err = errors.Join(err, r.leave(bounded, boot))
		cancel()
	}
	return err
}

// Close implements Directory.
func (m *Member) Close(ctx context.Context) error {
	m.mu.Lock()
	was := m.closed
	m.closed = true
	m.mu.Unlock()
	if was {
		return nil
	}
	m.cancel()
	m.working.Wait()
	err := m.strike(ctx, m.opt.Self.Boot)
	m.redis.Close()
	return err
}
