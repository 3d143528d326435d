//go:build crash

package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ysync/internal/testnet"
)

// stopwatch knows for how long each writer has waited for acknowledgements.
type stopwatch struct {
	mu      sync.Mutex
	writers map[*writer]*wait
}

// wait is what one writer saw.
type wait struct {
	document string
	node     int // the number of the one that it is connected to
	last     time.Time
	longest  time.Duration // between two acknowledgements
	count    int           // of acknowledgements
}

// settled is for manner.settled.
func (s *stopwatch) settled(perNode int) func(*writer, []*edit) {
	return func(w *writer, edits []*edit) {
		now := time.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		t := s.writers[w]
		if t == nil {
			t = &wait{document: w.document, node: w.author.id / perNode, last: now}
			s.writers[w] = t
		}
		t.longest = max(t.longest, now.Sub(t.last))
		t.last = now
		t.count += len(edits)
	}
}

// restart forgets what was.
func (s *stopwatch) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.writers {
		t.longest, t.count = 0, 0
	}
}

// enough waits until every writer, but those at a node, has that many
// acknowledgements since the restart.
func (s *stopwatch) enough(ctx context.Context, writers, but, acknowledgements int) error {
	late := time.After(calmTimeout)
	for {
		s.mu.Lock()
		slow, known := 0, len(s.writers)
		for _, t := range s.writers {
			if t.node != but && t.count < acknowledgements {
				slow++
			}
		}
		s.mu.Unlock()
		if slow == 0 && known == writers {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-late:
			return fmt.Errorf("%d of %d writers do not go on", slow, known)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gaps are the longest waits of the documents, at all nodes but one.
func (s *stopwatch) gaps(documents map[string]bool, but int) (all []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := map[string]time.Duration{}
	for _, t := range s.writers {
		if documents[t.document] && t.node != but {
			longest[t.document] = max(longest[t.document], t.longest)
		}
	}
	return slices.Collect(maps.Values(longest))
}

// row is a line of the table: durations in order.
func row(name string, events int, gaps []time.Duration) string {
	slices.SortFunc(gaps, cmp.Compare)
	at := func(share float64) time.Duration {
		if len(gaps) == 0 {
			return 0
		}
		return gaps[min(len(gaps)-1, int(share*float64(len(gaps))))].Round(time.Millisecond)
	}
	return fmt.Sprintf("| %s | %d | %d | %v | %v | %v |", name, events, len(gaps), at(.5), at(.99), at(1))
}

// measured is a site for measurements: twelve documents, each with a writer at
// every node.
func measured(t *testing.T, binary string) (chaos, *stopwatch) {
	seed := number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	s := &stopwatch{writers: map[*writer]*wait{}}
	const documents = 12
	return chaos{
		config: config{
			binary: binary, data: t.TempDir(), seed: seed, documents: documents, writers: documents,
			manner: manner{pause: 60 * time.Millisecond, settled: s.settled(documents)},
		},
		faithful: true,
		progress: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	}, s
}

// judge ends a measurement.
func judge(t *testing.T, r chaosReport, err error) {
	t.Helper()
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.faults {
		t.Error(f)
	}
}

// TestFailovers loses a node CHAOS_FAILOVERS (56) times, in four ways, and
// prints for how long the clients of the other nodes wait for the documents
// that it had.
func TestFailovers(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	times := int(number(t, "CHAOS_FAILOVERS", 56))
	c, watch := measured(t, buildServer(t))
	ways := []string{"`kill -9`", "`SIGSTOP` until it is missed, then `SIGCONT`", "cut off from everything until it is missed", "`SIGTERM` (drain)"}
	gaps, events := map[string][]time.Duration{}, map[string]int{}
	const back = "a node comes (back) and is given documents"
	r, err := c.playOn(t.Context(), mustNet(t), func(r *rig, ctx context.Context) error {
		everybody := r.everybody()
		for i := range times {
			victim, way := i/len(ways)%nodeCount, ways[i%len(ways)]
			n := r.site.nodes[victim]
			had, err := r.holding(ctx, n)
			if err != nil {
				return err
			}
			watch.restart()
			if err := watch.enough(ctx, everybody, -1, 3); err != nil {
				return err
			}
			watch.restart()
			if err := r.lose(ctx, n, way); err != nil {
				return err
			}
			if err := watch.enough(ctx, everybody, victim, 3*maxAsked); err != nil {
				return fmt.Errorf("%s, %s: %w", n.name, way, err)
			}
			found := watch.gaps(had, victim)
			gaps[way], events[way] = append(gaps[way], found...), events[way]+1
			r.progress("%3d. %s %s: %d documents, %v", i+1, n.name, way, len(had), found)
			watch.restart()
			if strings.Contains(way, "kill") || strings.Contains(way, "TERM") {
				err = n.revive(ctx)
			} else {
				err = errors.Join(n.signal(syscall.SIGCONT), r.site.net.Heal())
			}
			if err == nil {
				err = r.site.whole(ctx)
			}
			if err != nil {
				return err
			}
			given, err := r.given(ctx, n)
			if err != nil {
				return err
			}
			gaps[back], events[back] = append(gaps[back], watch.gaps(given, victim)...), events[back]+1
		}
		return nil
	})
	fmt.Println("\n| what | times | documents | p50 | p99 | longest |\n|---|-:|-:|-:|-:|-:|")
	for _, way := range append(ways, back) {
		fmt.Println(row(way, events[way], gaps[way]))
	}
	judge(t, r, err)
}

// holding returns the documents of a node, which are at least one. Which ones a
// process gets is drawn with its boot: of twelve none in one of 130. So one that
// gets none is started again; three in a row are no accident.
func (r *rig) holding(ctx context.Context, n *node) (map[string]bool, error) {
	if err := r.site.whole(ctx); err != nil {
		return nil, err
	}
	for range 3 {
		if has, err := r.given(ctx, n); err != nil || len(has) > 0 {
			return has, err
		}
		r.progress("     %s is given nothing, and is started again", n.name)
		n.kill()
		if err := errors.Join(n.revive(ctx), r.site.whole(ctx)); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s was given no document, three times", n.name)
}

// given waits until a node that came back has been given documents, and no more
// come for a while.
func (r *rig) given(ctx context.Context, n *node) (has map[string]bool, err error) {
	late, since := time.Now().Add(20*time.Second), time.Now()
	for time.Now().Before(late) && (len(has) == 0 || time.Since(since) < time.Second) {
		now, err := r.site.documentsOf(ctx, n)
		if err != nil {
			return nil, err
		}
		if len(now) != len(has) {
			has, since = now, time.Now()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return has, nil
}

func mustNet(t *testing.T) *testnet.Net {
	t.Helper()
	net, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// knows waits until the node knows as many nodes.
func (n *node) knows(ctx context.Context, members int) error {
	return n.until(ctx, func(st nodeStatus) bool { return len(st.Cluster.Members) == members })
}

// lose loses a node in a way, and waits until the others miss it.
func (r *rig) lose(ctx context.Context, n *node, way string) (err error) {
	switch {
	case strings.Contains(way, "kill"):
		err = n.signal(syscall.SIGKILL)
	case strings.Contains(way, "TERM"):
		err = n.signal(syscall.SIGTERM)
	case strings.Contains(way, "STOP"):
		err = n.signal(syscall.SIGSTOP)
	default:
		err = r.site.isolation(n.host)[0].begin(ctx)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, calmTimeout)
	defer cancel()
	for _, other := range r.site.nodes {
		if other != n {
			err = errors.Join(err, other.knows(ctx, nodeCount-1))
		}
	}
	return err
}

// TestRedisGone has no Redis for CHAOS_TIME (600) seconds: no client of a
// document loses its connection.
func TestRedisGone(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	lasts := time.Duration(number(t, "CHAOS_TIME", 600)) * time.Second
	c, watch := measured(t, buildServer(t))
	c.manner.pause = time.Second
	r, err := c.playOn(t.Context(), mustNet(t), func(r *rig, ctx context.Context) error {
		everybody := r.everybody()
		if err := watch.enough(ctx, everybody, -1, 1); err != nil {
			return err
		}
		dials, acked := r.dialled(), r.ledger.report().acked
		if err := r.site.redis.Kill(); err != nil {
			return err
		}
		watch.restart()
		select {
		case <-time.After(lasts):
		case <-ctx.Done():
			return ctx.Err()
		}
		longest := watch.gaps(all(r.names), -1)
		t.Logf("Redis gone for %v: %d edits acknowledged, %d connections ended, the longest wait for an acknowledgement %v (writers pause for up to %v)",
			lasts, r.ledger.report().acked-acked, r.dialled()-dials, slices.Max(longest).Round(time.Millisecond), c.manner.pause)
		if now := r.dialled(); now != dials {
			t.Errorf("%d connections ended", now-dials)
		}
		return r.site.redis.Start()
	})
	judge(t, r, err)
}

func all(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func (r *rig) dialled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.dials
}

// quiet waits until nothing is acknowledged any more: what the database has
// answered is still passed on.
func (r *rig) quiet() (acked int, err error) {
	acked = r.ledger.report().acked
	since := time.Now()
	for start := since; time.Since(since) < 3*time.Second; {
		<-time.After(20 * time.Millisecond)
		if now := r.ledger.report().acked; now != acked {
			acked, since = now, time.Now()
		}
		if time.Since(start) > calmTimeout {
			return acked, errors.New("acknowledgements go on without a database")
		}
	}
	return acked, nil
}

// TestDatabaseGone has no database for CHAOS_TIME (60) seconds, killed once and
// stalled once: nothing is acknowledged, nobody is sent away, and all is
// committed soon after it is back.
func TestDatabaseGone(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	lasts := time.Duration(number(t, "CHAOS_TIME", 60)) * time.Second
	c, watch := measured(t, buildServer(t))
	r, err := c.playOn(t.Context(), mustNet(t), func(r *rig, ctx context.Context) error {
		everybody := r.everybody()
		ways := []outage{
			{"killed", r.site.database.Kill, r.site.database.Start},
			{"stalled", r.site.database.Freeze, r.site.database.Thaw},
		}
		for _, way := range ways {
			watch.restart()
			if err := watch.enough(ctx, everybody, -1, 3); err != nil {
				return err
			}
			dials := r.dialled()
			if err := way.end(); err != nil {
				return err
			}
			acked, err := r.quiet()
			if err != nil {
				return err
			}
			<-time.After(lasts)
			falsely := r.ledger.report().acked - acked
			waiting := r.ledger.unacknowledged(everybody)
			if err := way.back(); err != nil {
				return err
			}
			start := time.Now()
			for r.ledger.outstanding(waiting) > 0 && time.Since(start) < calmTimeout {
				<-time.After(5 * time.Millisecond)
			}
			t.Logf("database %s for %v: %d acknowledged meanwhile, %d edits waited and are committed %v after it was back, %d connections ended",
				way.name, lasts, falsely, len(waiting), time.Since(start).Round(time.Millisecond), r.dialled()-dials)
			if falsely > 0 {
				t.Errorf("%d edits were acknowledged without a database", falsely)
			}
		}
		return nil
	})
	judge(t, r, err)
}
