package metrics_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ysync/internal/metrics"
)

// use makes a metric of one or two labels show.
func use[T any](t *testing.T, get func(labels ...string) (T, error)) {
	t.Helper()
	if _, err := get(metrics.OK); err == nil {
		return
	}
	if _, err := get(metrics.OK, metrics.OK); err != nil {
		t.Error(err)
	}
}

// A field that New forgets would be a nil pointer at its first use.
func TestEveryMetricIsRegistered(t *testing.T) {
	r := prometheus.NewRegistry()
	m := metrics.New(r)
	v := reflect.ValueOf(*m)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("%s is not set", v.Type().Field(i).Name)
			continue
		}
		switch c := v.Field(i).Interface().(type) {
		case *prometheus.CounterVec:
			use(t, c.GetMetricWithLabelValues)
		case *prometheus.GaugeVec:
			use(t, c.GetMetricWithLabelValues)
		case *prometheus.HistogramVec:
			use(t, c.GetMetricWithLabelValues)
		}
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != v.NumField() {
		t.Errorf("%d metrics gathered, %d fields", len(families), v.NumField())
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "ysync_") {
			t.Errorf("%s lacks the prefix", f.GetName())
		}
	}
}
