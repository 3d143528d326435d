package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"ysync/internal/testnet"
	"ysync/internal/testpg"
)

// mishap is one thing that goes wrong in a site, and is right again.
type mishap struct {
	// kind names it for a reader, name with what it happens to.
	kind, name string
	// on are the machines and links that it is about; no other mishap is at the
	// same time about them.
	on []string
	// least and most bound how long it lasts.
	least, most time.Duration
	begin, end  func(ctx context.Context) error
}

// nothing is the end of what is over at once.
func nothing(context.Context) error { return nil }

// nodeMishaps happen to a node.
func (s *site) nodeMishaps(n *node) []mishap {
	signal := func(how syscall.Signal) func(context.Context) error {
		return func(context.Context) error { return n.signal(how) }
	}
	again := func(ctx context.Context) error {
		select {
		case <-n.current().done:
		case <-time.After(calmTimeout):
			return fmt.Errorf("%s does not end:\n%s", n.name, n.current().tail(10))
		case <-ctx.Done():
			return ctx.Err()
		}
		return n.revive(ctx)
	}
	on := []string{n.name}
	return []mishap{
		{"kill", n.name, on, 200 * time.Millisecond, 3 * time.Second, signal(syscall.SIGKILL), again},
		{"drain", n.name, on, 200 * time.Millisecond, 3 * time.Second, signal(syscall.SIGTERM), again},
		{"pause", n.name, on, 200 * time.Millisecond, 2 * time.Second, signal(syscall.SIGSTOP), signal(syscall.SIGCONT)},
		{"pause past the lease", n.name, on, 3500 * time.Millisecond, 6 * time.Second, signal(syscall.SIGSTOP), signal(syscall.SIGCONT)},
		{"kill twice", n.name, on, 50 * time.Millisecond, 800 * time.Millisecond, func(ctx context.Context) error {
			if err := n.signal(syscall.SIGKILL); err != nil {
				return err
			}
			<-n.current().done
			_, err := n.launch()
			return err
		}, func(ctx context.Context) error { // somewhere in its start
			n.kill()
			return n.revive(ctx)
		}},
	}
}

// linkMishaps happen between two machines.
func (s *site) linkMishaps(a, b *testnet.Host) []mishap {
	lose := func(there, back float64) func(context.Context) error {
		return func(context.Context) error { return errors.Join(s.net.Lose(a, b, there), s.net.Lose(b, a, back)) }
	}
	name := a.Name + "–" + b.Name
	on := []string{name}
	least, most := 500*time.Millisecond, 6*time.Second
	return []mishap{
		{"partition", name, on, least, most, lose(1, 1), lose(0, 0)},
		{"partition one way", a.Name + "→" + b.Name, on, least, most, lose(1, 0), lose(0, 0)},
		{"partition one way", b.Name + "→" + a.Name, on, least, most, lose(0, 1), lose(0, 0)},
		{"packet loss of 10 %", name, on, least, most, lose(.1, .1), lose(0, 0)},
	}
}

// isolation cuts a machine off from all others, or loses much of what is sent
// to and by it.
func (s *site) isolation(h *testnet.Host) []mishap {
	var on []string
	others := []*testnet.Host{s.net.Here}
	for _, name := range s.order() {
		others = append(others, s.machines[name])
	}
	for _, o := range others {
		on = append(on, h.Name+"–"+o.Name, o.Name+"–"+h.Name)
	}
	lose := func(share float64) func(context.Context) error {
		return func(context.Context) (err error) {
			for _, o := range others {
				if o != h {
					err = errors.Join(err, s.net.Lose(h, o, share), s.net.Lose(o, h, share))
				}
			}
			return err
		}
	}
	return []mishap{
		{"isolation", h.Name, on, 500 * time.Millisecond, 6 * time.Second, lose(1), lose(0)},
		{"packet loss of 25 %", h.Name, on, time.Second, 5 * time.Second, lose(.25), lose(0)},
	}
}

// order is all machines in an order that does not change.
func (s *site) order() []string {
	return []string{"n1", "n2", "n3", redisMachine, databaseMachine, bucketMachine}
}

// redisMishaps happen to Redis.
func (s *site) redisMishaps() []mishap {
	on := []string{redisMachine}
	return []mishap{
		{
			"Redis killed, back empty", redisMachine, on, 200 * time.Millisecond, 6 * time.Second,
			func(context.Context) error { return s.redis.Kill() },
			func(context.Context) error { return s.redis.Start() },
		},
		{
			"Redis flushed", redisMachine, on, 0, time.Second,
			func(context.Context) error { _, err := s.redis.Do("FLUSHALL"); return err }, nothing,
		},
		{
			"Redis stalled", redisMachine, on, 500 * time.Millisecond, 6 * time.Second,
			func(context.Context) error { return s.redis.Freeze() },
			func(context.Context) error { return s.redis.Thaw() },
		},
	}
}

// databaseMishaps happen to PostgreSQL.
func (s *site) databaseMishaps() []mishap {
	on := []string{databaseMachine}
	start := func(context.Context) error { return s.database.Start() }
	return []mishap{
		{
			"database restarted", databaseMachine, on, 0, 2 * time.Second,
			func(context.Context) error { return s.database.Stop() }, start,
		},
		{
			"database killed", databaseMachine, on, 0, 5 * time.Second,
			func(context.Context) error { return s.database.Kill() }, start,
		},
		{
			"database stalled", databaseMachine, on, 500 * time.Millisecond, 8 * time.Second,
			func(context.Context) error { return s.database.Freeze() },
			func(context.Context) error { return s.database.Thaw() },
		},
		{
			"database connections ended", databaseMachine, on, 0, time.Second,
			func(context.Context) error {
				return s.query(testpg.Superuser, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+siteDatabase+"'")
			}, nothing,
		},
	}
}

// otherMishaps happen to the bucket, and to all nodes.
func (s *site) otherMishaps() []mishap {
	var on []string
	for _, n := range s.nodes {
		on = append(on, n.name)
	}
	return []mishap{
		{
			"bucket killed", bucketMachine,
			[]string{bucketMachine},
			500 * time.Millisecond, 6 * time.Second,
			func(context.Context) error { return s.bucket.Stop() },
			func(context.Context) error { return s.bucket.Restart() },
		},
		{
			"all nodes killed", "n1 n2 n3", on, 0, time.Second,
			func(context.Context) (err error) {
				for _, n := range s.nodes {
					err = errors.Join(err, n.signal(syscall.SIGKILL))
				}
				return err
			},
			func(ctx context.Context) (err error) {
				for _, n := range s.nodes {
					<-n.current().done
					err = errors.Join(err, n.revive(ctx))
				}
				return err
			},
		},
	}
}

// deck is every mishap, shuffled. Those of servers are in it twice, as links are
// many.
func (s *site) deck(rng *rand.Rand) []mishap {
	var all []mishap
	for range 2 {
		for _, n := range s.nodes {
			all = append(all, s.nodeMishaps(n)...)
		}
		all = append(all, s.redisMishaps()...)
		all = append(all, s.databaseMishaps()...)
		all = append(all, s.otherMishaps()...)
	}
	for _, n := range s.nodes {
		all = append(all, s.isolation(n.host)...)
		for _, name := range []string{redisMachine, databaseMachine, bucketMachine} {
			all = append(all, s.linkMishaps(n.host, s.machines[name])...)
		}
		all = append(all, s.linkMishaps(n.host, s.net.Here)...)
	}
	for i, n := range s.nodes {
		all = append(all, s.linkMishaps(n.host, s.nodes[(i+1)%len(s.nodes)].host)...)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// sample is one mishap of each kind.
func sample(deck []mishap) (few []mishap) {
	seen := map[string]bool{}
	for _, m := range deck {
		if !seen[m.kind] {
			seen[m.kind] = true
			few = append(few, m)
		}
	}
	return few
}
