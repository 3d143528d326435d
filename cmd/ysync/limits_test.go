package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ysync/internal/metrics"
)

// metricNames are the names of all metrics of ours.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	m := reflect.ValueOf(*metrics.New(prometheus.NewRegistry()))
	names := map[string]bool{}
	for i := range m.NumField() {
		described := make(chan *prometheus.Desc, 1)
		m.Field(i).Interface().(prometheus.Collector).Describe(described)
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch((<-described).String())
		names[name[1]] = true
	}
	return names
}

// TestLimitsPage: the page has a row for each limit, with its default and a
// metric that there is, and no other.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/LIMITS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if name, ok := strings.CutPrefix(strings.TrimSpace(cells[0]), "`--"); ok && len(cells) == 5 {
			rows[strings.TrimSuffix(name, "`")] = cells
		}
	}
	known := metricNames(t)
	for field := range reflect.TypeFor[limitFlags]().Fields() {
		name := kebab(field.Name)
		cells, ok := rows[name]
		if !ok {
			t.Errorf("docs/LIMITS.md lacks --%s", name)
			continue
		}
		delete(rows, name)
		if got, want := strings.TrimSpace(cells[1]), field.Tag.Get("default"); got != want {
			t.Errorf("docs/LIMITS.md says that the default of --%s is %s, it is %s", name, got, want)
		}
		metric := "ysync_" + field.Tag.Get("metric")
		if !known[metric] {
			t.Errorf("--%s: there is no metric %s", name, metric)
		}
		if got := strings.TrimSpace(cells[4]); got != "`"+metric+"`" && !strings.HasPrefix(got, "`"+metric+"{") {
			t.Errorf("docs/LIMITS.md says that the metric of --%s is %s, it is %s", name, got, metric)
		}
		if len(strings.TrimSpace(cells[3])) < 5 {
			t.Errorf("docs/LIMITS.md does not say what is beyond --%s", name)
		}
	}
	for name := range rows {
		t.Errorf("docs/LIMITS.md tells of --%s, which is no limit", name)
	}
}

// TestGroupMemory: the bound of a control group is found where it is, and what
// is no bound is none.
func TestGroupMemory(t *testing.T) {
	for _, c := range []struct {
		file, text string
		want       int64
	}{
		{"memory.max", "536870912\n", 512 << 20},
		{"memory.max", "max\n", 0},
		{"memory/memory.limit_in_bytes", "1073741824\n", 1 << 30},
		{"memory/memory.limit_in_bytes", "9223372036854771712\n", 0},
		{"other", "1\n", 0},
	} {
		name := filepath.Join(t.TempDir(), "cgroup", c.file)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		root, _ := strings.CutSuffix(name, c.file)
		if got, bounded := groupMemory(root); bounded != (c.want > 0) || bounded && got != c.want {
			t.Errorf("%s %q: %d, %v", c.file, c.text, got, bounded)
		}
	}
}

// TestObservabilityPage: every metric is on the page, and every one on the page
// is there.
func TestObservabilityPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/OBSERVABILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	known := metricNames(t)
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(ysync_[a-z_]+)` \\| (\\w+) \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(string(page), -1) {
		told[row[1]] = true
		if len(row[4]) < 5 {
			t.Errorf("the page does not say what %s tells", row[1])
		}
	}
	for name := range known {
		if !told[name] {
			t.Errorf("docs/OBSERVABILITY.md lacks %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`ysync_[a-z_]+`).FindAllString(string(page), -1) {
		if !known[name] && !known[strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")] && name != "ysync_" {
			t.Errorf("docs/OBSERVABILITY.md tells of %s, which is no metric", name)
		}
	}
}
