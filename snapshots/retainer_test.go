package snapshots_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ysync/internal/metrics"
	"ysync/internal/testyjs"
	"ysync/snapshots"
)

func TestRetainerRunsOverAllDocuments(t *testing.T) {
	y := newYears(t, nil, 4, nil)
	for i, u := range testyjs.Session(t, "sveltecomponent")[:100] {
		y.add(func() time.Time { return y.now }, u)
		y.now = y.now.Add(20 * time.Minute)
		if i%20 == 19 {
			y.snapshot("")
			y.segment()
		}
	}
	// An erased document whose writer was late, and one whose segment is damaged.
	erased := newRig(t, "erased", y.log, y.store)
	erased.append(workload()[0])
	rec := erased.record()
	if _, err := y.keeper.Erase(t.Context(), "erased", start); err != nil {
		t.Fatal(err)
	}
	if _, err := y.keeper.Save(t.Context(), rec, 1, start, "", replica(workload()[:1]).AppendState(nil, 2)); err != nil {
		t.Fatal(err)
	}
	broken := newRig(t, "broken", y.log, y.store)
	broken.append(workload()[0])
	broken.segment()
	for o := range y.store.List(t.Context(), snapshots.Folder("broken")) {
		broken.rewrite(o.Key, damages["cut"])
		broken.rewrite(o.Key, func(b []byte) []byte { return b[:20] })
	}

	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	// value is that of a metric, of the label if it has one.
	value := func(name, label string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, one := range f.GetMetric() {
				if f.GetName() == "ysync_"+name && (label == "" || one.GetLabel()[0].GetValue() == label) {
					return one.GetCounter().GetValue() + one.GetGauge().GetValue()
				}
			}
		}
		return 0
	}
	var plans []snapshots.Plan
	ran := y.now.Add(7 * day)
	r := snapshots.Retainer{
		Keeper: y.keeper, Metrics: m, Policy: y.policy, Now: func() time.Time { return ran },
		Planned: func(p snapshots.Plan, err error) {
			if (err != nil) != (p.Document == "broken") {
				t.Errorf("%s: %v", p.Document, err)
			}
			plans = append(plans, p)
		},
	}
	synctest.Test(t, func(t *testing.T) {
		dry, err := r.Once(t.Context())
		if err != nil || dry.Removed == 0 || dry.Written == 0 || dry.Failed != 1 || dry.Documents != 3 || len(plans) != 2 {
			t.Errorf("the dry run: %+v, %v", dry, err)
		}
		if n := value("retention_removed_bytes_total", ""); n != 0 {
			t.Errorf("the dry run removed %v bytes", n)
		}
		r.Planned = nil
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := value("retention_files_total", metrics.RetentionRemoved); n != float64(dry.Removed) {
			t.Errorf("%v files were removed, planned were %d", n, dry.Removed)
		}
		if n := value("retention_files_total", metrics.RetentionSwept); n != 1 {
			t.Errorf("%v files were swept", n)
		}
		if n := value("retention_done_timestamp_seconds", ""); n != float64(ran.Unix()) {
			t.Errorf("the run ended at %v", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	snapshots.DropCoders()
	if err := y.reachable(y.keeper, ran); err != nil {
		t.Error(err)
	}
	for o := range y.store.List(t.Context(), snapshots.Folder("erased")) {
		t.Errorf("%s is left", o.Key)
	}
}
