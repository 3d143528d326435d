package gateway

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coder/websocket"

	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots/dir"
)

// refused dials and wants to be told when to come again, which it returns.
func (r *rig) refused(document string) (after int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), bound)
	defer cancel()
	_, answer, err := websocket.Dial(ctx, "ws://"+r.address+"/"+document, nil)
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
		r.t.Fatalf("%s: %v, %v; want 503", document, answer, err)
	}
	after, err = strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || after < 1 || after > 10 {
		r.t.Errorf("Retry-After: %q", answer.Header.Get("Retry-After"))
	}
	return after
}

func (r *rig) accepted(document string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), bound)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+r.address+"/"+document, nil)
	if err != nil {
		r.t.Fatalf("%s: %v", document, err)
	}
	r.t.Cleanup(func() { _ = c.CloseNow() })
}

// Of a storm of connections a burst is let in, the rest is told when to come
// again, and is let in when time has passed.
func TestReconnectStormIsSpread(t *testing.T) {
	now := time.Now()
	clock := make(chan time.Time, 1)
	clock <- now
	r := start(t, func(o *Options) {
		o.ConnectRate = 2
		o.Now = func() time.Time {
			now := <-clock
			clock <- now
			return now
		}
	})
	for range 4 {
		r.accepted("d")
	}
	// Not all at the same time: the chance that thirty are told the same is 10⁻²⁹.
	seconds := map[int]bool{}
	for range 30 {
		seconds[r.refused("d")] = true
	}
	if len(seconds) < 2 {
		t.Errorf("all are to come again after %v seconds", seconds)
	}
	<-clock
	clock <- now.Add(time.Second)
	r.accepted("d")
	r.accepted("d")
	r.refused("d")
	if n := r.value("ysync_connections_refused_total", "rate"); n != 31 {
		t.Errorf("%v refusals are counted, want 31", n)
	}
}

// heldPlacement lets no document be opened until it is told to.
type heldPlacement chan struct{}

func (p heldPlacement) Open(ctx context.Context, _ string) (persistence.Epoch, error) {
	select {
	case <-p:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// While too many documents wait to be loaded nobody is let in for another one,
// but for those in memory.
func TestTooManyLoads(t *testing.T) {
	held := make(heldPlacement)
	r := start(t, func(o *Options) {
		store, err := dir.Open(vfs.NewMem(), "/snapshots")
		if err != nil {
			t.Fatal(err)
		}
		o.Hub = hubAt(t, o.Metrics, memory.New(), store, held)
		o.MaxWaitingLoads = 2
	})
	// The places at which owners are asked for are taken, and three wait.
	for i := range persistence.MaxHoldings + 3 {
		s, err := r.hub.Subscribe("d"+strconv.Itoa(i), hub.Peer{Session: uint64(i)}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	for r.hub.Waiting() < 3 {
		select {
		case <-t.Context().Done():
			t.Fatal("nothing waits")
		case <-time.After(time.Millisecond):
		}
	}
	r.refused("another")
	r.accepted("d1")
	close(held)
	for r.hub.Waiting() > 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("documents wait for ever")
		case <-time.After(time.Millisecond):
		}
	}
	r.accepted("another")
	if n := r.value("ysync_connections_refused_total", "loads"); n != 1 {
		t.Errorf("%v refusals are counted, want 1", n)
	}
}
