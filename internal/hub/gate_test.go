package hub

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
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
