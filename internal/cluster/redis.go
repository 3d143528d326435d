package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// The keys share a hash tag, so that they are on one node of a Redis Cluster.
const (
	liveKey    = "{ysync}:live"  // boot IDs by when they count as dead, in milliseconds of Redis's clock
	infoKey    = "{ysync}:nodes" // boot ID → the node as JSON
	sinceKey   = "{ysync}:since" // a word of whoever found nothing here first
	changesKey = "{ysync}:changes"
)

// beatScript notes that ARGV[1] lives, with info ARGV[2], for ARGV[3] ms,
// drops whoever's time is over, tells everybody if that changed something, and
// returns a word that is another one when Redis has lost what it held, and the
// infos of all. Only Redis's clock counts.
var beatScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local changed = false
for _, boot in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
	if boot ~= ARGV[1] then
		redis.call('ZREM', KEYS[1], boot)
		redis.call('HDEL', KEYS[2], boot)
		changed = true
	end
end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
	redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
	changed = true
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 3600000)
redis.call('PEXPIRE', KEYS[2], 3600000)
if changed then redis.call('PUBLISH', ARGV[4], ARGV[1]) end
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. t[1] .. '.' .. t[2], 'NX')
redis.call('PEXPIRE', KEYS[3], 3600000)
local answer = redis.call('HVALS', KEYS[2])
table.insert(answer, 1, redis.call('GET', KEYS[3]))
return answer`)

// leaveScript takes ARGV[1] off, and tells everybody.
var leaveScript = rueidis.NewLuaScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then redis.call('PUBLISH', ARGV[2], ARGV[1]) end
return 0`)

// redisRoll is the roll of members in Redis. It connects when it is used, so
// that a node starts, and goes on, without it.
type redisRoll struct {
	option rueidis.ClientOption
	// emptied is told when Redis has lost what it held. It must not be nil.
	emptied func()

	// since is what beats have returned; they come one after the other.
	since string

	mu     sync.Mutex
	client rueidis.Client // nil while there is no connection
	tried  time.Time
	failed error
}

// redisTimeout bounds one exchange with Redis.
const redisTimeout = time.Second

// newRedisRoll reads a URL of Redis: redis://user:password@host:port/db, rediss://
// for TLS; more nodes of a Redis Cluster as ?addr=host:port&addr=…; Sentinels
// by ?master_set=NAME, host and addr being theirs.
func newRedisRoll(url string, emptied func()) (*redisRoll, error) {
	option, err := rueidis.ParseURL(url)
	if err != nil {
		// The parser's error may quote the password.
		return nil, errors.New("the URL of Redis is malformed; want redis://user:password@host:port/0, with ?addr=host:port for more nodes and &master_set=NAME for Sentinels")
	}
	option.DisableCache = true
	option.DisableRetry = true
	option.Dialer.Timeout = redisTimeout
	option.ConnWriteTimeout = redisTimeout
	option.ReadBufferEachConn, option.WriteBufferEachConn = 32<<10, 32<<10
	option.ClientName = "ysync"
	if option.Sentinel.MasterSet != "" {
		option.Sentinel.Dialer, option.Sentinel.TLSConfig = option.Dialer, option.TLSConfig
		option.Sentinel.ClientName = option.ClientName
		option.Sentinel.TopologyRefreshInterval = 5 * time.Second
	}
	return &redisRoll{option: option, emptied: emptied}, nil
}

// connected returns the client, after it tried to make one.
func (r *redisRoll) connected() (rueidis.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	if r.failed != nil && time.Since(r.tried) < redisTimeout/2 {
		return nil, r.failed
	}
	client, err := rueidis.NewClient(r.option)
	r.tried, r.failed = time.Now(), err
	if err != nil {
		return nil, err
	}
	r.client = client
	return client, nil
}

// Beat implements Roll.
func (r *redisRoll) Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) ([][]byte, error) {
	client, err := r.connected()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answer, err := beatScript.Exec(ctx, client, []string{liveKey, infoKey, sinceKey},
		[]string{boot, string(info), fmt.Sprint(ttl.Milliseconds()), changesKey}).AsStrSlice()
	if err != nil {
		return nil, err
	}
	if len(answer) == 0 {
		return nil, errors.New("a beat is answered with nothing by Redis")
	}
	since, answer := answer[0], answer[1:]
	if r.since != "" && r.since != since {
		r.emptied()
	}
	r.since = since
	infos := make([][]byte, len(answer))
	for i, s := range answer {
		infos[i] = []byte(s)
	}
	return infos, nil
}

// Leave implements Roll.
func (r *redisRoll) Leave(ctx context.Context, boot string) error {
	client, err := r.connected()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return leaveScript.Exec(ctx, client, []string{liveKey, infoKey}, []string{boot, changesKey}).Error()
}

// Listen implements Roll.
func (r *redisRoll) Listen(ctx context.Context, f func()) {
	for ctx.Err() == nil {
		client, err := r.connected()
		if err == nil {
			// Whatever came before the subscription was confirmed is lost.
			subscribed := rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) { f() })
			_ = client.Receive(subscribed, client.B().Subscribe().Channel(changesKey).Build(), func(rueidis.PubSubMessage) { f() })
		}
		wait(ctx, redisTimeout/4)
	}
}

// Close implements Roll.
func (r *redisRoll) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.Close()
	}
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
