package gateway

import (
	"sync"
	"sync/atomic"
)

// shards is how many parts the registry has. The sweeper visits one after the
// other, so that the keepalives of many idle connections spread over time.
const shards = 16

// registry holds the open connections.
type registry struct {
	count  atomic.Int64
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	conns []*conn
}

// reserve counts one more connection unless there are limit already.
func (r *registry) reserve(limit int) bool {
	if r.count.Add(1) <= int64(limit) {
		return true
	}
	r.count.Add(-1)
	return false
}

// release undoes reserve for a connection that was never added.
func (r *registry) release() { r.count.Add(-1) }

// add registers a connection that reserve has counted.
func (r *registry) add(c *conn) {
	s := &r.shards[c.id%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	c.slot = len(s.conns)
	s.conns = append(s.conns, c)
}

// remove forgets a connection, and uncounts it.
func (r *registry) remove(c *conn) {
	s := &r.shards[c.id%shards]
	s.mu.Lock()
	last := len(s.conns) - 1
	s.conns[c.slot] = s.conns[last]
	s.conns[c.slot].slot = c.slot
	s.conns[last] = nil
	s.conns = s.conns[:last]
	s.mu.Unlock()
	r.count.Add(-1)
}

// visit calls f for every connection of one shard. f may not add or remove.
func (r *registry) visit(i int, f func(*conn)) {
	s := &r.shards[i]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		f(c)
	}
}

// each calls f for every connection.
func (r *registry) each(f func(*conn)) {
	for i := range shards {
		r.visit(i, f)
	}
}
