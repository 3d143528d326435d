package cluster_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/internal/cluster"
	"ysync/internal/metrics"
	"ysync/persistence"
	"ysync/persistence/memory"
)

// list is a roll, or the log, that shows who it is told to show.
type list struct {
	mu     sync.Mutex
	infos  [][]byte
	asked  int
	change func()
}

func (l *list) Beat(_ context.Context, _ string, info []byte, _ time.Duration) ([][]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return append([][]byte{info}, l.infos...), nil
}

func (l *list) Leave(context.Context, string) error { return nil }

func (l *list) Close() {}

func (l *list) Listen(ctx context.Context, f func()) {
	l.mu.Lock()
	l.change = f
	l.mu.Unlock()
	<-ctx.Done()
}

func (l *list) show(infos ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.infos = infos
}

// logList is a list as the log.
type logList struct {
	*list
	persistence.Shared // nothing of it is used
}

func (logList) Close() error { return nil }

// What one roll ceases to show the other is asked about at once, not at its
// next beat.
func TestOtherRollIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info, err := json.Marshal(cluster.Node{Boot: "b", Name: "b", Weight: 1})
		if err != nil {
			t.Fatal(err)
		}
		redis, log := &list{infos: [][]byte{info}}, &list{infos: [][]byte{info}}
		start := time.Now()
		m, err := cluster.Join(t.Context(), cluster.Options{
			Self: cluster.Node{Boot: "a", Name: "a", Weight: 1}, Roll: redis, Log: logList{list: log}, Logger: zap.NewNop(),
			BootTime: func() time.Duration { return time.Since(start) + time.Hour },
			Metrics:  metrics.New(prometheus.NewRegistry()),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		time.Sleep(cluster.DefaultTTL / 10) // between two beats
		if got := boots(m.Members()); !slices.Equal(got, []string{"a", "b"}) {
			t.Fatalf("members %q", got)
		}
		redis.show()
		log.show()
		gone := time.Now()
		redis.change()
		synctest.Wait()
		if got := boots(m.Members()); !slices.Equal(got, []string{"a"}) {
			<-m.Changed()
			t.Errorf("the other node was gone after %v", time.Since(gone))
		}
	})
}

// beats is how often it was asked.
func (l *list) beats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// A node that was stopped for longer than its lease asks who is there before it
// says whose a document is, though by the wall clock, which was set back
// meanwhile, no time has passed.
func TestLeaseIsNotByTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redis, log := &list{}, &list{}
		start := time.Now()
		var stopped atomic.Int64
		m, err := cluster.Join(t.Context(), cluster.Options{
			Self: cluster.Node{Boot: "a", Name: "a", Weight: 1}, Roll: redis, Log: logList{log, memory.New()}, Logger: zap.NewNop(),
			BootTime: func() time.Duration { return time.Since(start) + time.Hour + time.Duration(stopped.Load()) },
			Metrics:  metrics.New(prometheus.NewRegistry()),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		time.Sleep(cluster.DefaultTTL / 10) // between two beats
		owner := func() (asked bool) {
			t.Helper()
			before := [2]int{redis.beats(), log.beats()}
			if o, err := m.Owner(t.Context(), "d"); err != nil || o.Boot != "a" {
				t.Fatalf("owner %+v, %v", o, err)
			}
			return redis.beats() > before[0] && log.beats() > before[1]
		}
		if owner() {
			t.Error("a node with a lease asked who is there")
		}
		stopped.Store(int64(2 * cluster.DefaultTTL))
		if !owner() {
			t.Error("a node that was stopped past its lease did not ask who is there")
		}
	})
}
