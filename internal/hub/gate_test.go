package hub

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Of documents that wait those that are written to go first, also if that
// happens while they wait; the others in the order of their coming. Who gives up
// takes no place.
func TestGateLetsWritersGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{free: 2, count: prometheus.NewGauge(prometheus.GaugeOpts{})}
		ctx, cancel := context.WithCancel(t.Context())
		var order []string
		docs := map[string]*document{}
		for _, name := range []string{"a", "b", "c", "d", "gives up", "e", "f"} {
			d := &document{name: name}
			docs[name] = d
			within := t.Context()
			if name == "gives up" {
				within = ctx
			}
			go func() {
				if err := g.enter(within, d); err != nil {
					order = append(order, "not "+name)
					return
				}
				order = append(order, name)
			}()
			synctest.Wait()
		}
		if n := g.queue(); n != 5 {
			t.Errorf("%d wait, want 5", n)
		}
		docs["e"].written.Store(true)
		cancel()
		synctest.Wait()
		for range 4 {
			g.leave()
			synctest.Wait()
		}
		if want := []string{"a", "b", "not gives up", "e", "c", "d", "f"}; !slices.Equal(order, want) {
			t.Errorf("the order is %q, want %q", order, want)
		}
		g.leave()
		g.leave()
		if g.queue() != 0 || g.free != 2 {
			t.Errorf("%d wait, %d places are free", g.queue(), g.free)
		}
	})
}

// However many documents are asked for at once, as many as Limits.Loads are read
// at a time; a gauge tells how many wait, and all are served in the end.
func TestLoadsAreBounded(t *testing.T) {
	const documents, bound = 40, 4
	k := &slowKeeper{loading: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, opt: Options{Snapshots: k, Limits: Limits{Loads: bound}}}
		k.gate = make(chan struct{})
		w.start()
		k.Snapshots = w.keep
		var all []*connected
		for i := range documents {
			all = append(all, join(t, w.hub, fmt.Sprint("d", i), uint64(i+1)))
		}
		for done := 0; done < documents; done++ {
			synctest.Wait()
			k.mu.Lock()
			begun := k.loads
			k.mu.Unlock()
			if now := begun - done; now != min(bound, documents-done) {
				t.Fatalf("%d documents are read at a time", now)
			}
			var waiting dto.Metric
			if err := w.hub.opt.Metrics.LoadsWaiting.Write(&waiting); err != nil || int(waiting.Gauge.GetValue()) != documents-begun {
				t.Fatalf("%v documents are said to wait, %d do: %v", waiting.Gauge.GetValue(), documents-begun, err)
			}
			k.gate <- struct{}{}
		}
		settle(all...)
		for i, c := range all {
			if c.synced != 1 {
				t.Errorf("document %d is not served", i)
			}
		}
		w.stop()
	})
}
