package simtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"ysync/internal/cluster"
)

// redis is a Redis as the script of beats leaves it, and how it fails.
type redis struct {
	w    *world
	dice *dice
	// Guarded by world.mu.
	live    map[string]beat
	up      bool
	cut     [places]bool
	slow    time.Duration
	stale   bool // answers are those of a while ago
	lossy   bool // notices are lost and doubled
	last    [][]byte
	lastAt  time.Time
	hearers map[*rolls]func()
}

type beat struct {
	info    []byte
	expires time.Time
}

var errRedis = errors.New("no answer from Redis")

func newRedis(w *world) *redis {
	return &redis{w: w, dice: w.dice("redis"), live: map[string]beat{}, up: true, hearers: map[*rolls]func(){}}
}

// rolls is a node's connection to Redis.
type rolls struct {
	redis *redis
	node  *node
	dice  *dice
}

var _ cluster.Roll = (*rolls)(nil)

// exchange sends a call and waits for its answer. do is called with the world's
// lock held.
func (r *rolls) exchange(ctx context.Context, do func()) error {
	w, red := r.redis.w, r.redis
	if !r.node.pass(ctx) {
		return errDead
	}
	w.mu.Lock()
	up, cut, slow := red.up, red.cut[r.node.place], red.slow
	w.mu.Unlock()
	switch {
	case cut:
		<-ctx.Done() // every call has a time limit
		return ctx.Err()
	case !up:
		rest(ctx, r.node.trip())
		return errRedis
	case !rest(ctx, r.node.trip()+r.dice.between(0, slow)):
		return ctx.Err()
	}
	w.mu.Lock()
	up = red.up && r.node.ctx.Err() == nil
	if up {
		do()
	}
	w.mu.Unlock()
	if !rest(ctx, r.node.trip()+r.dice.between(0, slow)) || !r.node.pass(ctx) {
		return errors.Join(errRedis, ctx.Err())
	}
	if !up {
		return errRedis
	}
	return nil
}

// Beat implements cluster.Roll: it does what the script does.
func (r *rolls) Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) (infos [][]byte, err error) {
	red := r.redis
	err = r.exchange(ctx, func() {
		now := time.Now()
		changed := false
		for other, b := range red.live {
			if other != boot && !b.expires.After(now) {
				delete(red.live, other)
				changed = true
			}
		}
		changed = changed || !bytes.Equal(red.live[boot].info, info)
		red.live[boot] = beat{info, now.Add(ttl)}
		for _, b := range red.live {
			infos = append(infos, b.info)
		}
		slices.SortFunc(infos, bytes.Compare)
		switch {
		case red.stale && red.last != nil:
			infos = red.last
		case !red.stale && now.Sub(red.lastAt) > time.Second:
			red.last, red.lastAt = infos, now
		}
		if changed {
			red.publish()
		}
	})
	return infos, err
}

// Leave implements cluster.Roll.
func (r *rolls) Leave(ctx context.Context, boot string) error {
	return r.exchange(ctx, func() {
		if _, there := r.redis.live[boot]; there {
			delete(r.redis.live, boot)
			r.redis.publish()
		}
	})
}

// publish tells all that listen. Nobody knows what became of a notice. The
// world's lock is held.
func (red *redis) publish() {
	for h, f := range red.hearers {
		times := 1
		if red.lossy {
			times = h.dice.n(3)
		}
		for range times {
			time.AfterFunc(h.node.trip()+h.dice.between(0, red.slow), func() {
				if h.node.pass(h.node.ctx) {
					f()
				}
			})
		}
	}
}

// Listen implements cluster.Roll.
func (r *rolls) Listen(ctx context.Context, f func()) {
	w := r.redis.w
	w.mu.Lock()
	r.redis.hearers[r] = f
	w.mu.Unlock()
	f()
	<-ctx.Done()
	w.mu.Lock()
	delete(r.redis.hearers, r)
	w.mu.Unlock()
}

// Close implements cluster.Roll.
func (r *rolls) Close() {}
