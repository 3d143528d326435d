package hub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"ysync/persistence"
)

// ended is the end of a subscription, which must be over.
func ended(t *testing.T, c *connected) *EndError {
	t.Helper()
	synctest.Wait()
	var end *EndError
	if err := c.sub.End(); !errors.As(err, &end) {
		t.Fatalf("ended with %v", err)
	}
	return end
}

// A document whose loads show damage is loaded twice and then no more; others
// go on, a retry is one load, and a repaired document is served.
func TestQuarantine(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}, err: &persistence.Error{Op: "read", Document: "d", Position: 7, Err: persistence.ErrCorrupt}}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, Logger: zap.NewNop()}}
		w.start()
		k.Snapshots = w.keep
		quarantined := func() float64 {
			var m dto.Metric
			if err := w.hub.opt.Metrics.QuarantinedDocuments.Write(&m); err != nil {
				t.Fatal(err)
			}
			return m.GetGauge().GetValue()
		}

		if end := ended(t, join(t, w.hub, "d", 1)); end != endLoad || quarantined() != 0 {
			t.Errorf("first load: %v, %v quarantined", end, quarantined())
		}
		if end := ended(t, join(t, w.hub, "d", 2)); end != endQuarantined || end.Code != 4503 || quarantined() != 1 {
			t.Errorf("second load: %v, %v quarantined", end, quarantined())
		}
		for i := range 10 {
			if end := ended(t, join(t, w.hub, "d", uint64(3+i))); end != endQuarantined {
				t.Errorf("refused with %v", end)
			}
		}
		if _, err := w.hub.Document(context.Background(), "d"); !errors.Is(err, ErrEnded) {
			t.Errorf("a copy of it: %v", err)
		}
		if k.loads != 2 {
			t.Errorf("%d loads", k.loads)
		}
		if q, ok := w.hub.QuarantineOf("d"); !ok || q.Reason != k.err.Error() || len(w.hub.Quarantined()) != 1 {
			t.Errorf("quarantine %+v, %v", q, ok)
		}
		damage := k.err
		k.err = nil
		other := join(t, w.hub, "other", 20)
		if settle(other); other.synced != 1 {
			t.Error("another document is not served")
		}
		k.err = damage
		var still *DamagedError
		if err := w.hub.Retry(context.Background(), "d"); !errors.As(err, &still) || k.loads != 4 || quarantined() != 1 {
			t.Errorf("retry of damage: %v, %d loads", err, k.loads)
		}
		k.err = nil
		if err := w.hub.Retry(context.Background(), "d"); err != nil || quarantined() != 0 {
			t.Errorf("retry after the repair: %v", err)
		}
		b := join(t, w.hub, "d", 21)
		if settle(b); b.synced != 1 {
			t.Error("the repaired document is not served")
		}
		w.stop()
	})
}

// A store that is away, or a load that is slow, quarantines nothing.
func TestNoQuarantineForWhatPasses(t *testing.T) {
	k := &slowKeeper{loading: map[string]int{}, err: errors.New("connection refused")}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, Logger: zap.NewNop()}}
		w.start()
		k.Snapshots = w.keep
		for i := range 5 {
			if end := ended(t, join(t, w.hub, "d", uint64(i+1))); end != endLoad {
				t.Errorf("ended with %v", end)
			}
		}
		if k.loads != 5 || len(w.hub.Quarantined()) != 0 {
			t.Errorf("%d loads, %v", k.loads, w.hub.Quarantined())
		}
		w.stop()
	})
}

func TestWardIsBounded(t *testing.T) {
	var w ward
	now := time.Unix(0, 0)
	for i := range wardSize + 10 {
		now = now.Add(time.Second)
		w.failed(fmt.Sprint(i), persistence.ErrCorrupt, now)
		w.failed(fmt.Sprint(i), persistence.ErrCorrupt, now)
	}
	if n := len(w.all()); n != wardSize {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := w.of("0"); ok {
		t.Error("the oldest is remembered")
	}
}
