package deploy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	strict "sigs.k8s.io/yaml"
)

// known are the metrics of docs/OBSERVABILITY.md, which a test of the server
// holds to the code, each with its kind.
func known(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/OBSERVABILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(ysync_[a-z_]+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(page), -1) {
		kinds[row[1]] = row[2]
	}
	if len(kinds) < 50 {
		t.Fatalf("%d metrics on the page", len(kinds))
	}
	return kinds
}

// of the Go client of Prometheus, not of the server.
var foreign = map[string]bool{"process_resident_memory_bytes": true}

var (
	texts  = regexp.MustCompile(`"[^"]*"`)
	labels = regexp.MustCompile(`\{[^{}]*\}`)
	// metric is a name with what follows it: a range, or nothing.
	metric = regexp.MustCompile(`\b((?:ysync|process|go)_[a-z_]+)(\[[0-9a-z]+\])?`)
)

// check finds the metrics of an expression. Counters are for rates, gauges are
// not, and quantiles are taken of buckets.
func check(t *testing.T, where, expression string, kinds map[string]string) {
	t.Helper()
	plain := strings.ReplaceAll(strings.ReplaceAll(expression, "$__rate_interval", "5m"), "$instance", "x")
	plain = labels.ReplaceAllString(texts.ReplaceAllString(plain, ""), "")
	if strings.Count(plain, "(") != strings.Count(plain, ")") || strings.ContainsAny(plain, "{}\"$") {
		t.Errorf("%s: %s: brackets and quotes do not match", where, expression)
	}
	found := metric.FindAllStringSubmatch(plain, -1)
	if len(found) == 0 {
		t.Errorf("%s: %s is about no metric", where, expression)
	}
	for _, m := range found {
		name, ranged := m[1], m[2] != ""
		kind := kinds[name]
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && kinds[base] == "histogram" {
				kind = "counter"
			}
		}
		switch {
		case kind == "" && !foreign[name]:
			t.Errorf("%s: there is no metric %s", where, name)
		case kind == "histogram":
			t.Errorf("%s: %s is a histogram: its series are _bucket, _count and _sum", where, name)
		case kind != "" && (kind == "counter") != ranged:
			t.Errorf("%s: %s is a %s: rate is for counters, and counters are for rate", where, name, kind)
		}
	}
	if strings.Contains(plain, "histogram_quantile(") && !strings.Contains(plain, "_bucket[") {
		t.Errorf("%s: %s takes a quantile of no buckets", where, expression)
	}
}

func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := strict.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	kinds := known(t)
	rules := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			check(t, r.Alert, r.Expr, kinds)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", r.Alert)
			}
		}
	}
	if rules == 0 {
		t.Error("there is no rule")
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	kinds := known(t)
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %q has the number of another one, or shows nothing", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			check(t, p.Title, target.Expr, kinds)
		}
	}
	if len(ids) == 0 {
		t.Error("there is no panel")
	}
}
